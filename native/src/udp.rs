// UDP sockets of the underlay, opened inside a namespace and bound there.
//
// An IPv6 socket takes IPv6 only, so that "0.0.0.0" and "::" can be bound to the same port side by side. The buffers are
// forced past the system's limit when we may (SO_*BUFFORCE), else as far as it allows: a smaller buffer costs packets under
// load, not correctness.

use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult, check};
use crate::visit::{Place, in_namespace};

#[napi(object, use_nullable = true)]
pub struct UdpOptions {
    pub namespace: Option<String>,
    pub address: String,
    pub port: u32,
    pub gro: bool,
    pub packet_info: bool,
    pub reuse_port: bool,
    pub receive_buffer_bytes: u32,
    pub send_buffer_bytes: u32,
}

/// Opens and binds; the descriptor is non-blocking and close-on-exec.
#[napi(catch_unwind)]
pub fn open_udp(env: &Env, options: UdpOptions) -> napi::Result<Object<'_>> {
    in_namespace(env, options.namespace.clone(), move |place| open(place, &options).map(hand_out))
}

fn open(place: &Place, options: &UdpOptions) -> SystemResult<OwnedFd> {
    let object = place.object(&format!("{} port {}", options.address, options.port));
    let refuse = |call| SystemError::new(call, &object, Errno::EINVAL);
    let address: IpAddr = options.address.parse().map_err(|_| refuse("bind"))?;
    let port = u16::try_from(options.port).map_err(|_| refuse("bind"))?;
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };

    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    check(raw, "socket", &object)?;
    // SAFETY: `raw` was opened above and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let set = |level, name, value, call| set_option(raw, level, name, value, call, &object);

    if address.is_ipv6() {
        set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1, "IPV6_V6ONLY")?;
        // Tunnels may leave the outer checksum out over IPv6 too (RFC 6935).
        set(libc::IPPROTO_UDP, libc::UDP_NO_CHECK6_RX, 1, "UDP_NO_CHECK6_RX")?;
    }
    if options.reuse_port {
        set(libc::SOL_SOCKET, libc::SO_REUSEPORT, 1, "SO_REUSEPORT")?;
    }
    if options.packet_info && address.is_ipv4() {
        set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1, "IP_PKTINFO")?;
    } else if options.packet_info {
        set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1, "IPV6_RECVPKTINFO")?;
    }
    if options.gro {
        set(libc::IPPROTO_UDP, libc::UDP_GRO, 1, "UDP_GRO")?;
    }
    set_buffers(raw, options.receive_buffer_bytes, options.send_buffer_bytes, &object)?;
    bind(raw, SocketAddr::new(address, port), &object)?;
    Ok(fd)
}

/// Asks for buffers of these sizes, or as much of them as the system's limit allows; 0: as they are.
pub fn set_buffers(raw: RawFd, receive_bytes: u32, send_bytes: u32, object: &str) -> SystemResult<()> {
    let buffers = [
        (receive_bytes, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, "SO_RCVBUF"),
        (send_bytes, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, "SO_SNDBUF"),
    ];
    for (bytes, forced, limited, call) in buffers {
        let bytes = libc::c_int::try_from(bytes).map_err(|_| SystemError::new(call, object, Errno::EINVAL))?;
        if bytes > 0 && set_option(raw, libc::SOL_SOCKET, forced, bytes, call, object).is_err() {
            set_option(raw, libc::SOL_SOCKET, limited, bytes, call, object)?;
        }
    }
    Ok(())
}

pub fn set_option(raw: RawFd, level: i32, name: i32, value: i32, call: &'static str, object: &str) -> SystemResult<()> {
    // SAFETY: the kernel reads one int from the pointer, as the length says.
    let result = unsafe {
        libc::setsockopt(raw, level, name, (&raw const value).cast(), size_of::<libc::c_int>() as libc::socklen_t)
    };
    check(result, "setsockopt", &format!("{call} {object}")).map(|_| ())
}

pub fn bind(raw: RawFd, address: SocketAddr, object: &str) -> SystemResult<()> {
    let result = match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `name` is a whole sockaddr_in and the length is its size.
            unsafe { libc::bind(raw, (&raw const name).cast(), size_of::<libc::sockaddr_in>() as libc::socklen_t) }
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: `name` is a whole sockaddr_in6 and the length is its size.
            unsafe { libc::bind(raw, (&raw const name).cast(), size_of::<libc::sockaddr_in6>() as libc::socklen_t) }
        }
    };
    check(result, "bind", object).map(|_| ())
}

/// The address family of a socket: how its peers' addresses are written.
pub fn is_ipv6(fd: &impl AsRawFd) -> SystemResult<bool> {
    let mut family: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, the size of `family`.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_DOMAIN, (&raw mut family).cast(), &mut length)
    };
    let object = format!("SO_DOMAIN of descriptor {}", fd.as_raw_fd());
    check(result, "getsockopt", &object)?;
    match family {
        libc::AF_INET => Ok(false),
        libc::AF_INET6 => Ok(true),
        _ => Err(SystemError::new("getsockopt", object, Errno::EAFNOSUPPORT)),
    }
}

// A service at an address and port of a namespace's loopback interface, by UDP and TCP, that leaves the port free: a program
// there can still bind it on all addresses.
//
// Linux has no way to share a port with a program that asks for nothing special (SO_REUSEADDR and SO_REUSEPORT must be set on
// both sides), so the sockets are bound to ports that the kernel chooses, and nftables leads the service's port to them.

use std::mem::size_of;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult, check};
use crate::netlink::{self, nftables};
use crate::udp::bind;
use crate::visit::in_namespace;

const BACKLOG: libc::c_int = 128;

#[napi(object)]
pub struct LoopbackOptions {
    pub namespace: String,
    pub address: String,
    pub port: u32,
    pub table: String,
    /// Bind the port itself, without rules: for kernels without nf_tables. No program there can bind it on all addresses then.
    pub direct: Option<bool>,
}

#[napi(object)]
pub struct LoopbackService {
    pub udp: i32,
    pub tcp: i32,
}

/// Opens the sockets, TCP listening, and sets the rules; loopback is set up.
#[napi(catch_unwind)]
pub fn open_loopback_service(env: &Env, options: LoopbackOptions) -> napi::Result<Object<'_>> {
    in_namespace(env, Some(options.namespace.clone()), move |place| {
        let object = place.object(&format!("{} port {}", options.address, options.port));
        let refuse = || SystemError::new("bind", &object, Errno::EINVAL);
        let address: Ipv4Addr = options.address.parse().map_err(|_| refuse())?;
        let port = u16::try_from(options.port).map_err(|_| refuse())?;
        netlink::loopback_up()?;
        let direct = options.direct.unwrap_or(false);
        let bound = if direct { port } else { 0 };
        let (udp, udp_port) = open(libc::SOCK_DGRAM, address, bound, &object)?;
        let (tcp, tcp_port) = open(libc::SOCK_STREAM, address, bound, &object)?;
        // SAFETY: no pointers; the descriptor is open.
        check(unsafe { libc::listen(tcp.as_raw_fd(), BACKLOG) }, "listen", &object)?;
        if direct {
            return Ok(LoopbackService { udp: hand_out(udp), tcp: hand_out(tcp) });
        }
        nftables::redirect(&nftables::Redirection {
            table: &options.table,
            address,
            port,
            udp: udp_port,
            tcp: tcp_port,
        })?;
        Ok(LoopbackService { udp: hand_out(udp), tcp: hand_out(tcp) })
    })
}

/// Deletes the rules; a missing table is fine. The sockets are the caller's to close.
#[napi(catch_unwind)]
pub fn remove_loopback_service(env: &Env, namespace: String, table: String) -> napi::Result<Object<'_>> {
    in_namespace(env, Some(namespace), move |_| nftables::remove(&table))
}

/// Connects by TCP from inside the namespace; the descriptor is non-blocking and close-on-exec.
#[napi(catch_unwind)]
pub fn connect_tcp(
    env: &Env,
    namespace: String,
    address: String,
    port: u32,
    timeout_ms: u32,
) -> napi::Result<Object<'_>> {
    in_namespace(env, Some(namespace), move |place| {
        let object = place.object(&format!("{address} port {port}"));
        let refuse = || SystemError::new("connect", &object, Errno::EINVAL);
        let peer = SocketAddr::new(address.parse().map_err(|_| refuse())?, u16::try_from(port).map_err(|_| refuse())?);
        let stream = std::net::TcpStream::connect_timeout(&peer, Duration::from_millis(timeout_ms.max(1).into()))
            .and_then(|stream| stream.set_nonblocking(true).map(|()| stream))
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::TimedOut => SystemError::new("connect", &object, Errno::ETIMEDOUT),
                _ => SystemError::io("connect", &object, &error),
            })?;
        Ok(hand_out(stream.into()))
    })
}

/// A socket bound to a port, 0: one of the kernel's choice, and that port.
fn open(kind: libc::c_int, address: Ipv4Addr, port: u16, object: &str) -> SystemResult<(OwnedFd, u16)> {
    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(libc::AF_INET, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    check(raw, "socket", object)?;
    // SAFETY: `raw` was opened above and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    if port != 0 && kind == libc::SOCK_STREAM {
        // A daemon before us had connections there; what is left of them must not keep the port.
        let on: libc::c_int = 1;
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the kernel reads one integer of ours.
        let set =
            unsafe { libc::setsockopt(raw, libc::SOL_SOCKET, libc::SO_REUSEADDR, (&raw const on).cast(), length) };
        check(set, "SO_REUSEADDR", object)?;
    }
    bind(raw, SocketAddr::new(address.into(), port), object)?;
    let mut name =
        libc::sockaddr_in { sin_family: 0, sin_port: 0, sin_addr: libc::in_addr { s_addr: 0 }, sin_zero: [0; 8] };
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, the size of `name`, into it.
    let result = unsafe { libc::getsockname(raw, (&raw mut name).cast(), &mut length) };
    check(result, "getsockname", object)?;
    Ok((fd, u16::from_be(name.sin_port)))
}

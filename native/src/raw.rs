// Raw sockets of the underlay: an IP protocol without ports (ESP is 50), bound to one address of ours.
//
// The kernel writes the outer IP header on the way out. On the way in an IPv4 socket hands it over with the payload and an IPv6
// one does not; who reads it knows by the family.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{FromRawFd, OwnedFd};

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult, check};
use crate::udp::{bind, set_buffers, set_option};
use crate::visit::{Place, in_namespace};

#[napi(object, use_nullable = true)]
pub struct RawOptions {
    pub namespace: Option<String>,
    pub address: String,
    /// IP's number.
    pub protocol: u32,
    pub receive_buffer_bytes: u32,
    pub send_buffer_bytes: u32,
}

/// Opens and binds; the descriptor is non-blocking and close-on-exec.
#[napi(catch_unwind)]
pub fn open_raw(env: &Env, options: RawOptions) -> napi::Result<Object<'_>> {
    in_namespace(env, options.namespace.clone(), move |place| open(place, &options).map(hand_out))
}

fn open(place: &Place, options: &RawOptions) -> SystemResult<OwnedFd> {
    let object = place.object(&format!("{} protocol {}", options.address, options.protocol));
    let refuse = |call| SystemError::new(call, &object, Errno::EINVAL);
    let address: IpAddr = options.address.parse().map_err(|_| refuse("bind"))?;
    let protocol = u8::try_from(options.protocol).map_err(|_| refuse("socket"))?;
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(family, kind, libc::c_int::from(protocol)) };
    check(raw, "socket", &object)?;
    // SAFETY: `raw` was opened above and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let (level, name, call) = match address {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO, "IP_PKTINFO"),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO"),
    };
    set_option(raw, level, name, 1, call, &object)?;
    set_buffers(raw, options.receive_buffer_bytes, options.send_buffer_bytes, &object)?;
    bind(raw, SocketAddr::new(address, 0), &object)?;
    Ok(fd)
}

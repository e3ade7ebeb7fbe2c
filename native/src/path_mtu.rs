// Path MTU in the hands of who sends: a socket that hears what routers say, and sockets that do not believe it by themselves.
//
// The kernel honours an ICMP error that names two addresses and two ports of ours, which anybody can guess, for ten minutes and
// all sockets to that destination. With IP_PMTUDISC_PROBE a socket sends whatever its interface takes, unfragmented.

use std::mem::size_of;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult, check};
use crate::packet::program;
use crate::udp::{bind, is_ipv6, set_buffers, set_option};
use crate::visit::{Place, in_namespace};

/// "Destination unreachable, fragmentation needed": type and code as one number.
const FRAGMENTATION_NEEDED: u32 = 0x0304;
/// linux/icmpv6.h
const ICMPV6_FILTER: libc::c_int = 1;
const PACKET_TOO_BIG: usize = 2;

#[napi(object, use_nullable = true)]
pub struct TooBigOptions {
    pub namespace: Option<String>,
    pub address: String,
    pub receive_buffer_bytes: u32,
}

/// A raw socket bound to the address that gets ICMP's "too big" and no other message; non-blocking and close-on-exec.
#[napi(catch_unwind)]
pub fn open_too_big(env: &Env, options: TooBigOptions) -> napi::Result<Object<'_>> {
    in_namespace(env, options.namespace.clone(), move |place| open(place, &options).map(hand_out))
}

fn open(place: &Place, options: &TooBigOptions) -> SystemResult<OwnedFd> {
    let object = place.object(&format!("{} ICMP", options.address));
    let address: IpAddr = options.address.parse().map_err(|_| SystemError::new("bind", &object, Errno::EINVAL))?;
    let (family, protocol) = match address {
        IpAddr::V4(_) => (libc::AF_INET, libc::IPPROTO_ICMP),
        IpAddr::V6(_) => (libc::AF_INET6, libc::IPPROTO_ICMPV6),
    };
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(family, kind, protocol) };
    check(raw, "socket", &object)?;
    // SAFETY: `raw` was opened above and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    if address.is_ipv4() {
        only_fragmentation_needed(raw, &object)?
    } else {
        only_packet_too_big(raw, &object)?
    }
    set_buffers(raw, options.receive_buffer_bytes, 0, &object)?;
    bind(raw, SocketAddr::new(address, 0), &object)?;
    Ok(fd)
}

/// ICMP_FILTER knows types only, and other "unreachable" ones are many.
fn only_fragmentation_needed(raw: RawFd, object: &str) -> SystemResult<()> {
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    program(
        raw,
        &[
            step(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, 0), // X: length of the IP header
            step(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, FRAGMENTATION_NEEDED, 0, 1),
            step(libc::BPF_RET | libc::BPF_K, u32::MAX, 0, 0),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        ],
        object,
    )
}

fn only_packet_too_big(raw: RawFd, object: &str) -> SystemResult<()> {
    // A bit a type, set: blocked (RFC 3542 section 3.2).
    let mut blocked = [u32::MAX; 8];
    blocked[0] &= !(1 << PACKET_TOO_BIG);
    let length = size_of::<[u32; 8]>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes, the size of `blocked`.
    let set =
        unsafe { libc::setsockopt(raw, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, (&raw const blocked).cast(), length) };
    check(set, "setsockopt", &format!("ICMP6_FILTER {object}")).map(|_| ())
}

/// From here on the socket sends what its interface takes, unfragmented, whatever the kernel believes of the path.
#[napi(catch_unwind)]
pub fn ignore_path_mtu(env: &Env, fd: i32) -> napi::Result<()> {
    let object = format!("descriptor {fd}");
    let set = is_ipv6(&fd).and_then(|ipv6| {
        let (level, name, value, call) = if ipv6 {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE, "IPV6_MTU_DISCOVER")
        } else {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, "IP_MTU_DISCOVER")
        };
        set_option(fd, level, name, value, call, &object)
    });
    set.map_err(|error| error.into_js(env))
}

// AF_PACKET sockets on an interface of the host: the parent of macvlan networks.
//
// Bound to all protocols: a socket bound to one never sees tagged frames of it. With virtio-net headers, so that super-frames
// and unfinished checksums cross in both directions; with auxiliary data, where the kernel leaves the tag that it takes out of
// each frame. Frames that the host itself sends by the interface are not ours to see: the host and the sandboxes on the
// parent are to be strangers, as with the kernel's macvlan.
//
// What the socket asks of the interface (MACs to listen to, all groups, promiscuity) is a membership of the socket: the kernel
// takes it back when the socket goes, whoever ends this process how. The MACs are asked for one by one; an interface that
// can't filter by so many makes itself promiscuous, and only then.
//
// A socket filter keeps out what is for nobody here before it is copied: the interface carries the host's own traffic too.

use std::mem::{size_of, zeroed};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult, check};
use crate::visit::{Place, in_namespace};

// linux/if_packet.h
const PACKET_VNET_HDR: libc::c_int = 15;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
const PACKET_MR_ALLMULTI: libc::c_int = 2;
const PACKET_MR_UNICAST: libc::c_int = 3;
/// A filter has at most BPF_MAXINSNS instructions, two a MAC here; with more MACs it goes without.
const FILTERED_MACS: usize = 2000;
const ACCEPT: u32 = u32::MAX;

#[napi(object, use_nullable = true)]
pub struct PacketOptions {
    pub namespace: Option<String>,
    pub name: String,
    pub receive_buffer_bytes: u32,
    pub send_buffer_bytes: u32,
}

/// Opens and binds; it lets no unicast in yet. The descriptor is non-blocking and close-on-exec.
#[napi(catch_unwind)]
pub fn open_packet(env: &Env, options: PacketOptions) -> napi::Result<Object<'_>> {
    in_namespace(env, options.namespace.clone(), move |place| open(place, &options).map(hand_out))
}

fn open(place: &Place, options: &PacketOptions) -> SystemResult<OwnedFd> {
    let object = place.object(&options.name);
    let name = std::ffi::CString::new(options.name.as_str())
        .map_err(|_| SystemError::new("if_nametoindex", &object, Errno::EINVAL))?;
    // SAFETY: a terminated string.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(SystemError::last("if_nametoindex", &object));
    }
    // Protocol 0: deaf until it is bound.
    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    check(raw, "socket", &object)?;
    // SAFETY: `raw` was opened above and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    let set = |level, name, value: libc::c_int, call| set_option(raw, level, name, &value, call, &object);
    set(libc::SOL_PACKET, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR")?;
    set(libc::SOL_PACKET, libc::PACKET_AUXDATA, 1, "PACKET_AUXDATA")?;
    set(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING")?;
    for (bytes, forced, limited, call) in [
        (options.receive_buffer_bytes, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, "SO_RCVBUF"),
        (options.send_buffer_bytes, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, "SO_SNDBUF"),
    ] {
        let bytes = libc::c_int::try_from(bytes).map_err(|_| SystemError::new(call, &object, Errno::EINVAL))?;
        if bytes > 0 && set(libc::SOL_SOCKET, forced, bytes, call).is_err() {
            set(libc::SOL_SOCKET, limited, bytes, call)?;
        }
    }
    filter(raw, &[], &object)?;
    membership(raw, libc::PACKET_ADD_MEMBERSHIP, index, PACKET_MR_ALLMULTI, None, &object)?;
    // SAFETY: integers and bytes; all zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as libc::c_int;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` is a whole sockaddr_ll and the length is its size.
    check(unsafe { libc::bind(raw, (&raw const address).cast(), length) }, "bind", &object)?;
    Ok(fd)
}

#[napi(object)]
pub struct PacketListening {
    /// "02:42:ac:11:00:02": those that are to be let in.
    pub macs: Vec<String>,
    /// Of these, the ones that it does not listen to yet ...
    pub add: Vec<String>,
    /// ... and those that it is to listen to no more.
    pub remove: Vec<String>,
    /// Everything is let in, whoever it is for.
    pub promiscuous: bool,
    /// What it is now.
    pub was_promiscuous: bool,
}

/// Says which frames the socket wants. New MACs are listened to before the filter lets them in, old ones the other way round.
#[napi(catch_unwind)]
pub fn listen_packet(env: &Env, fd: i32, wanted: PacketListening) -> napi::Result<()> {
    listen(fd, &wanted).map_err(|error| error.into_js(env))
}

fn listen(fd: RawFd, wanted: &PacketListening) -> SystemResult<()> {
    let object = format!("descriptor {fd}");
    let index = bound_to(fd).filter(|index| *index > 0);
    let index = index.ok_or_else(|| SystemError::new("getsockname", &object, Errno::ENODEV))? as u32;
    let change = |option, kind, mac| membership(fd, option, index, kind, mac, &object);
    for mac in &wanted.add {
        change(libc::PACKET_ADD_MEMBERSHIP, PACKET_MR_UNICAST, Some(parse(mac)?))?;
    }
    if wanted.promiscuous && !wanted.was_promiscuous {
        change(libc::PACKET_ADD_MEMBERSHIP, libc::PACKET_MR_PROMISC, None)?;
    }
    if wanted.promiscuous || wanted.macs.len() > FILTERED_MACS {
        program(fd, &[statement(libc::BPF_RET | libc::BPF_K, ACCEPT)], &object)?;
    } else {
        let macs: SystemResult<Vec<[u8; 6]>> = wanted.macs.iter().map(|mac| parse(mac)).collect();
        filter(fd, &macs?, &object)?;
    }
    if wanted.was_promiscuous && !wanted.promiscuous {
        change(libc::PACKET_DROP_MEMBERSHIP, libc::PACKET_MR_PROMISC, None)?;
    }
    for mac in &wanted.remove {
        change(libc::PACKET_DROP_MEMBERSHIP, PACKET_MR_UNICAST, Some(parse(mac)?))?;
    }
    Ok(())
}

fn parse(text: &str) -> SystemResult<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| SystemError::new("MAC", text, Errno::EINVAL))
}

fn membership(
    fd: RawFd,
    option: libc::c_int,
    index: u32,
    kind: libc::c_int,
    mac: Option<[u8; 6]>,
    object: &str,
) -> SystemResult<()> {
    // SAFETY: integers and bytes; all zero is valid.
    let mut request: libc::packet_mreq = unsafe { zeroed() };
    request.mr_ifindex = index as libc::c_int;
    request.mr_type = kind as libc::c_ushort;
    if let Some(mac) = mac {
        request.mr_alen = 6;
        request.mr_address[..6].copy_from_slice(&mac);
    }
    set_option(fd, libc::SOL_PACKET, option, &request, "PACKET_MEMBERSHIP", object)
}

/// Lets in groups and unicast for these MACs: their last four bytes decide here, the engine looks at all six.
fn filter(fd: RawFd, macs: &[[u8; 6]], object: &str) -> SystemResult<()> {
    let accept = statement(libc::BPF_RET | libc::BPF_K, ACCEPT);
    let mut code = vec![
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0),
        jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 1, 0, 1),
        accept,
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 2),
    ];
    for [_, _, a, b, c, d] in macs {
        code.push(jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, u32::from_be_bytes([*a, *b, *c, *d]), 0, 1));
        code.push(accept);
    }
    code.push(statement(libc::BPF_RET | libc::BPF_K, 0));
    program(fd, &code, object)
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Gives the socket a filter.
pub fn program(fd: RawFd, code: &[libc::sock_filter], object: &str) -> SystemResult<()> {
    let program = libc::sock_fprog { len: code.len() as libc::c_ushort, filter: code.as_ptr().cast_mut() };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program, "SO_ATTACH_FILTER", object)
}

fn set_option<T>(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
    call: &'static str,
    object: &str,
) -> SystemResult<()> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes from `value`, and what a sock_fprog in it points to, which outlives the
    // call; each caller gives the type that the option takes.
    let result = unsafe {
        libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t)
    };
    check(result, "setsockopt", &format!("{call} {object}")).map(|_| ())
}

/// The index of the interface that the socket is bound to: -1 once that was deleted. None if it is no packet socket.
fn bound_to(fd: RawFd) -> Option<i32> {
    // SAFETY: integers and bytes; all zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, the size of `address`.
    let result = unsafe { libc::getsockname(fd, (&raw mut address).cast(), &mut length) };
    (result == 0 && i32::from(address.sll_family) == libc::AF_PACKET).then_some(address.sll_ifindex)
}

/// Whether the socket's interface was deleted: it will never receive again.
pub fn is_orphan(fd: RawFd) -> bool {
    bound_to(fd).is_none_or(|index| index <= 0)
}

/// Whether the socket still has its interface.
#[napi(catch_unwind)]
pub fn packet_has_interface(fd: i32) -> bool {
    !is_orphan(fd)
}

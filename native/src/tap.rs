// TAP devices: made, or attached to again, inside their namespace.
//
// TUNSETIFF names a device of the namespace the calling thread is in; the same name from elsewhere silently makes a second
// device, hence the visit. Every frame carries a virtio-net header of 10 bytes, so that super-frames and unfinished checksums
// cross in both directions. A persistent device stays when its descriptor closes: the next daemon attaches to it again.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use crate::descriptor::hand_out;
use crate::error::{SystemError, SystemResult, check};
use crate::layout::VNET_HEADER_LENGTH;
use crate::netlink::{self, LinkSettings};
use crate::visit::{Place, in_namespace};

// linux/if_tun.h
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNSETPERSIST: libc::Ioctl = 0x4004_54cb;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::Ioctl = 0x4004_54d8;
const TUN_F_CSUM: libc::c_ulong = 0x01;
const TUN_F_TSO4: libc::c_ulong = 0x02;
const TUN_F_TSO6: libc::c_ulong = 0x04;
const TUN_F_USO4: libc::c_ulong = 0x20;
const TUN_F_USO6: libc::c_ulong = 0x40;

// linux/sockios.h, linux/ethtool.h
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GLINK: u32 = 0x0a;

const TUN_DEVICE: &str = "/dev/net/tun";

#[napi(object, use_nullable = true)]
pub struct TapOptions {
    pub namespace: Option<String>,
    pub name: String,
    pub persist: bool,
    pub offloads: bool,
}

/// Creates the TAP in its namespace, or attaches to it again, and brings its settings to those given. The descriptor is
/// non-blocking and close-on-exec.
#[napi(catch_unwind)]
pub fn open_tap(env: &Env, options: TapOptions, settings: Option<LinkSettings>) -> napi::Result<Object<'_>> {
    in_namespace(env, options.namespace.clone(), move |place| open(place, &options, settings.as_ref()).map(hand_out))
}

fn open(place: &Place, options: &TapOptions, settings: Option<&LinkSettings>) -> SystemResult<OwnedFd> {
    let object = place.object(&options.name);
    let mut request =
        interface_request(&options.name).map_err(|errno| SystemError::new("TUNSETIFF", &object, errno))?;
    let fd: OwnedFd = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(TUN_DEVICE)
        .map_err(|error| SystemError::io("open", format!("{TUN_DEVICE} for {object}"), &error))?
        .into();
    let raw = fd.as_raw_fd();

    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: `request` is a whole ifreq with a terminated name, and outlives the call.
    check(unsafe { libc::ioctl(raw, TUNSETIFF, &mut request) }, "TUNSETIFF", &object)?;
    let header_bytes: libc::c_int = VNET_HEADER_LENGTH;
    // SAFETY: the kernel reads one int from the pointer.
    check(unsafe { libc::ioctl(raw, TUNSETVNETHDRSZ, &header_bytes) }, "TUNSETVNETHDRSZ", &object)?;
    set_offloads(raw, options.offloads, &object)?;
    if let Some(settings) = settings {
        netlink::set_link(&options.name, settings, &object)?;
    }
    // Last, so that a device which could not be set up goes away with its descriptor.
    // SAFETY: the argument is a number, not a pointer.
    check(unsafe { libc::ioctl(raw, TUNSETPERSIST, libc::c_ulong::from(options.persist)) }, "TUNSETPERSIST", &object)?;
    settle_carrier(request.ifr_name);
    Ok(fd)
}

/// Has the kernel act on the carrier that came back with us. By itself it does so for a hundred interfaces a second, and until
/// then an interface sends nothing; but whoever asks for the state of a link gets one that has been acted on (Linux 6.8; an
/// older kernel takes its time). What it answers is of no interest, nor is a failure.
fn settle_carrier(name: [libc::c_char; libc::IFNAMSIZ]) {
    // SAFETY: no pointers.
    let raw = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if raw == -1 {
        return;
    }
    // SAFETY: `raw` was opened above and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // struct ethtool_value: command, and the answer.
    let mut value = [ETHTOOL_GLINK, 0u32];
    // SAFETY: ifreq is integers, arrays and pointers; all zero bytes are a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name = name;
    request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    // SAFETY: a whole ifreq that points to a whole ethtool_value; both outlive the call.
    unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
}

fn set_offloads(raw: libc::c_int, wanted: bool, object: &str) -> SystemResult<()> {
    let basic = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    // Both USO bits together or EINVAL; before Linux 6.2 there are none and UDP comes in single datagrams.
    let choices: &[libc::c_ulong] = if wanted { &[basic | TUN_F_USO4 | TUN_F_USO6, basic] } else { &[0] };
    let mut answer = Ok(());
    for offloads in choices {
        // SAFETY: the argument is a number, not a pointer.
        match check(unsafe { libc::ioctl(raw, TUNSETOFFLOAD, *offloads) }, "TUNSETOFFLOAD", object) {
            Ok(_) => return Ok(()),
            Err(error) => answer = Err(error),
        }
    }
    answer
}

/// An ifreq with the name in it, which must be one the kernel takes as it is: a '%' would make it choose a number.
pub fn interface_request(name: &str) -> Result<libc::ifreq, Errno> {
    let bytes = name.as_bytes();
    if bytes.len() >= libc::IFNAMSIZ {
        return Err(Errno::ENAMETOOLONG);
    }
    if bytes.is_empty()
        || name == "."
        || name == ".."
        || bytes.iter().any(|byte| b"/:%\0".contains(byte) || byte.is_ascii_whitespace())
    {
        return Err(Errno::EINVAL);
    }
    // SAFETY: ifreq is integers, arrays and pointers; all zero bytes are a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(request)
}

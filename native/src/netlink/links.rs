// Interfaces. The body of a link message, struct ifinfomsg:
//
//   family u8 · pad u8 · type u16 · index i32 · flags u32 · change u32 (which flags to change)

use std::ffi::CString;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use super::socket::{Entry, Netlink};
use super::wire::{Request, attributes, text_of, u32_at};
use crate::error::{SystemError, SystemResult};
use crate::promise::on_thread;
use crate::visit::{Place, enter, in_namespace};

const BODY_BYTES: usize = 16;
const IFLA_INFO_KIND: u16 = 1;
/// Leaves the statistics out of a dump: a third of its bytes.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

#[napi(object)]
#[derive(Clone)]
pub struct LinkInfo {
    pub index: u32,
    pub name: String,
    pub mac: String,
    pub mtu_bytes: u32,
    pub tx_queue_length: u32,
    pub up: bool,
    pub running: bool,
    pub kind: String,
}

#[napi(catch_unwind)]
pub fn links(env: &Env, namespace: Option<String>) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, |place| list(&mut Netlink::open()?, &place.object("all")))
}

/// Deletes an interface; one that is not there, or whose namespace is gone, is fine.
#[napi(catch_unwind)]
pub fn delete_link(env: &Env, namespace: Option<String>, name: String) -> napi::Result<Object<'_>> {
    on_thread(env, move || {
        if let Some(path) = &namespace {
            match enter(path) {
                Err(error) if error.errno == Errno::ENOENT => return Ok(()),
                entered => entered?,
            }
        }
        let object = Place::new(namespace).object(&name);
        let request = Request::new(libc::RTM_DELLINK, libc::NLM_F_ACK, &body(0, 0, 0)).text(libc::IFLA_IFNAME, &name);
        match Netlink::open()?.change(request, "RTM_DELLINK", &object) {
            Err(error) if error.errno == Errno::ENODEV => Ok(()),
            answer => answer,
        }
    })
}

pub fn list(netlink: &mut Netlink, object: &str) -> SystemResult<Vec<LinkInfo>> {
    let request = || {
        Request::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, &body(0, 0, 0))
            .number(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    };
    Ok(netlink.dump(request, "RTM_GETLINK", object)?.iter().filter_map(parse).collect())
}

/// Asked for by its name: a host with hundreds of interfaces is not listed for one.
pub fn find(netlink: &mut Netlink, name: &str, object: &str) -> SystemResult<LinkInfo> {
    let request = Request::new(libc::RTM_GETLINK, 0, &body(0, 0, 0))
        .number(libc::IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
        .text(libc::IFLA_IFNAME, name);
    let entry = netlink.ask(request, "RTM_GETLINK", object)?;
    // The kernel knows interfaces by alternative names too, which are not what we mean.
    let found = parse(&entry).filter(|link| link.name == name);
    found.ok_or_else(|| SystemError::new("RTM_GETLINK", object, Errno::ENODEV))
}

/// The index of an interface of the daemon's own namespace, by its name or an alternative one; None: there is none.
#[napi(catch_unwind)]
pub fn link_index(name: String) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name is terminated.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// What an interface may be given in one message.
#[napi(object)]
pub struct LinkSettings {
    pub mac: Option<String>,
    pub mtu_bytes: Option<u32>,
    pub tx_queue_length: Option<u32>,
}

/// Brings an interface to these settings by one message; those that it has are left alone.
pub fn apply(netlink: &mut Netlink, link: &LinkInfo, settings: &LinkSettings, object: &str) -> SystemResult<()> {
    let mtu_bytes = settings.mtu_bytes.filter(|bytes| *bytes != link.mtu_bytes);
    let length = settings.tx_queue_length.filter(|length| *length != link.tx_queue_length);
    let mac = settings.mac.as_deref().filter(|text| !text.eq_ignore_ascii_case(&link.mac));
    let mac = mac.map(|text| mac_bytes(text).ok_or_else(|| SystemError::new("IFLA_ADDRESS", object, Errno::EINVAL)));
    let mac = mac.transpose()?;
    if mtu_bytes.is_none() && length.is_none() && mac.is_none() {
        return Ok(());
    }
    set(
        netlink,
        link,
        |mut request| {
            if let Some(bytes) = mtu_bytes {
                request = request.number(libc::IFLA_MTU, bytes);
            }
            if let Some(length) = length {
                request = request.number(libc::IFLA_TXQLEN, length);
            }
            match &mac {
                Some(mac) => request.attribute(libc::IFLA_ADDRESS, mac),
                None => request,
            }
        },
        object,
    )
}

pub fn set_up(netlink: &mut Netlink, link: &LinkInfo, up: bool, object: &str) -> SystemResult<()> {
    let flag = libc::IFF_UP as u32;
    change(netlink, link, if up { flag } else { 0 }, flag, |request| request, object)
}

/// Changes an interface by the attributes that `with` adds.
pub fn set(
    netlink: &mut Netlink,
    link: &LinkInfo,
    with: impl FnOnce(Request) -> Request,
    object: &str,
) -> SystemResult<()> {
    change(netlink, link, 0, 0, with, object)
}

fn change(
    netlink: &mut Netlink,
    link: &LinkInfo,
    flags: u32,
    mask: u32,
    with: impl FnOnce(Request) -> Request,
    object: &str,
) -> SystemResult<()> {
    let request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_ACK, &body(link.index, flags, mask));
    netlink.change(with(request), "RTM_NEWLINK", object)
}

fn body(index: u32, flags: u32, mask: u32) -> [u8; BODY_BYTES] {
    let mut bytes = [0; BODY_BYTES];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&mask.to_ne_bytes());
    bytes
}

fn parse(entry: &Entry) -> Option<LinkInfo> {
    if entry.kind != libc::RTM_NEWLINK {
        return None;
    }
    let flags = u32_at(&entry.body, 8)? as i32;
    let mut link = LinkInfo {
        index: u32_at(&entry.body, 4)?,
        name: String::new(),
        mac: String::new(),
        mtu_bytes: 0,
        tx_queue_length: 0,
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_RUNNING != 0,
        kind: String::new(),
    };
    for (kind, value) in attributes(&entry.body, BODY_BYTES) {
        match kind {
            libc::IFLA_IFNAME => link.name = text_of(value),
            libc::IFLA_ADDRESS => link.mac = mac_text(value),
            libc::IFLA_MTU => link.mtu_bytes = u32_at(value, 0)?,
            libc::IFLA_TXQLEN => link.tx_queue_length = u32_at(value, 0)?,
            // The flag follows it up to a second later.
            libc::IFLA_CARRIER => link.running &= value.first().is_some_and(|carrier| *carrier != 0),
            libc::IFLA_LINKINFO => {
                let found = attributes(value, 0).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = found.map(|(_, name)| text_of(name)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

fn mac_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// "02:42:ac:11:00:02" as six bytes.
pub fn mac_bytes(text: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None }).collect();
    bytes.filter(|bytes| bytes.len() == 6)
}

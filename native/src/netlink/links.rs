// Interfaces. The body of a link message, struct ifinfomsg:
//
//   family u8 · pad u8 · type u16 · index i32 · flags u32 · change u32 (which flags to change)

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use super::socket::{Entry, Netlink};
use super::wire::{Request, attributes, text_of, u32_at};
use crate::error::{SystemError, SystemResult};
use crate::netns::in_namespace;

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
    crate::promise::on_thread(env, move || {
        if let Some(path) = &namespace {
            match crate::netns::enter(path) {
                Err(error) if error.errno == Errno::ENOENT => return Ok(()),
                entered => entered?,
            }
        }
        let object = crate::netns::Place::new(namespace).object(&name);
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

pub fn find(netlink: &mut Netlink, name: &str, object: &str) -> SystemResult<LinkInfo> {
    list(netlink, object)?
        .into_iter()
        .find(|link| link.name == name)
        .ok_or_else(|| SystemError::new("RTM_GETLINK", object, Errno::ENODEV))
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
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_RUNNING != 0,
        kind: String::new(),
    };
    for (kind, value) in attributes(&entry.body, BODY_BYTES) {
        match kind {
            libc::IFLA_IFNAME => link.name = text_of(value),
            libc::IFLA_ADDRESS => link.mac = mac_text(value),
            libc::IFLA_MTU => link.mtu_bytes = u32_at(value, 0)?,
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

// Addresses of interfaces. The body of an address message, struct ifaddrmsg:
//
//   family u8 · prefix length u8 · flags u8 · scope u8 · index u32
//
// IPv6 addresses are added without duplicate address detection: the control plane has already made them unique, and a second
// of "tentative" would make the first connection of a container fail.

use std::net::{IpAddr, Ipv4Addr};

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use super::links::{self, LinkInfo};
use super::socket::{Entry, Netlink};
use super::wire::{Request, attributes, u8_at, u32_at};
use crate::error::{SystemError, SystemResult};
use crate::visit::in_namespace;

const BODY_BYTES: usize = 8;

#[napi(object)]
pub struct AddressInfo {
    pub interface_name: String,
    pub address: String,
    pub prefix_length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

struct Found {
    index: u32,
    scope: u8,
    prefix: Prefix,
}

#[napi(catch_unwind)]
pub fn addresses(env: &Env, namespace: Option<String>) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, |place| {
        let mut netlink = Netlink::open()?;
        let links = links::list(&mut netlink, &place.object("all"))?;
        let name = |index| links.iter().find(|link| link.index == index).map(|link| link.name.clone());
        let found = list(&mut netlink, &place.object("all"))?;
        let infos = found.into_iter().filter_map(|found| {
            Some(AddressInfo {
                interface_name: name(found.index)?,
                address: found.prefix.address.to_string(),
                prefix_length: found.prefix.length.into(),
            })
        });
        Ok(infos.collect::<Vec<_>>())
    })
}

/// Gives the interface exactly the wanted addresses of global scope. Unwanted ones go first: an IPv4 address that goes takes
/// the secondary ones of its subnet along.
pub fn set(netlink: &mut Netlink, link: &LinkInfo, wanted: &[Prefix], object: &str) -> SystemResult<()> {
    let mut present = of_link(netlink, link, object)?;
    let mut removed = false;
    for found in &present {
        if found.scope == libc::RT_SCOPE_UNIVERSE && !wanted.contains(&found.prefix) {
            let request = request(libc::RTM_DELADDR, 0, link, &found.prefix);
            match netlink.change(request, "RTM_DELADDR", &described(&found.prefix, object)) {
                Err(error) if error.errno == Errno::EADDRNOTAVAIL => {}
                answer => answer?,
            }
            removed = true;
        }
    }
    if removed {
        present = of_link(netlink, link, object)?;
    }
    for prefix in wanted {
        if !present.iter().any(|found| found.prefix == *prefix) {
            let request = request(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, link, prefix);
            netlink.change(request, "RTM_NEWADDR", &described(prefix, object))?;
        }
    }
    Ok(())
}

fn described(prefix: &Prefix, object: &str) -> String {
    format!("{}/{} on {object}", prefix.address, prefix.length)
}

fn of_link(netlink: &mut Netlink, link: &LinkInfo, object: &str) -> SystemResult<Vec<Found>> {
    Ok(list(netlink, object)?.into_iter().filter(|found| found.index == link.index).collect())
}

fn list(netlink: &mut Netlink, object: &str) -> SystemResult<Vec<Found>> {
    let request = || Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; BODY_BYTES]);
    Ok(netlink.dump(request, "RTM_GETADDR", object)?.iter().filter_map(parse).collect())
}

fn parse(entry: &Entry) -> Option<Found> {
    if entry.kind != libc::RTM_NEWADDR {
        return None;
    }
    // IFA_LOCAL is our end of a point-to-point link, IFA_ADDRESS the peer's; without a peer they are equal or LOCAL is absent.
    let find = |wanted| attributes(&entry.body, BODY_BYTES).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let address = find(libc::IFA_LOCAL).or_else(|| find(libc::IFA_ADDRESS)).and_then(ip_of)?;
    Some(Found {
        index: u32_at(&entry.body, 4)?,
        scope: u8_at(&entry.body, 3)?,
        prefix: Prefix { address, length: u8_at(&entry.body, 1)? },
    })
}

fn request(kind: u16, flags: i32, link: &LinkInfo, prefix: &Prefix) -> Request {
    let mut body = [0; BODY_BYTES];
    body[0] = family_of(&prefix.address);
    body[1] = prefix.length;
    body[3] = libc::RT_SCOPE_UNIVERSE;
    body[4..8].copy_from_slice(&link.index.to_ne_bytes());
    let bytes = octets_of(&prefix.address);
    let mut request = Request::new(kind, flags | libc::NLM_F_ACK, &body)
        .attribute(libc::IFA_LOCAL, &bytes)
        .attribute(libc::IFA_ADDRESS, &bytes);
    if kind == libc::RTM_NEWADDR {
        match prefix.address {
            IpAddr::V4(address) if prefix.length < 31 => {
                let host_bits = u32::MAX.checked_shr(prefix.length.into()).unwrap_or(0);
                let broadcast = Ipv4Addr::from_bits(address.to_bits() | host_bits);
                request = request.attribute(libc::IFA_BROADCAST, &broadcast.octets());
            }
            IpAddr::V4(_) => {}
            IpAddr::V6(_) => request = request.number(libc::IFA_FLAGS, libc::IFA_F_NODAD),
        }
    }
    request
}

/// "10.0.0.2/24"
pub fn parse_prefix(text: &str, call: &'static str, object: &str) -> SystemResult<Prefix> {
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        (length <= if address.is_ipv4() { 32 } else { 128 }).then_some(Prefix { address, length })
    });
    parsed.ok_or_else(|| SystemError::new(call, format!("{text} on {object}"), Errno::EINVAL))
}

pub fn family_of(address: &IpAddr) -> u8 {
    (if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

pub fn octets_of(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

pub fn ip_of(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

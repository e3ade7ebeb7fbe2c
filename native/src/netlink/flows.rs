// Connections that the kernel tracks (ctnetlink), to be forgotten: a flow is translated by what was decided at its first packet,
// and a client that keeps sending would for ever be led to a sandbox that is gone, whatever the rules say now.
//
// A table is dumped once for each family, however many filters there are, and held against them here: what the kernel can
// filter by itself differs from version to version. Struct nfgenmsg is the body: family u8 · version u8 · resource u16.
//
//   original   source a -> destination b, as the client sent it
//   reply      source c -> destination d, as the answer comes back: c is who really answers

use std::collections::HashMap;
use std::net::IpAddr;

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use super::addresses::{Prefix, ip_of, parse_prefix};
use super::socket::{Entry, Netlink};
use super::wire::{Request, attributes, u8_at};
use crate::error::{SystemError, SystemResult};
use crate::visit::in_namespace;

const SUBSYSTEM: u16 = 1;
const NEW: u16 = SUBSYSTEM << 8;
const GET: u16 = (SUBSYSTEM << 8) | 1;
const DELETE: u16 = (SUBSYSTEM << 8) | 2;
const GET_STATS: u16 = (SUBSYSTEM << 8) | 5;
const GLOBAL_ENTRIES: u16 = 1;
const BODY_BYTES: usize = 4;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
/// By family: source and destination.
const ADDRESSES_IPV4: (u16, u16) = (1, 2);
const ADDRESSES_IPV6: (u16, u16) = (3, 4);
const PROTOCOL_NUMBER: u16 = 1;
const DESTINATION_PORT: u16 = 3;
const DESTINATION_TRANSLATED: u32 = 1 << 5;

/// All that are given must hold.
#[napi(object)]
#[derive(Default)]
pub struct FlowFilter {
    /// 4 or 6.
    pub family: u32,
    pub protocol: Option<u32>,
    /// Where the client sent to: one of these prefixes.
    pub destinations: Option<Vec<String>>,
    pub first_port: Option<u32>,
    pub last_port: Option<u32>,
    /// Who answers: an address in this prefix.
    pub answered_by: Option<String>,
    /// Who sent or answers.
    pub party: Option<String>,
    /// Only flows whose destination is translated.
    pub translated: Option<bool>,
    /// Not those that one of these holds for.
    pub except: Option<Vec<FlowExcept>>,
}

#[napi(object)]
pub struct FlowExcept {
    pub answered_by: String,
    pub protocol: Option<u32>,
    pub first_port: Option<u32>,
    pub last_port: Option<u32>,
}

/// Forgets the connections that a filter holds for; answers how many.
#[napi(catch_unwind)]
pub fn forget_flows(env: &Env, namespace: Option<String>, filters: Vec<FlowFilter>) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, move |place| {
        let object = place.object("conntrack");
        if is_empty(&object)? {
            return Ok(0);
        }
        let mut forgotten = 0;
        for (number, family) in [(4, libc::AF_INET), (6, libc::AF_INET6)] {
            let filters = filters.iter().filter(|filter| filter.family == number);
            let filters = filters.map(|filter| Filter::read(filter, &object)).collect::<SystemResult<Vec<_>>>()?;
            if !filters.is_empty() {
                forgotten += forget(family as u8, &filters, &object)?;
            }
        }
        Ok(forgotten)
    })
}

/// Whether the namespace tracks nothing: a dump goes through the buckets of all namespaces, some 12 ms of a processor, to find
/// that out.
fn is_empty(object: &str) -> SystemResult<bool> {
    let request = Request::new(GET_STATS, 0, &[libc::AF_UNSPEC as u8, 0, 0, 0]);
    let answer = Netlink::open_netfilter()?.ask(request, "IPCTNL_MSG_CT_GET_STATS", object)?;
    let count = attributes(&answer.body, BODY_BYTES).find(|(kind, _)| *kind == GLOBAL_ENTRIES);
    Ok(count.is_some_and(|(_, value)| value == [0; 4]))
}

fn forget(family: u8, filters: &[Filter], object: &str) -> SystemResult<u32> {
    let body = [family, 0, 0, 0];
    let mut netlink = Netlink::open_netfilter()?;
    let entries = netlink.dump(|| Request::new(GET, libc::NLM_F_DUMP, &body), "IPCTNL_MSG_CT_GET", object)?;
    let mut forgotten = 0;
    for entry in entries.iter().filter(|entry| entry.kind == NEW) {
        let Some(flow) = Flow::parse(entry) else { continue };
        if !filters.iter().any(|filter| filter.holds(&flow)) {
            continue;
        }
        let mut request = Request::new(DELETE, libc::NLM_F_ACK, &body).nested(TUPLE_ORIGINAL, flow.original);
        // With its id: one that took its place in the meantime is not meant.
        for (kind, value) in [(ID, flow.id), (ZONE, flow.zone)] {
            if let Some(value) = value {
                request = request.attribute(kind, value);
            }
        }
        match netlink.change(request, "IPCTNL_MSG_CT_DELETE", object) {
            Ok(()) => forgotten += 1,
            Err(error) if error.errno == Errno::ENOENT => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

struct Flow<'a> {
    /// Its tuple as the kernel wrote it.
    original: &'a [u8],
    id: Option<&'a [u8]>,
    zone: Option<&'a [u8]>,
    source: IpAddr,
    destination: IpAddr,
    answerer: IpAddr,
    protocol: u8,
    /// 0 where the protocol has none.
    port: u16,
    is_translated: bool,
}

impl<'a> Flow<'a> {
    fn parse(entry: &'a Entry) -> Option<Self> {
        let found: HashMap<u16, &[u8]> = attributes(&entry.body, BODY_BYTES).collect();
        let original = *found.get(&TUPLE_ORIGINAL)?;
        let (source, destination) = addresses_of(original)?;
        let (answerer, _) = addresses_of(found.get(&TUPLE_REPLY)?)?;
        let status = found.get(&STATUS).and_then(|value| Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?)));
        let protocol = member(original, TUPLE_PROTOCOL)?;
        let port = member(protocol, DESTINATION_PORT);
        Some(Self {
            original,
            id: found.get(&ID).copied(),
            zone: found.get(&ZONE).copied(),
            source,
            destination,
            answerer,
            protocol: u8_at(member(protocol, PROTOCOL_NUMBER)?, 0)?,
            port: port.and_then(|value| Some(u16::from_be_bytes(value.get(..2)?.try_into().ok()?))).unwrap_or(0),
            is_translated: status.unwrap_or(0) & DESTINATION_TRANSLATED != 0,
        })
    }
}

fn member(attribute: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(attribute, 0).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn addresses_of(tuple: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let addresses = member(tuple, TUPLE_ADDRESSES)?;
    [ADDRESSES_IPV4, ADDRESSES_IPV6].iter().find_map(|(source, destination)| {
        Some((ip_of(member(addresses, *source)?)?, ip_of(member(addresses, *destination)?)?))
    })
}

struct Ports {
    protocol: Option<u8>,
    first: u16,
    last: u16,
}

impl Ports {
    fn read(protocol: Option<u32>, first: Option<u32>, last: Option<u32>, object: &str) -> SystemResult<Self> {
        let refuse = |_| SystemError::new("forgetFlows", object, Errno::EINVAL);
        Ok(Self {
            protocol: protocol.map(u8::try_from).transpose().map_err(refuse)?,
            first: u16::try_from(first.unwrap_or(0)).map_err(refuse)?,
            last: u16::try_from(last.unwrap_or(u16::MAX.into())).map_err(refuse)?,
        })
    }

    fn hold(&self, flow: &Flow<'_>) -> bool {
        self.protocol.is_none_or(|wanted| wanted == flow.protocol) && (self.first..=self.last).contains(&flow.port)
    }
}

struct Filter {
    ports: Ports,
    destinations: Option<Vec<Prefix>>,
    answered_by: Option<Prefix>,
    party: Option<IpAddr>,
    is_translated: bool,
    except: Vec<(Prefix, Ports)>,
}

impl Filter {
    fn read(filter: &FlowFilter, object: &str) -> SystemResult<Self> {
        let prefix = |text: &String| parse_prefix(text, "forgetFlows", object);
        let except = filter.except.iter().flatten().map(|one| {
            let ports = Ports::read(one.protocol, one.first_port, one.last_port, object)?;
            Ok((prefix(&one.answered_by)?, ports))
        });
        let party = filter.party.as_ref().map(|text| text.parse()).transpose();
        Ok(Self {
            ports: Ports::read(filter.protocol, filter.first_port, filter.last_port, object)?,
            destinations: filter.destinations.as_ref().map(|list| list.iter().map(prefix).collect()).transpose()?,
            answered_by: filter.answered_by.as_ref().map(prefix).transpose()?,
            party: party.map_err(|_| SystemError::new("forgetFlows", object, Errno::EINVAL))?,
            is_translated: filter.translated.unwrap_or(false),
            except: except.collect::<SystemResult<_>>()?,
        })
    }

    fn holds(&self, flow: &Flow<'_>) -> bool {
        let Self { destinations, answered_by, party, .. } = self;
        self.ports.hold(flow)
            && (!self.is_translated || flow.is_translated)
            && destinations.as_ref().is_none_or(|list| list.iter().any(|prefix| contains(prefix, &flow.destination)))
            && answered_by.is_none_or(|prefix| contains(&prefix, &flow.answerer))
            && party.is_none_or(|address| address == flow.source || address == flow.answerer)
            && !self.except.iter().any(|(prefix, ports)| contains(prefix, &flow.answerer) && ports.hold(flow))
    }
}

fn contains(prefix: &Prefix, address: &IpAddr) -> bool {
    let length = u32::from(prefix.length);
    match (prefix.address, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(32 - length).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(128 - length).unwrap_or(0) == 0,
        _ => false,
    }
}

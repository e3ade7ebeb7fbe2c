// Routes of the main table. The body of a route message, struct rtmsg:
//
//   family u8 · destination bits u8 · source bits u8 · tos u8 · table u8 · protocol u8 · scope u8 · type u8 · flags u32
//
// The local table (our own addresses, broadcast) is left out: the addresses say the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use super::addresses::{Prefix, family_of, ip_of, octets_of, parse_prefix};
use super::links::{self, LinkInfo};
use super::socket::{Entry, Netlink};
use super::wire::{Request, attributes, u8_at, u16_at, u32_at};
use crate::error::{SystemError, SystemResult};
use crate::visit::in_namespace;

const BODY_BYTES: usize = 12;
/// struct rtnexthop: length u16 · flags u8 · hops u8 · index i32 | attributes
const NEXT_HOP_BYTES: usize = 8;
/// Behind all that anybody else sets; each interface has its own from here on, for routes of one metric would be one.
const LAST_METRICS: u32 = 1 << 30;

#[napi(object, use_nullable = true)]
pub struct RouteInfo {
    pub destination: String,
    pub gateway: Option<String>,
    pub interface_index: Option<u32>,
    pub metric: Option<u32>,
}

#[napi(object)]
pub struct RouteConfig {
    pub destination: String,
    pub gateway: Option<String>,
    pub metric: Option<u32>,
}

#[napi(catch_unwind)]
pub fn routes(env: &Env, namespace: Option<String>) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, |place| {
        let mut netlink = Netlink::open()?;
        // The local table has four times as many as the main one; an older kernel answers all.
        netlink.filter_dumps();
        let object = place.object("all");
        let mut body = [0; BODY_BYTES];
        body[4] = libc::RT_TABLE_MAIN;
        let request = || Request::new(libc::RTM_GETROUTE, libc::NLM_F_DUMP, &body);
        let entries = netlink.dump(request, "RTM_GETROUTE", &object)?;
        Ok(entries.iter().filter_map(parse).flatten().collect::<Vec<_>>())
    })
}

/// Deletes routes by destination and gateway; missing ones are fine.
#[napi(catch_unwind)]
pub fn delete_routes(env: &Env, namespace: Option<String>, routes: Vec<RouteConfig>) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, move |place| {
        let mut netlink = Netlink::open()?;
        for route in &routes {
            let object = place.object(&described(route));
            // Scope "nowhere" matches any scope.
            let request = request(libc::RTM_DELROUTE, 0, libc::RT_SCOPE_NOWHERE, route, None, &object)?;
            match netlink.change(request, "RTM_DELROUTE", &object) {
                Err(error) if error.errno == Errno::ESRCH => {}
                answer => answer?,
            }
        }
        Ok(())
    })
}

/// Has the namespace take what comes in by the interface for ::1, as route_localnet does for 127.0.0.0/8: a host program that
/// speaks to ::1 and is led into a sandbox gets its answers there, and the kernel looks ::1 up among the routes of the interface
/// only. The loopback interface's own route comes first everywhere else. It goes with the interface.
#[napi(catch_unwind)]
pub fn route_loopback_ipv6(env: &Env, namespace: Option<String>, interface_name: String) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, move |place| {
        let object = place.object(&format!("local ::1 dev {interface_name}"));
        let mut netlink = Netlink::open()?;
        let link = links::find(&mut netlink, &interface_name, &object)?;
        let mut body = [0; BODY_BYTES];
        body[0] = libc::AF_INET6 as u8;
        body[1] = 128;
        body[4] = libc::RT_TABLE_LOCAL;
        body[5] = libc::RTPROT_STATIC;
        body[7] = libc::RTN_LOCAL;
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
        let request = Request::new(libc::RTM_NEWROUTE, flags, &body)
            .attribute(libc::RTA_DST, &Ipv6Addr::LOCALHOST.octets())
            .number(libc::RTA_PRIORITY, LAST_METRICS + link.index)
            .number(libc::RTA_OIF, link.index);
        match netlink.change(request, "RTM_NEWROUTE", &object) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            answer => answer,
        }
    })
}

/// Adds a route by way of `link`, in place of one with the same destination and metric.
pub fn replace(netlink: &mut Netlink, link: &LinkInfo, route: &RouteConfig, object: &str) -> SystemResult<()> {
    let object = format!("{} on {object}", described(route));
    let scope = if route.gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let request = request(libc::RTM_NEWROUTE, flags, scope, route, Some(link), &object)?;
    netlink.change(request, "RTM_NEWROUTE", &object)
}

fn described(route: &RouteConfig) -> String {
    match &route.gateway {
        Some(gateway) => format!("{} via {gateway}", route.destination),
        None => route.destination.clone(),
    }
}

fn request(
    kind: u16,
    flags: i32,
    scope: u8,
    route: &RouteConfig,
    link: Option<&LinkInfo>,
    object: &str,
) -> SystemResult<Request> {
    let call = if kind == libc::RTM_NEWROUTE { "RTM_NEWROUTE" } else { "RTM_DELROUTE" };
    let destination = destination_of(route, call, object)?;
    let mut body = [0; BODY_BYTES];
    body[0] = family_of(&destination.address);
    body[1] = destination.length;
    body[4] = libc::RT_TABLE_MAIN;
    body[6] = scope;
    if kind == libc::RTM_NEWROUTE {
        body[5] = libc::RTPROT_STATIC;
        body[7] = libc::RTN_UNICAST;
    }
    let mut request = Request::new(kind, flags | libc::NLM_F_ACK, &body);
    if destination.length > 0 {
        request = request.attribute(libc::RTA_DST, &octets_of(&destination.address));
    }
    if let Some(gateway) = &route.gateway {
        let parsed: Option<IpAddr> = gateway.parse().ok();
        let same_family = parsed.filter(|address| address.is_ipv4() == destination.address.is_ipv4());
        let address = same_family.ok_or_else(|| SystemError::new(call, object, Errno::EINVAL))?;
        request = request.attribute(libc::RTA_GATEWAY, &octets_of(&address));
    }
    if let Some(metric) = route.metric {
        request = request.number(libc::RTA_PRIORITY, metric);
    }
    if let Some(link) = link {
        request = request.number(libc::RTA_OIF, link.index);
    }
    Ok(request)
}

/// The destination; "default" takes the family of its gateway. Bits behind the prefix are cleared, as the kernel insists.
fn destination_of(route: &RouteConfig, call: &'static str, object: &str) -> SystemResult<Prefix> {
    if route.destination == "default" {
        let via_ipv6 = route.gateway.as_ref().is_some_and(|gateway| gateway.contains(':'));
        let any = if via_ipv6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        return Ok(Prefix { address: any, length: 0 });
    }
    let prefix = parse_prefix(&route.destination, call, object)?;
    let address = match prefix.address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.length)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    };
    Ok(Prefix { address, length: prefix.length })
}

/// One route, or one for each next hop of a multipath route.
fn parse(entry: &Entry) -> Option<Vec<RouteInfo>> {
    let body = &entry.body;
    let family = i32::from(u8_at(body, 0)?);
    let is_wanted = entry.kind == libc::RTM_NEWROUTE
        && (family == libc::AF_INET || family == libc::AF_INET6)
        && u32_at(body, 8)? & libc::RTM_F_CLONED == 0
        && !matches!(u8_at(body, 7)?, libc::RTN_LOCAL | libc::RTN_BROADCAST | libc::RTN_ANYCAST | libc::RTN_MULTICAST);
    let find = |wanted| attributes(body, BODY_BYTES).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let table = find(libc::RTA_TABLE).and_then(|value| u32_at(value, 0)).unwrap_or(u8_at(body, 4)?.into());
    if !is_wanted || table != u32::from(libc::RT_TABLE_MAIN) {
        return None;
    }
    let any = if family == libc::AF_INET { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let address = find(libc::RTA_DST).and_then(ip_of).unwrap_or(any);
    let info = |gateway: Option<&[u8]>, index: Option<u32>| RouteInfo {
        destination: format!("{address}/{}", body[1]),
        gateway: gateway.and_then(ip_of).map(|gateway| gateway.to_string()),
        interface_index: index,
        metric: find(libc::RTA_PRIORITY).and_then(|value| u32_at(value, 0)),
    };
    let Some(mut hops) = find(libc::RTA_MULTIPATH) else {
        return Some(vec![info(find(libc::RTA_GATEWAY), find(libc::RTA_OIF).and_then(|value| u32_at(value, 0)))]);
    };
    let mut infos = Vec::new();
    while let Some(length) = u16_at(hops, 0).map(usize::from).filter(|length| *length >= NEXT_HOP_BYTES) {
        let Some(hop) = hops.get(..length) else { break };
        let gateway = attributes(hop, NEXT_HOP_BYTES).find(|(kind, _)| *kind == libc::RTA_GATEWAY);
        infos.push(info(gateway.map(|(_, value)| value), u32_at(hop, 4)));
        hops = hops.get((length + 3) & !3..).unwrap_or_default();
    }
    Some(infos)
}

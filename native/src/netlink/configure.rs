// One interface's whole configuration in one visit, and the same again changes nothing: after a crash in the middle, the next
// attempt finishes the work. The order matters: a name may have to be changed while the interface is down, addresses stand
// before it comes up so that nothing is sent without one, routes need it up.

use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use nix::errno::Errno;

use super::links::{self, LinkInfo, LinkSettings};
use super::routes::RouteConfig;
use super::socket::Netlink;
use super::{addresses, routes};
use crate::error::{SystemError, SystemResult};
use crate::tap::interface_request;
use crate::visit::{Place, in_namespace};

#[napi(object)]
pub struct InterfaceConfig {
    pub name: String,
    pub rename: Option<String>,
    pub mac: Option<String>,
    pub mtu_bytes: Option<u32>,
    pub tx_queue_length: Option<u32>,
    pub addresses: Option<Vec<String>>,
    pub up: Option<bool>,
    pub routes: Option<Vec<RouteConfig>>,
}

#[napi(catch_unwind)]
pub fn configure_interface(env: &Env, namespace: Option<String>, config: InterfaceConfig) -> napi::Result<Object<'_>> {
    in_namespace(env, namespace, move |place| configure(place, &config))
}

fn configure(place: &Place, config: &InterfaceConfig) -> SystemResult<()> {
    let object = place.object(&config.name);
    // All that can be refused by looking at it is refused before anything is changed.
    let refuse = |call| SystemError::new(call, &object, Errno::EINVAL);
    if config.mac.as_deref().is_some_and(|text| links::mac_bytes(text).is_none()) {
        return Err(refuse("IFLA_ADDRESS"));
    }
    let prefixes = config.addresses.as_ref().map(|texts| {
        texts.iter().map(|text| addresses::parse_prefix(text, "RTM_NEWADDR", &object)).collect::<SystemResult<Vec<_>>>()
    });
    let prefixes = prefixes.transpose()?;
    if let Some(name) = &config.rename {
        interface_request(name).map_err(|errno| SystemError::new("IFLA_IFNAME", place.object(name), errno))?;
    }

    let netlink = &mut Netlink::open()?;
    let mut link = find(netlink, config, &object)?;
    let settings =
        LinkSettings { mac: config.mac.clone(), mtu_bytes: config.mtu_bytes, tx_queue_length: config.tx_queue_length };
    links::apply(netlink, &link, &settings, &object)?;
    if let Some(name) = config.rename.as_ref().filter(|name| **name != link.name) {
        rename(netlink, &mut link, name, &object)?;
    }
    if let Some(prefixes) = &prefixes {
        addresses::set(netlink, &link, prefixes, &object)?;
    }
    if let Some(up) = config.up.filter(|up| *up != link.up) {
        links::set_up(netlink, &link, up, &object)?;
    }
    for route in config.routes.iter().flatten() {
        routes::replace(netlink, &link, route, &object)?;
    }
    Ok(())
}

/// By its name, or by the name it was to get if an earlier attempt came that far.
fn find(netlink: &mut Netlink, config: &InterfaceConfig, object: &str) -> SystemResult<LinkInfo> {
    match (links::find(netlink, &config.name, object), &config.rename) {
        (Err(error), Some(renamed)) if error.errno == Errno::ENODEV => {
            links::find(netlink, renamed, object).map_err(|_| error)
        }
        (found, _) => found,
    }
}

/// Before Linux 6.2 an interface that is up can't change its name.
fn rename(netlink: &mut Netlink, link: &mut LinkInfo, name: &str, object: &str) -> SystemResult<()> {
    let attempt = |netlink: &mut Netlink, link: &LinkInfo| {
        links::set(netlink, link, |request| request.text(libc::IFLA_IFNAME, name), &format!("{object} to {name}"))
    };
    match attempt(netlink, link) {
        Err(error) if error.errno == Errno::EBUSY && link.up => {
            links::set_up(netlink, link, false, object)?;
            let renamed = attempt(netlink, link);
            links::set_up(netlink, link, true, object)?;
            renamed?;
        }
        answer => answer?,
    }
    name.clone_into(&mut link.name);
    Ok(())
}

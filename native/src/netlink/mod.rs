// Links, addresses and routes by rtnetlink, each call in one visit to its namespace. No tool is executed.
//
//   wire       messages as bytes
//   socket     request and answer
//   links      interfaces: list, delete, change
//   addresses  list, and bring to what is wanted
//   routes     list, add, delete
//   configure  one interface's whole configuration, in the order that works
//   flows      connections that the kernel tracks, to be forgotten
//   nftables   one rule set: ports of an address of the loopback interface lead to other ports
//   rule_watch changes of a table that somebody else makes

mod addresses;
mod configure;
mod flows;
mod links;
pub mod nftables;
mod routes;
pub mod rule_watch;
mod socket;
mod wire;

pub use links::LinkSettings;

use crate::error::SystemResult;

/// Brings the settings of an interface in the namespace of the calling thread to those given.
pub fn set_link(name: &str, settings: &LinkSettings, object: &str) -> SystemResult<()> {
    let mut netlink = socket::Netlink::open()?;
    let link = links::find(&mut netlink, name, object)?;
    links::apply(&mut netlink, &link, settings, object)
}

/// Sets `lo` up in the namespace of the calling thread.
pub fn loopback_up() -> SystemResult<()> {
    let mut netlink = socket::Netlink::open()?;
    let loopback = links::find(&mut netlink, "lo", "lo")?;
    links::set_up(&mut netlink, &loopback, true, "lo")
}

/// An error if the kernel has no netfilter to talk to.
pub fn require_netfilter() -> SystemResult<()> {
    socket::Netlink::open_netfilter().map(drop)
}

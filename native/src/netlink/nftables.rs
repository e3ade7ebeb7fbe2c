// One rule set in nftables, written to its netlink interface (linux/netfilter/nf_tables.h): what goes to a port of an address
// of the loopback interface is led to another port there, and answers come from the port that was asked.
//
//   table ip NAME {
//     chain queries { type filter hook output priority -150; ip daddr A udp dport P udp dport set U; (the same of TCP) }
//     chain answers { type filter hook output priority -300; ip saddr A udp sport U udp sport set P; (the same of TCP) }
//   }
//
// Ports are rewritten statelessly, not by NAT: a connection tracked for each question would fill the tables of a busy sandbox.
// The two priorities lie on either side of connection tracking (-200), so that where somebody has it on it sees port P in
// both directions. The table is replaced in one transaction: there is no instant without rules.

use std::net::Ipv4Addr;

use nix::errno::Errno;

use super::socket::Netlink;
use super::wire::{Request, attribute, nested};
use crate::error::{SystemError, SystemResult};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;

const LIST_ELEMENT: u16 = 1;
const REGISTER: u32 = 1;
const HOOK_OUTPUT: u32 = 3;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const META_L4PROTO: u32 = 16;
const CHECKSUM_INET: u32 = 1;

const BEFORE_TRACKING: i32 = -300;
const AFTER_TRACKING: i32 = -150;

/// In the IPv4 header.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
/// In the UDP and the TCP header.
const SOURCE_PORT: u32 = 0;
const DESTINATION_PORT: u32 = 2;

pub struct Redirection<'a> {
    pub table: &'a str,
    pub address: Ipv4Addr,
    pub port: u16,
    pub udp: u16,
    pub tcp: u16,
}

/// Makes or replaces the table, in the namespace of the calling thread.
pub fn redirect(wanted: &Redirection<'_>) -> SystemResult<()> {
    // Deleting waits for an RCU grace period, several milliseconds: only where there is something to delete.
    let fresh = vec![change(NEW_TABLE, libc::NLM_F_CREATE | libc::NLM_F_EXCL).text(1, wanted.table)];
    match fill(fresh, wanted) {
        Err(SystemError { errno: Errno::EEXIST, .. }) => fill(emptied(wanted.table), wanted),
        result => result,
    }
}

fn fill(mut requests: Vec<Request>, wanted: &Redirection<'_>) -> SystemResult<()> {
    for (chain, priority) in [("queries", AFTER_TRACKING), ("answers", BEFORE_TRACKING)] {
        let hook = [number(1, HOOK_OUTPUT), number(2, priority as u32)].concat();
        let request = change(NEW_CHAIN, libc::NLM_F_CREATE).text(1, wanted.table).text(3, chain);
        requests.push(request.nested(4, &hook).text(7, "filter"));
    }
    // The checksum's place: RFC 768, RFC 9293.
    for (protocol, port, checksum) in [(libc::IPPROTO_UDP, wanted.udp, 6), (libc::IPPROTO_TCP, wanted.tcp, 16)] {
        let rules = [
            ("queries", DESTINATION, DESTINATION_PORT, wanted.port, port),
            ("answers", SOURCE, SOURCE_PORT, port, wanted.port),
        ];
        for (chain, address, field, from, to) in rules {
            let expressions = [
                load(NETWORK_HEADER, address, 4),
                is_equal(&wanted.address.octets()),
                expression("meta", &[number(1, REGISTER), number(2, META_L4PROTO)]),
                is_equal(&[protocol as u8]),
                load(TRANSPORT_HEADER, field, 2),
                is_equal(&from.to_be_bytes()),
                expression("immediate", &[number(1, REGISTER), data(2, &to.to_be_bytes())]),
                store_port(field, checksum),
            ];
            let request =
                change(NEW_RULE, libc::NLM_F_CREATE | libc::NLM_F_APPEND).text(1, wanted.table).text(2, chain);
            requests.push(request.nested(4, &expressions.concat()));
        }
    }
    commit(requests, wanted.table)
}

/// Deletes the table, in the namespace of the calling thread. A missing one is fine, and a kernel that has no tables at all: without
/// netfilter's sockets (EPROTONOSUPPORT), or with them but no nf_tables behind (EOPNOTSUPP).
pub fn remove(table: &str) -> SystemResult<()> {
    match commit(emptied(table).into_iter().take(2).collect(), table) {
        Err(error) if matches!(error.errno, Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP) => Ok(()),
        outcome => outcome,
    }
}

/// A table of this name without anything in it: made, so that it can be deleted, and made again.
fn emptied(table: &str) -> Vec<Request> {
    [(NEW_TABLE, libc::NLM_F_CREATE), (DELETE_TABLE, 0), (NEW_TABLE, libc::NLM_F_CREATE)]
        .map(|(kind, flags)| change(kind, flags).text(1, table))
        .into()
}

fn commit(changes: Vec<Request>, table: &str) -> SystemResult<()> {
    let mut requests = vec![bracket(BATCH_BEGIN)];
    requests.extend(changes);
    requests.push(bracket(BATCH_END));
    Netlink::open_netfilter()?.transact(requests, "nftables", &format!("table {table}"))
}

/// nfgenmsg: family u8, version u8, resource u16 in network order.
fn bracket(kind: u16) -> Request {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    Request::new(kind, 0, &[libc::AF_UNSPEC as u8, 0, high, low])
}

fn change(kind: u16, flags: i32) -> Request {
    Request::new((SUBSYSTEM << 8) | kind, flags | libc::NLM_F_ACK, &[libc::AF_INET as u8, 0, 0, 0])
}

/// Numbers are in network order here, unlike in rtnetlink.
fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn data(kind: u16, value: &[u8]) -> Vec<u8> {
    nested(kind, &[attribute(1, value)])
}

fn expression(name: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut terminated = name.as_bytes().to_vec();
    terminated.push(0);
    nested(LIST_ELEMENT, &[attribute(1, &terminated), nested(2, attributes)])
}

fn load(header: u32, offset: u32, length: u32) -> Vec<u8> {
    expression("payload", &[number(1, REGISTER), number(2, header), number(3, offset), number(4, length)])
}

fn is_equal(value: &[u8]) -> Vec<u8> {
    expression("cmp", &[number(1, REGISTER), number(2, 0), data(3, value)])
}

fn store_port(offset: u32, checksum: u32) -> Vec<u8> {
    let place = [number(5, REGISTER), number(2, TRANSPORT_HEADER), number(3, offset), number(4, 2)];
    expression("payload", &[place.concat(), number(6, CHECKSUM_INET), number(7, checksum), number(8, 0)])
}

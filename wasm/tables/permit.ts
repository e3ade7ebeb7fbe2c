// Permits: what two isolated ports may send each other all the same. Legacy links with inter-container communication off are
// made of them: the client reaches ports of the server, and is answered from these. Written by the control plane; asked by
// l2-forward and l2-flood where both ports are isolated, and nowhere else: other frames pay nothing for them.
//
//   0        2        4          6       8      10              16
//   ┌────────┬────────┬──────────┬───────┬──────┬───────────────┐
//   │ client │ server │ protocol │ first │ last │               │   protocol 0 = free slot
//   └────────┴────────┴──────────┴───────┴──────┴───────────────┘
//
// Stateless, in both directions, as Docker's two rules for a link are:
//
//   client ─> server   its destination port is one of first .. last
//   server ─> client   its source port is
//
// and with them what such flows can't do without: ARP and neighbour discovery between the two, later fragments of the same
// protocol (without the first, which is judged by its ports, nobody can put them together), and ICMP errors that quote a packet
// of the flow. A port stands for its sandbox, whatever addresses that has: who sends is known by the port, so it can't be forged.
//
// A multimap: open addressing, linear probing by (client, server), so that all entries of a pair stand in one cluster; at most
// half full, gaps closed at deletion. A port has a count of its entries: the many that have none are not looked up.
//
import { PERMIT_CLIENT, PERMIT_ENTRY_LENGTH, PERMIT_FIRST, PERMIT_LAST, PERMIT_PROTOCOL, PERMIT_SERVER } from "../shared/abi";
import { PERMITS, PERMITS_LENGTH } from "../shared/layout";
import { PERMIT_MAX } from "../shared/limits";
import { ETHERTYPE_ARP, ETHERTYPE_IPV6, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6 } from "../shared/protocol";
import { Packet } from "../core/packet";
import * as transport from "../core/transport";
import * as icmp from "../wire/icmp";
import * as icmpv6 from "../wire/icmpv6";
import * as ndp from "../wire/ndp";
import * as ports from "./port";

@unmanaged export class Permit {
  client: u16;
  server: u16;
  protocol: u16;
  first: u16;
  last: u16;
  pad: u16;
  pad2: u32;
}

if (offsetof<Permit>() != PERMIT_ENTRY_LENGTH) ERROR("Permit must be 16 bytes");
if (offsetof<Permit>("client") != PERMIT_CLIENT) ERROR("client is not at PERMIT_CLIENT");
if (offsetof<Permit>("server") != PERMIT_SERVER) ERROR("server is not at PERMIT_SERVER");
if (offsetof<Permit>("protocol") != PERMIT_PROTOCOL) ERROR("protocol is not at PERMIT_PROTOCOL");
if (offsetof<Permit>("first") != PERMIT_FIRST) ERROR("first is not at PERMIT_FIRST");
if (offsetof<Permit>("last") != PERMIT_LAST) ERROR("last is not at PERMIT_LAST");

const SLOTS: u32 = PERMITS_LENGTH / PERMIT_ENTRY_LENGTH;
const MASK: u32 = SLOTS - 1;
if (PERMIT_MAX * 2 > PERMITS_LENGTH / PERMIT_ENTRY_LENGTH) ERROR("PERMITS would be more than half full");
if (PERMITS_LENGTH / PERMIT_ENTRY_LENGTH != 32768) ERROR("home() is made for 32768 slots");

const ANY: u32 = 0xffffffff; // protocol or port: no matter which

let used: u32 = 0;
let dumped: u32 = 0;

// @ts-ignore: decorator
@inline function at(slot: u32): Permit {
  return changetype<Permit>(<usize>PERMITS + (<usize>(slot & MASK) << 4));
}

// @ts-ignore: decorator
@inline function home(client: u32, server: u32): u32 {
  return (((client << 16) | server) * 0x9e3779b1) >> 17; // 32 - log2(SLOTS)
}

// ── what the path asks ──

/** Whether a frame that came in by one isolated port may leave by another, `to`. */
export function passes(packet: Packet, to: u32): bool {
  const from: u32 = packet.port;
  if (ports.at(from).permits == 0) return false;
  if (isNeighborTalk(packet)) return between(from, to);
  if (packet.l3 == 0) return false;
  const ip = <usize>packet.offset + packet.l3;
  const length = packet.length - packet.l3;
  if (!transport.read(ip, length)) return false;
  if (!transport.hasPorts(transport.protocol())) return tellsOfFlow(ip, length, from, to);
  return allows(from, to);
}

/** ARP, neighbour solicitations and advertisements. */
export function isNeighborTalk(packet: Packet): bool {
  if (<u32>packet.ethertype == <u32>ETHERTYPE_ARP) return true;
  if (<u32>packet.ethertype != <u32>ETHERTYPE_IPV6 || packet.protocol != IP_PROTOCOL_ICMPV6 || packet.l4 == 0) return false;
  const type = icmpv6.type(<usize>packet.offset + packet.l4);
  return type == ndp.SOLICITATION || type == ndp.ADVERTISEMENT;
}

/** Whether the two have to do with each other at all. */
export function between(a: u32, b: u32): bool {
  return search(a, b, ANY, ANY) || search(b, a, ANY, ANY);
}

/** Whether the packet that `transport` has read may go from one to the other. */
function allows(from: u32, to: u32): bool {
  const protocol = transport.protocol();
  const later = transport.isLater();
  if (search(from, to, protocol, later ? ANY : transport.destination())) return true;
  return search(to, from, protocol, later ? ANY : transport.source());
}

/** Whether it is an ICMP error about a packet that may go the other way. */
function tellsOfFlow(ip: usize, length: u32, from: u32, to: u32): bool {
  if (transport.isLater() || transport.behind() + icmp.LENGTH > length) return false;
  const message = ip + transport.behind();
  const protocol = transport.protocol();
  const type = icmp.type(message);
  if (protocol == <u32>IP_PROTOCOL_ICMP ? !icmp.isError(type) : protocol != <u32>IP_PROTOCOL_ICMPV6 || !icmpv6.isError(type)) return false;
  const behind = transport.behind() + icmp.LENGTH;
  if (!transport.read(ip + behind, length - behind) || !transport.hasPorts(transport.protocol())) return false;
  return allows(to, from);
}

/** Whether there is an entry of the pair for `protocol` and `port`. */
function search(client: u32, server: u32, protocol: u32, port: u32): bool {
  let slot = home(client, server);
  for (let entry = at(slot); entry.protocol != 0; entry = at(++slot)) {
    if (<u32>entry.client != client || <u32>entry.server != server) continue;
    if (protocol == ANY) return true;
    if (<u32>entry.protocol == protocol && (port == ANY || (<u32>entry.first <= port && port <= <u32>entry.last))) return true;
  }
  return false;
}

// ── what the control plane writes ──

/** The slot of the entry, or the free one where it would go. */
function probe(client: u32, server: u32, protocol: u32, first: u32, last: u32): u32 {
  let slot = home(client, server);
  for (let entry = at(slot); entry.protocol != 0; entry = at(++slot)) {
    const isPair = <u32>entry.client == client && <u32>entry.server == server;
    if (isPair && <u32>entry.protocol == protocol && <u32>entry.first == first && <u32>entry.last == last) break;
  }
  return slot & MASK;
}

/** False when the table is full. */
export function add(client: u32, server: u32, protocol: u32, first: u32, last: u32): bool {
  const entry = at(probe(client, server, protocol, first, last));
  if (entry.protocol != 0) return true;
  if (used >= <u32>PERMIT_MAX) return false;
  entry.client = <u16>client;
  entry.server = <u16>server;
  entry.protocol = <u16>protocol;
  entry.first = <u16>first;
  entry.last = <u16>last;
  account(entry, 1);
  used++;
  return true;
}

export function remove(client: u32, server: u32, protocol: u32, first: u32, last: u32): void {
  const slot = probe(client, server, protocol, first, last);
  if (at(slot).protocol != 0) removeAt(slot);
}

/** Forgets all that a port, which goes, may send or be sent. */
export function forgetPort(port: u32): void {
  const owner = ports.at(port);
  for (let slot: u32 = 0; owner.permits != 0 && slot < SLOTS; slot++) {
    while (at(slot).protocol != 0 && (<u32>at(slot).client == port || <u32>at(slot).server == port)) removeAt(slot);
  }
}

function account(entry: Permit, by: i32): void {
  ports.at(entry.client).permits += by;
  ports.at(entry.server).permits += by;
}

function removeAt(gap: u32): void {
  account(at(gap), -1);
  used--;
  let hole = gap;
  let slot = (gap + 1) & MASK;
  while (at(slot).protocol != 0) {
    const entry = at(slot);
    if (((slot - home(entry.client, entry.server)) & MASK) >= ((slot - hole) & MASK)) {
      v128.store(changetype<usize>(at(hole)), v128.load(changetype<usize>(entry)));
      hole = slot;
    }
    slot = (slot + 1) & MASK;
  }
  v128.store(changetype<usize>(at(hole)), i64x2.splat(0));
}

/** Copies entries from slot `from` on to `target`, at most `room`; the slot to go on at, 0 at the end. `copied()` says how many. */
export function dump(from: u32, target: usize, room: u32): u32 {
  let n: u32 = 0;
  let slot = from;
  for (; slot < SLOTS && n < room; slot++) {
    if (at(slot).protocol == 0) continue;
    v128.store(target + <usize>n * PERMIT_ENTRY_LENGTH, v128.load(changetype<usize>(at(slot))));
    n++;
  }
  dumped = n;
  return slot < SLOTS ? slot : 0;
}

export function copied(): u32 {
  return dumped;
}

export function reset(): void {
  memory.fill(PERMITS, 0, PERMITS_LENGTH);
  used = 0;
}

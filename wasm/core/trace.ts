// Trace: what each node did with the packets that somebody wants to follow. A packet that passes the filter at its entry is
// flagged TRACED; nodes ask for that one bit and write a line. Off, it costs that test.
//
// in   traceSet's filter: a port or any, an address or none, a budget of packets
// out  lines in TRACE_RING, the newest TRACE_RING_LENGTH / 32; `count` says how many there ever were
//
import {
  EVENT_ENTER, NODE_TAP_INPUT, NODE_UNDERLAY_INPUT, TRACE_A, TRACE_B, TRACE_C, TRACE_DOMAIN, TRACE_ENTRY_LENGTH, TRACE_EVENT,
  TRACE_LENGTH, TRACE_NODE, TRACE_PACKET,
} from "../shared/abi";
import { COUNTER_TRACE_LOST } from "../shared/counters";
import { ARGUMENTS, COUNTERS, TRACE_RING, TRACE_RING_LENGTH } from "../shared/layout";
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "../shared/protocol";
import { FROM_UNDERLAY, Packet, TRACED } from "./packet";

const ENTRIES: u32 = TRACE_RING_LENGTH / 32;
const ANY_PORT: u32 = 0xffff;
const MAPPED_PREFIX: u64 = 0xffff0000; // bytes 8..12 of an IPv4-mapped address, little-endian upper half cleared

let budget: u32 = 0;
let onPort: u32 = ANY_PORT;
let byAddress = false;
let addressLow: u64 = 0; // the filter's 16 bytes, as loaded
let addressHigh: u64 = 0;
let written: u32 = 0;
let nextId: u32 = 0;
let node: u32 = 0;

export function set(port: u32, hasAddress: bool, packets: u32): void {
  budget = packets;
  onPort = port;
  byAddress = hasAddress;
  addressLow = load<u64>(ARGUMENTS);
  addressHigh = load<u64>(ARGUMENTS, 8);
}

export function count(): u32 {
  return written;
}

export function reset(): void {
  budget = 0;
  written = 0;
  nextId = 0;
}

/** The graph says which node runs, so that a drop knows where it happened. */
// @ts-ignore: decorator
@inline export function enter(id: u32): void {
  node = id;
}

// @ts-ignore: decorator
@inline export function currentNode(): u32 {
  return node;
}

/** Whether anybody wants anything traced: the one test that untraced traffic pays for at its entry. */
// @ts-ignore: decorator
@inline export function armed(): bool {
  return budget != 0;
}

/** Before parsing: flags the packet if the filter asks for no address. */
export function considerPort(packet: Packet): void {
  if (!byAddress && (onPort == ANY_PORT || onPort == <u32>packet.port)) begin(packet);
}

/** After parsing: flags the packet if the filter's address is one of its own. */
export function considerAddress(packet: Packet): void {
  if (!byAddress || (packet.flags & TRACED) != 0) return;
  if (onPort != ANY_PORT && onPort != <u32>packet.port) return;
  const frame: usize = packet.offset;
  if (packet.l3 != 0) {
    const ip = frame + packet.l3;
    if (packet.ethertype == ETHERTYPE_IPV4) {
      if (!matches4(ip + 12) && !matches4(ip + 16)) return;
    } else if (packet.ethertype == ETHERTYPE_IPV6) {
      if (!matches6(ip + 8) && !matches6(ip + 24)) return;
    }
  } else if (packet.ethertype == ETHERTYPE_ARP && packet.payload != 0) {
    const arp = frame + packet.payload;
    if (!matches4(arp + 14) && !matches4(arp + 24)) return;
  } else {
    return;
  }
  begin(packet);
}

function matches4(p: usize): bool {
  return addressLow == 0 && addressHigh == (MAPPED_PREFIX | (<u64>load<u32>(p) << 32));
}

function matches6(p: usize): bool {
  return addressLow == load<u64>(p) && addressHigh == load<u64>(p, 8);
}

/** Flags the packet and writes its first line. Injected frames come here whatever the filter says. */
export function begin(packet: Packet): void {
  if (budget != 0) budget--;
  packet.flags |= TRACED;
  packet.id = ++nextId;
  line(packet, packet.flags & FROM_UNDERLAY ? NODE_UNDERLAY_INPUT : NODE_TAP_INPUT, EVENT_ENTER, packet.port, packet.flags, 0);
}

/** One line. Callers test TRACED first. */
export function line(packet: Packet, at: u32, event: u32, a: u32, b: u32, c: u64): void {
  const entry = <usize>TRACE_RING + <usize>(written % ENTRIES) * TRACE_ENTRY_LENGTH;
  if (written >= ENTRIES) {
    const lost = <usize>COUNTERS + 8 * <usize>COUNTER_TRACE_LOST;
    store<u64>(lost, load<u64>(lost) + 1);
  }
  store<u32>(entry, packet.id, TRACE_PACKET);
  store<u16>(entry, <u16>at, TRACE_NODE);
  store<u16>(entry, <u16>event, TRACE_EVENT);
  store<u32>(entry, packet.domain, TRACE_DOMAIN);
  store<u32>(entry, a, TRACE_A);
  store<u32>(entry, b, TRACE_B);
  store<u32>(entry, packet.length, TRACE_LENGTH);
  store<u64>(entry, c, TRACE_C);
  written++;
}

/** One line of the running node, if the packet is followed. */
// @ts-ignore: decorator
@inline export function mark(packet: Packet, event: u32, a: u32, b: u32, c: u64): void {
  if (packet.flags & TRACED) line(packet, node, event, a, b, c);
}

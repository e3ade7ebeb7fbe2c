// GRO: packets of one flow that follow each other are handed to a sandbox as one super-frame, for it costs its kernel the
// same to take 64 KiB as to take 64 bytes.
//
//   packet 0   │ headers │ payload │
//   packet 1   │ headers │ payload │
//   packet 2   │ headers │ payl │
//                                     ─>  │ vnet │ headers 0, amended │ + payload + payload + payl
//
// What merges is merging.ts, where an open aggregate stands aggregate.ts, what it becomes super-frame.ts.
//
// Checksums: a packet's is verified when a second one wants to join it, so a packet that stays alone costs nothing and
// leaves as it came, right or wrong: a bridge delivers what it gets, and the receiver's kernel counts the bad one.
//
// Order: whatever else of a flow passes (a super-frame of the sender's, a pure ACK, a FIN) closes its aggregate before. An
// aggregate takes ring space when it closes, so the ring has a flow's packets in order. A fragment, which has no ports to
// find its flow by, closes all aggregates between its addresses.
//
// Aggregates live across the chunks of a batch and end with it: nothing is ever held back for a later one.
//
// in   `offer`: unicast for a local port, in order
// out  transmit descriptors, by core/deliver for what stays alone
//
import { EVENT_COALESCED, EVENT_SENT, VNET_HEADER_LENGTH } from "../shared/abi";
import { COUNTER_GRO_COALESCED } from "../shared/counters";
import { AGGREGATES, AGGREGATES_LENGTH } from "../shared/layout";
import { GRO_SEGMENTS_MAX } from "../shared/limits";
import { ETHERTYPE_IPV4, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../shared/protocol";
import * as ipv4 from "../wire/ipv4";
import * as tcp from "../wire/tcp";
import { ANY, Aggregate, at, keyOf, setKey, setOf, slotOf, WAYS, waysWith } from "./aggregate";
import { add, tx } from "./counters";
import { deliver } from "./deliver";
import { follows, mergeable, sameFlow, vouched } from "./merging";
import { FRAGMENT, Packet } from "./packet";
import { addPayload, compose, grow } from "./super-frame";
import * as trace from "./trace";
import * as transmit from "./transmit";

let open: u32 = 0; // bit i: aggregate i is open

/**
 * Takes the packet on its way to `packet.toPort`: into an aggregate, or straight out behind whatever it must not overtake.
 * `takesUdp`: whether that port can be given UDP super-frames.
 */
export function offer(packet: Packet, takesUdp: bool): void {
  if (packet.l4 == 0 || packet.flags & FRAGMENT) {
    if (packet.l3 != 0 && open != 0) closeConversation(packet);
    deliver(packet);
    return;
  }
  if (packet.protocol != IP_PROTOCOL_TCP && (packet.protocol != IP_PROTOCOL_UDP || !takesUdp)) {
    deliver(packet);
    return;
  }
  const set = setOf(packet);
  const ways = waysWith(set, keyOf(packet));
  if (!mergeable(packet)) {
    if (ways != 0) close(at(set * WAYS + ctz(ways)));
    deliver(packet);
    return;
  }
  if (ways != 0) {
    const aggregate = at(set * WAYS + ctz(ways));
    if (
      sameFlow(aggregate, packet) && follows(aggregate, packet) && (aggregate.segments != 1 || vouched(aggregate)) &&
      vouched(packet) && join(aggregate, packet)
    ) return;
    close(aggregate);
  }
  // Nothing may follow a PSH, so it need not wait for anything.
  if (packet.protocol == IP_PROTOCOL_TCP && (tcp.flags(<usize>packet.offset + packet.l4) & tcp.PSH) != 0) deliver(packet);
  else begin(packet, set);
}

/** Opens an aggregate with the packet alone in it. A set that is full gives up one of its own. */
function begin(packet: Packet, set: u32): void {
  const free = waysWith(set, 0);
  // Which one goes is arbitrary: by the new flow's hash, so that two flows don't always turn out the same third.
  const slot = set * WAYS + (free != 0 ? ctz(free) : (packet.flow >> 16) & (WAYS - 1));
  const aggregate = at(slot);
  if (free == 0) close(aggregate);
  const to = changetype<usize>(aggregate);
  const from = changetype<usize>(packet);
  v128.store(to, v128.load(from));
  v128.store(to, v128.load(from, 16), 16);
  v128.store(to, v128.load(from, 32), 32);
  const length = packet.length - packet.payload;
  aggregate.segments = 1;
  aggregate.bytes = length;
  aggregate.size = length;
  aggregate.header = 0;
  aggregate.step = ANY;
  if (packet.ethertype == ETHERTYPE_IPV4) aggregate.identification = <u16>ipv4.identification(<usize>packet.offset + packet.l3);
  if (packet.protocol == IP_PROTOCOL_TCP) aggregate.sequence = tcp.sequence(<usize>packet.offset + packet.l4) + length;
  setKey(slot, keyOf(packet));
  open |= 1 << slot;
}

/** Adds the packet, which `follows` and is vouched for. False: no room for the headers of a super-frame. */
function join(aggregate: Aggregate, packet: Packet): bool {
  const ip = <usize>packet.offset + packet.l3;
  const l4 = <usize>packet.offset + packet.l4;
  const length = packet.length - packet.payload;
  if (aggregate.segments == 1) {
    if (!grow(aggregate)) return false;
    tx(aggregate);
  }
  if (packet.ethertype == ETHERTYPE_IPV4) {
    const id = ipv4.identification(ip);
    aggregate.step = <u16>(id - aggregate.identification);
    aggregate.identification = <u16>id;
  }
  addPayload(aggregate, packet, aggregate.segments);
  aggregate.segments++;
  aggregate.bytes += length;
  tx(packet);
  trace.mark(packet, EVENT_COALESCED, aggregate.segments, 0, 0);
  let last = length < aggregate.size || aggregate.segments == GRO_SEGMENTS_MAX;
  if (packet.protocol == IP_PROTOCOL_TCP) {
    aggregate.sequence += length;
    if (tcp.flags(l4) & tcp.PSH) {
      tcp.setFlags(<usize>aggregate.header + VNET_HEADER_LENGTH + packet.l4, tcp.ACK | tcp.PSH);
      last = true;
    }
  }
  if (last) close(aggregate);
  return true;
}

/** Sends what the aggregate has become. */
function close(aggregate: Aggregate): void {
  const slot = slotOf(aggregate);
  setKey(slot, 0);
  open &= ~(1 << slot);
  const segments = aggregate.segments;
  if (segments == 1) {
    deliver(aggregate);
    return;
  }
  if (!transmit.fits(segments + 1)) {
    transmit.unsend(aggregate.toPort, segments);
    return;
  }
  compose(aggregate);
  add(COUNTER_GRO_COALESCED, segments);
  trace.mark(aggregate, EVENT_SENT, aggregate.toPort, 1, 0);
}

/** Closes what is open between the addresses of a packet whose flow can't be told. */
function closeConversation(packet: Packet): void {
  for (let set = open; set != 0; set &= set - 1) {
    const aggregate = at(ctz(set));
    if (aggregate.domain != packet.domain || aggregate.ethertype != packet.ethertype) continue;
    const a = <usize>aggregate.offset + aggregate.l3;
    const b = <usize>packet.offset + packet.l3;
    const same = packet.ethertype == ETHERTYPE_IPV4
      ? ipv4.addresses(a) == ipv4.addresses(b)
      : load<u64>(a, 16) == load<u64>(b, 16) && load<u64>(a, 32) == load<u64>(b, 32);
    if (same) close(aggregate);
  }
}

/** The batch is over: everything open goes out as far as it got. */
export function closeAggregates(): void {
  while (open != 0) close(at(ctz(open)));
}

/** Forgets everything: part of the engine's reset. */
export function reset(): void {
  memory.fill(AGGREGATES, 0, AGGREGATES_LENGTH);
  open = 0;
}

// GRO: packets of one flow that follow each other are handed to a sandbox as one super-frame, for it costs its kernel the
// same to take 64 KiB as to take 64 bytes.
//
//   packet 0   │ headers │ payload │         AGGREGATES ┌ aggregate ┬ aggregate ┬ ... GRO_SLOTS of 1 KiB, then their keys
//   packet 1   │ headers │ payload │                    │ packet 0, what comes next, payload iovecs
//   packet 2   │ headers │ payl │
//                                     ─>  │ vnet │ headers 0, amended │ + payload + payload + payl     no payload is copied
//
// But for payloads of at most COPY_MAX bytes: they are put side by side behind the headers, for one write of one piece
// costs the kernel less than 64 iovecs of 20 bytes.
//
// Only packets that a segmentation of the result would give back byte for byte are merged (the rule of Linux's GRO):
//   same domain, port, MACs, tag, addresses, ports; TOS, flow label, TTL, flags word; equal payload lengths but the last's
//   IPv4 identification one more each, or all the same with DF (RFC 6864: it means nothing there)
//   TCP: consecutive sequence, equal ack, window, options; no flags but ACK, and PSH in the last
//   UDP: a checksum; Ethernet padding, IP options, extension headers, two tags: never
// What is not given back: an all-the-same identification comes back counting, which nobody may rely on.
//
// Checksums: a packet's is verified when a second one wants to join it, so a packet that stays alone costs nothing and
// leaves as it came, right or wrong: a bridge delivers what it gets, and the receiver's kernel counts the bad one. A
// super-frame leaves with NEEDS_CHECKSUM and the pseudo-header's sum, which says to the receiver: verified.
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
import {
  EVENT_COALESCED, EVENT_SENT, IOVEC_BYTES, IOVEC_LENGTH, IOVEC_OFFSET, VNET_FLAG_NEEDS_CHECKSUM, VNET_GSO_TCPV4, VNET_GSO_TCPV6,
  VNET_GSO_UDP_L4, VNET_HEADER_LENGTH,
} from "../shared/abi";
import { COUNTER_GRO_COALESCED } from "../shared/counters";
import { AGGREGATES, AGGREGATES_LENGTH, HEADER_SLOT_LENGTH } from "../shared/layout";
import { GRO_SEGMENTS_MAX, GRO_SLOTS } from "../shared/limits";
import {
  ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP, UDP_HEADER_LENGTH, VLAN_TAG_LENGTH,
} from "../shared/protocol";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";
import * as arena from "./arena";
import { copy16, copy8 } from "./bytes";
import { complement, fold, pseudoIpv4, pseudoIpv6, sum, swap16, verifies } from "./checksum";
import { add, tx } from "./counters";
import { deliver, writeVnetHeader } from "./deliver";
import { CHECKSUM_GOOD, FRAGMENT, NEEDS_CHECKSUM, Packet } from "./packet";
import * as trace from "./trace";
import * as transmit from "./transmit";

/** The first packet as it came, and what has joined it. */
@unmanaged class Aggregate extends Packet {
  segments: u32; // 0: closed; 1: the first packet alone
  bytes: u32; // of payload
  size: u32; // of payload of each segment but the last
  sequence: u32; // TCP: that the next one must have
  identification: u16; // IPv4: of the newest one
  step: u16; // IPv4: what identification gains a segment, 0 or 1; ANY until a second one is there
  header: u32; // where vnet_hdr and headers stand; 0 while alone
  end: u32; // where the next payload is copied to; 0 when they stay where they are
}

const ANY: u16 = 2;
const STRIDE: usize = 1024;
const PIECES: usize = 80;
const KEYS: usize = AGGREGATES + 1024 * GRO_SLOTS;
const WAYS: u32 = 4;
const SETS: u32 = GRO_SLOTS / WAYS;
/** Headers that fit a slot behind a vnet_hdr when copied in eights. */
const HEADERS_MAX: u32 = (HEADER_SLOT_LENGTH - VNET_HEADER_LENGTH) & ~7;
const IP_LENGTH_MAX: u32 = 65535;
const COPY_MAX: u32 = 128;

if (offsetof<Aggregate>() > 80) ERROR("an aggregate's fields outgrow their room");
if (80 + GRO_SEGMENTS_MAX * IOVEC_LENGTH > 1024) ERROR("an aggregate's iovecs outgrow their room");
if (GRO_SLOTS != 32) ERROR("the set of open aggregates is one u32, its slots 8 sets of 4");
if (1024 * GRO_SLOTS + 4 * GRO_SLOTS > AGGREGATES_LENGTH) ERROR("AGGREGATES outgrows its region");

let open: u32 = 0; // bit i: aggregate i is open

// @ts-ignore: decorator
@inline function at(slot: u32): Aggregate {
  return changetype<Aggregate>(<usize>AGGREGATES + STRIDE * <usize>slot);
}

// @ts-ignore: decorator
@inline function slotOf(aggregate: Aggregate): u32 {
  return <u32>((changetype<usize>(aggregate) - AGGREGATES) / STRIDE);
}

// Keys are flow hashes, never 0: 0 is a closed slot. A set's four keys are compared at once.
// @ts-ignore: decorator
@inline function keyOf(packet: Packet): u32 {
  return packet.flow | 1;
}

// @ts-ignore: decorator
@inline function setOf(packet: Packet): u32 {
  return (packet.flow >> 8) & (SETS - 1);
}

// @ts-ignore: decorator
@inline function waysWith(set: u32, key: u32): i32 {
  return i32x4.bitmask(i32x4.eq(v128.load(KEYS + <usize>(set << 4)), i32x4.splat(key)));
}

// @ts-ignore: decorator
@inline function setKey(slot: u32, key: u32): void {
  store<u32>(KEYS + <usize>(slot << 2), key);
}

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

/** Whether the packet is of a kind that merges at all. */
function mergeable(packet: Packet): bool {
  const l3: u32 = packet.l3;
  const l4: u32 = packet.l4;
  const length = packet.length;
  if (packet.gso != 0 || l3 > <u32>ETHERNET_HEADER_LENGTH + VLAN_TAG_LENGTH || <u32>packet.payload > HEADERS_MAX) return false;
  if (length <= packet.payload || <u32>packet.payload < l4 + UDP_HEADER_LENGTH) return false;
  const ip = <usize>packet.offset + l3;
  if (packet.ethertype == ETHERTYPE_IPV4) {
    if (l4 - l3 != ipv4.LENGTH || ipv4.totalLength(ip) + l3 != length) return false;
  } else {
    if (l4 - l3 != ipv6.LENGTH || ipv6.payloadLength(ip) + l4 != length) return false;
  }
  const header = <usize>packet.offset + l4;
  const partial = (packet.flags & NEEDS_CHECKSUM) != 0;
  if (partial && <u32>packet.checksumStart != l4) return false;
  if (packet.protocol == IP_PROTOCOL_TCP) {
    if (partial && <u32>packet.checksumOffset != tcp.CHECKSUM) return false;
    // Besides data offset and flags, the reserved bits must be zero; ACK must be there.
    return (load<u8>(header, 12) & 15) == 0 && (tcp.flags(header) | tcp.PSH) == (tcp.ACK | tcp.PSH);
  }
  if (partial) {
    if (<u32>packet.checksumOffset != udp.CHECKSUM) return false;
  } else if (udp.checksumRaw(header) == 0) {
    return false;
  }
  return udp.datagramLength(header) + l4 == length;
}

/** Whether a packet with the aggregate's hash is of its flow: a hash is no proof. */
// @ts-ignore: decorator
@inline function sameFlow(aggregate: Aggregate, packet: Packet): bool {
  const a: usize = aggregate.offset;
  const b: usize = packet.offset;
  const l3: usize = packet.l3;
  if (
    aggregate.domain != packet.domain || aggregate.toPort != packet.toPort || aggregate.l3 != packet.l3 ||
    aggregate.ethertype != packet.ethertype || aggregate.protocol != packet.protocol
  ) return false;
  if (load<u64>(a) != load<u64>(b) || load<u64>(a, 6) != load<u64>(b, 6)) return false;
  if (l3 != ETHERNET_HEADER_LENGTH && load<u32>(a, 14) != load<u32>(b, 14)) return false;
  if (packet.ethertype == ETHERTYPE_IPV4) {
    if (ipv4.addresses(a + l3) != ipv4.addresses(b + l3)) return false;
  } else {
    const differ = v128.or(
      v128.xor(v128.load(a + l3, 8), v128.load(b + l3, 8)),
      v128.xor(v128.load(a + l3, 24), v128.load(b + l3, 24)),
    );
    if (v128.any_true(differ)) return false;
  }
  return load<u32>(a + packet.l4) == load<u32>(b + packet.l4);
}

/** Whether the packet is what segmenting the aggregate plus its payload would give next. */
// @ts-ignore: decorator
@inline function follows(aggregate: Aggregate, packet: Packet): bool {
  const length = packet.length - packet.payload;
  if (
    length > aggregate.size || aggregate.payload != packet.payload ||
    aggregate.bytes + length + (<u32>packet.payload - packet.l3) > IP_LENGTH_MAX
  ) return false;
  const a = <usize>aggregate.offset + packet.l3;
  const b = <usize>packet.offset + packet.l3;
  if (packet.ethertype == ETHERTYPE_IPV4) {
    // Version, header length, TOS; the flags word; TTL and protocol.
    if (load<u16>(a) != load<u16>(b) || load<u32>(a, 6) != load<u32>(b, 6)) return false;
    const step = (ipv4.identification(b) - aggregate.identification) & 0xffff;
    if (step > 1 || (step == 0 && (ipv4.fragment(b) & ipv4.FLAG_DONT_FRAGMENT) == 0)) return false;
    if (aggregate.step != ANY && <u32>aggregate.step != step) return false;
  } else {
    // Version, traffic class, flow label; next header and hop limit.
    if (load<u32>(a) != load<u32>(b) || load<u16>(a, 6) != load<u16>(b, 6)) return false;
  }
  if (packet.protocol == IP_PROTOCOL_TCP) return followsTcp(aggregate, packet);
  return true;
}

function followsTcp(aggregate: Aggregate, packet: Packet): bool {
  const a = <usize>aggregate.offset + packet.l4;
  const b = <usize>packet.offset + packet.l4;
  if (tcp.sequence(b) != aggregate.sequence || load<u32>(a, 8) != load<u32>(b, 8)) return false;
  // Data offset and window (the flags are ACK in all and PSH in the last only); the urgent pointer, though it means nothing.
  if (load<u8>(a, 12) != load<u8>(b, 12) || load<u16>(a, 14) != load<u16>(b, 14) || load<u16>(a, 18) != load<u16>(b, 18)) return false;
  const end: usize = packet.payload - packet.l4;
  for (let i: usize = tcp.LENGTH; i < end; i += 4) if (load<u32>(a + i) != load<u32>(b + i)) return false;
  return true;
}

/** Whether the packet's checksums are right, by its sender's kernel (which always makes the IPv4 header's) or by our sums. */
// @ts-ignore: decorator
@inline function vouched(packet: Packet): bool {
  const ip = <usize>packet.offset + packet.l3;
  const isIpv4 = packet.ethertype == ETHERTYPE_IPV4;
  if (isIpv4 && fold(sum(ip, ipv4.LENGTH)) != 0xffff) return false;
  if ((packet.flags & (NEEDS_CHECKSUM | CHECKSUM_GOOD)) == 0) {
    const l4 = <usize>packet.offset + packet.l4;
    const pseudo = isIpv4 ? pseudoIpv4(ip, packet.protocol) : pseudoIpv6(ip, packet.protocol);
    if (!verifies(pseudo, l4, packet.length - packet.l4, packet.protocol)) return false;
  }
  return true;
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

// @ts-ignore: decorator
@inline function addPayload(aggregate: Aggregate, packet: Packet, position: u32): void {
  const payload = packet.offset + packet.payload;
  const length = packet.length - packet.payload;
  if (aggregate.end != 0) {
    copy16(aggregate.end, payload, length);
    aggregate.end += length;
    return;
  }
  const iovec = changetype<usize>(aggregate) + PIECES + <usize>position * IOVEC_LENGTH;
  store<u32>(iovec, payload, IOVEC_OFFSET);
  store<u32>(iovec, length, IOVEC_BYTES);
}

/** Gives the aggregate, which is one packet so far, the headers of a super-frame. False: no room for them. */
function grow(aggregate: Aggregate): bool {
  const headers: u32 = VNET_HEADER_LENGTH + aggregate.payload;
  const copies = aggregate.size <= COPY_MAX;
  const header = copies ? arena.scratch(headers + aggregate.size * GRO_SEGMENTS_MAX) : arena.headerSlot();
  if (header == 0) return false;
  copy8(header + VNET_HEADER_LENGTH, aggregate.offset, aggregate.payload);
  aggregate.header = <u32>header;
  aggregate.end = copies ? <u32>header + headers : 0;
  addPayload(aggregate, aggregate, 0);
  tx(aggregate);
  return true;
}

/** Adds the packet, which `follows` and is vouched for. False: no room for the headers of a super-frame. */
function join(aggregate: Aggregate, packet: Packet): bool {
  const ip = <usize>packet.offset + packet.l3;
  const l4 = <usize>packet.offset + packet.l4;
  const length = packet.length - packet.payload;
  if (aggregate.segments == 1 && !grow(aggregate)) return false;
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
  const isTcp = aggregate.protocol == IP_PROTOCOL_TCP;
  const isIpv4 = aggregate.ethertype == ETHERTYPE_IPV4;
  const header: usize = aggregate.header;
  const ip = header + VNET_HEADER_LENGTH + aggregate.l3;
  const l4 = header + VNET_HEADER_LENGTH + aggregate.l4;
  const headers: u32 = aggregate.payload;
  const l4Length = headers - aggregate.l4 + aggregate.bytes;
  let pseudo: u64;
  if (isIpv4) {
    ipv4.setTotalLength(ip, ipv4.LENGTH + l4Length);
    ipv4.setChecksumRaw(ip, 0);
    ipv4.setChecksumRaw(ip, complement(sum(ip, ipv4.LENGTH)));
    pseudo = pseudoIpv4(ip, aggregate.protocol);
  } else {
    ipv6.setPayloadLength(ip, l4Length);
    pseudo = pseudoIpv6(ip, aggregate.protocol);
  }
  const partial = fold(pseudo + <u64>swap16(l4Length));
  if (isTcp) {
    tcp.setChecksumRaw(l4, partial);
  } else {
    udp.setDatagramLength(l4, l4Length);
    udp.setChecksumRaw(l4, partial);
  }
  writeVnetHeader(
    header, VNET_FLAG_NEEDS_CHECKSUM, isTcp ? (isIpv4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6) : VNET_GSO_UDP_L4, headers,
    aggregate.size, aggregate.l4, isTcp ? tcp.CHECKSUM : udp.CHECKSUM,
  );
  const descriptor = transmit.begin(aggregate.toPort, 0, segments);
  if (aggregate.end != 0) {
    transmit.piece(descriptor, aggregate.header, aggregate.end - aggregate.header);
  } else {
    transmit.piece(descriptor, aggregate.header, VNET_HEADER_LENGTH + headers);
    transmit.pieces(descriptor, changetype<usize>(aggregate) + PIECES, segments, aggregate.bytes);
  }
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

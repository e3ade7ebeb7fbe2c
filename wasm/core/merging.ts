// Which packets merge: only those that a segmentation of the result would give back byte for byte (the rule of Linux's GRO).
//
//   same domain, port, MACs, tag, addresses, ports; TOS, flow label, TTL, flags word; equal payload lengths but the last's
//   IPv4 identification one more each, or all the same with DF (RFC 6864: it means nothing there)
//   TCP: consecutive sequence, equal ack, window, options; no flags but ACK, and PSH in the last
//   UDP: a checksum; Ethernet padding, IP options, extension headers, two tags: never
//
// What is not given back: an all-the-same identification comes back counting, which nobody may rely on.
//
import { VNET_HEADER_LENGTH } from "../shared/abi";
import { HEADER_SLOT_LENGTH } from "../shared/layout";
import { ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, IP_PROTOCOL_TCP, UDP_HEADER_LENGTH, VLAN_TAG_LENGTH } from "../shared/protocol";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";
import { ANY, Aggregate } from "./aggregate";
import { fold, pseudoIpv4, pseudoIpv6, sum, verifies } from "./checksum";
import { CHECKSUM_GOOD, NEEDS_CHECKSUM, Packet } from "./packet";

/** Headers that fit a slot behind a vnet_hdr when copied in eights. */
const HEADERS_MAX: u32 = (HEADER_SLOT_LENGTH - VNET_HEADER_LENGTH) & ~7;
const IP_LENGTH_MAX: u32 = 65535;

/** Whether the packet is of a kind that merges at all. */
export function mergeable(packet: Packet): bool {
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
@inline export function sameFlow(aggregate: Aggregate, packet: Packet): bool {
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
@inline export function follows(aggregate: Aggregate, packet: Packet): bool {
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
@inline export function vouched(packet: Packet): bool {
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

// Classify: what a frame is. Fills ethertype, l3, l4, payload, protocol, flow and the FRAGMENT flag of its packet.
//
// in   any bytes, at least an Ethernet header of them
// out  offsets that can be trusted: l3 has a whole IP header with all that its lengths claim inside the frame; l4 and payload
//      are 0, or the L4 header (TCP with its options) and what its own length field claims lie inside the IP packet.
//      For ARP, which has no L4, payload says where its 28 bytes stand
//
// An IP header that contradicts its frame is refused. An L4 header that contradicts its IP packet is not: a bridge carries it,
// but nothing here will rely on it (l4 = 0). Bytes behind the IP packet are padding and stay where they are.
//
// not here: checksums (decap and GRO look at those), options of any header.
//
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../shared/protocol";
import * as arp from "../wire/arp";
import * as ethernet from "../wire/ethernet";
import * as icmp from "../wire/icmp";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";
import * as vlan from "../wire/vlan";
import { FRAGMENT, Packet } from "./packet";

/** Extension headers that we step over; a sane packet has two. */
const EXTENSIONS_MAX: u32 = 8;
/** Tags in front of IP that we look behind: 802.1ad and 802.1Q. */
const TAGS_MAX: u32 = 2;

/** False when an IP header contradicts the frame. */
export function classify(packet: Packet): bool {
  const frame: usize = packet.offset;
  let type = ethernet.type(frame);
  let behind = ethernet.LENGTH;
  if (vlan.isTag(type)) {
    for (let tags: u32 = 0; tags < TAGS_MAX && vlan.isTag(type) && behind + vlan.LENGTH <= packet.length; tags++) {
      type = vlan.typeBehind(frame + behind - 2);
      behind += vlan.LENGTH;
    }
  }
  packet.ethertype = <u16>type;
  if (type == <u32>ETHERTYPE_IPV4) return classifyIpv4(packet, behind);
  if (type == <u32>ETHERTYPE_IPV6) return classifyIpv6(packet, behind);
  if (type == <u32>ETHERTYPE_ARP && packet.length >= behind + arp.LENGTH) packet.payload = <u16>behind;
  packet.flow = mix(ethernet.destination(frame) ^ (<u64>type << 48), ethernet.source(frame));
  return true;
}

// @ts-ignore: decorator
@inline function classifyIpv4(packet: Packet, l3: u32): bool {
  const ip = <usize>packet.offset + l3;
  if (!ipv4.fits(ip, packet.length - l3)) return false;
  const headerLength = ipv4.headerLength(ip);
  const protocol = ipv4.protocol(ip);
  packet.l3 = <u8>l3;
  packet.protocol = <u8>protocol;
  let ports: u64 = 0;
  if (ipv4.isFragment(ip)) packet.flags |= FRAGMENT;
  else ports = classifyL4(packet, l3 + headerLength, ipv4.totalLength(ip) - headerLength, protocol);
  packet.flow = mix(ipv4.addresses(ip), (ports << 8) | protocol);
  return true;
}

function classifyIpv6(packet: Packet, l3: u32): bool {
  const ip = <usize>packet.offset + l3;
  if (!ipv6.fits(ip, packet.length - l3)) return false;
  packet.l3 = <u8>l3;
  let left = ipv6.payloadLength(ip);
  let at = l3 + ipv6.LENGTH;
  let next = ipv6.nextHeader(ip);
  let steps: u32 = 0;
  while (ipv6.isExtension(next)) {
    const header = <usize>packet.offset + at;
    if (left < ipv6.EXTENSION_LENGTH_MIN) return false;
    const length = ipv6.extensionLength(header, next);
    if (length > left) return false;
    if (next == ipv6.EXTENSION_FRAGMENT && ipv6.isPiece(header)) packet.flags |= FRAGMENT;
    next = ipv6.extensionNext(header);
    at += length;
    left -= length;
    // What follows a fragment header, or more headers than anybody needs, is not to be relied on.
    if (packet.flags & FRAGMENT) break;
    if (++steps == EXTENSIONS_MAX) break;
  }
  packet.protocol = <u8>next;
  let ports: u64 = 0;
  if ((packet.flags & FRAGMENT) == 0 && !ipv6.isExtension(next)) ports = classifyL4(packet, at, left, next);
  const folded = mix64(load<u64>(ip, 8), load<u64>(ip, 16)) ^ load<u64>(ip, 24);
  packet.flow = mix(folded * FOLD ^ load<u64>(ip, 32), (ports << 8) | next);
  return true;
}

/** Notes the L4 header at `l4`, `left` bytes being there. Answers its ports as a number, 0 where there are none. */
// @ts-ignore: decorator
@inline function classifyL4(packet: Packet, l4: u32, left: u32, protocol: u32): u64 {
  const header = <usize>packet.offset + l4;
  if (protocol == <u32>IP_PROTOCOL_TCP) {
    if (!tcp.fits(header, left)) return 0;
    packet.l4 = <u16>l4;
    packet.payload = <u16>(l4 + tcp.headerLength(header));
    return tcp.ports(header);
  }
  if (protocol == <u32>IP_PROTOCOL_UDP) {
    if (!udp.fits(header, left)) return 0;
    packet.l4 = <u16>l4;
    packet.payload = <u16>(l4 + udp.LENGTH);
    return udp.ports(header);
  }
  if ((protocol == <u32>IP_PROTOCOL_ICMP || protocol == <u32>IP_PROTOCOL_ICMPV6) && left >= icmp.LENGTH) {
    packet.l4 = <u16>l4;
    packet.payload = <u16>(l4 + icmp.LENGTH);
  }
  return 0;
}

// Two multiplications with shifts between: each input bit reaches each output bit, the low ones too, which choose a socket.
const FOLD: u64 = 0x9e3779b97f4a7c15;
const STIR: u64 = 0xd6e8feb86659fd93;

// @ts-ignore: decorator
@inline function mix64(a: u64, b: u64): u64 {
  let x = a * FOLD;
  x = (x ^ (x >> 32) ^ b) * STIR;
  x = (x ^ (x >> 32)) * STIR;
  return x ^ (x >> 32);
}

/** A hash of two numbers. */
// @ts-ignore: decorator
@inline function mix(a: u64, b: u64): u32 {
  return <u32>mix64(a, b);
}

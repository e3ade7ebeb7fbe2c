// packet-input: frames from the parent of macvlan networks, an interface of the host that an AF_PACKET socket listens on.
//
//   descriptor's offset ─> ┌ vnet_hdr 10 ┬ Ethernet frame without its outer tag ...      the tag, if any, in the descriptor
//
// in   receive descriptors of packet ports: all VLANs of a parent by one socket
// out  ethernet-input, as received on the uplink that (parent, VLAN) is
//      drops VLAN_UNKNOWN, NOT_OURS, TRUNCATED, RUNT, GIANT, VNET_HEADER, BAD_GSO
//
// VLAN 0 is what has no tag, or a tag with a priority only (IEEE 802.1Q 6.9.1): the tag goes. An S-tag is no VLAN of ours; a
// second tag behind the first (802.1ad) is the stations' and stays in the frame. A passthru uplink of the untagged frames
// gets all VLANs that nobody else has, their tags put back.
//
// Groups pass, unicast for somebody else ends here: the socket's own filter lets few such frames come (src/ports/packet.ts),
// but the network card's may be coarse and the host has stations of its own behind the same interface.
//
import {
  NODE_ETHERNET_INPUT, PORT_FLAG_PASSTHRU, PORT_PACKET, RX_FLAGS, RX_FLAG_INJECTED, RX_FLAG_VLAN, RX_FLAG_VLAN_SERVICE, RX_LENGTH,
  RX_OFFSET, RX_PORT, RX_VLAN_TCI, VNET_CHECKSUM_OFFSET, VNET_CHECKSUM_START, VNET_FLAGS, VNET_FLAG_DATA_VALID,
  VNET_FLAG_NEEDS_CHECKSUM, VNET_GSO_NONE, VNET_GSO_TYPE, VNET_HEADER_LENGTH,
} from "../shared/abi";
import { DROP_NOT_OURS, DROP_VLAN_UNKNOWN } from "../shared/counters";
import { ETHERTYPE_IPV4, ETHERTYPE_QINQ, ETHERTYPE_VLAN, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../shared/protocol";
import { fold, pseudoIpv4, pseudoIpv6, swap16 } from "../core/checksum";
import { classify } from "../core/classify";
import { drop, rx } from "../core/counters";
import * as cursor from "../core/cursor";
import { Packet } from "../core/packet";
import * as trace from "../core/trace";
import { send } from "../core/vector";
import * as vnet from "../core/vnet";
import * as fdb from "../tables/fdb";
import * as ports from "../tables/port";
import * as uplinks from "../tables/uplink";
import * as ethernet from "../wire/ethernet";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";
import * as vlan from "../wire/vlan";

export function packetInput(): void {
  while (cursor.more()) {
    const descriptor = cursor.descriptor();
    const parent: u32 = load<u16>(descriptor, RX_PORT);
    if (!ports.isSet(parent) || ports.at(parent).kind != PORT_PACKET) return;
    let header: usize = load<u32>(descriptor, RX_OFFSET);
    const length = load<u32>(descriptor, RX_LENGTH);
    const flags: u32 = load<u16>(descriptor, RX_FLAGS);
    const packet = vnet.take(parent, header, length);
    if (packet === null) return;
    let tpid: u32 = 0; // 0: no tag
    let tci: u32 = 0;
    if (flags & RX_FLAG_VLAN) {
      tpid = flags & RX_FLAG_VLAN_SERVICE ? ETHERTYPE_QINQ : ETHERTYPE_VLAN;
      tci = load<u16>(descriptor, RX_VLAN_TCI);
    } else if (packet.length >= ethernet.LENGTH + vlan.LENGTH && vlan.isTag(ethernet.type(packet.offset))) {
      // Some drivers leave it there.
      tpid = ethernet.type(packet.offset);
      tci = bswap<u16>(load<u16>(<usize>packet.offset, ethernet.LENGTH));
      strip(packet, header);
    }
    const vid = tci & vlan.VID_MASK;
    let uplink = tpid == <u32>ETHERTYPE_QINQ && vid != 0 ? -1 : uplinks.find(parent, vid);
    if (uplink < 0 && vid != 0 && packet.length >= ethernet.LENGTH) {
      const untagged = uplinks.find(parent, 0);
      if (untagged >= 0 && (ports.at(<u32>untagged).flags & PORT_FLAG_PASSTHRU) != 0) {
        uplink = untagged;
        header = putBack(packet, header, tpid, tci);
      }
    }
    if (uplink >= 0) {
      packet.port = <u16>uplink;
      packet.domain = ports.at(<u32>uplink).domain;
    }
    rx(packet);
    if (uplink < 0) {
      drop(packet, DROP_VLAN_UNKNOWN);
      continue;
    }
    if (flags & RX_FLAG_INJECTED) trace.begin(packet);
    else if (trace.armed()) trace.considerPort(packet);
    if (length > <u32>VNET_HEADER_LENGTH && load<u8>(header, VNET_GSO_TYPE) != VNET_GSO_NONE) unfinish(packet, header);
    const reason = vnet.check(packet, header, flags);
    if (reason != vnet.NO_REASON) drop(packet, reason);
    else if (!isOurs(packet)) drop(packet, DROP_NOT_OURS);
    else send(NODE_ETHERNET_INPUT, packet);
  }
}

// @ts-ignore: decorator
@inline function isOurs(packet: Packet): bool {
  if (ethernet.isMulticast(packet.offset) || (ports.at(packet.port).flags & PORT_FLAG_PASSTHRU) != 0) return true;
  return fdb.find(fdb.keyOf(packet.domain, ethernet.destination(packet.offset))) !== null;
}

/** Takes the tag out of the frame: the MACs move up to where it ended, and what the header says of the frame with them. */
function strip(packet: Packet, header: usize): void {
  vlan.moveMacs(packet.offset, <usize>packet.offset + vlan.LENGTH);
  packet.offset += vlan.LENGTH;
  packet.length -= vlan.LENGTH;
  // One before the tag's end is then before the frame's payload, or far outside: `check` refuses both.
  if (load<u8>(header, VNET_FLAGS) & VNET_FLAG_NEEDS_CHECKSUM) {
    store<u16>(header, <u16>(<u32>load<u16>(header, VNET_CHECKSUM_START) - vlan.LENGTH), VNET_CHECKSUM_START);
  }
}

/** Puts a tag back: the MACs move down into the header's place, and it into the headroom. Answers where it is now. */
function putBack(packet: Packet, header: usize, tpid: u32, tci: u32): usize {
  const moved = header - vlan.LENGTH;
  const low = load<u64>(header);
  const high = load<u16>(header, 8);
  store<u64>(moved, low);
  store<u16>(moved, high, 8);
  store<u16>(moved, <u16>(<u32>load<u16>(moved, VNET_CHECKSUM_START) + vlan.LENGTH), VNET_CHECKSUM_START);
  packet.offset -= vlan.LENGTH;
  packet.length += vlan.LENGTH;
  vlan.moveMacs(packet.offset + vlan.LENGTH, packet.offset);
  vlan.write(<usize>packet.offset + 12, tpid, tci);
  return moved;
}

/**
 * A super-frame that a network card merged (LRO) has finished checksums, all verified. Segmenting it again makes new ones, so
 * it becomes what a sandbox's kernel would have sent: the sum of the pseudo-header in the field, the rest to be done.
 */
function unfinish(packet: Packet, header: usize): void {
  if ((load<u8>(header, VNET_FLAGS) & (VNET_FLAG_NEEDS_CHECKSUM | VNET_FLAG_DATA_VALID)) != VNET_FLAG_DATA_VALID) return;
  if (packet.length < ethernet.LENGTH || !classify(packet) || packet.l4 == 0) return;
  const isTcp = <u32>packet.protocol == <u32>IP_PROTOCOL_TCP;
  if (!isTcp && <u32>packet.protocol != <u32>IP_PROTOCOL_UDP) return;
  const ip = <usize>packet.offset + packet.l3;
  const l4 = <usize>packet.offset + packet.l4;
  const isIpv4 = <u32>packet.ethertype == <u32>ETHERTYPE_IPV4;
  const end: u32 = isIpv4 ? ipv4.totalLength(ip) : ipv6.LENGTH + ipv6.payloadLength(ip);
  const pseudo = isIpv4 ? pseudoIpv4(ip, packet.protocol) : pseudoIpv6(ip, packet.protocol);
  const partial = fold(pseudo + <u64>swap16(end + packet.l3 - packet.l4));
  if (isTcp) tcp.setChecksumRaw(l4, partial);
  else udp.setChecksumRaw(l4, partial);
  store<u8>(header, VNET_FLAG_NEEDS_CHECKSUM, VNET_FLAGS);
  store<u16>(header, packet.l4, VNET_CHECKSUM_START);
  store<u16>(header, <u16>(isTcp ? tcp.CHECKSUM : udp.CHECKSUM), VNET_CHECKSUM_OFFSET);
}

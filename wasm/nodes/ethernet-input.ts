// ethernet-input: where frames of all origins meet. Says what each one is, and refuses what no bridge may carry.
//
// in   frames from tap-input and vxlan-decap, at least an Ethernet header long
// out  policy; drops RUNT, SOURCE_MULTICAST, SOURCE_ZERO, RESERVED_MULTICAST, MALFORMED_IP, BAD_GSO
// not  here: VLAN filtering (tagged frames pass untouched, as part of their network)
//
// Captured frames are copied here: it is the first place where both kinds of input look the same.
//
import {
  DIRECTION_RX, EVENT_NEXT, NODE_ETHERNET_INPUT, NODE_POLICY, VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_UDP_L4,
} from "../shared/abi";
import {
  COUNTER_MULTICAST, DROP_BAD_GSO, DROP_MALFORMED_IP, DROP_RESERVED_MULTICAST, DROP_RUNT, DROP_SOURCE_MULTICAST, DROP_SOURCE_ZERO,
} from "../shared/counters";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../shared/protocol";
import * as capture from "../core/capture";
import { fold, pseudoIpv4, pseudoIpv6, swap16 } from "../core/checksum";
import { classify } from "../core/classify";
import { add, drop } from "../core/counters";
import { FROM_UNDERLAY, NEEDS_CHECKSUM, Packet } from "../core/packet";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as ethernet from "../wire/ethernet";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";
import * as ports from "../tables/port";

export function ethernetInput(): void {
  const n = waiting(NODE_ETHERNET_INPUT);
  const capturing = capture.armed();
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_ETHERNET_INPUT, i);
    const frame: usize = packet.offset;
    if (packet.length < ethernet.LENGTH) {
      drop(packet, DROP_RUNT);
      continue;
    }
    const whole = classify(packet);
    if ((packet.flags & FROM_UNDERLAY) != 0 && packet.l4 != 0) markUnfinished(packet);
    if (capturing && ports.captured(packet.port, packet.domain)) capture.copy(packet, packet.port, DIRECTION_RX);
    if (trace.armed()) {
      trace.considerAddress(packet);
    }
    if (ethernet.isSourceMulticast(frame)) {
      drop(packet, DROP_SOURCE_MULTICAST);
      continue;
    }
    if (ethernet.source(frame) == 0) {
      drop(packet, DROP_SOURCE_ZERO);
      continue;
    }
    if (ethernet.isMulticast(frame)) {
      if (ethernet.isReserved(frame)) {
        drop(packet, DROP_RESERVED_MULTICAST);
        continue;
      }
      add(COUNTER_MULTICAST, 1);
    }
    if (!whole) {
      drop(packet, DROP_MALFORMED_IP);
      continue;
    }
    if (packet.gso != 0 && !agrees(packet)) {
      drop(packet, DROP_BAD_GSO);
      continue;
    }
    trace.mark(packet, EVENT_NEXT, NODE_POLICY, 0, 0);
    send(NODE_POLICY, packet);
  }
  clear(NODE_ETHERNET_INPUT);
}

/**
 * A kernel's VXLAN device over a virtual link (veth, virtio) may leave the inner checksum to hardware that is not there: the
 * field then holds the pseudo-header's sum, and super-frames come whole. Both are fine for a sandbox if it is told so. A
 * finished checksum that happens to look like this (1 in 65,536) loses nothing but its verification.
 */
// @ts-ignore: decorator
@inline function markUnfinished(packet: Packet): void {
  const isTcp = <u32>packet.protocol == <u32>IP_PROTOCOL_TCP;
  if (!isTcp && <u32>packet.protocol != <u32>IP_PROTOCOL_UDP) return;
  const ip = <usize>packet.offset + packet.l3;
  const header = <usize>packet.offset + packet.l4;
  const isIpv4 = <u32>packet.ethertype == <u32>ETHERTYPE_IPV4;
  const end: u32 = isIpv4 ? ipv4.totalLength(ip) : ipv6.LENGTH + ipv6.payloadLength(ip);
  const pseudo = isIpv4 ? pseudoIpv4(ip, packet.protocol) : pseudoIpv6(ip, packet.protocol);
  const field = isTcp ? tcp.checksumRaw(header) : udp.checksumRaw(header);
  if (field == 0 || fold(pseudo + <u64>swap16(end + packet.l3 - packet.l4)) != field) return;
  packet.flags |= NEEDS_CHECKSUM;
  packet.checksumStart = packet.l4;
  packet.checksumOffset = <u16>(isTcp ? tcp.CHECKSUM : udp.CHECKSUM);
}

/** Whether the headers are those that the offload is about: after this, segmentation can compute with them. */
function agrees(packet: Packet): bool {
  const l4: u32 = packet.l4;
  if (l4 == 0 || <u32>packet.checksumStart != l4) return false;
  if (packet.gso == VNET_GSO_UDP_L4) {
    if (packet.protocol != IP_PROTOCOL_UDP || <u32>packet.checksumOffset != udp.CHECKSUM) return false;
  } else {
    const type: u32 = packet.gso == VNET_GSO_TCPV4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    if (<u32>packet.ethertype != type || packet.protocol != IP_PROTOCOL_TCP || <u32>packet.checksumOffset != tcp.CHECKSUM) return false;
  }
  // One segment's worth is a plain frame: so says the kernel too, and it spares all others the case.
  if (packet.length <= <u32>packet.payload + packet.segment) {
    packet.gso = 0;
    packet.segment = 0;
  }
  return true;
}

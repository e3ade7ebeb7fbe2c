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
import { classify } from "../core/classify";
import { add, drop } from "../core/counters";
import { Packet } from "../core/packet";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as ethernet from "../wire/ethernet";
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
    if (capturing && (capture.all() || ports.captured(packet.port, packet.domain))) capture.copy(packet, packet.port, DIRECTION_RX);
    const whole = classify(packet);
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

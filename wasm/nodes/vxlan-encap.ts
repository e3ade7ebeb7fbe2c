// vxlan-encap: a frame bound for another host gets its VXLAN header and whatever the wire wants that a sandbox's kernel left
// undone.
//
// in   l2-forward, l2-flood: toVtep is set
// out  underlay-output, or esp-encrypt if the network is encrypted: a plain frame as the finished datagram, header in the headroom before it; a super-frame as it came, for
//      it is cut where its segments can go straight into a run
//      port-output: ICMP errors back to who sent more to a VTEP than the path there carries, if that is known
//      drops VTEP_UNKNOWN, NO_UNDERLAY, VNI_UNKNOWN, VXLAN_NESTED, MTU_EXCEEDED
//
// The copies of a flood share their frame and the headroom before it: all of one network, they want the same header there, so
// all write the same eight bytes. Nobody reads those again: core/deliver makes a new vnet_hdr for shared frames. An unfinished
// checksum in bytes that others share does not come here: l2-flood finishes it before it makes copies for VTEPs.
//
// not  here: the outer UDP checksum, which the kernel computes or has the hardware compute. The network's MTU: policy's
//
import {
  DIRECTION_TX, DOMAIN_FLAG_ENCRYPTED, EVENT_TO_VTEP, NODE_ESP_ENCRYPT, NODE_UNDERLAY_OUTPUT, NODE_VXLAN_ENCAP, PORT_UNDERLAY, VNI_NONE,
} from "../shared/abi";
import { DROP_MTU_EXCEEDED, DROP_NO_UNDERLAY, DROP_VNI_UNKNOWN, DROP_VTEP_UNKNOWN, DROP_VXLAN_NESTED } from "../shared/counters";
import { MTU_MIN_IPV6 } from "../shared/limits";
import { ETHERTYPE_IPV4, IP_PROTOCOL_UDP } from "../shared/protocol";
import * as capture from "../core/capture";
import { completeChecksum } from "../core/checksum";
import { drop } from "../core/counters";
import { NEEDS_CHECKSUM, Packet } from "../core/packet";
import { tell, tellable } from "../core/too-big";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as domains from "../tables/bridge-domain";
import { isTunnelEnd4, isTunnelEnd6 } from "../tables/nested";
import { frameMax } from "../tables/path";
import * as ports from "../tables/port";
import * as vteps from "../tables/vtep";
import * as ipv6 from "../wire/ipv6";
import * as udp from "../wire/udp";
import * as vxlan from "../wire/vxlan";

/** Whether the frame is a datagram of a tunnel of ours (tables/nested has the rule). */
function nested(packet: Packet, udpPort: u32): bool {
  if (packet.protocol != IP_PROTOCOL_UDP || packet.l4 == 0) return false;
  if (udp.destinationPort(<usize>packet.offset + packet.l4) != udpPort) return false;
  const ip = <usize>packet.offset + packet.l3;
  return packet.ethertype == ETHERTYPE_IPV4
    ? isTunnelEnd4(ip + 16, udpPort, 0)
    : isTunnelEnd6(ipv6.destination(ip), udpPort, 0);
}

/** Whether the frame, or a segment of it, is too long for the path to its VTEP. Its sender is told. */
function exceedsPath(packet: Packet, encrypted: bool): bool {
  const most = frameMax(packet.toVtep, encrypted);
  const length = packet.gso == 0 ? packet.length : <u32>packet.payload + packet.segment;
  if (most == 0 || length <= most) return false;
  if (packet.l3 != 0) {
    // IPv6 knows no less than 1280 (RFC 8200 section 5): telling it would change nothing.
    const fits = most - packet.l3;
    const mtuBytes = <u32>packet.ethertype == <u32>ETHERTYPE_IPV4 ? fits : max<u32>(fits, MTU_MIN_IPV6);
    if (length - packet.l3 > mtuBytes && tellable(packet, mtuBytes) && ports.mayTellError(packet.port)) tell(packet, mtuBytes);
  }
  drop(packet, DROP_MTU_EXCEEDED);
  return true;
}

export function vxlanEncap(): void {
  const n = waiting(NODE_VXLAN_ENCAP);
  const capturing = capture.armed();
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_VXLAN_ENCAP, i);
    if (!vteps.isSet(packet.toVtep)) {
      drop(packet, DROP_VTEP_UNKNOWN);
      continue;
    }
    const vtep = vteps.at(packet.toVtep);
    const port: u32 = vtep.port;
    if (!ports.isSet(port) || ports.at(port).kind != PORT_UNDERLAY) {
      drop(packet, DROP_NO_UNDERLAY);
      continue;
    }
    const domain = domains.at(packet.domain);
    const vni = domain.vni;
    if (vni == <u32>VNI_NONE) {
      drop(packet, DROP_VNI_UNKNOWN);
      continue;
    }
    if (nested(packet, vtep.udpPort)) {
      drop(packet, DROP_VXLAN_NESTED);
      continue;
    }
    const encrypted = (domain.flags & DOMAIN_FLAG_ENCRYPTED) != 0;
    if ((encrypted ? vtep.pathMtu : vtep.plainMtu) != 0 && exceedsPath(packet, encrypted)) continue;
    if (capturing && ports.captured(port, packet.domain)) capture.copy(packet, port, DIRECTION_TX);
    trace.mark(packet, EVENT_TO_VTEP, packet.toVtep, vni, 0);
    if (packet.gso == 0) {
      if (packet.flags & NEEDS_CHECKSUM) {
        completeChecksum(packet);
        packet.flags &= ~NEEDS_CHECKSUM;
      }
      packet.offset -= vxlan.LENGTH;
      packet.length += vxlan.LENGTH;
      vxlan.write(packet.offset, vxlan.header(vni));
    }
    send(encrypted ? NODE_ESP_ENCRYPT : NODE_UNDERLAY_OUTPUT, packet);
  }
  clear(NODE_VXLAN_ENCAP);
}

// vxlan-decap: a VXLAN datagram becomes the Ethernet frame in it, in the bridge domain that its VNI names.
//
// in   underlay-input, esp-decrypt: a datagram a packet, `vtep` the sender's
// out  ethernet-input, the frame at `offset`; drops VXLAN_SHORT, VXLAN_FLAGS, VNI_UNKNOWN, VTEP_UNKNOWN, VXLAN_NESTED,
//      ESP_PLAINTEXT, ESP_UNEXPECTED
//
// Only VTEPs that are members of the domain may speak in it: the control plane says who is, so a host that is in one
// network can't inject into another by naming its VNI. The sender's UDP port means nothing (it is entropy).
//
// An encrypted network takes nothing but what came out of ESP, and a plain one nothing that did: who can write to the underlay
// must not be able to inject into the first, and a peer that believes its traffic encrypted must not be answered in the clear.
//
// Consecutive datagrams mostly name the same VNI and sender: the last answer is kept for the vector, not longer, as tables
// change between batches.
//
// not  here: the outer checksum, which was the kernel's to verify where there was one; fragments of the outer packet, which
//      the kernel has put together. VXLAN in VXLAN behind VLAN tags, IPv4 options or extension headers is not looked for:
//      the check guards against loops, which have none, and not against sandboxes that talk to themselves
//
import { DOMAIN_FLAG_ENCRYPTED, EVENT_FROM_VTEP, NODE_ETHERNET_INPUT, NODE_VXLAN_DECAP, RX_LOCAL_ADDRESS } from "../shared/abi";
import {
  DROP_ESP_PLAINTEXT, DROP_ESP_UNEXPECTED, DROP_VNI_UNKNOWN, DROP_VTEP_UNKNOWN, DROP_VXLAN_FLAGS, DROP_VXLAN_NESTED, DROP_VXLAN_SHORT,
} from "../shared/counters";
import {
  ETHERNET_HEADER_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IP_PROTOCOL_UDP, IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH,
  UDP_HEADER_LENGTH,
} from "../shared/protocol";
import { drop } from "../core/counters";
import { OPENED, Packet } from "../core/packet";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as domains from "../tables/bridge-domain";
import * as members from "../tables/member";
import { isTunnelEnd4, isTunnelEnd6 } from "../tables/nested";
import * as ports from "../tables/port";
import * as ethernet from "../wire/ethernet";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as udp from "../wire/udp";
import * as vxlan from "../wire/vxlan";

const NO_VNI: u32 = 0xffffffff;

const UDP_IN_IPV4: u32 = ETHERNET_HEADER_LENGTH + IPV4_HEADER_LENGTH;
const UDP_IN_IPV6: u32 = ETHERNET_HEADER_LENGTH + IPV6_HEADER_LENGTH;

/** Whether the frame is a datagram of this very tunnel. `udpPort` is the underlay port's own. */
function nested(packet: Packet, frame: usize, length: u32, udpPort: u32): bool {
  const ip = frame + ETHERNET_HEADER_LENGTH;
  const local = <usize>packet.flow + RX_LOCAL_ADDRESS;
  const type = ethernet.type(frame);
  if (type == ETHERTYPE_IPV4 && length >= UDP_IN_IPV4 + UDP_HEADER_LENGTH) {
    return (
      ipv4.protocol(ip) == IP_PROTOCOL_UDP && ipv4.headerLength(ip) == ipv4.LENGTH && !ipv4.isLaterFragment(ip) &&
      udp.destinationPort(frame + UDP_IN_IPV4) == udpPort && isTunnelEnd4(ip + 16, udpPort, local)
    );
  }
  return (
    type == ETHERTYPE_IPV6 && length >= UDP_IN_IPV6 + UDP_HEADER_LENGTH && ipv6.nextHeader(ip) == IP_PROTOCOL_UDP &&
    udp.destinationPort(frame + UDP_IN_IPV6) == udpPort && isTunnelEnd6(ipv6.destination(ip), udpPort, local)
  );
}

export function vxlanDecap(): void {
  const n = waiting(NODE_VXLAN_DECAP);
  let lastVni = NO_VNI;
  let lastVtep: u32 = 0;
  let domain: i32 = -1;
  let member = false;
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_VXLAN_DECAP, i);
    const datagram: usize = packet.offset;
    if (!vxlan.fits(packet.length)) {
      drop(packet, DROP_VXLAN_SHORT);
      continue;
    }
    if (!vxlan.hasVni(datagram)) {
      drop(packet, DROP_VXLAN_FLAGS);
      continue;
    }
    const vni = vxlan.vni(datagram);
    const vtep: u32 = packet.vtep;
    if (vni != lastVni || vtep != lastVtep) {
      lastVni = vni;
      lastVtep = vtep;
      domain = domains.byVni(vni);
      member = domain >= 0 && vtep != 0 && members.has(domain, vtep);
    }
    if (!member) {
      drop(packet, domain < 0 ? DROP_VNI_UNKNOWN : DROP_VTEP_UNKNOWN);
      continue;
    }
    const encrypted = (domains.at(domain).flags & DOMAIN_FLAG_ENCRYPTED) != 0;
    if (encrypted != ((packet.flags & OPENED) != 0)) {
      drop(packet, encrypted ? DROP_ESP_PLAINTEXT : DROP_ESP_UNEXPECTED);
      continue;
    }
    const frame = datagram + vxlan.LENGTH;
    const length = packet.length - vxlan.LENGTH;
    const udpPort: u32 = ports.at(packet.port).udpPort;
    const portInPlace = bswap<u16>(<u16>udpPort);
    // Two loads that almost always differ spare the look at the headers; behind a short frame they read its tailroom.
    if (
      (load<u16>(frame, 36) == portInPlace || load<u16>(frame, 56) == portInPlace) && nested(packet, frame, length, udpPort)
    ) {
      drop(packet, DROP_VXLAN_NESTED);
      continue;
    }
    packet.offset = <u32>frame;
    packet.length = length;
    packet.domain = <u16>domain;
    trace.mark(packet, EVENT_FROM_VTEP, vtep, vni, 0);
    send(NODE_ETHERNET_INPUT, packet);
  }
  clear(NODE_VXLAN_DECAP);
}

// path-mtu: a router says that a datagram of ours was too long for its next link. ICMP has no authentication, so anybody who knows
// two addresses can say so; believed is who quotes what only the path has seen: of ESP the SPI and a sequence number that we sent
// there by it a moment ago (RFC 4301 section 8.2), of VXLAN in the clear a datagram that we sent since the path was first called
// narrow (tables/doubt). The kernel, which believes addresses and ports alone, is not asked: the underlay's sockets send whatever the
// interface takes, unfragmented (src/ports/path-errors).
//
//   IPv4   │ IP │ ICMP 3/4, MTU │ quoted: IP │ UDP, if it is ESP's │ SPI, sequence number ...
//   IPv6        │ ICMPv6 2, MTU │ quoted: IPv6 │ UDP, if it is ESP's │ SPI, sequence number ...
//                                         ... │ UDP │ VXLAN │ the frame's first 80 bytes
//
// in   receive descriptors of PORT_PATH_MTU: ICMP "too big" and nothing else, for which a filter of the socket sees
// out  nothing: each ends here, as PATH_MTU_LEARNED or as PATH_MTU_SHORT, _FOREIGN, _SPI, _SEQUENCE, _VALUE,
//      _UNPROVEN; TRUNCATED
//      the VTEP's path MTU, from the next packet on (tables/path); an event when it is another than before
// not  here: telling the sandboxes (vxlan-encap), forgetting (tables/vtep sweeps)
//
// A router that quotes eight bytes, the least that RFC 792 asks for, shows of ESP in UDP no SPI and of VXLAN nothing: it is not believed.
//
import {
  DOMAIN_FLAG_ENCRYPTED, ESP_EVENT_PATH_MTU, ESP_EVENT_PLAIN_PATH_MTU, EVENT_PATH_MTU, PORT_FLAG_IPV4_HEADER, PORT_PATH_MTU, RX_LENGTH, RX_OFFSET, RX_PORT,
} from "../shared/abi";
import {
  DROP_PATH_MTU_FOREIGN, DROP_PATH_MTU_LEARNED, DROP_PATH_MTU_SEQUENCE, DROP_PATH_MTU_SHORT, DROP_PATH_MTU_SPI, DROP_PATH_MTU_UNPROVEN, DROP_PATH_MTU_VALUE,
  DROP_TRUNCATED,
} from "../shared/counters";
import { CONSTANTS } from "../shared/layout";
import { MTU_MIN_IPV6, PATH_MTU_AGE_S, PATH_MTU_MIN_IPV4 } from "../shared/limits";
import { ENTROPY_PORT_MIN, ESP_UDP_PORT, IP_PROTOCOL_ESP, IP_PROTOCOL_UDP } from "../shared/protocol";
import * as checksum from "../core/checksum";
import * as clock from "../core/clock";
import { drop } from "../core/counters";
import * as cursor from "../core/cursor";
import * as datagrams from "../core/datagrams";
import * as espEvent from "../core/esp-event";
import { Packet } from "../core/packet";
import * as trace from "../core/trace";
import * as domains from "../tables/bridge-domain";
import * as doubt from "../tables/doubt";
import * as members from "../tables/member";
import * as path from "../tables/path";
import * as ports from "../tables/port";
import * as sad from "../tables/sad";
import * as spd from "../tables/spd";
import * as vteps from "../tables/vtep";
import * as esp from "../wire/esp";
import * as icmp from "../wire/icmp";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as udp from "../wire/udp";
import * as vxlan from "../wire/vxlan";

/** How far back a quoted sequence number may be: a second at a million datagrams a second. */
const RECENT: u32 = 1 << 20;
const DESTINATION: usize = CONSTANTS + 0x210; // room for one address as ::ffff:a.b.c.d
const MAPPED_PREFIX: u32 = 0xffff0000; // bytes 8..12 as loaded

export function pathMtu(): void {
  const tracing = trace.armed();
  while (cursor.more()) {
    const descriptor = cursor.descriptor();
    const port: u32 = load<u16>(descriptor, RX_PORT);
    if (!ports.isSet(port) || ports.at(port).kind != PORT_PATH_MTU) return;
    if (!cursor.fits(1)) return;
    const length = load<u32>(descriptor, RX_LENGTH);
    const packet = datagrams.takeNext(port, load<u32>(descriptor, RX_OFFSET), length, length);
    cursor.next();
    if (tracing) trace.considerPort(packet);
    if (datagrams.truncated(descriptor)) drop(packet, DROP_TRUNCATED);
    else if (ports.at(port).flags & PORT_FLAG_IPV4_HEADER) drop(packet, heardIpv4(packet));
    else drop(packet, heardIpv6(packet));
  }
}

/** The name under which the message ends. */
function heardIpv4(packet: Packet): u32 {
  const ip: usize = packet.offset;
  if (!ipv4.fits(ip, packet.length)) return DROP_PATH_MTU_SHORT;
  const message = ip + ipv4.headerLength(ip);
  const length = ipv4.totalLength(ip) - ipv4.headerLength(ip);
  if (length < icmp.LENGTH + ipv4.LENGTH || !icmp.isFragmentationNeeded(message)) return DROP_PATH_MTU_SHORT;
  // A raw socket of IPv4 gets what nobody has checked yet.
  if (checksum.fold(checksum.sum(message, length)) != 0xffff) return DROP_PATH_MTU_SHORT;
  const quoted = message + icmp.LENGTH;
  const header = ipv4.headerLength(quoted);
  if (load<u8>(quoted) >> 4 != 4 || header < ipv4.LENGTH || icmp.LENGTH + header > length) return DROP_PATH_MTU_SHORT;
  if (ipv4.isLaterFragment(quoted)) return DROP_PATH_MTU_FOREIGN;
  store<u64>(DESTINATION, 0);
  store<u32>(DESTINATION, MAPPED_PREFIX, 8);
  store<u32>(DESTINATION, ipv4.destination(quoted), 12);
  const bytes = icmp.nextHopMtu(message);
  const total = ipv4.totalLength(quoted);
  const isSmaller = bytes >= <u32>PATH_MTU_MIN_IPV4 && bytes < total;
  const left = length - icmp.LENGTH - header;
  return judge(packet, DESTINATION, ipv4.protocol(quoted), quoted + header, left, total, isSmaller ? bytes : 0);
}

/** The kernel has checked the checksum. */
function heardIpv6(packet: Packet): u32 {
  const message: usize = packet.offset;
  const length = packet.length;
  if (length < icmpv6.LENGTH + ipv6.LENGTH || icmpv6.type(message) != icmpv6.PACKET_TOO_BIG) return DROP_PATH_MTU_SHORT;
  const quoted = message + icmpv6.LENGTH;
  if (load<u8>(quoted) >> 4 != 6) return DROP_PATH_MTU_SHORT;
  const bytes = icmpv6.mtu(message);
  const total = ipv6.LENGTH + ipv6.payloadLength(quoted);
  const isSmaller = bytes >= <u32>MTU_MIN_IPV6 && bytes < total;
  const left = length - icmpv6.LENGTH - ipv6.LENGTH;
  const behind = quoted + ipv6.LENGTH;
  return judge(packet, ipv6.destination(quoted), ipv6.nextHeader(quoted), behind, left, total, isSmaller ? bytes : 0);
}

/**
 * What becomes of an error about an IP packet of `total` bytes, of which `length` behind its header stand at `p`, that shall carry
 * `bytes`; 0: it says what can't be.
 */
function judge(packet: Packet, destination: usize, protocol: u32, p: usize, length: u32, total: u32, bytes: u32): u32 {
  if (protocol == IP_PROTOCOL_UDP && length >= udp.LENGTH && udp.sourcePort(p) != ESP_UDP_PORT) {
    return judgePlain(packet, destination, p, length, total, bytes);
  }
  const vtep = sentTo(destination, protocol, p, length);
  if (vtep < 0) return ~vtep;
  return bytes == 0 ? <u32>DROP_PATH_MTU_VALUE : learn(packet, vtep, bytes);
}

/** The same of a UDP datagram that is not ESP's. */
function judgePlain(packet: Packet, destination: usize, p: usize, length: u32, total: u32, bytes: u32): u32 {
  const vtep = vteps.find(destination);
  if (vtep == 0 || udp.sourcePort(p) < <u32>ENTROPY_PORT_MIN || udp.destinationPort(p) != <u32>vteps.at(vtep).udpPort) {
    return DROP_PATH_MTU_FOREIGN;
  }
  if (length < udp.LENGTH + doubt.PROOF_LENGTH) return DROP_PATH_MTU_SHORT;
  const datagram = p + udp.LENGTH;
  const domain = vxlan.hasVni(datagram) ? domains.byVni(vxlan.vni(datagram)) : -1;
  if (domain < 0 || !members.has(domain, vtep) || (domains.at(domain).flags & DOMAIN_FLAG_ENCRYPTED) != 0) return DROP_PATH_MTU_FOREIGN;
  const known = vteps.at(vtep).plainMtu;
  if (bytes == 0 || (known != 0 && bytes > known)) return DROP_PATH_MTU_VALUE;
  if (!doubt.proves(vtep, datagram, total, bytes)) {
    doubt.raise(vtep, bytes);
    return DROP_PATH_MTU_UNPROVEN;
  }
  vteps.narrowPlain(vtep, bytes, clock.seconds() + PATH_MTU_AGE_S);
  doubt.settle(vtep, bytes);
  trace.mark(packet, EVENT_PATH_MTU, vtep, bytes, 0);
  if (bytes != known) espEvent.addPathMtu(ESP_EVENT_PLAIN_PATH_MTU, vtep, 0, packet.offset, bytes);
  return DROP_PATH_MTU_LEARNED;
}

/**
 * The VTEP to which a quoted datagram was sent a moment ago, `length` bytes of it behind its IP header at `p`; or, inverted, the
 * name of why we did not send it.
 */
function sentTo(destination: usize, protocol: u32, p: usize, length: u32): i32 {
  const inUdp = protocol == IP_PROTOCOL_UDP;
  if (inUdp) {
    if (length < udp.LENGTH) return ~DROP_PATH_MTU_SHORT;
    if (udp.sourcePort(p) != ESP_UDP_PORT) return ~DROP_PATH_MTU_FOREIGN;
  } else if (protocol != IP_PROTOCOL_ESP) {
    return ~DROP_PATH_MTU_FOREIGN;
  }
  const header = p + (inUdp ? <usize>udp.LENGTH : 0);
  if (length < esp.LENGTH + (inUdp ? udp.LENGTH : 0)) return ~DROP_PATH_MTU_SHORT;
  const vtep = path.peerOf(esp.spi(header), destination, inUdp ? udp.destinationPort(p) : 0);
  if (vtep == 0) return ~DROP_PATH_MTU_SPI;
  // How many numbers ago: those that are yet to come are very long ago.
  const sent = sad.at(spd.outbound(vtep)).sequence;
  const ago = <u32>sent - esp.sequence(header);
  return <u64>ago < min<u64>(sent, RECENT) ? vtep : ~DROP_PATH_MTU_SEQUENCE;
}

function learn(packet: Packet, vtep: u32, bytes: u32): u32 {
  const known = vteps.at(vtep).pathMtu;
  if (known != 0 && bytes > known) return DROP_PATH_MTU_VALUE;
  vteps.narrow(vtep, bytes, clock.seconds() + PATH_MTU_AGE_S);
  trace.mark(packet, EVENT_PATH_MTU, vtep, bytes, 0);
  if (bytes != known) {
    const index = spd.outbound(vtep);
    espEvent.addPathMtu(ESP_EVENT_PATH_MTU, index, sad.at(index).spi, packet.offset, bytes);
  }
  return DROP_PATH_MTU_LEARNED;
}

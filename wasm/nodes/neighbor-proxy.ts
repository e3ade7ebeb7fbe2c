// neighbor-proxy: "who has this address?" is answered here when the control plane knows, so that no host has to be asked.
//
// in   ARP and ICMPv6 of local ports, in domains that proxy
// out  port-output (the answer, back to the asker), l2-forward (everything that isn't answered); drops PROXY_CONSUMED
// not  here: questions that came through a tunnel (the asker's own host answers them)
//
// Answered: broadcast or multicast questions about an address in the neighbour table. Not answered, but passed on:
// - unicast questions: they ask whether the owner is alive (RFC 4861 section 7.3, RFC 1122 section 2.3.2.1), which only the
//   owner can say
// - gratuitous ARP, and questions about an address whose entry is the asker itself
// - probes for duplicates, from 0.0.0.0 or :: (RFC 5227, RFC 4862 section 5.4.3). RFC 4861 section 7.2.8 allows a proxy to
//   answer, but an entry that the control plane hasn't taken back yet would cost a new endpoint its address for good. The
//   owner, if there is one, gets the probe and defends itself
// - solicitations that section 7.1.1 wouldn't accept: hop limit, code, length, options, checksum
//
// The answer comes from the target's MAC, as if the target had sent it: bridges on the way learn nothing wrong.
//
import { EVENT_ANSWERED, EVENT_NEXT, NODE_L2_FORWARD, NODE_NEIGHBOR_PROXY, NODE_PORT_OUTPUT } from "../shared/abi";
import { COUNTER_ORIGINATED, COUNTER_PROXIED, DROP_PROXY_CONSUMED } from "../shared/counters";
import { ETHERTYPE_ARP, ETHERTYPE_IPV6, IP_PROTOCOL_ICMPV6 } from "../shared/protocol";
import * as arena from "../core/arena";
import * as checksum from "../core/checksum";
import { add, drop } from "../core/counters";
import { NEEDS_CHECKSUM, ORIGINATED, Packet, take, TRACED } from "../core/packet";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as arp from "../wire/arp";
import * as ethernet from "../wire/ethernet";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv6 from "../wire/ipv6";
import * as ndp from "../wire/ndp";
import * as neighbors from "../tables/neighbor";

export function neighborProxy(): void {
  const n = waiting(NODE_NEIGHBOR_PROXY);
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_NEIGHBOR_PROXY, i);
    if (answered(packet)) {
      add(COUNTER_PROXIED, 1);
      drop(packet, DROP_PROXY_CONSUMED);
    } else {
      trace.mark(packet, EVENT_NEXT, NODE_L2_FORWARD, 0, 0);
      send(NODE_L2_FORWARD, packet);
    }
  }
  clear(NODE_NEIGHBOR_PROXY);
}

// @ts-ignore: decorator
@inline function answered(packet: Packet): bool {
  if (!ethernet.isMulticast(packet.offset)) return false;
  return <u32>packet.ethertype == <u32>ETHERTYPE_ARP ? answeredArp(packet) : answeredSolicitation(packet);
}

function answeredArp(packet: Packet): bool {
  if (packet.payload == 0) return false;
  const behind: u32 = packet.payload; // Ethernet header and tags
  const question = <usize>packet.offset + behind;
  if (!arp.fits(question, packet.length - behind) || arp.operation(question) != arp.REQUEST) return false;
  const target = arp.targetIp(question);
  const sender = arp.senderIp(question);
  if (sender == 0 || sender == target) return false;
  const mac = neighbors.findIpv4(packet.domain, target);
  const asker = arp.senderMac(question);
  if (mac == 0 || mac == asker || mac == ethernet.source(packet.offset)) return false;

  const frame = turnRound(packet, behind, arp.LENGTH, mac);
  if (frame == 0) return false;
  arp.write(frame + behind, arp.REPLY, mac, target, asker, sender);
  answer(packet, frame, behind + arp.LENGTH, mac);
  return true;
}

function answeredSolicitation(packet: Packet): bool {
  const l3: u32 = packet.l3;
  if (<u32>packet.ethertype != <u32>ETHERTYPE_IPV6 || packet.l4 == 0 || <u32>packet.l4 != l3 + ipv6.LENGTH) return false;
  const ip = <usize>packet.offset + l3;
  const question = <usize>packet.offset + packet.l4;
  const length = ipv6.payloadLength(ip);
  if (icmpv6.type(question) != ndp.SOLICITATION || icmpv6.code(question) != 0 || length < ndp.LENGTH) return false;
  if (!ndp.optionsFit(question, length)) return false;
  if (ipv6.hopLimit(ip) != ndp.HOP_LIMIT || ipv6.isUnspecified(ipv6.source(ip))) return false;
  const target = ndp.target(question);
  if (ipv6.isMulticast(target)) return false;
  const mac = neighbors.find(packet.domain, load<u64>(target), load<u64>(target, 8));
  if (mac == 0 || mac == ethernet.source(packet.offset)) return false;
  const partial = (packet.flags & NEEDS_CHECKSUM) != 0;
  if (!partial && !checksum.verifies(checksum.pseudoIpv6(ip, IP_PROTOCOL_ICMPV6), question, length, IP_PROTOCOL_ICMPV6)) return false;

  const bytes = ipv6.LENGTH + ndp.ADVERTISEMENT_LENGTH;
  const frame = turnRound(packet, l3, bytes, mac);
  if (frame == 0) return false;
  const reply = frame + l3;
  ipv6.write(reply, ndp.ADVERTISEMENT_LENGTH, IP_PROTOCOL_ICMPV6, ndp.HOP_LIMIT);
  v128.store(ipv6.source(reply), v128.load(target));
  v128.store(ipv6.destination(reply), v128.load(ipv6.source(ip)));
  const advertisement = reply + ipv6.LENGTH;
  ndp.writeAdvertisement(advertisement, target, mac);
  const pseudo = checksum.pseudoIpv6(reply, IP_PROTOCOL_ICMPV6) + checksum.swap16(ndp.ADVERTISEMENT_LENGTH);
  ndp.setChecksumRaw(advertisement, checksum.complement(pseudo + checksum.sum(advertisement, ndp.ADVERTISEMENT_LENGTH)));
  answer(packet, frame, l3 + bytes, mac);
  return true;
}

/** Scratch for `behind + bytes`, begun with the question's Ethernet header and tags, from `mac` to the asker. 0 if there is none. */
function turnRound(packet: Packet, behind: u32, bytes: u32, mac: u64): usize {
  const frame = arena.scratch(behind + bytes);
  if (frame == 0) return 0;
  memory.copy(frame, packet.offset, behind);
  ethernet.setDestination(frame, ethernet.source(packet.offset));
  ethernet.setSource(frame, mac);
  return frame;
}

function answer(packet: Packet, frame: usize, length: u32, mac: u64): void {
  const reply = take();
  reply.offset = <u32>frame;
  reply.length = length;
  reply.flags = ORIGINATED | (packet.flags & TRACED);
  reply.id = packet.id;
  reply.domain = packet.domain;
  reply.port = packet.port;
  reply.toPort = packet.port;
  reply.ethertype = packet.ethertype;
  reply.flow = packet.flow;
  add(COUNTER_ORIGINATED, 1);
  trace.mark(packet, EVENT_ANSWERED, 0, 0, mac);
  send(NODE_PORT_OUTPUT, reply);
}

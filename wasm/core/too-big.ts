// "Too big": the ICMP error by which the sender of a packet that can't pass is told what can: "fragmentation needed" (RFC 1191) or
// "packet too big" (RFC 8201), as if a router stood here. Its source is the address that the packet was bound for, since a
// bridge has none of its own; the kernel's bridged tunnels do the same. IPv4 senders that allow fragmentation are told too:
// fragmenting is theirs, and silence would be a black hole.
//
// in   a packet that is longer than `mtuBytes`, by the network's MTU (policy) or by its path's (vxlan-encap)
// out  port-output: an error to the port that the packet came in by. The packet itself is the caller's to drop
//
import { EVENT_TOO_BIG, NODE_PORT_OUTPUT } from "../shared/abi";
import { COUNTER_ICMP_TOO_BIG, COUNTER_ORIGINATED } from "../shared/counters";
import { ETHERTYPE_IPV4, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6 } from "../shared/protocol";
import * as ethernet from "../wire/ethernet";
import * as icmp from "../wire/icmp";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as arena from "./arena";
import * as checksum from "./checksum";
import { add } from "./counters";
import { FRAGMENT, free, ORIGINATED, Packet, take, TRACED } from "./packet";
import * as trace from "./trace";
import { room, send } from "./vector";

/** An ICMP error is at most this long, IP header included (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4). */
const ERROR_LENGTH_IPV4: u32 = 576;
const ERROR_LENGTH_IPV6: u32 = 1280;
const TTL: u32 = 64;

/**
 * Whether anybody may be told: not about errors, not to or about groups, not about fragments behind the first (RFC 1122 section
 * 3.2.2); and not when the packet would fit, but for bytes behind it. Nor where there is no room: what exceeds a path may be a copy
 * of a flood, and the others have filled the vector that the error would go to. The sender's next packet asks again.
 */
export function tellable(packet: Packet, mtuBytes: u32): bool {
  if (packet.l3 == 0 || ethernet.isMulticast(packet.offset) || room(NODE_PORT_OUTPUT) == 0) return false;
  const ip = <usize>packet.offset + packet.l3;
  const l4 = <usize>packet.offset + packet.l4;
  if (<u32>packet.ethertype == <u32>ETHERTYPE_IPV4) {
    if (ipv4.isLaterFragment(ip) || ipv4.totalLength(ip) <= mtuBytes) return false;
    if (packet.protocol == IP_PROTOCOL_ICMP && (packet.l4 == 0 || icmp.isError(icmp.type(l4)))) return false;
    return ipv4.isHost(ipv4.source(ip)) && ipv4.isHost(ipv4.destination(ip));
  }
  // Of IPv6 fragments we can't tell the first from others without walking the headers again; hosts fragment at 1280 anyway.
  if ((packet.flags & FRAGMENT) != 0 || ipv6.LENGTH + ipv6.payloadLength(ip) <= mtuBytes) return false;
  if (packet.protocol == IP_PROTOCOL_ICMPV6 && (packet.l4 == 0 || icmpv6.isError(icmpv6.type(l4)))) return false;
  return ipv6.isHost(ipv6.source(ip)) && ipv6.isHost(ipv6.destination(ip));
}

/** Composes the error and sends it back to where the packet came from; with no bytes for one, silently not. */
export function tell(packet: Packet, mtuBytes: u32): void {
  const isIpv4 = <u32>packet.ethertype == <u32>ETHERTYPE_IPV4;
  const l3: u32 = packet.l3;
  const ip = <usize>packet.offset + l3;
  const headers = isIpv4 ? ipv4.LENGTH + icmp.LENGTH : ipv6.LENGTH + icmpv6.LENGTH;
  const quoted = min(packet.length - l3, (isIpv4 ? ERROR_LENGTH_IPV4 : ERROR_LENGTH_IPV6) - headers);
  const frame = arena.scratch(l3 + headers + quoted);
  if (frame == 0 || free() == 0) return;

  // The Ethernet header turned round; tags and type as they were.
  memory.copy(frame, packet.offset, l3);
  ethernet.setDestination(frame, ethernet.source(packet.offset));
  ethernet.setSource(frame, ethernet.destination(packet.offset));
  const answer = frame + l3;
  memory.copy(answer + headers, ip, quoted);
  if (isIpv4) writeIpv4(answer, ip, quoted, mtuBytes);
  else writeIpv6(answer, ip, quoted, mtuBytes);

  const error = take();
  error.offset = <u32>frame;
  error.length = l3 + headers + quoted;
  error.flags = ORIGINATED | (packet.flags & TRACED);
  error.id = packet.id;
  error.domain = packet.domain;
  error.port = packet.port;
  error.toPort = packet.port;
  error.ethertype = packet.ethertype;
  error.l3 = packet.l3;
  error.flow = packet.flow;
  add(COUNTER_ORIGINATED, 1);
  add(COUNTER_ICMP_TOO_BIG, 1);
  trace.mark(packet, EVENT_TOO_BIG, mtuBytes, 0, 0);
  send(NODE_PORT_OUTPUT, error);
}

function writeIpv4(p: usize, offender: usize, quoted: u32, mtuBytes: u32): void {
  const length = ipv4.LENGTH + icmp.LENGTH + quoted;
  ipv4.write(p, length, IP_PROTOCOL_ICMP, TTL);
  ipv4.setSource(p, ipv4.destination(offender));
  ipv4.setDestination(p, ipv4.source(offender));
  ipv4.setChecksumRaw(p, checksum.complement(checksum.sum(p, ipv4.LENGTH)));
  const error = p + ipv4.LENGTH;
  icmp.writeFragmentationNeeded(error, mtuBytes);
  icmp.setChecksumRaw(error, checksum.complement(checksum.sum(error, length - ipv4.LENGTH)));
}

function writeIpv6(p: usize, offender: usize, quoted: u32, mtuBytes: u32): void {
  const length = icmpv6.LENGTH + quoted;
  ipv6.write(p, length, IP_PROTOCOL_ICMPV6, TTL);
  v128.store(ipv6.source(p), v128.load(ipv6.destination(offender)));
  v128.store(ipv6.destination(p), v128.load(ipv6.source(offender)));
  const error = p + ipv6.LENGTH;
  icmpv6.writePacketTooBig(error, mtuBytes);
  const pseudo = checksum.pseudoIpv6(p, IP_PROTOCOL_ICMPV6) + checksum.swap16(length);
  icmpv6.setChecksumRaw(error, checksum.complement(pseudo + checksum.sum(error, length)));
}

// policy: what a network allows of a frame before anybody learns from it.
//
// in   frames with classified headers
// out  l2-learn; port-output (ICMP errors back to a sender); drops MTU_EXCEEDED
// not  here: isolation and hairpins (l2-forward and l2-flood know the target)
//
// MTU: a domain with a VNI may have to send any frame through a tunnel, and a tunnel can't carry more than the domain's MTU.
// So frames of local ports are measured here, whatever their destination, and the sender is told: "fragmentation needed" (RFC
// 1191) or "packet too big" (RFC 8201), as if a router stood there. The error's source is the address that the packet was
// bound for, since a bridge has none of its own; the kernel's bridged tunnels do the same. IPv4 senders that allow
// fragmentation are told too: fragmenting is theirs, and silence would be a black hole.
//
// A super-frame is measured by the segments that it will become.
//
// MSS: the sandboxes' kernels learn the MTU by configuration, but who is behind a router in there doesn't: SYNs of both
// directions have their MSS option lowered to what fits, so that TCP never meets the limit.
//
import {
  DOMAIN_FLAG_CLAMP_MSS, DOMAIN_FLAG_HAS_VNI, EVENT_CLAMPED, EVENT_NEXT, EVENT_TOO_BIG, NODE_L2_LEARN, NODE_POLICY, NODE_PORT_OUTPUT,
} from "../shared/abi";
import { COUNTER_ICMP_TOO_BIG, COUNTER_MSS_CLAMPED, COUNTER_ORIGINATED, DROP_MTU_EXCEEDED } from "../shared/counters";
import { ETHERTYPE_IPV4, IP_PROTOCOL_ICMP, IP_PROTOCOL_ICMPV6, IP_PROTOCOL_TCP } from "../shared/protocol";
import * as arena from "../core/arena";
import * as checksum from "../core/checksum";
import { add, drop } from "../core/counters";
import { FRAGMENT, FROM_UNDERLAY, NEEDS_CHECKSUM, ORIGINATED, Packet, take, TRACED } from "../core/packet";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as ethernet from "../wire/ethernet";
import * as icmp from "../wire/icmp";
import * as icmpv6 from "../wire/icmpv6";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as vlan from "../wire/vlan";
import * as domains from "../tables/bridge-domain";

/** An ICMP error is at most this long, IP header included (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4). */
const ERROR_LENGTH_IPV4: u32 = 576;
const ERROR_LENGTH_IPV6: u32 = 1280;
const TTL: u32 = 64;

export function policy(): void {
  const n = waiting(NODE_POLICY);
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_POLICY, i);
    const domain = domains.at(packet.domain);
    const measured = (domain.flags & DOMAIN_FLAG_HAS_VNI) != 0 && (packet.flags & FROM_UNDERLAY) == 0;
    if (measured && packet.length > ethernet.LENGTH + domain.mtuBytes && exceeds(packet, domain.mtuBytes)) {
      if (tellable(packet, domain.mtuBytes) && domains.mayTellError(packet.domain)) tell(packet, domain.mtuBytes);
      drop(packet, DROP_MTU_EXCEEDED);
      continue;
    }
    if ((domain.flags & DOMAIN_FLAG_CLAMP_MSS) != 0 && packet.protocol == IP_PROTOCOL_TCP && packet.l4 != 0) {
      if (tcp.flags(<usize>packet.offset + packet.l4) & tcp.SYN) clamp(packet, domain.mtuBytes);
    }
    trace.mark(packet, EVENT_NEXT, NODE_L2_LEARN, 0, 0);
    send(NODE_L2_LEARN, packet);
  }
  clear(NODE_POLICY);
}

/** Whether the frame, or a segment of it, carries more than `mtuBytes` behind its Ethernet header and tags. */
function exceeds(packet: Packet, mtuBytes: u32): bool {
  const l3: u32 = packet.l3 != 0 ? packet.l3 : ethernet.LENGTH + 2 * vlan.LENGTH;
  const whole = packet.gso != 0 ? <u32>packet.payload + packet.segment : packet.length;
  return whole > l3 + mtuBytes;
}

/**
 * Whether anybody may be told: not about errors, not to or about groups, not about fragments behind the first (RFC 1122 section
 * 3.2.2); and not when the packet would fit, but for bytes behind it.
 */
function tellable(packet: Packet, mtuBytes: u32): bool {
  if (packet.l3 == 0 || ethernet.isMulticast(packet.offset)) return false;
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

/** Composes the error and sends it back to where the packet came from. */
function tell(packet: Packet, mtuBytes: u32): void {
  const isIpv4 = <u32>packet.ethertype == <u32>ETHERTYPE_IPV4;
  const l3: u32 = packet.l3;
  const ip = <usize>packet.offset + l3;
  const headers = isIpv4 ? ipv4.LENGTH + icmp.LENGTH : ipv6.LENGTH + icmpv6.LENGTH;
  const quoted = min(packet.length - l3, (isIpv4 ? ERROR_LENGTH_IPV4 : ERROR_LENGTH_IPV6) - headers);
  const frame = arena.scratch(l3 + headers + quoted);
  if (frame == 0) return;

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

/** Lowers the MSS option of a SYN to what the MTU leaves behind IP and TCP headers (RFC 9293 section 3.7.1). */
function clamp(packet: Packet, mtuBytes: u32): void {
  const header = <usize>packet.offset + packet.l4;
  const headers = <u32>packet.ethertype == <u32>ETHERTYPE_IPV4 ? ipv4.LENGTH + tcp.LENGTH : ipv6.LENGTH + tcp.LENGTH;
  if (mtuBytes <= headers) return;
  const limit = mtuBytes - headers;
  const end = tcp.headerLength(header);
  let at = tcp.LENGTH;
  while (at + 1 < end) {
    const kind: u32 = load<u8>(header + at);
    if (kind == tcp.OPTION_END) return;
    if (kind == tcp.OPTION_NOP) {
      at++;
      continue;
    }
    const length: u32 = load<u8>(header + at, 1);
    if (length < 2 || at + length > end) return;
    if (kind == tcp.OPTION_MSS && length == tcp.OPTION_MSS_LENGTH) {
      const field = header + at + 2;
      const before: u32 = load<u16>(field);
      const mss = checksum.swap16(before);
      if (mss <= limit) return;
      const after = checksum.swap16(limit);
      store<u16>(field, <u16>after);
      // A partial checksum holds the pseudo-header only: the option is not in it yet.
      if ((packet.flags & NEEDS_CHECKSUM) == 0) {
        const odd = (at & 1) != 0; // the option's words straddle the checksum's, so their bytes count the other way round
        tcp.setChecksumRaw(header, updated(tcp.checksumRaw(header), odd ? mss : before, odd ? limit : after));
      }
      add(COUNTER_MSS_CLAMPED, 1);
      trace.mark(packet, EVENT_CLAMPED, mss, limit, 0);
      return;
    }
    at += length;
  }
}

/** The checksum field after a word changed (RFC 1624 equation 3). */
// @ts-ignore: decorator
@inline function updated(field: u32, before: u32, after: u32): u32 {
  return checksum.complement(<u64>(~field & 0xffff) + <u64>(~before & 0xffff) + <u64>after);
}

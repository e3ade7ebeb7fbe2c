// policy: what a network allows of a frame before anybody learns from it.
//
// in   frames with classified headers
// out  l2-learn; port-output (ICMP errors back to a sender); drops MTU_EXCEEDED
// not  here: isolation and hairpins (l2-forward and l2-flood know the target)
//
// MTU: a domain with a VNI may have to send any frame through a tunnel, and a tunnel can't carry more than the domain's MTU.
// So frames of local ports are measured here, whatever their destination, and the sender is told (core/too-big).
//
// A super-frame is measured by the segments that it will become.
//
// MSS: the sandboxes' kernels learn the MTU by configuration, but who is behind a router in there doesn't: SYNs of both
// directions have their MSS option lowered to what fits, so that TCP never meets the limit. One from a peer tells how long our
// segments to it may be: it is lowered to what the path there carries, too, if that is known to be less.
//
import {
  DOMAIN_FLAG_CLAMP_MSS, DOMAIN_FLAG_ENCRYPTED, DOMAIN_FLAG_HAS_VNI, EVENT_CLAMPED, EVENT_NEXT, NODE_L2_LEARN, NODE_POLICY,
} from "../shared/abi";
import { COUNTER_MSS_CLAMPED, DROP_MTU_EXCEEDED } from "../shared/counters";
import { ETHERTYPE_IPV4, IP_PROTOCOL_TCP } from "../shared/protocol";
import * as checksum from "../core/checksum";
import { add, drop } from "../core/counters";
import { FROM_UNDERLAY, NEEDS_CHECKSUM, Packet } from "../core/packet";
import { tell, tellable } from "../core/too-big";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as ethernet from "../wire/ethernet";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as vlan from "../wire/vlan";
import * as domains from "../tables/bridge-domain";
import { frameMax } from "../tables/path";
import * as ports from "../tables/port";

export function policy(): void {
  const n = waiting(NODE_POLICY);
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_POLICY, i);
    const domain = domains.at(packet.domain);
    const measured = (domain.flags & DOMAIN_FLAG_HAS_VNI) != 0 && (packet.flags & FROM_UNDERLAY) == 0;
    if (measured && packet.length > ethernet.LENGTH + domain.mtuBytes && exceeds(packet, domain.mtuBytes)) {
      if (tellable(packet, domain.mtuBytes) && ports.mayTellError(packet.port)) tell(packet, domain.mtuBytes);
      drop(packet, DROP_MTU_EXCEEDED);
      continue;
    }
    if ((domain.flags & DOMAIN_FLAG_CLAMP_MSS) != 0 && packet.protocol == IP_PROTOCOL_TCP && packet.l4 != 0) {
      if (tcp.flags(<usize>packet.offset + packet.l4) & tcp.SYN) clamp(packet, fits(packet, domain));
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

/** The longest IP packet that the other end of the SYN may be sent. */
function fits(packet: Packet, domain: domains.BridgeDomain): u32 {
  if ((packet.flags & FROM_UNDERLAY) == 0) return domain.mtuBytes;
  const most = frameMax(packet.vtep, (domain.flags & DOMAIN_FLAG_ENCRYPTED) != 0);
  return most == 0 ? domain.mtuBytes : min(domain.mtuBytes, most - packet.l3);
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

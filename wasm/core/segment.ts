// Cuts a super-frame (TSO, USO) into the datagrams that fit the wire, without touching its payload: each datagram is a
// header piece made here and a slice of the bytes where native put them.
//
//   super-frame   │ Ethernet, tags, IP, L4 │ payload ............................. │
//                            │ copied           │ slice 0 │ slice 1 │ ... │ rest │
//                            ▼                  ▼
//   datagram i    │ VXLAN │ headers i │  +  │ slice i │        all of one length but the last: a run (core/runs)
//
// What changes from segment to segment, as in Linux's tcp_gso_segment and __udp_gso_segment:
//   IPv4 total length, identification (+1 each), header checksum; IPv6 payload length
//   TCP sequence; FIN and PSH in the last only; CWR in the first only; checksum
//   UDP length, checksum
// All else is summed once per super-frame. The pseudo-header is taken from the addresses and not from the partial sum that
// stands in the field: senders differ in what they put there for a super-frame.
//
// Segments of at most COPY_MAX bytes of payload are copied behind their headers instead: two iovecs cost native and the
// kernel more than the copy, and since they lie side by side a whole run of them is a single iovec. What will be sealed is
// always copied, into the datagrams that core/seal lays out.
//
// in   a packet with gso set; the run that it goes to; the VXLAN header
// out  its datagrams in the run, or a drop: BAD_GSO, ENGINE_FULL. The frame's own bytes are only read: SHARED ones may come
// not  here: IPv6 routing headers, for which the pseudo-header needs the last destination: BAD_GSO
//
import { EVENT_SEGMENTED, VNET_GSO_UDP_L4 } from "../shared/abi";
import { COUNTER_GSO_SEGMENTED, COUNTER_GSO_SEGMENTS, DROP_BAD_GSO, DROP_ENGINE_FULL } from "../shared/counters";
import { HEADER_SLOT_LENGTH } from "../shared/layout";
import {
  ETHERTYPE_IPV4, ETHERTYPE_IPV6, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP, UDP_HEADER_LENGTH, VXLAN_HEADER_LENGTH,
} from "../shared/protocol";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as vxlan from "../wire/vxlan";
import * as arena from "./arena";
import { copy16, copy8 } from "./bytes";
import { complement, complementNonZero, fold, pseudoIpv4, pseudoIpv6, sum, swap16 } from "./checksum";
import { add, drop } from "./counters";
import { FRAGMENT, Packet } from "./packet";
import * as runs from "./runs";
import { SecurityAssociation } from "./sa";
import * as seal from "./seal";
import * as trace from "./trace";

/** Payload up to which copying is cheaper than an iovec of its own. */
const COPY_MAX: u32 = 256;
/** Above it memory.copy is faster than a loop of 16-byte moves. */
const COPY_LOOP_MAX: u32 = 512;

let first: usize = 0;

/** Where the first datagram of the super-frame that was cut last begins: VXLAN and headers, its payload where it always was. */
export function firstHead(): usize {
  return first;
}

/** Whether one of the extension headers, which classify has walked, is a routing header. */
function isRouted(ip: usize): bool {
  let header = ip + ipv6.LENGTH;
  let kind = ipv6.nextHeader(ip);
  while (ipv6.isExtension(kind)) {
    if (kind == ipv6.EXTENSION_ROUTING) return true;
    const next = ipv6.extensionNext(header);
    header += ipv6.extensionLength(header, kind);
    kind = next;
  }
  return false;
}

/** Whether the frame is what its gso type says, so that the loop below can trust every offset. */
function consistent(packet: Packet): bool {
  const l3: u32 = packet.l3;
  const l4: u32 = packet.l4;
  const payload: u32 = packet.payload;
  if (packet.segment == 0 || l3 == 0 || payload <= l4 || payload >= packet.length || packet.flags & FRAGMENT) return false;
  const ip = <usize>packet.offset + l3;
  if (packet.ethertype == ETHERTYPE_IPV4) {
    if (l4 != l3 + ipv4.headerLength(ip)) return false;
  } else if (packet.ethertype == ETHERTYPE_IPV6) {
    if (l4 < l3 + ipv6.LENGTH || (l4 != l3 + ipv6.LENGTH && isRouted(ip))) return false;
  } else {
    return false;
  }
  if (packet.gso == VNET_GSO_UDP_L4) return packet.protocol == IP_PROTOCOL_UDP && payload == l4 + UDP_HEADER_LENGTH;
  return packet.protocol == IP_PROTOCOL_TCP && payload >= l4 + tcp.LENGTH;
}

/** Sum of the IPv4 header at `ip` without what changes from segment to segment: total length, identification, checksum. */
// @ts-ignore: decorator
@inline function fixedIpv4(ip: usize): u64 {
  return (
    <u64>load<u16>(ip) + <u64>load<u16>(ip, 6) + <u64>load<u16>(ip, 8) + <u64>ipv4.source(ip) + <u64>ipv4.destination(ip) +
    sum(ip + ipv4.LENGTH, ipv4.headerLength(ip) - ipv4.LENGTH)
  );
}

/** Sum of the TCP header at `l4` without sequence, flags and checksum. */
// @ts-ignore: decorator
@inline function fixedTcp(l4: usize): u64 {
  return (
    <u64>load<u32>(l4) + <u64>load<u32>(l4, 8) + <u64>load<u8>(l4, 12) + <u64>load<u16>(l4, 14) + <u64>load<u16>(l4, 18) +
    sum(l4 + tcp.LENGTH, tcp.headerLength(l4) - tcp.LENGTH)
  );
}

/**
 * Whether the segments of a super-frame that leaves in the clear are copied into scratch, and take no header slots: small ones, and
 * those whose headers do not fit a slot (two tags, IPv6 and all TCP options).
 */
// @ts-ignore: decorator
@inline export function copiesSegments(packet: Packet): bool {
  return <u32>packet.segment <= COPY_MAX || ((<u32>packet.payload + 7) & ~7) + <u32>VXLAN_HEADER_LENGTH > <u32>HEADER_SLOT_LENGTH;
}

/** Sends the super-frame as datagrams into `run`, each behind `header`. False: dropped. */
export function segment(packet: Packet, run: runs.Run, header: u64): bool {
  return cut(packet, run, header, 0, changetype<SecurityAssociation>(0), 0);
}

/** The same inside ESP, by association `index`; `udpPort` is where the peer's tunnel listens. */
export function segmentSealed(
  packet: Packet, run: runs.Run, header: u64, index: u32, sa: SecurityAssociation, udpPort: u32,
): bool {
  return cut(packet, run, header, index, sa, udpPort);
}

// @ts-ignore: decorator
@inline function cut(
  packet: Packet, run: runs.Run, header: u64, index: u32, sa: SecurityAssociation, udpPort: u32,
): bool {
  const sealing = index != 0;
  if (!consistent(packet)) {
    drop(packet, DROP_BAD_GSO);
    return false;
  }
  const frame: usize = packet.offset;
  const l3: u32 = packet.l3;
  const l4: u32 = packet.l4;
  const headers: u32 = packet.payload;
  const size: u32 = packet.segment;
  const count = (packet.length - headers + size - 1) / size;
  const pieceLength = <u32>VXLAN_HEADER_LENGTH + headers;
  const copies = sealing || copiesSegments(packet);
  let next: usize = 0;
  if (copies) {
    next = arena.scratch(sealing ? count * seal.sealedLength(sa, pieceLength + size) : count * pieceLength + packet.length - headers);
    if (next == 0) {
      drop(packet, DROP_ENGINE_FULL);
      return false;
    }
  } else if (arena.headerSlotsLeft() < count) {
    drop(packet, DROP_ENGINE_FULL);
    return false;
  }

  const isTcp = packet.protocol == IP_PROTOCOL_TCP;
  const isIpv4 = packet.ethertype == ETHERTYPE_IPV4;
  const ip = frame + l3;
  const ipBase: u64 = isIpv4 ? <u64>fold(fixedIpv4(ip)) : 0;
  const pseudo = isIpv4 ? pseudoIpv4(ip, packet.protocol) : pseudoIpv6(ip, packet.protocol);
  const l4Base = <u64>fold(pseudo + (isTcp ? fixedTcp(frame + l4) : <u64>load<u32>(frame + l4)));
  const l4Header = headers - l4;
  const ipHeaders = l4 - l3;
  const identification = isIpv4 ? ipv4.identification(ip) : 0;
  const sequence = isTcp ? tcp.sequence(frame + l4) : 0;
  const flags = isTcp ? tcp.flags(frame + l4) : 0;

  let slice = frame + headers;
  let left = packet.length - headers;
  for (let i: u32 = 0; i < count; i++) {
    const length = min(size, left);
    const head = sealing ? seal.contentOf(next) : copies ? next : arena.headerSlot();
    if (i == 0) first = head;
    vxlan.write(head, header);
    const copy = head + VXLAN_HEADER_LENGTH;
    copy8(copy, frame, headers);

    const copyIp = copy + l3;
    const l4Length = l4Header + length;
    if (isIpv4) {
      const total = swap16(ipHeaders + l4Length);
      const id = swap16(identification + i);
      store<u16>(copyIp, <u16>total, 2);
      store<u16>(copyIp, <u16>id, 4);
      ipv4.setChecksumRaw(copyIp, complement(ipBase + <u64>total + <u64>id));
    } else {
      ipv6.setPayloadLength(copyIp, ipHeaders - ipv6.LENGTH + l4Length);
    }

    const copyL4 = copy + l4;
    const sumOfPayload = sum(slice, length);
    if (isTcp) {
      const position = bswap<u32>(sequence + i * size);
      let its = flags;
      if (left > size) its &= ~(tcp.FIN | tcp.PSH);
      if (i != 0) its &= ~tcp.CWR;
      store<u32>(copyL4, position, 4);
      tcp.setFlags(copyL4, its);
      tcp.setChecksumRaw(copyL4, complement(l4Base + <u64>position + <u64>(its << 8) + <u64>swap16(l4Length) + sumOfPayload));
    } else {
      const lengthField = swap16(l4Length);
      store<u16>(copyL4, <u16>lengthField, 4);
      // The length counts twice: in the header and in the pseudo-header.
      store<u16>(copyL4, <u16>complementNonZero(l4Base + <u64>lengthField + <u64>lengthField + sumOfPayload), 6);
    }

    if (sealing) {
      if (length <= COPY_LOOP_MAX) copy16(head + pieceLength, slice, length);
      else memory.copy(head + pieceLength, slice, length);
      next += seal.datagram(index, sa, run, i == 0 ? 1 : 0, next, pieceLength + length, packet.flow, udpPort);
    } else if (copies) {
      copy16(head + pieceLength, slice, length);
      next = head + pieceLength + length;
      runs.add(run, i == 0 ? 1 : 0, <u32>head, pieceLength + length, 0, 0);
    } else {
      runs.add(run, i == 0 ? 1 : 0, <u32>head, pieceLength, <u32>slice, length);
    }
    slice += length;
    left -= length;
  }
  add(COUNTER_GSO_SEGMENTED, 1);
  add(COUNTER_GSO_SEGMENTS, count);
  trace.mark(packet, EVENT_SEGMENTED, count, size, 0);
  return true;
}

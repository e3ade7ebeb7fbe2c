// A super-frame: the headers of an aggregate's first packet, amended to what the whole is, and the payloads of all.
//
//   │ vnet │ headers 0, amended │ + payload + payload + payl     no payload is copied
//
// But for payloads of at most COPY_MAX bytes: they are put side by side behind the headers, for one write of one piece
// costs the kernel less than 64 iovecs of 20 bytes.
//
// It leaves with NEEDS_CHECKSUM and the pseudo-header's sum, which says to the receiver: verified.
//
import {
  IOVEC_BYTES, IOVEC_LENGTH, IOVEC_OFFSET, VNET_FLAG_NEEDS_CHECKSUM, VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_UDP_L4, VNET_HEADER_LENGTH,
} from "../shared/abi";
import { GRO_SEGMENTS_MAX } from "../shared/limits";
import { ETHERTYPE_IPV4, IP_PROTOCOL_TCP } from "../shared/protocol";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";
import * as tcp from "../wire/tcp";
import * as udp from "../wire/udp";
import { Aggregate, PIECES } from "./aggregate";
import * as arena from "./arena";
import { copy16, copy8 } from "./bytes";
import { complement, fold, pseudoIpv4, pseudoIpv6, sum, swap16 } from "./checksum";
import { writeVnetHeader } from "./deliver";
import { Packet } from "./packet";
import * as transmit from "./transmit";

const COPY_MAX: u32 = 128;

// @ts-ignore: decorator
@inline export function addPayload(aggregate: Aggregate, packet: Packet, position: u32): void {
  const payload = packet.offset + packet.payload;
  const length = packet.length - packet.payload;
  if (aggregate.end != 0) {
    copy16(aggregate.end, payload, length);
    aggregate.end += length;
    return;
  }
  const iovec = changetype<usize>(aggregate) + PIECES + <usize>position * IOVEC_LENGTH;
  store<u32>(iovec, payload, IOVEC_OFFSET);
  store<u32>(iovec, length, IOVEC_BYTES);
}

/** Gives the aggregate, which is one packet so far, the headers of a super-frame. False: no room for them. */
export function grow(aggregate: Aggregate): bool {
  const headers: u32 = VNET_HEADER_LENGTH + aggregate.payload;
  const copies = aggregate.size <= COPY_MAX;
  const header = copies ? arena.scratch(headers + aggregate.size * GRO_SEGMENTS_MAX) : arena.headerSlot();
  if (header == 0) return false;
  copy8(header + VNET_HEADER_LENGTH, aggregate.offset, aggregate.payload);
  aggregate.header = <u32>header;
  aggregate.end = copies ? <u32>header + headers : 0;
  addPayload(aggregate, aggregate, 0);
  return true;
}

/** Amends the headers to what the whole is, and writes its transmit descriptor, for which there must be room. */
export function compose(aggregate: Aggregate): void {
  const isTcp = aggregate.protocol == IP_PROTOCOL_TCP;
  const isIpv4 = aggregate.ethertype == ETHERTYPE_IPV4;
  const header: usize = aggregate.header;
  const ip = header + VNET_HEADER_LENGTH + aggregate.l3;
  const l4 = header + VNET_HEADER_LENGTH + aggregate.l4;
  const headers: u32 = aggregate.payload;
  const l4Length = headers - aggregate.l4 + aggregate.bytes;
  let pseudo: u64;
  if (isIpv4) {
    ipv4.setTotalLength(ip, ipv4.LENGTH + l4Length);
    ipv4.setChecksumRaw(ip, 0);
    ipv4.setChecksumRaw(ip, complement(sum(ip, ipv4.LENGTH)));
    pseudo = pseudoIpv4(ip, aggregate.protocol);
  } else {
    ipv6.setPayloadLength(ip, l4Length);
    pseudo = pseudoIpv6(ip, aggregate.protocol);
  }
  const partial = fold(pseudo + <u64>swap16(l4Length));
  if (isTcp) {
    tcp.setChecksumRaw(l4, partial);
  } else {
    udp.setDatagramLength(l4, l4Length);
    udp.setChecksumRaw(l4, partial);
  }
  writeVnetHeader(
    header, VNET_FLAG_NEEDS_CHECKSUM, isTcp ? (isIpv4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6) : VNET_GSO_UDP_L4, headers,
    aggregate.size, aggregate.l4, isTcp ? tcp.CHECKSUM : udp.CHECKSUM,
  );
  const segments = aggregate.segments;
  const descriptor = transmit.begin(aggregate.toPort, 0, segments);
  if (aggregate.end != 0) {
    transmit.piece(descriptor, aggregate.header, aggregate.end - aggregate.header);
  } else {
    transmit.piece(descriptor, aggregate.header, VNET_HEADER_LENGTH + headers);
    transmit.pieces(descriptor, changetype<usize>(aggregate) + PIECES, segments, aggregate.bytes);
  }
}

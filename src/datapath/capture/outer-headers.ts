// IP and UDP headers of the underlay's datagrams, made up again. Sockets give and take payloads; the headers are the kernel's.
// But a VXLAN capture without them is noise to tshark, so they are rebuilt from what sockets tell.
//
//   as on the wire    addresses, ports, lengths
//   made up           TTL or hop limit (64), DSCP, ECN and flow label (0), identification (0), fragmentation (none), and the
//                     UDP checksum: right for what was received or sent, which is what the kernel has verified or will write;
//                     only that a sender may have left it out can't be seen
//
// Bare ESP has an IP header only, and of IPv4 not even that is made up for what was received: raw sockets give it.
//
// There is no Ethernet header: nothing is known of MACs, and LINKTYPE_RAW needs none. So none is invented.
import { IP_PROTOCOL_UDP, IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH, UDP_HEADER_LENGTH } from "../../../wasm/shared/protocol.ts";
import { complement, sum } from "../internet-checksum.ts";

const HOPS = 64;
const IPV4_MAPPED_PREFIX = 12;
/** What an IPv4 total length, an IPv6 payload length and a UDP length can say. */
const LENGTH_MAX = 0xffff;

export interface OuterHeaders {
  /** Addresses in their 16-byte form, IPv4 as ::ffff:a.b.c.d. */
  readonly source: Uint8Array;
  readonly sourcePort: number;
  readonly destination: Uint8Array;
  readonly destinationPort: number;
  readonly payloadLength: number;
  /** Sum of all of the payload. */
  readonly payloadSum: number;
}

export interface IpEnds {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  readonly payloadLength: number;
}

export function isMapped(address: Uint8Array): boolean {
  return address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff;
}

/** An IP header, to be put before the payload of `protocol`. */
export function ipHeader({ source, destination, protocol, payloadLength }: IpEnds): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(isMapped(source) ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH);
  const view = new DataView(header.buffer);
  if (isMapped(source)) {
    header[0] = 0x45;
    view.setUint16(2, Math.min(IPV4_HEADER_LENGTH + payloadLength, LENGTH_MAX));
    header[8] = HOPS;
    header[9] = protocol;
    header.set(source.subarray(IPV4_MAPPED_PREFIX, 16), 12);
    header.set(destination.subarray(IPV4_MAPPED_PREFIX, 16), 16);
    view.setUint16(10, complement(sum(header, 0, IPV4_HEADER_LENGTH)));
  } else {
    header[0] = 0x60;
    view.setUint16(4, Math.min(payloadLength, LENGTH_MAX));
    header[6] = protocol;
    header[7] = HOPS;
    header.set(source, 8);
    header.set(destination, 24);
  }
  return header;
}

/** IP and UDP header, to be put before the payload. */
export function outerHeaders(outer: OuterHeaders): Uint8Array<ArrayBuffer> {
  const udpLength = Math.min(UDP_HEADER_LENGTH + outer.payloadLength, LENGTH_MAX);
  const ip = ipHeader({ ...outer, protocol: IP_PROTOCOL_UDP, payloadLength: udpLength });
  const headers = new Uint8Array(ip.length + UDP_HEADER_LENGTH);
  headers.set(ip);
  const view = new DataView(headers.buffer);
  view.setUint16(ip.length, outer.sourcePort);
  view.setUint16(ip.length + 2, outer.destinationPort);
  view.setUint16(ip.length + 4, udpLength);
  const addresses = isMapped(outer.source) ? sum(headers, 12, 8) : sum(headers, 8, 32);
  const checksum = complement(addresses + IP_PROTOCOL_UDP + udpLength + sum(headers, ip.length, 6) + outer.payloadSum);
  view.setUint16(ip.length + 6, checksum === 0 ? 0xffff : checksum); // 0 would say that there is none (RFC 768)
  return headers;
}

// Transport: protocol and ports of an IP packet, for who judges it by them. What classify notes of a packet is for those who
// change bytes, and so says nothing of fragments and of SCTP; this looks again, at whatever bytes there are.
//
// in   an IP header, and how many bytes there are from it on: a whole packet, or as much of one as an ICMP error quotes
// out  protocol; source and destination port where it has some; whether it is a later fragment, which has no ports
//
// A fragment's ports stand in the first one alone: offsets count in units of 8 bytes, so no later one can overwrite them.
// Of IPv6 fragments the first must have its transport header right behind the fragment's (RFC 7112 wants the whole chain in it,
// which senders keep short); one that has more headers there is not read.
//
// not here: checksums, lengths of the transport's own.
//
import { IP_PROTOCOL_SCTP, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../shared/protocol";
import * as ipv4 from "../wire/ipv4";
import * as ipv6 from "../wire/ipv6";

/** More extension headers than that nobody sends. */
const EXTENSIONS_MAX: u32 = 8;
/** Both ports: where TCP, UDP, UDP-Lite, DCCP and SCTP have them. */
const PORTS_LENGTH: u32 = 4;

let protocolRead: u32 = 0;
let portsRead: u32 = 0;
let laterRead: bool = false;
let behindRead: u32 = 0;

/** Reads `length` bytes from the IP header at `ip` on; false if they don't show a transport's protocol, and its ports if it has some. */
export function read(ip: usize, length: u32): bool {
  laterRead = false;
  portsRead = 0;
  if (length == 0) return false;
  const version = load<u8>(ip) >> 4;
  if (version == 4 ? !readIpv4(ip, length) : version != 6 || !readIpv6(ip, length)) return false;
  if (laterRead || !hasPorts(protocolRead)) return true;
  if (behindRead + PORTS_LENGTH > length) return false;
  portsRead = load<u32>(ip + behindRead);
  return true;
}

// @ts-ignore: decorator
@inline export function protocol(): u32 {
  return protocolRead;
}

// @ts-ignore: decorator
@inline export function source(): u32 {
  return <u32>bswap<u16>(<u16>portsRead);
}

// @ts-ignore: decorator
@inline export function destination(): u32 {
  return <u32>bswap<u16>(<u16>(portsRead >> 16));
}

/** A fragment behind the first. */
// @ts-ignore: decorator
@inline export function isLater(): bool {
  return laterRead;
}

/** Bytes from the IP header to the transport's. */
// @ts-ignore: decorator
@inline export function behind(): u32 {
  return behindRead;
}

// @ts-ignore: decorator
@inline export function hasPorts(protocol: u32): bool {
  return protocol == <u32>IP_PROTOCOL_TCP || protocol == <u32>IP_PROTOCOL_UDP || protocol == <u32>IP_PROTOCOL_SCTP;
}

function readIpv4(ip: usize, length: u32): bool {
  if (length < ipv4.LENGTH) return false;
  behindRead = ipv4.headerLength(ip);
  if (behindRead < ipv4.LENGTH) return false;
  protocolRead = ipv4.protocol(ip);
  laterRead = ipv4.isLaterFragment(ip);
  return true;
}

function readIpv6(ip: usize, length: u32): bool {
  if (length < ipv6.LENGTH) return false;
  let at = ipv6.LENGTH;
  let next = ipv6.nextHeader(ip);
  let piece = false;
  for (let steps: u32 = 0; ipv6.isExtension(next); steps++) {
    if (steps == EXTENSIONS_MAX || piece || at + ipv6.EXTENSION_LENGTH_MIN > length) return false;
    const header = ip + at;
    if (next == ipv6.EXTENSION_FRAGMENT) {
      piece = ipv6.isPiece(header);
      laterRead = ipv6.fragmentOffset(header) != 0;
    }
    at += ipv6.extensionLength(header, next);
    next = ipv6.extensionNext(header);
    if (laterRead) break;
  }
  behindRead = at;
  protocolRead = next;
  return true;
}

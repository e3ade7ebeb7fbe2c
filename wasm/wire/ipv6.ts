// IPv6 header, RFC 8200 section 3, and the extension headers that stand in front of the L4 header (section 4). Accessors are
// in host order and assume `fits`; addresses are 16 bytes in place.
//
//    0                   1                   2                   3
//   +-------+---------------+---------------------------------------+
//   |Version| Traffic Class |           Flow Label                  |
//   +-------+---------------+-------+---------------+---------------+
//   |         Payload Length        |  Next Header  |   Hop Limit   |
//   +-------------------------------+---------------+---------------+
//   |                       Source Address (16)                     |
//   |                    Destination Address (16)                   |
//   +---------------------------------------------------------------+
//
//   extension:  | Next Header | Length / 8 - 1 | ...
//   fragment:   | Next Header | 0 | Offset:13 0:2 M:1 | Identification:32 |   always 8 bytes
//
// Not here: jumbograms (RFC 2675; payload length 0 means an empty packet), AH and ESP, which end the search for L4.
//
export const LENGTH: u32 = 40;
const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SOURCE = 8;
const DESTINATION = 24;

export const EXTENSION_HOP_BY_HOP: u32 = 0;
export const EXTENSION_ROUTING: u32 = 43;
export const EXTENSION_FRAGMENT: u32 = 44;
export const EXTENSION_DESTINATION: u32 = 60;
export const EXTENSION_LENGTH_MIN: u32 = 8;

/** Whether `length` bytes at `p` hold the header and the payload that it claims. */
// @ts-ignore: decorator
@inline export function fits(p: usize, length: u32): bool {
  return length >= LENGTH && load<u8>(p) >> 4 == 6 && LENGTH + payloadLength(p) <= length;
}

// @ts-ignore: decorator
@inline export function payloadLength(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, PAYLOAD_LENGTH));
}

// @ts-ignore: decorator
@inline export function nextHeader(p: usize): u32 {
  return load<u8>(p, NEXT_HEADER);
}

// @ts-ignore: decorator
@inline export function hopLimit(p: usize): u32 {
  return load<u8>(p, HOP_LIMIT);
}

/** Where the source address stands. */
// @ts-ignore: decorator
@inline export function source(p: usize): usize {
  return p + SOURCE;
}

/** Where the destination address stands. */
// @ts-ignore: decorator
@inline export function destination(p: usize): usize {
  return p + DESTINATION;
}

/** Whether the 16 bytes at `address` can be one host's: not unspecified, loopback (::/127) or multicast. */
// @ts-ignore: decorator
@inline export function isHost(address: usize): bool {
  return load<u8>(address) != 0xff && !(load<u64>(address) == 0 && (load<u64>(address, 8) & 0xfeffffffffffffff) == 0);
}

/** Whether the 16 bytes at `address` are ::. */
// @ts-ignore: decorator
@inline export function isUnspecified(address: usize): bool {
  return (load<u64>(address) | load<u64>(address, 8)) == 0;
}

// @ts-ignore: decorator
@inline export function isMulticast(address: usize): bool {
  return load<u8>(address) == 0xff;
}

/** Whether `next` is an extension header that this file can step over. */
// @ts-ignore: decorator
@inline export function isExtension(next: u32): bool {
  return next == EXTENSION_HOP_BY_HOP || next == EXTENSION_ROUTING || next == EXTENSION_FRAGMENT || next == EXTENSION_DESTINATION;
}

/** Bytes of the extension header at `p`; 8 bytes of it are there. */
// @ts-ignore: decorator
@inline export function extensionLength(p: usize, kind: u32): u32 {
  return kind == EXTENSION_FRAGMENT ? 8 : (<u32>load<u8>(p, 1) + 1) << 3;
}

// @ts-ignore: decorator
@inline export function extensionNext(p: usize): u32 {
  return load<u8>(p);
}

/** Fragment header at `p`: the offset in bytes. */
// @ts-ignore: decorator
@inline export function fragmentOffset(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, 2)) & 0xfff8;
}

/** Fragment header at `p`: whether it is a piece (an atomic fragment, RFC 6946, is whole). */
// @ts-ignore: decorator
@inline export function isPiece(p: usize): bool {
  return (<u32>bswap<u16>(load<u16>(p, 2)) & 0xfff9) != 0;
}

// @ts-ignore: decorator
@inline export function setPayloadLength(p: usize, length: u32): void {
  store<u16>(p, bswap<u16>(<u16>length), PAYLOAD_LENGTH);
}

/** Writes all but the addresses: traffic class and flow label 0. */
// @ts-ignore: decorator
@inline export function write(p: usize, payloadLength: u32, nextHeader: u32, hopLimit: u32): void {
  store<u32>(p, 0x60);
  store<u16>(p, bswap<u16>(<u16>payloadLength), PAYLOAD_LENGTH);
  store<u8>(p, <u8>nextHeader, NEXT_HEADER);
  store<u8>(p, <u8>hopLimit, HOP_LIMIT);
}

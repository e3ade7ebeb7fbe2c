// IPv4 header, RFC 791 section 3.1. Accessors are in host order and assume `fits`; addresses are as loaded (network order).
//
//    0                   1                   2                   3
//   +-------+-------+---------------+-------------------------------+
//   |Version|  IHL  |Type of Service|          Total Length         |
//   +-------+-------+---------------+-----+-------------------------+
//   |         Identification        |Flags|      Fragment Offset    |
//   +---------------+---------------+-----+-------------------------+
//   |  Time to Live |    Protocol   |         Header Checksum       |
//   +---------------+---------------+-------------------------------+
//   |                       Source Address                          |
//   |                    Destination Address                        |
//   +---------------------------------------------------------------+
//
export const LENGTH: u32 = 20;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;

export const FLAG_DONT_FRAGMENT: u32 = 0x4000;
export const FLAG_MORE_FRAGMENTS: u32 = 0x2000;
const OFFSET_MASK: u32 = 0x1fff;

/**
 * Whether `length` bytes at `p` hold the header and all that its total length claims. Bytes behind that are padding, which
 * Ethernet's minimum makes legal.
 */
// @ts-ignore: decorator
@inline export function fits(p: usize, length: u32): bool {
  return length >= LENGTH && load<u8>(p) >> 4 == 4 && headerLength(p) >= LENGTH && headerLength(p) <= totalLength(p) && totalLength(p) <= length;
}

/** 20..60. */
// @ts-ignore: decorator
@inline export function headerLength(p: usize): u32 {
  return (<u32>load<u8>(p) & 15) << 2;
}

// @ts-ignore: decorator
@inline export function tos(p: usize): u32 {
  return load<u8>(p, 1);
}

// @ts-ignore: decorator
@inline export function totalLength(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, TOTAL_LENGTH));
}

// @ts-ignore: decorator
@inline export function identification(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, IDENTIFICATION));
}

/** The flags and fragment offset word. */
// @ts-ignore: decorator
@inline export function fragment(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, FRAGMENT));
}

/** A piece of a fragmented packet, the first one included. */
// @ts-ignore: decorator
@inline export function isFragment(p: usize): bool {
  return (fragment(p) & (FLAG_MORE_FRAGMENTS | OFFSET_MASK)) != 0;
}

/** A piece without the L4 header. */
// @ts-ignore: decorator
@inline export function isLaterFragment(p: usize): bool {
  return (fragment(p) & OFFSET_MASK) != 0;
}

// @ts-ignore: decorator
@inline export function ttl(p: usize): u32 {
  return load<u8>(p, TTL);
}

// @ts-ignore: decorator
@inline export function protocol(p: usize): u32 {
  return load<u8>(p, PROTOCOL);
}

// @ts-ignore: decorator
@inline export function checksum(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, CHECKSUM));
}

/** Network order, as loaded. */
// @ts-ignore: decorator
@inline export function source(p: usize): u32 {
  return load<u32>(p, SOURCE);
}

/** Network order, as loaded. */
// @ts-ignore: decorator
@inline export function destination(p: usize): u32 {
  return load<u32>(p, DESTINATION);
}

/** Source and destination as one number: a key. */
// @ts-ignore: decorator
@inline export function addresses(p: usize): u64 {
  return load<u64>(p, SOURCE);
}

/** Whether `address` (as loaded) can be one host's: not 0.0.0.0/8, loopback, multicast, reserved or broadcast. */
// @ts-ignore: decorator
@inline export function isHost(address: u32): bool {
  const first = address & 0xff;
  return first != 0 && first != 127 && first < 224;
}

/** Writes all but addresses and checksum: no options, no fragment, identification 0 (RFC 6864 section 4.1 allows it with DF). */
// @ts-ignore: decorator
@inline export function write(p: usize, totalLength: u32, protocol: u32, ttl: u32): void {
  store<u32>(p, 0x45);
  setTotalLength(p, totalLength);
  store<u32>(p, 0x40 << 16, IDENTIFICATION);
  setTtl(p, ttl);
  setProtocol(p, protocol);
  setChecksumRaw(p, 0);
}

// @ts-ignore: decorator
@inline export function setTotalLength(p: usize, length: u32): void {
  store<u16>(p, bswap<u16>(<u16>length), TOTAL_LENGTH);
}

// @ts-ignore: decorator
@inline export function setTtl(p: usize, ttl: u32): void {
  store<u8>(p, <u8>ttl, TTL);
}

// @ts-ignore: decorator
@inline export function setProtocol(p: usize, protocol: u32): void {
  store<u8>(p, <u8>protocol, PROTOCOL);
}

/** `sum` as it goes into the field: bytes in network order, loaded as little-endian. */
// @ts-ignore: decorator
@inline export function setChecksumRaw(p: usize, sum: u32): void {
  store<u16>(p, <u16>sum, CHECKSUM);
}

// @ts-ignore: decorator
@inline export function setSource(p: usize, address: u32): void {
  store<u32>(p, address, SOURCE);
}

// @ts-ignore: decorator
@inline export function setDestination(p: usize, address: u32): void {
  store<u32>(p, address, DESTINATION);
}

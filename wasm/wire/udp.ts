// UDP header, RFC 768. Accessors are in host order and assume `fits`.
//
//    0                   1                   2                   3
//   +-------------------------------+-------------------------------+
//   |          Source Port          |       Destination Port        |
//   |            Length             |           Checksum            |
//   +-------------------------------+-------------------------------+
//
// A checksum of 0 means none was computed (IPv4, and IPv6 tunnels by RFC 6935); a computed 0 is sent as 0xffff.
//
export const LENGTH: u32 = 8;
const DESTINATION_PORT = 2;
const UDP_LENGTH = 4;
export const CHECKSUM: u32 = 6;

/** Whether `length` bytes at `p` hold the header and what its length field claims. */
// @ts-ignore: decorator
@inline export function fits(p: usize, length: u32): bool {
  return length >= LENGTH && datagramLength(p) >= LENGTH && datagramLength(p) <= length;
}

// @ts-ignore: decorator
@inline export function sourcePort(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p));
}

// @ts-ignore: decorator
@inline export function destinationPort(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, DESTINATION_PORT));
}

/** Both ports as loaded: a key. */
// @ts-ignore: decorator
@inline export function ports(p: usize): u32 {
  return load<u32>(p);
}

/** Header included. */
// @ts-ignore: decorator
@inline export function datagramLength(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, UDP_LENGTH));
}

/** As loaded: bytes in network order. */
// @ts-ignore: decorator
@inline export function checksumRaw(p: usize): u32 {
  return load<u16>(p, CHECKSUM);
}

// @ts-ignore: decorator
@inline export function setDatagramLength(p: usize, length: u32): void {
  store<u16>(p, bswap<u16>(<u16>length), UDP_LENGTH);
}

/** `sum` as it goes into the field: bytes in network order, loaded as little-endian. */
// @ts-ignore: decorator
@inline export function setChecksumRaw(p: usize, sum: u32): void {
  store<u16>(p, <u16>sum, CHECKSUM);
}

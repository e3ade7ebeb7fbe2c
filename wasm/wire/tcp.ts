// TCP header, RFC 9293 section 3.1. Accessors are in host order and assume `fits`.
//
//    0                   1                   2                   3
//   +-------------------------------+-------------------------------+
//   |          Source Port          |       Destination Port        |
//   |                        Sequence Number                        |
//   |                    Acknowledgment Number                      |
//   +-------+-------+---------------+-------------------------------+
//   |  Data |Reserv.|C E U A P R S F|            Window             |
//   | Offset|       |               |                               |
//   +-------+-------+---------------+-------------------------------+
//   |           Checksum            |         Urgent Pointer        |
//   |                    [Options], Data                            |
//   +---------------------------------------------------------------+
//
export const LENGTH: u32 = 20;
const DESTINATION_PORT = 2;
const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
export const CHECKSUM: u32 = 16;

export const FIN: u32 = 1;
export const SYN: u32 = 2;
export const RST: u32 = 4;
export const PSH: u32 = 8;
export const ACK: u32 = 16;
export const URG: u32 = 32;
export const ECE: u32 = 64;
export const CWR: u32 = 128;

export const OPTION_END: u32 = 0;
export const OPTION_NOP: u32 = 1;
export const OPTION_MSS: u32 = 2;
export const OPTION_MSS_LENGTH: u32 = 4;

/** Whether `length` bytes at `p` hold the header with its options. */
// @ts-ignore: decorator
@inline export function fits(p: usize, length: u32): bool {
  return length >= LENGTH && headerLength(p) >= LENGTH && headerLength(p) <= length;
}

/** 20..60. */
// @ts-ignore: decorator
@inline export function headerLength(p: usize): u32 {
  return (<u32>load<u8>(p, DATA_OFFSET) >> 4) << 2;
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

// @ts-ignore: decorator
@inline export function sequence(p: usize): u32 {
  return bswap<u32>(load<u32>(p, SEQUENCE));
}

// @ts-ignore: decorator
@inline export function acknowledgment(p: usize): u32 {
  return bswap<u32>(load<u32>(p, ACKNOWLEDGMENT));
}

// @ts-ignore: decorator
@inline export function flags(p: usize): u32 {
  return load<u8>(p, FLAGS);
}

// @ts-ignore: decorator
@inline export function window(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, WINDOW));
}

/** As loaded: bytes in network order. */
// @ts-ignore: decorator
@inline export function checksumRaw(p: usize): u32 {
  return load<u16>(p, CHECKSUM);
}

// @ts-ignore: decorator
@inline export function setSequence(p: usize, sequence: u32): void {
  store<u32>(p, bswap<u32>(sequence), SEQUENCE);
}

// @ts-ignore: decorator
@inline export function setFlags(p: usize, flags: u32): void {
  store<u8>(p, <u8>flags, FLAGS);
}

/** `sum` as it goes into the field: bytes in network order, loaded as little-endian. */
// @ts-ignore: decorator
@inline export function setChecksumRaw(p: usize, sum: u32): void {
  store<u16>(p, <u16>sum, CHECKSUM);
}

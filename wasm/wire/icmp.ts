// ICMP, RFC 792, and the one error that the engine originates and hears: "fragmentation needed" with the next hop's MTU (RFC 1191).
//
//   0      1      2          4        6              8
//   ┌──────┬──────┬──────────┬────────┬──────────────┬──────────────────────────────────────
//   │ type │ code │ checksum │ unused │ next-hop MTU │ the offending packet, from its IP header on
//   └──────┴──────┴──────────┴────────┴──────────────┴──────────────────────────────────────
//
export const LENGTH: u32 = 8;
const CHECKSUM = 2;
const NEXT_HOP_MTU = 6;

export const DESTINATION_UNREACHABLE: u32 = 3;
export const CODE_FRAGMENTATION_NEEDED: u32 = 4;
const SOURCE_QUENCH: u32 = 4;
const REDIRECT: u32 = 5;
const TIME_EXCEEDED: u32 = 11;
const PARAMETER_PROBLEM: u32 = 12;

// @ts-ignore: decorator
@inline export function type(p: usize): u32 {
  return load<u8>(p);
}

// @ts-ignore: decorator
@inline export function isFragmentationNeeded(p: usize): bool {
  return load<u16>(p) == (DESTINATION_UNREACHABLE | (CODE_FRAGMENTATION_NEEDED << 8));
}

// @ts-ignore: decorator
@inline export function nextHopMtu(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, NEXT_HOP_MTU));
}

/** Error messages are never answered by errors (RFC 1122 section 3.2.2). */
// @ts-ignore: decorator
@inline export function isError(type: u32): bool {
  return type == DESTINATION_UNREACHABLE || type == SOURCE_QUENCH || type == REDIRECT || type == TIME_EXCEEDED || type == PARAMETER_PROBLEM;
}

/** Writes the header with a checksum of 0. */
// @ts-ignore: decorator
@inline export function writeFragmentationNeeded(p: usize, mtuBytes: u32): void {
  store<u64>(p, DESTINATION_UNREACHABLE | (CODE_FRAGMENTATION_NEEDED << 8));
  store<u16>(p, bswap<u16>(<u16>min<u32>(mtuBytes, 65535)), NEXT_HOP_MTU);
}

/** `sum` as it goes into the field: bytes in network order, loaded as little-endian. */
// @ts-ignore: decorator
@inline export function setChecksumRaw(p: usize, sum: u32): void {
  store<u16>(p, <u16>sum, CHECKSUM);
}

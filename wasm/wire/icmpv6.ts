// ICMPv6, RFC 4443, and the one error that the engine originates and hears: "packet too big" (section 3.2). Neighbour discovery is in
// ndp.ts.
//
//   0      1      2          4           8
//   ┌──────┬──────┬──────────┬───────────┬──────────────────────────────────────────────────────
//   │ type │ code │ checksum │ MTU       │ the offending packet, as much as 1280 bytes in all allow
//   └──────┴──────┴──────────┴───────────┴──────────────────────────────────────────────────────
//
export const LENGTH: u32 = 8;
const CODE = 1;
const CHECKSUM = 2;
const MTU = 4;

export const PACKET_TOO_BIG: u32 = 2;

// @ts-ignore: decorator
@inline export function type(p: usize): u32 {
  return load<u8>(p);
}

// @ts-ignore: decorator
@inline export function code(p: usize): u32 {
  return load<u8>(p, CODE);
}

/** Of a "packet too big". */
// @ts-ignore: decorator
@inline export function mtu(p: usize): u32 {
  return bswap<u32>(load<u32>(p, MTU));
}

/** Types below 128 are errors (section 2.1), and errors are never answered by errors. */
// @ts-ignore: decorator
@inline export function isError(type: u32): bool {
  return type < 128;
}

/** Writes the header with a checksum of 0. */
// @ts-ignore: decorator
@inline export function writePacketTooBig(p: usize, mtuBytes: u32): void {
  store<u32>(p, PACKET_TOO_BIG);
  store<u32>(p, bswap<u32>(mtuBytes), MTU);
}

/** `sum` as it goes into the field: bytes in network order, loaded as little-endian. */
// @ts-ignore: decorator
@inline export function setChecksumRaw(p: usize, sum: u32): void {
  store<u16>(p, <u16>sum, CHECKSUM);
}

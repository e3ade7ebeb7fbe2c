// Neighbour discovery, RFC 4861: solicitation (section 4.3) and advertisement (4.4). Both are ICMPv6 with one address.
//
//   0      1      2          4               8                24
//   ┌──────┬──────┬──────────┬───────────────┬────────────────┬────────────────────────────────┐
//   │ type │ code │ checksum │ flags:3       │ target address │ option: type, length / 8, MAC  │ 32
//   └──────┴──────┴──────────┴───────────────┴────────────────┴────────────────────────────────┘
//
export const SOLICITATION: u32 = 135;
export const ADVERTISEMENT: u32 = 136;
export const LENGTH: u32 = 24;
/** An advertisement with the target's link-layer address. */
export const ADVERTISEMENT_LENGTH: u32 = 32;
/** Neighbour discovery that crossed a router is forged (section 7.1). */
export const HOP_LIMIT: u32 = 255;

const CHECKSUM = 2;
const TARGET = 8;
const OPTION: u32 = 24;
const FLAGS_SOLICITED_OVERRIDE: u32 = 0x60000000; // S and O; R is clear: the target may be no router
const OPTION_TARGET_LINK_LAYER: u64 = 0x0102; // type 2, one unit of 8 bytes, as little-endian

/** Whether the options behind the address, of a message of `length` bytes, have a length each and end with it (section 7.1.1). */
export function optionsFit(p: usize, length: u32): bool {
  let at = OPTION;
  while (at + 2 <= length) {
    const units: u32 = load<u8>(p + at, 1);
    if (units == 0) return false;
    at += units << 3;
  }
  return at == length;
}

/** Where the target address stands. */
// @ts-ignore: decorator
@inline export function target(p: usize): usize {
  return p + TARGET;
}

/** Writes a solicited, overriding advertisement: `target` (16 bytes there) is at `mac`. The checksum is 0. */
export function writeAdvertisement(p: usize, target: usize, mac: u64): void {
  store<u32>(p, ADVERTISEMENT);
  store<u32>(p, bswap<u32>(FLAGS_SOLICITED_OVERRIDE), 4);
  v128.store(p + TARGET, v128.load(target));
  store<u64>(p, OPTION_TARGET_LINK_LAYER | (bswap<u64>(mac << 16) << 16), OPTION);
}

/** `sum` as it goes into the field: bytes in network order, loaded as little-endian. */
// @ts-ignore: decorator
@inline export function setChecksumRaw(p: usize, sum: u32): void {
  store<u16>(p, <u16>sum, CHECKSUM);
}

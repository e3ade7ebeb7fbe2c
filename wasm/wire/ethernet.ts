// Ethernet II header, IEEE 802.3 clause 3. MACs are the six bytes as one big-endian number in a u64.
//
//   0             6             12       14
//   ┌─────────────┬─────────────┬────────┬─────────
//   │ destination │ source      │ type   │ payload
//   └─────────────┴─────────────┴────────┴─────────
//
// The contract: the frame has at least LENGTH bytes. Loads of 8 bytes at 0 and 6 stay inside them.
//
export const LENGTH: u32 = 14;
const SOURCE = 6;
const TYPE = 12;

export const BROADCAST: u64 = 0xffffffffffff;

// @ts-ignore: decorator
@inline export function destination(frame: usize): u64 {
  return bswap<u64>(load<u64>(frame)) >> 16;
}

// @ts-ignore: decorator
@inline export function source(frame: usize): u64 {
  return bswap<u64>(load<u64>(frame, SOURCE)) >> 16;
}

/** What stands behind the MACs: a protocol, or a VLAN tag's. */
// @ts-ignore: decorator
@inline export function type(frame: usize): u32 {
  return <u32>bswap<u16>(load<u16>(frame, TYPE));
}

/** Group bit of the destination: multicast or broadcast. */
// @ts-ignore: decorator
@inline export function isMulticast(frame: usize): bool {
  return (load<u8>(frame) & 1) != 0;
}

// @ts-ignore: decorator
@inline export function isSourceMulticast(frame: usize): bool {
  return (load<u8>(frame, SOURCE) & 1) != 0;
}

/** 01:80:c2:00:00:0x, IEEE 802.1D table 7-10: STP, pause, LACP and their like end at the first bridge. */
// @ts-ignore: decorator
@inline export function isReserved(frame: usize): bool {
  return load<u32>(frame) == 0x00c28001 && (load<u16>(frame, 4) & 0xf0ff) == 0;
}

// @ts-ignore: decorator
@inline export function setDestination(frame: usize, mac: u64): void {
  store<u32>(frame, bswap<u32>(<u32>(mac >> 16)));
  store<u16>(frame, bswap<u16>(<u16>mac), 4);
}

// @ts-ignore: decorator
@inline export function setSource(frame: usize, mac: u64): void {
  store<u32>(frame, bswap<u32>(<u32>(mac >> 16)), SOURCE);
  store<u16>(frame, bswap<u16>(<u16>mac), SOURCE + 4);
}

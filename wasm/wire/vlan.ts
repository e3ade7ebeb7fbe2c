// VLAN tag, IEEE 802.1Q clause 9: stands between the MACs and the type; 802.1ad puts a second one in front of it.
//
//   12     14                  16
//   ┌──────┬───────────────────┬──────
//   │ TPID │ PCP:3 DEI:1 VID:12│ type      TPID 0x8100 (C-tag) or 0x88a8 (S-tag)
//   └──────┴───────────────────┴──────
//
// Tags of stations are theirs: the engine reads past them to find IP. It adds and removes the outermost one only, on macvlan
// parents. The contract: LENGTH bytes and the type behind are there.
//
import { ETHERTYPE_QINQ, ETHERTYPE_VLAN } from "../shared/protocol";

export const LENGTH: u32 = 4;
export const VID_MASK: u32 = 0xfff;

/** Whether the type field at hand announces a tag. */
// @ts-ignore: decorator
@inline export function isTag(type: u32): bool {
  return type == <u32>ETHERTYPE_VLAN || type == <u32>ETHERTYPE_QINQ;
}

/** The VLAN of the tag whose TPID stands at `p`; 0: it gives a priority and no VLAN. */
// @ts-ignore: decorator
@inline export function vid(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, 2)) & VID_MASK;
}

/** Writes a tag. */
// @ts-ignore: decorator
@inline export function write(p: usize, tpid: u32, tci: u32): void {
  store<u32>(p, bswap<u32>((tpid << 16) | (tci & 0xffff)));
}

/** Moves the MACs of the frame at `frame` by LENGTH bytes: towards its end (a tag goes) or its start (one comes). */
// @ts-ignore: decorator
@inline export function moveMacs(frame: usize, to: usize): void {
  const first = load<u64>(frame);
  const rest = load<u32>(frame, 8);
  store<u64>(to, first);
  store<u32>(to, rest, 8);
}

/** The type behind a tag whose TPID stands at `p`. */
// @ts-ignore: decorator
@inline export function typeBehind(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, 4));
}

// VLAN tag, IEEE 802.1Q clause 9: stands between the MACs and the type; 802.1ad puts a second one in front of it.
//
//   12     14                  16
//   ┌──────┬───────────────────┬──────
//   │ TPID │ PCP:3 DEI:1 VID:12│ type      TPID 0x8100 (C-tag) or 0x88a8 (S-tag)
//   └──────┴───────────────────┴──────
//
// The engine reads past tags to find IP and never changes them. The contract: LENGTH bytes and the type behind are there.
//
import { ETHERTYPE_QINQ, ETHERTYPE_VLAN } from "../shared/protocol";

export const LENGTH: u32 = 4;

/** Whether the type field at hand announces a tag. */
// @ts-ignore: decorator
@inline export function isTag(type: u32): bool {
  return type == <u32>ETHERTYPE_VLAN || type == <u32>ETHERTYPE_QINQ;
}

/** The type behind a tag whose TPID stands at `p`. */
// @ts-ignore: decorator
@inline export function typeBehind(p: usize): u32 {
  return <u32>bswap<u16>(load<u16>(p, 4));
}

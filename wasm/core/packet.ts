// What the engine knows of one frame while it passes. The bytes stay where native put them; this descriptor moves.
//
//   0        4        8       12      16       18     20     22       24       26        28   29   30
//   ┌────────┬────────┬───────┬───────┬────────┬──────┬──────┬────────┬────────┬─────────┬────┬────┬──────┐
//   │ offset │ length │ flags │ flow  │ domain │ port │ vtep │ toPort │ toVtep │ segment │ gso│ l3 │ l4   │
//   └────────┴────────┴───────┴───────┴────────┴──────┴──────┴────────┴────────┴─────────┴────┴────┴──────┘
//   32          34         35      36              38               40   44        48
//   ┌───────────┬──────────┬───────┬───────────────┬────────────────┬────┬─────────┐
//   │ ethertype │ protocol │ (pad) │ checksumStart │ checksumOffset │ id │ payload │
//   └───────────┴──────────┴───────┴───────────────┴────────────────┴────┴─────────┘
//
// Life: tap-input or vxlan-decap takes one from the pool for each frame, the last node of its way returns nothing: the pool
// is a bump allocator, reset when a chunk has left the graph. Clones (floods) are descriptors of their own over the same
// bytes, flagged SHARED: whoever must change the bytes of a SHARED packet copies them first.
//
import { PACKETS, PACKETS_LENGTH } from "../shared/layout";

/** The L4 checksum is partial: the sum of the pseudo-header stands in the field, the rest is the sender's to do. */
export const NEEDS_CHECKSUM: u32 = 1;
export const FROM_UNDERLAY: u32 = 2;
export const TRACED: u32 = 4;
/** Another packet has the same bytes: do not write to them. */
export const SHARED: u32 = 8;
/** The L4 checksum was verified here, or the kernel vouched for it. */
export const CHECKSUM_GOOD: u32 = 16;
/** An IP fragment: no L4 header to rely on, never segmented nor coalesced. */
export const FRAGMENT: u32 = 64;
/** Composed by the engine (ICMP error, ARP or ND answer). */
export const ORIGINATED: u32 = 128;
/** Came out of ESP: authentic, and nobody read it on the way. */
export const OPENED: u32 = 256;
/** Came in by an uplink, but from a station of this domain: a switch out there sent it back (macvlan mode vepa), or a loop did. */
export const REFLECTED: u32 = 512;

@unmanaged export class Packet {
  offset: u32; // first byte of the Ethernet header
  length: u32; // bytes from there; up to 64 KB for a super-frame
  flags: u32;
  flow: u32; // hash of the inner 5-tuple; same flow, same value, whatever the family
  domain: u16; // bridge domain (index)
  port: u16; // that it came in by
  vtep: u16; // that it came from; 0 for none
  toPort: u16; // bound for: a port ...
  toVtep: u16; // ... or a VTEP, if not 0
  segment: u16; // bytes of payload per segment of a super-frame, 0 for a plain frame
  gso: u8; // VNET_GSO_* without the ECN bit, 0 for a plain frame
  l3: u8; // offset of the IP header from the frame's first byte: 14, 18 or 22; 0 if not IP
  l4: u16; // offset of the TCP/UDP/ICMP header; 0 if none can be relied on
  ethertype: u16; // host order, behind any VLAN tags
  protocol: u8; // IP protocol of the L4 header, 0 if none
  pad: u8;
  checksumStart: u16; // with NEEDS_CHECKSUM: where to sum from, from the frame's first byte ...
  checksumOffset: u16; // ... and where the field is, from checksumStart
  id: u32; // trace id, 0 if not traced
  payload: u16; // offset of the first byte behind the L4 header; 0 if none
  pad2: u16;
}

if (offsetof<Packet>() != 48) ERROR("Packet must be 48 bytes");

const SIZE: usize = 48;
export const PACKET_MAX: u32 = PACKETS_LENGTH / 48;

let next: usize = PACKETS;

/** Packet descriptors left in this chunk. */
// @ts-ignore: decorator
@inline export function free(): u32 {
  return <u32>((<usize>PACKETS + <usize>PACKETS_LENGTH - next) / SIZE);
}

/** A descriptor, its fields all zero. The caller has checked `free()`. */
// @ts-ignore: decorator
@inline export function take(): Packet {
  const p = next;
  next += SIZE;
  v128.store(p, i64x2.splat(0));
  v128.store(p, i64x2.splat(0), 16);
  v128.store(p, i64x2.splat(0), 32);
  return changetype<Packet>(p);
}

/** A second descriptor over the same bytes: both are SHARED from here on. The caller has checked `free()`. */
// @ts-ignore: decorator
@inline export function clone(packet: Packet): Packet {
  packet.flags |= SHARED;
  const from = changetype<usize>(packet);
  const p = next;
  next += SIZE;
  v128.store(p, v128.load(from));
  v128.store(p, v128.load(from, 16), 16);
  v128.store(p, v128.load(from, 32), 32);
  return changetype<Packet>(p);
}

/** Where the pool stands, for `rewind`. */
// @ts-ignore: decorator
@inline export function mark(): usize {
  return next;
}

/** Forgets the descriptors taken since `mark`: clones of a flood that have left the graph while others still wait. */
// @ts-ignore: decorator
@inline export function rewind(to: usize): void {
  next = to;
}

/** Forgets all descriptors: the chunk has left the graph. */
// @ts-ignore: decorator
@inline export function reset(): void {
  next = PACKETS;
}

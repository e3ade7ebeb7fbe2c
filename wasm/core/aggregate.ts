// One aggregate, and where all of them stand: GRO_SLOTS of 1 KiB in sets of WAYS, found by their flow's hash.
//
//   AGGREGATES ┌ aggregate ┬ aggregate ┬ ... ┬ keys, a u32 each
//              │ packet 0, what comes next, payload iovecs
//
import { IOVEC_LENGTH } from "../shared/abi";
import { AGGREGATES, AGGREGATES_LENGTH } from "../shared/layout";
import { GRO_SEGMENTS_MAX, GRO_SLOTS } from "../shared/limits";
import { Packet } from "./packet";

/** The first packet as it came, and what has joined it. */
@unmanaged export class Aggregate extends Packet {
  segments: u32; // 0: closed; 1: the first packet alone
  bytes: u32; // of payload
  size: u32; // of payload of each segment but the last
  sequence: u32; // TCP: that the next one must have
  identification: u16; // IPv4: of the newest one
  step: u16; // IPv4: what identification gains a segment, 0 or 1; ANY until a second one is there
  header: u32; // where vnet_hdr and headers stand; 0 while alone
  end: u32; // where the next payload is copied to; 0 when they stay where they are
}

/** Of `step`: not known yet. */
export const ANY: u16 = 2;
/** Where an aggregate's iovecs stand, from its beginning. */
export const PIECES: usize = 80;
export const WAYS: u32 = 4;
const STRIDE: usize = 1024;
const KEYS: usize = AGGREGATES + 1024 * GRO_SLOTS;
const SETS: u32 = GRO_SLOTS / WAYS;

if (offsetof<Aggregate>() > 80) ERROR("an aggregate's fields outgrow their room");
if (80 + GRO_SEGMENTS_MAX * IOVEC_LENGTH > 1024) ERROR("an aggregate's iovecs outgrow their room");
if (GRO_SLOTS != 32) ERROR("the set of open aggregates is one u32, its slots 8 sets of 4");
if (1024 * GRO_SLOTS + 4 * GRO_SLOTS > AGGREGATES_LENGTH) ERROR("AGGREGATES outgrows its region");

// @ts-ignore: decorator
@inline export function at(slot: u32): Aggregate {
  return changetype<Aggregate>(<usize>AGGREGATES + STRIDE * <usize>slot);
}

// @ts-ignore: decorator
@inline export function slotOf(aggregate: Aggregate): u32 {
  return <u32>((changetype<usize>(aggregate) - AGGREGATES) / STRIDE);
}

// Keys are flow hashes, never 0: 0 is a closed slot. A set's four keys are compared at once.
// @ts-ignore: decorator
@inline export function keyOf(packet: Packet): u32 {
  return packet.flow | 1;
}

// @ts-ignore: decorator
@inline export function setOf(packet: Packet): u32 {
  return (packet.flow >> 8) & (SETS - 1);
}

// @ts-ignore: decorator
@inline export function waysWith(set: u32, key: u32): i32 {
  return i32x4.bitmask(i32x4.eq(v128.load(KEYS + <usize>(set << 4)), i32x4.splat(key)));
}

// @ts-ignore: decorator
@inline export function setKey(slot: u32, key: u32): void {
  store<u32>(KEYS + <usize>(slot << 2), key);
}

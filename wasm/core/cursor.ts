// Where the batch stands: which receive descriptor is next, and how far into it we are (a UDP_GRO buffer holds many
// datagrams). Input nodes take from here until the chunk is full; the next chunk goes on at the same byte.
//
//   while (cursor.more() && <it is one of mine>) { take a frame; cursor.spend(slots); cursor.advance(bytes) or cursor.next() }
//
import { RX_CHUNK, RX_DESCRIPTOR_LENGTH } from "../shared/abi";
import { RX_RING } from "../shared/layout";

let index: u32 = 0;
let end: u32 = 0;
let offset: u32 = 0;
let packetsLeft: u32 = 0;
let slotsLeft: u32 = 0;
let always: bool = false; // the first packet fits, however much it wants

/** A new batch of `count` descriptors. */
export function open(count: u32): void {
  index = 0;
  end = count;
  offset = 0;
}

/**
 * A new chunk: at most RX_CHUNK packets, and no more than `slots` header slots or transmit descriptors may be wanted for them.
 * `fresh`: all of both are free, so that the first packet can't be given more by waiting.
 */
export function openChunk(slots: u32, fresh: bool): void {
  packetsLeft = RX_CHUNK;
  slotsLeft = slots;
  always = fresh;
}

/** Descriptors not yet used up. */
// @ts-ignore: decorator
@inline export function left(): u32 {
  return end - index;
}

/** Whether there is a descriptor and the chunk has room for a packet of it. */
// @ts-ignore: decorator
@inline export function more(): bool {
  return index < end && packetsLeft != 0;
}

/** Whether a packet that wants `slots` fits the chunk. The first one of a fresh chunk always does. */
// @ts-ignore: decorator
@inline export function fits(slots: u32): bool {
  return slots <= slotsLeft || (always && packetsLeft == <u32>RX_CHUNK);
}

/** The receive descriptor that stands next. */
// @ts-ignore: decorator
@inline export function descriptor(): usize {
  return <usize>RX_RING + <usize>index * RX_DESCRIPTOR_LENGTH;
}

/** Bytes of it that were taken already. */
// @ts-ignore: decorator
@inline export function taken(): u32 {
  return offset;
}

/** A packet was taken that may want so many header slots or descriptors on its way (its segments; 1 for a plain one). */
// @ts-ignore: decorator
@inline export function spend(slots: u32): void {
  packetsLeft--;
  slotsLeft -= min(slots, slotsLeft);
}

/** `bytes` of the descriptor are done; the rest stands next. */
// @ts-ignore: decorator
@inline export function advance(bytes: u32): void {
  offset += bytes;
}

/** The descriptor is done. */
// @ts-ignore: decorator
@inline export function next(): void {
  index++;
  offset = 0;
}

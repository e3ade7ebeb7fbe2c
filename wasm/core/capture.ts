// Capture: copies of frames for somebody who wants to see them, into CAPTURE_RING, which the host drains between batches.
// A full ring loses copies (counted), never packets.
//
//   CAPTURE_RING  ┌ record ┬ record ┬ ...   shared/abi.ts draws a record; each starts at a multiple of 8
//
// A frame whose checksum is partial (NEEDS_CHECKSUM) would look broken to whoever reads the capture: the copy gets the sum
// that the wire would carry. A super-frame is copied as the one frame that it is here.
//
// Times are those of the last tick: a host that wants them finer ticks more often while it captures.
//
import {
  CAPTURE_DIRECTION, CAPTURE_DOMAIN, CAPTURE_HEADER_LENGTH, CAPTURE_LENGTH, CAPTURE_PORT, CAPTURE_RECORD, CAPTURE_TIME_NS,
} from "../shared/abi";
import { COUNTER_CAPTURED, COUNTER_CAPTURE_LOST } from "../shared/counters";
import { CAPTURE_RING, CAPTURE_RING_LENGTH } from "../shared/layout";
import { complementNonZero, sum } from "./checksum";
import * as clock from "./clock";
import { add } from "./counters";
import { NEEDS_CHECKSUM, Packet } from "./packet";

let snapLength: u32 = 0;
let everything = false;
let used: u32 = 0;

export function set(all: bool, snap: u32): void {
  everything = all;
  snapLength = snap;
}

/** Whether anybody captures at all: the one test that traffic pays for otherwise. */
// @ts-ignore: decorator
@inline export function armed(): bool {
  return snapLength != 0;
}

/** Whether all ports are captured, not only flagged ones. */
// @ts-ignore: decorator
@inline export function all(): bool {
  return everything;
}

export function length(): u32 {
  return used;
}

export function clear(): void {
  used = 0;
}

/** Copies the packet's frame as seen on `port`. */
export function copy(packet: Packet, port: u32, direction: u32): void {
  const kept = min(packet.length, snapLength);
  const record = (<u32>CAPTURE_HEADER_LENGTH + kept + 7) & ~7;
  if (used + record > <u32>CAPTURE_RING_LENGTH) {
    add(COUNTER_CAPTURE_LOST, 1);
    return;
  }
  const p = <usize>CAPTURE_RING + used;
  used += record;
  store<u32>(p, record, CAPTURE_RECORD);
  store<u32>(p, kept, CAPTURE_LENGTH);
  store<u16>(p, <u16>port, CAPTURE_PORT);
  store<u16>(p, <u16>direction, CAPTURE_DIRECTION);
  store<u32>(p, packet.domain, CAPTURE_DOMAIN);
  store<u64>(p, clock.milliseconds() * 1000000, CAPTURE_TIME_NS);
  memory.copy(p + CAPTURE_HEADER_LENGTH, packet.offset, kept);
  if (packet.flags & NEEDS_CHECKSUM) complete(packet, p + CAPTURE_HEADER_LENGTH, kept);
  add(COUNTER_CAPTURED, 1);
}

/** Puts the full sum into the copy. The original is summed: the copy may be cut short. */
function complete(packet: Packet, frame: usize, kept: u32): void {
  const start: u32 = packet.checksumStart;
  const field = start + <u32>packet.checksumOffset;
  if (field + 2 > kept) return;
  const total = sum(<usize>packet.offset + start, packet.length - start);
  store<u16>(frame + field, <u16>complementNonZero(total));
}

export function reset(): void {
  snapLength = 0;
  everything = false;
  used = 0;
}

// The transmit ring: what this batch sends, in order. A descriptor (shared/abi.ts) is one system call of native's, or one
// message of its sendmmsg; its bytes are named by consecutive iovecs.
//
//   TX_RING   ┌ descriptor 0 ┬ descriptor 1 ┬ ...          32 B each
//                  │ iovec, iovecs
//   IOVECS    ┌────▼──┬───────┬───────┬ ...                 8 B each: (offset, length)
//
// Both are bump allocators that `rewind` empties once native has flushed. Whatever collects pieces over time (runs, GRO
// aggregates) keeps them to itself and takes ring space only when it is complete: so nothing is reserved in vain, and the
// order of the ring is the order of completion.
//
// A packet counts as sent when a descriptor, or a collection that will become one, takes it. If native refuses the
// descriptor, `settle` (core/counters) moves its packets to the drops: therefore each says how many packets ride in it.
// If a collection finds the ring full, `unsend` does the same.
//
import {
  IOVEC_BYTES, IOVEC_LENGTH, IOVEC_OFFSET, PORT_DROPS, PORT_LENGTH, PORT_TX_PACKETS, TX_DESCRIPTOR_LENGTH, TX_DESTINATION, TX_DESTINATION_PORT, TX_ERRNO, TX_IOVEC,
  TX_IOVECS, TX_LENGTH, TX_PACKETS, TX_PORT, TX_SEGMENT, TX_SOCKET,
} from "../shared/abi";
import { COUNTER_TX, DROP_BASE, DROP_TX_RING_FULL } from "../shared/counters";
import { IOVECS, IOVECS_LENGTH, PORTS, TX_RING, TX_RING_LENGTH } from "../shared/layout";
import { IOVEC_MAX, TX_RING_MAX } from "../shared/limits";
import { add } from "./counters";

if (TX_RING_MAX * TX_DESCRIPTOR_LENGTH > TX_RING_LENGTH) ERROR("TX_RING outgrows its region");
if (IOVEC_MAX * IOVEC_LENGTH > IOVECS_LENGTH) ERROR("IOVECS outgrows its region");

let descriptors: u32 = 0;
let iovecs: u32 = 0;

/** Empties the ring: native has sent what was in it. */
// @ts-ignore: decorator
@inline export function rewind(): void {
  descriptors = 0;
  iovecs = 0;
}

/** Descriptors filled since `rewind`. */
// @ts-ignore: decorator
@inline export function filled(): u32 {
  return descriptors;
}

/** Descriptors and iovecs that are left, whichever is scarcer when a descriptor takes two. */
// @ts-ignore: decorator
@inline export function room(): u32 {
  return min<u32>(TX_RING_MAX - descriptors, (IOVEC_MAX - iovecs) >> 1);
}

/** Whether one more descriptor of `count` iovecs fits. Ask before `begin`. */
// @ts-ignore: decorator
@inline export function fits(count: u32): bool {
  return descriptors < <u32>TX_RING_MAX && iovecs + count <= <u32>IOVEC_MAX;
}

/** A new descriptor without iovecs, socket and destination; `piece` adds bytes to it. The caller has asked `fits`. */
// @ts-ignore: decorator
@inline export function begin(port: u32, segment: u32, packets: u32): usize {
  const descriptor = <usize>TX_RING + <usize>(descriptors++ * TX_DESCRIPTOR_LENGTH);
  store<u16>(descriptor, <u16>port, TX_PORT);
  store<u16>(descriptor, 0, TX_SOCKET);
  store<u32>(descriptor, iovecs, TX_IOVEC);
  store<u32>(descriptor, 0, TX_IOVECS);
  store<u32>(descriptor, segment, TX_SEGMENT);
  store<u32>(descriptor, 0, TX_DESTINATION);
  store<u32>(descriptor, 0, TX_DESTINATION_PORT);
  store<u32>(descriptor, 0, TX_LENGTH);
  store<u16>(descriptor, <u16>packets, TX_PACKETS);
  store<u16>(descriptor, 0, TX_ERRNO);
  return descriptor;
}

/** Adds `length` bytes at `offset` to the descriptor begun last. */
// @ts-ignore: decorator
@inline export function piece(descriptor: usize, offset: u32, length: u32): void {
  const iovec = <usize>IOVECS + <usize>(iovecs++ * IOVEC_LENGTH);
  store<u32>(iovec, offset, IOVEC_OFFSET);
  store<u32>(iovec, length, IOVEC_BYTES);
  store<u32>(descriptor, load<u32>(descriptor, TX_IOVECS) + 1, TX_IOVECS);
  store<u32>(descriptor, load<u32>(descriptor, TX_LENGTH) + length, TX_LENGTH);
}

/** Adds `count` pieces that were collected as iovecs at `from`, `length` bytes together. */
export function pieces(descriptor: usize, from: usize, count: u32, length: u32): void {
  memory.copy(<usize>IOVECS + <usize>(iovecs * IOVEC_LENGTH), from, <usize>(count * IOVEC_LENGTH));
  iovecs += count;
  store<u32>(descriptor, load<u32>(descriptor, TX_IOVECS) + count, TX_IOVECS);
  store<u32>(descriptor, load<u32>(descriptor, TX_LENGTH) + length, TX_LENGTH);
}

/** Where the message goes: `address` is where the peer's 16 bytes stand in memory. Underlay ports only. */
// @ts-ignore: decorator
@inline export function addressTo(descriptor: usize, socket: u32, address: usize, udpPort: u32): void {
  store<u16>(descriptor, <u16>socket, TX_SOCKET);
  store<u32>(descriptor, <u32>address, TX_DESTINATION);
  store<u32>(descriptor, udpPort, TX_DESTINATION_PORT);
}

/** `packets` that were counted as sent by `port` find no room in the ring: they end here after all. */
export function unsend(port: u32, packets: u32): void {
  add(COUNTER_TX, 0 - <u64>packets);
  add(DROP_BASE + DROP_TX_RING_FULL, packets);
  const entry = <usize>PORTS + <usize>(port * PORT_LENGTH);
  store<u64>(entry, load<u64>(entry, PORT_TX_PACKETS) - <u64>packets, PORT_TX_PACKETS);
  store<u64>(entry, load<u64>(entry, PORT_DROPS) + <u64>packets, PORT_DROPS);
}

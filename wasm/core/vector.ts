// A vector is the list of packets waiting at one node. A node reads its own vector, sends each packet on to another
// node's, and leaves its own empty: that is the whole contract between nodes.
//
//   VECTORS ─> ┌ node 0 ┬ node 1 ┬ ... each: count u32, then MAX_VECTOR packet addresses u32
//
import { MAX_VECTOR, NODE_COUNT } from "../shared/abi";
import { VECTORS, VECTORS_LENGTH } from "../shared/layout";
import { Packet } from "./packet";

const STRIDE = 4 + 4 * MAX_VECTOR;

// @ts-ignore: decorator
@inline function at(node: u32): usize {
  return <usize>VECTORS + <usize>(node * STRIDE);
}

/** Packets waiting at `node`. */
// @ts-ignore: decorator
@inline export function waiting(node: u32): u32 {
  return load<u32>(at(node));
}

/** Packets that `node` can still take: floods ask, and who composes errors about their copies; all others are bounded by the chunk. */
// @ts-ignore: decorator
@inline export function room(node: u32): u32 {
  return MAX_VECTOR - load<u32>(at(node));
}

/** The `i`th packet waiting at `node`. */
// @ts-ignore: decorator
@inline export function packetAt(node: u32, i: u32): Packet {
  return changetype<Packet>(<usize>load<u32>(at(node) + <usize>(4 * i), 4));
}

/** Sends a packet on. The chunk is bounded, and who sends more than it took asks for `room`: no node can overflow here. */
// @ts-ignore: decorator
@inline export function send(node: u32, packet: Packet): void {
  const vector = at(node);
  const n = load<u32>(vector);
  store<u32>(vector + <usize>(4 * n), <u32>changetype<usize>(packet), 4);
  store<u32>(vector, n + 1);
}

// @ts-ignore: decorator
@inline export function clear(node: u32): void {
  store<u32>(at(node), 0);
}

/** Takes the first `count` packets out: the others move up and wait on. */
export function shift(node: u32, count: u32): void {
  const vector = at(node);
  const left = load<u32>(vector) - count;
  memory.copy(vector + 4, vector + 4 + <usize>(4 * count), <usize>(4 * left));
  store<u32>(vector, left);
}

if (NODE_COUNT * STRIDE > VECTORS_LENGTH) ERROR("VECTORS outgrows its region");

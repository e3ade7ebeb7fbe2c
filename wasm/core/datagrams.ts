// The datagrams of one receive. With UDP_GRO the kernel puts many of one sender into one buffer, side by side:
//
//   RX_OFFSET ─> ┌ datagram ──┬ datagram ──┬ datagram ─┐
//                └ RX_SEGMENT ┴ RX_SEGMENT ┴ the rest ─┘ RX_LENGTH bytes in all
//
// in   the receive descriptor that the cursor stands at, of a port that datagrams come by
// out  its datagrams as packets, one a call, counted as received; the cursor moves along, so that the next chunk goes on where
//      this one was full
//
import { RX_FLAGS, RX_FLAG_TRUNCATED, RX_LENGTH, RX_SEGMENT } from "../shared/abi";
import { rx } from "./counters";
import * as cursor from "./cursor";
import { FROM_UNDERLAY, Packet, take } from "./packet";

/** Whether the kernel cut the receive short. Then it can't be split: it counts as the one message that native received. */
// @ts-ignore: decorator
@inline export function truncated(descriptor: usize): bool {
  return (load<u16>(descriptor, RX_FLAGS) & RX_FLAG_TRUNCATED) != 0;
}

/** Bytes of each datagram of the descriptor but the last, which may have fewer. */
// @ts-ignore: decorator
@inline export function segment(descriptor: usize): u32 {
  const announced: u32 = load<u16>(descriptor, RX_SEGMENT);
  return announced == 0 || truncated(descriptor) ? load<u32>(descriptor, RX_LENGTH) : announced;
}

/**
 * The next datagram, `left` bytes before the buffer's end at most. `flow` says where the buffer starts until ethernet-input puts
 * the inner frame's hash there: the addresses that native left before it are the outer header to whoever still asks.
 */
// @ts-ignore: decorator
@inline export function takeNext(port: u32, buffer: u32, segment: u32, left: u32): Packet {
  const packet = take();
  packet.offset = buffer + cursor.taken();
  packet.length = min(segment, left);
  packet.flags = FROM_UNDERLAY;
  packet.flow = buffer;
  packet.port = <u16>port;
  cursor.spend(1);
  cursor.advance(packet.length);
  rx(packet);
  return packet;
}

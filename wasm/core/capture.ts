// Capture: copies of frames for somebody who wants to see them, into CAPTURE_RING, which the host drains between batches.
// A full ring loses copies (counted), never packets.
//
//   CAPTURE_RING  ┌ record ┬ record ┬ ...   shared/abi.ts draws a record; each starts at a multiple of 8
//
// Frames are copied at ports of bridge domains. One whose checksum is partial (NEEDS_CHECKSUM) would look broken to whoever
// reads the capture: the copy gets the sum that the wire would carry. A super-frame is copied as the one frame that it is here.
//
// Datagrams are copied at underlay ports: received ones before anything is looked at, sent ones when a run closes, each of it
// by itself, as the wire will carry them. Their IP and UDP headers are the kernel's: the host makes them up from what stands
// in the record. The checksum in them covers all of the payload, hence the sum: the copy may be cut short.
//
// Times are those of the last tick; the host puts its own, finer ones in their place.
//
import {
  CAPTURE_DATAGRAM, CAPTURE_DATAGRAM_HEADER_LENGTH, CAPTURE_DIRECTION, CAPTURE_DOMAIN, CAPTURE_DOMAIN_NONE, CAPTURE_FRAME,
  CAPTURE_HEADER_LENGTH, CAPTURE_KIND, CAPTURE_LENGTH, CAPTURE_LOCAL_ADDRESS, CAPTURE_ORIGINAL, CAPTURE_PORT, CAPTURE_RECORD,
  CAPTURE_REMOTE_ADDRESS, CAPTURE_REMOTE_PORT, CAPTURE_SOCKET, CAPTURE_SUM, CAPTURE_TIME_NS, DIRECTION_RX, DIRECTION_TX,
  IOVEC_BYTES, IOVEC_LENGTH, IOVEC_OFFSET, PORT_FLAG_CAPTURE, PORT_FLAGS, PORT_LENGTH, RX_LOCAL_ADDRESS, RX_SENDER_ADDRESS,
  RX_SENDER_PORT,
} from "../shared/abi";
import { COUNTER_CAPTURED, COUNTER_CAPTURE_LOST } from "../shared/counters";
import { CAPTURE_RING, CAPTURE_RING_LENGTH, PORTS } from "../shared/layout";
import { complementNonZero, fold, sum, swap16 } from "./checksum";
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

/** Whether the datagrams of this underlay port are to be copied, given that capture is on. */
export function wantsDatagrams(port: u32): bool {
  return everything || (load<u8>(<usize>PORTS + <usize>port * PORT_LENGTH, PORT_FLAGS) & PORT_FLAG_CAPTURE) != 0;
}

/** A new record with room for `kept` bytes behind `headers`; 0 if the ring is full. */
function begin(kind: u32, headers: u32, port: u32, direction: u32, domain: u32, kept: u32, original: u32): usize {
  const record = (headers + kept + 7) & ~7;
  if (used + record > <u32>CAPTURE_RING_LENGTH) {
    add(COUNTER_CAPTURE_LOST, 1);
    return 0;
  }
  const p = <usize>CAPTURE_RING + used;
  used += record;
  store<u32>(p, record, CAPTURE_RECORD);
  store<u32>(p, kept, CAPTURE_LENGTH);
  store<u16>(p, <u16>port, CAPTURE_PORT);
  store<u16>(p, <u16>direction, CAPTURE_DIRECTION);
  store<u32>(p, domain, CAPTURE_DOMAIN);
  store<u64>(p, clock.milliseconds() * 1000000, CAPTURE_TIME_NS);
  store<u32>(p, original, CAPTURE_ORIGINAL);
  store<u32>(p, kind, CAPTURE_KIND);
  add(COUNTER_CAPTURED, 1);
  return p;
}

/** Copies the packet's frame as seen on `port`. */
export function copy(packet: Packet, port: u32, direction: u32): void {
  const kept = min(packet.length, snapLength);
  const record = begin(CAPTURE_FRAME, CAPTURE_HEADER_LENGTH, port, direction, packet.domain, kept, packet.length);
  if (record == 0) return;
  memory.copy(record + CAPTURE_HEADER_LENGTH, packet.offset, kept);
  if (packet.flags & NEEDS_CHECKSUM) complete(packet, record + CAPTURE_HEADER_LENGTH, kept);
}

/** Copies a datagram of the buffer at `buffer`, before which native left the addresses. */
export function received(port: u32, buffer: u32, offset: u32, length: u32): void {
  const kept = min(length, snapLength);
  const record = begin(
    CAPTURE_DATAGRAM, CAPTURE_DATAGRAM_HEADER_LENGTH, port, DIRECTION_RX, CAPTURE_DOMAIN_NONE, kept, length,
  );
  if (record == 0) return;
  v128.store(record, v128.load(<usize>buffer + RX_SENDER_ADDRESS), CAPTURE_REMOTE_ADDRESS);
  v128.store(record, v128.load(<usize>buffer + RX_LOCAL_ADDRESS), CAPTURE_LOCAL_ADDRESS);
  store<u16>(record, load<u16>(<usize>buffer + RX_SENDER_PORT), CAPTURE_REMOTE_PORT);
  store<u16>(record, 0, CAPTURE_SOCKET);
  store<u16>(record, <u16>fold(sum(offset, length)), CAPTURE_SUM);
  memory.copy(record + CAPTURE_DATAGRAM_HEADER_LENGTH, offset, kept);
}

/** Copies the datagrams of a run: `length` bytes in the iovecs at `pieces`, a datagram every `segment` bytes. */
export function sent(port: u32, socket: u32, destination: u32, udpPort: u32, pieces: usize, segment: u32, length: u32): void {
  let taken: u32 = 0; // of the piece
  while (length != 0) {
    const size = min(segment, length);
    const kept = min(size, snapLength);
    const record = begin(CAPTURE_DATAGRAM, CAPTURE_DATAGRAM_HEADER_LENGTH, port, DIRECTION_TX, CAPTURE_DOMAIN_NONE, kept, size);
    let total: u64 = 0;
    let at: u32 = 0;
    while (at != size) {
      const offset = load<u32>(pieces, IOVEC_OFFSET) + taken;
      const bytes = min(size - at, load<u32>(pieces, IOVEC_BYTES) - taken);
      const part = fold(sum(offset, bytes));
      total += <u64>(at & 1 ? swap16(part) : part);
      if (record != 0 && at < kept) memory.copy(record + CAPTURE_DATAGRAM_HEADER_LENGTH + at, offset, min(bytes, kept - at));
      at += bytes;
      taken += bytes;
      if (taken == load<u32>(pieces, IOVEC_BYTES)) {
        pieces += IOVEC_LENGTH;
        taken = 0;
      }
    }
    if (record != 0) {
      v128.store(record, v128.load(destination), CAPTURE_REMOTE_ADDRESS);
      v128.store(record, i64x2.splat(0), CAPTURE_LOCAL_ADDRESS);
      store<u16>(record, <u16>udpPort, CAPTURE_REMOTE_PORT);
      store<u16>(record, <u16>socket, CAPTURE_SOCKET);
      store<u16>(record, <u16>fold(total), CAPTURE_SUM);
    }
    length -= size;
  }
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

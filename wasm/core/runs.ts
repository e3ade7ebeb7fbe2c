// Runs: datagrams of equal size to one VTEP by one socket leave in one sendmsg, which the kernel cuts up again
// (UDP_SEGMENT). A system call costs twenty times what the graph does with a packet, so this is where the rate comes from.
//
// in   datagrams of one or two pieces, in order
// out  one transmit descriptor a run: <= RUN_SEGMENTS_MAX datagrams, <= RUN_LENGTH_MAX bytes, all of one size but the last,
//      which may be shorter and so ends the run
//
//   RUNS  ┌ run 0 ┬ run 1 ┬ ... RUN_SLOTS of 1 KiB: the fields below, then its pieces as iovecs
//
// A run belongs to (VTEP, socket), and a flow always has the same socket: its datagrams meet in the same slot whatever
// else is going on, so closing a run early, for whatever reason, costs a system call and never the order. Pieces that lie
// side by side in memory become one iovec; datagrams of at most COPY_MAX bytes are copied side by side to that end, since
// an iovec costs native and the kernel more than such a copy.
//
// A run takes ring space when it closes. If the ring is full then, its packets move from tx to the drops.
//
import { IOVEC_BYTES, IOVEC_LENGTH, IOVEC_OFFSET } from "../shared/abi";
import { RUNS, RUNS_LENGTH } from "../shared/layout";
import { RUN_LENGTH_MAX, RUN_SEGMENTS_MAX, RUN_SLOTS } from "../shared/limits";
import * as arena from "./arena";
import { copy16 } from "./bytes";
import * as capture from "./capture";
import * as transmit from "./transmit";

@unmanaged export class Run {
  key: u32; // VTEP << 16 | socket, with SEALED
  destination: u32; // where the VTEP's 16-byte address stands
  udpPort: u16;
  port: u16; // underlay port
  segment: u32; // bytes of each datagram but the last
  length: u32; // bytes together
  datagrams: u32; // 0: closed
  packets: u32; // of the graph that ride in it: a super-frame rides where its first segment does
  iovecs: u32;
  end: u32; // where in memory the last piece ends
  buffer: u32; // where the next small datagram is copied to
  bufferEnd: u32; // up to here
}

const SLOT: usize = RUNS_LENGTH / RUN_SLOTS;
const PIECES: usize = 64;
const PIECES_MAX: u32 = (RUNS_LENGTH / RUN_SLOTS - 64) / IOVEC_LENGTH;

const COPY_MAX: u32 = 192;
/** Datagrams that a run takes room for at a time. */
const COPIES: u32 = 16;
/** Bytes that `place` takes room for at a time: long datagrams to many peers must not use up the scratch. */
const AHEAD_MAX: u32 = 4096;

if (offsetof<Run>() > 64) ERROR("a run's fields outgrow their room");
if (RUN_SLOTS > 64) ERROR("the set of open runs is one u64");

let open: u64 = 0; // bit i: run i is open

// @ts-ignore: decorator
@inline function at(slot: u32): Run {
  return changetype<Run>(<usize>RUNS + <usize>slot * SLOT);
}

/** Put into `socket`: what goes through ESP, and by an ESP port, is another run than what the same VTEP gets in the clear. */
export const SEALED: u32 = 0x8000;

/** The run for (vtep, socket). Whatever other run has its slot is closed. */
// @ts-ignore: decorator
@inline export function select(vtep: u32, socket: u32, port: u32, destination: usize, udpPort: u32): Run {
  const run = at((vtep * 16 + socket) & (RUN_SLOTS - 1));
  const key = (vtep << 16) | socket;
  if (run.key != key || run.datagrams == 0) {
    if (run.datagrams != 0) close(run);
    run.key = key;
    run.port = <u16>port;
    run.destination = <u32>destination;
    run.udpPort = <u16>udpPort;
  }
  return run;
}

// @ts-ignore: decorator
@inline function piece(run: Run, offset: u32, length: u32): void {
  const next = changetype<usize>(run) + PIECES + <usize>run.iovecs * IOVEC_LENGTH;
  if (offset == run.end) {
    store<u32>(next - IOVEC_LENGTH, load<u32>(next - IOVEC_LENGTH, IOVEC_BYTES) + length, IOVEC_BYTES);
  } else {
    store<u32>(next, offset, IOVEC_OFFSET);
    store<u32>(next, length, IOVEC_BYTES);
    run.iovecs++;
  }
  run.end = offset + length;
}

/**
 * Adds a datagram: `headLength` bytes at `head`, then `tailLength` (or 0) at `tail`. `packets` of the graph begin with it:
 * 1, or 0 for the second and later segments of a super-frame.
 */
export function add(run: Run, packets: u32, head: u32, headLength: u32, tail: u32, tailLength: u32): void {
  const size = headLength + tailLength;
  if (run.datagrams != 0) {
    if (size > run.segment || run.length + size > <u32>RUN_LENGTH_MAX || run.iovecs + 2 > PIECES_MAX) close(run);
  }
  if (run.datagrams == 0) {
    run.buffer = 0;
    run.bufferEnd = 0;
    run.segment = size;
    run.length = 0;
    run.packets = 0;
    run.iovecs = 0;
    run.end = 0;
    open |= <u64>1 << ((changetype<usize>(run) - RUNS) / SLOT);
  }
  piece(run, head, headLength);
  if (tailLength != 0) piece(run, tail, tailLength);
  run.length += size;
  run.packets += packets;
  const datagrams = run.datagrams + 1;
  run.datagrams = datagrams;
  // A protocol without ports (udpPort 0) is sent by a raw socket, which has no UDP_SEGMENT.
  if (size < run.segment || datagrams == <u32>RUN_SEGMENTS_MAX || run.udpPort == 0) close(run);
}

/** Room for a datagram of `length` bytes that `add` is given next: beside the run's former one where it can be; 0: none left. */
export function place(run: Run, length: u32): usize {
  if (run.datagrams == 0 || length > run.segment) return arena.scratch(length); // may stay alone, and `add` begins anew
  if (run.buffer + length > run.bufferEnd) {
    const ahead = length * max<u32>(1, min<u32>(COPIES, AHEAD_MAX / length));
    run.buffer = <u32>arena.scratch(ahead);
    run.bufferEnd = run.buffer == 0 ? 0 : run.buffer + ahead;
    if (run.buffer == 0) return 0;
  }
  const p = run.buffer;
  run.buffer = p + length;
  return p;
}

/** Adds a datagram that is one piece, copying it behind its neighbours if it is small. */
export function addWhole(run: Run, offset: u32, length: u32): void {
  // What ends a run anyway isn't worth a copy, nor is the first datagram, which may stay alone.
  if (length <= COPY_MAX && run.datagrams != 0 && length == run.segment) {
    if (run.buffer == run.bufferEnd) {
      run.buffer = <u32>arena.scratch(length * COPIES);
      run.bufferEnd = run.buffer == 0 ? 0 : run.buffer + length * COPIES;
    }
    if (run.buffer != 0) {
      copy16(run.buffer, offset, length);
      offset = run.buffer;
      run.buffer += length;
    }
  }
  add(run, 1, offset, length, 0, 0);
}

function close(run: Run): void {
  const datagrams = run.datagrams;
  run.datagrams = 0;
  open &= ~(<u64>1 << ((changetype<usize>(run) - RUNS) / SLOT));
  if (!transmit.fits(run.iovecs)) {
    transmit.unsend(run.port, run.packets);
    return;
  }
  const sealed = (run.key & SEALED) != 0;
  const socket = run.key & (SEALED - 1);
  const pieces = changetype<usize>(run) + PIECES;
  const descriptor = transmit.begin(run.port, datagrams == 1 ? 0 : run.segment, run.packets);
  transmit.addressTo(descriptor, socket, run.destination, run.udpPort);
  transmit.pieces(descriptor, pieces, run.iovecs, run.length);
  // A sealed run's bytes are still plaintext here: it is captured when it is what the wire will see (graph, `sealed`).
  if (capture.armed() && !sealed && capture.wantsDatagrams(run.port)) {
    capture.sent(run.port, socket, run.destination, run.udpPort, pieces, run.segment, run.length);
  }
}

/** The batch is over: every open run goes out as far as it got. */
export function closeRuns(): void {
  while (open != 0) close(at(<u32>ctz(open)));
}

/** Forgets everything: part of the engine's reset. */
export function reset(): void {
  memory.fill(RUNS, 0, RUNS_LENGTH);
  open = 0;
}

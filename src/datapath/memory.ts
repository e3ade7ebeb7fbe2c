// Views into the engine's memory, made once: a subarray costs more than the graph spends on a frame. The map is
// wasm/shared/layout.ts.
import { RX_DESCRIPTOR_LENGTH } from "../../wasm/shared/abi.ts";
import { DROP_BASE, DROP_COUNT } from "../../wasm/shared/counters.ts";
import { ARGUMENTS, ARGUMENTS_LENGTH, COUNTERS, IOVECS, RX_ARENA, RX_ARENA_LENGTH, RX_RING, TX_RING } from "../../wasm/shared/layout.ts";
import {
  HEADROOM,
  IOVEC_MAX,
  RX_BATCH_BYTES,
  RX_BATCH_MAX,
  RX_PER_TAP,
  RX_PER_UNDERLAY,
  TAILROOM,
  TX_RING_MAX,
} from "../../wasm/shared/limits.ts";
import type { PollerLayout } from "../ports/native.ts";

export const COUNTER_WORDS = DROP_BASE + DROP_COUNT;

export interface Views {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly data: DataView<ArrayBuffer>;
  /** Counters and, from DROP_BASE on, drops. */
  readonly counters: BigUint64Array<ArrayBuffer>;
  /** The same as 32-bit halves, low ones at even places: differences over one batch without a bigint. */
  readonly counterHalves: Uint32Array<ArrayBuffer>;
  /** Arguments of table calls. */
  readonly argumentBytes: Uint8Array<ArrayBuffer>;
  readonly argumentData: DataView<ArrayBuffer>;
}

export function viewsOf(memory: WebAssembly.Memory): Views {
  const buffer = memory.buffer as ArrayBuffer;
  return {
    bytes: new Uint8Array(buffer),
    data: new DataView(buffer),
    counters: new BigUint64Array(buffer, COUNTERS, COUNTER_WORDS),
    counterHalves: new Uint32Array(buffer, COUNTERS, 2 * COUNTER_WORDS),
    argumentBytes: new Uint8Array(buffer, ARGUMENTS, ARGUMENTS_LENGTH),
    argumentData: new DataView(buffer, ARGUMENTS, ARGUMENTS_LENGTH),
  };
}

/** Where the poller finds its rings and the arena. */
export const POLLER_LAYOUT: PollerLayout = {
  rxRing: RX_RING,
  rxRingCount: RX_BATCH_MAX,
  txRing: TX_RING,
  txRingCount: TX_RING_MAX,
  iovecs: IOVECS,
  iovecCount: IOVEC_MAX,
  arena: RX_ARENA,
  arenaBytes: RX_ARENA_LENGTH,
  headroomBytes: HEADROOM,
  tailroomBytes: TAILROOM,
  perTap: RX_PER_TAP,
  perUnderlay: RX_PER_UNDERLAY,
  batchBytes: RX_BATCH_BYTES,
};

/** Address of receive descriptor `i`. */
export const rxDescriptor = (i: number): number => RX_RING + i * RX_DESCRIPTOR_LENGTH;

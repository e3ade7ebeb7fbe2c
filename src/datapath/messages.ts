// What the main thread and the worker say to each other. Requests have an id and get one reply; notices go one way. Plain
// data and transferable buffers only.

import type { PollerStats } from "../ports/native.ts";
import type { CryptoChoice } from "./shard/aead.ts";

/** File descriptors that the poller shall poll as `port`. They stay the main thread's, whatever becomes of the worker. */
export interface Attachment {
  readonly port: number;
  /** "raw": IP protocol 50. "icmp": "too big". */
  readonly kind: "tap" | "udp" | "raw" | "packet" | "icmp";
  readonly fds: number[];
}

/** A key for the AEAD slot of a security association. The worker overwrites `material` when the key is in place. */
export interface SlotKey {
  readonly slot: number;
  /** AEAD_ALGORITHM_* */
  readonly algorithm: number;
  /** Key and salt. */
  readonly material: Uint8Array<ArrayBuffer>;
}

/** One change of tables and descriptors: all of it between two batches, or none of it that can be undone by rows. */
export interface ApplyRequest {
  readonly kind: "apply";
  /** Of the engine that the rows were computed for; another one answers `stale` and does nothing. */
  readonly generation: number;
  readonly rows: Uint32Array<ArrayBuffer>;
  /** Before the rows. Those of associations that the rows delete go by themselves. */
  readonly keys?: readonly SlotKey[];
  /** Ports whose descriptors are let go of, after the rows. */
  readonly release: readonly number[];
  /** After `release`. */
  readonly attach: readonly Attachment[];
}

export interface ApplyReply {
  readonly generation: number;
  /** The engine is another one than the rows were for: nothing was done. */
  readonly stale: boolean;
  /** Rows that took effect. */
  readonly done: number;
  /** REFUSED_* of row `done`, or 0. */
  readonly refused: number;
  /** Why the poller did not take a descriptor; then none was attached, and what was released is to be attached again. */
  readonly error: string | null;
  readonly released: readonly Attachment[];
}

export interface StatsReply {
  readonly generation: number;
  /** Counters and drops, as in the engine's memory. */
  readonly counters: BigUint64Array<ArrayBuffer>;
  /** For each port asked for: rx packets, rx bytes, tx packets, tx bytes, drops. */
  readonly ports: BigUint64Array<ArrayBuffer>;
  readonly poller: PollerStats;
}

export type DumpTable = "fdb" | "neighbors" | "members" | "permits";

export interface DumpReply {
  readonly generation: number;
  readonly count: number;
  readonly entries: Uint8Array<ArrayBuffer>;
  /** For the next request; 0: that was all. */
  readonly cursor: number;
}

/** Entries of the tables that have no dump call: as they stand in memory. */
export interface EntriesReply {
  readonly generation: number;
  readonly domains: Uint8Array<ArrayBuffer>;
  readonly ports: Uint8Array<ArrayBuffer>;
  readonly vteps: Uint8Array<ArrayBuffer>;
  readonly associations: Uint8Array<ArrayBuffer>;
  /** One entry a VTEP. */
  readonly policies: Uint8Array<ArrayBuffer>;
}

export interface TraceReply {
  /** Lines written since the engine's start. */
  readonly count: number;
  /** The ring. */
  readonly ring: Uint8Array<ArrayBuffer>;
}

export interface TraceRequest {
  readonly kind: "trace";
  /** 0xffff: any. */
  readonly port: number;
  readonly address: Uint8Array | null;
  /** 0: off. */
  readonly budget: number;
  readonly probe: { readonly port: number; readonly frame: Uint8Array } | null;
}

/** Who seals and opens ESP, and why it is this one. */
export interface CipherInfo {
  readonly by: "native" | "wasm" | "none";
  readonly reason: string;
}

/** Request by kind: what it carries and what it is answered with. */
export interface Protocol {
  apply: { request: ApplyRequest; reply: ApplyReply };
  stats: { request: { kind: "stats"; ports: readonly number[] }; reply: StatsReply };
  dump: { request: { kind: "dump"; table: DumpTable; cursor: number; staticOnly: boolean }; reply: DumpReply };
  entries: { request: { kind: "entries"; domains: number; ports: number; vteps: number; associations: number }; reply: EntriesReply };
  /** Sets the filter; with a frame, injects it as received on `probe.port` before any other. `count`: lines written before. */
  trace: { request: TraceRequest; reply: { count: number } };
  traceRead: { request: { kind: "traceRead" }; reply: TraceReply };
  capture: { request: { kind: "capture"; all: boolean; snapLength: number }; reply: null };
  /** Sends a PROBE_* to a VTEP by its current association; how many datagrams, 0 or 1. */
  probe: { request: { kind: "probe"; vtep: number; what: number }; reply: { sent: number } };
  /** Executes `unreachable` in the engine: for tests of what follows a bug. */
  trap: { request: { kind: "trap" }; reply: null };
  /** Ends the loop; all descriptors are let go of. */
  stop: { request: { kind: "stop" }; reply: { released: readonly Attachment[] } };
}

export type Kind = keyof Protocol;
export type Request = { [K in Kind]: Protocol[K]["request"] }[Kind];

export type ToWorker = { readonly id: number; readonly request: Request } | { readonly captured: number };

export type Notice =
  | { readonly notice: "ready"; readonly wakeFd: number; readonly abiVersion: number; readonly cipher: CipherInfo }
  /** The engine trapped; it is empty until its tables are sent again. */
  | { readonly notice: "rebuilt"; readonly generation: number; readonly reason: string; readonly file: string | null }
  /** ESP events as they stood in ESP_EVENTS, header included. */
  | { readonly notice: "esp-events"; readonly events: Uint8Array<ArrayBuffer> }
  | { readonly notice: "port-failed"; readonly port: number; readonly error: string }
  /** Records of the capture ring; to be acknowledged by `captured`. */
  | { readonly notice: "captured"; readonly records: Uint8Array<ArrayBuffer>; readonly lost: number };

export type FromWorker = { readonly id: number; readonly reply: unknown } | { readonly id: number; readonly failure: string } | Notice;

export interface WorkerStart {
  readonly module: WebAssembly.Module;
  readonly fdbSlots: number;
  readonly spinUs: number;
  readonly crypto: CryptoChoice;
  readonly trapsFolder: string;
  /** One 32-bit word, incremented and notified with each message: for waits outside of the poller. */
  readonly bell: SharedArrayBuffer;
}

// A shard: one engine, its memory, its poller, and the set of bridge domains that live in it. All that a worker thread has is
// one object of this class; nothing of it is shared with another worker. There is one today.
//
//   turn(timeout):  poll ─> run ─> flush ─> [settle] ─> resume ... until the batch is used up ─> tick once a second
//   execute():      what the main thread asks for, between two batches
//
// Its rooms: shard-ports (descriptors), shard-counters (the law, after a trap too), shard-esp (ciphers, keys), shard-capture (the
// ring of copies), shard-reads (tables as they are).
//
// A trap of the engine is a bug of ours, and the frames that hit it may come again. So: the batch is saved for whoever mends
// it, its packets are counted under engine-trap, a new instance takes over the memory, and the main thread, told by the
// generation's number, sends all tables again. Counters go on: they are read before the reset and written back after it.
import { RX_FLAG_INJECTED, RX_FLAGS, RX_LENGTH, RX_OFFSET, RX_PORT, RX_SEGMENT, VNET_HEADER_LENGTH } from "../../../wasm/shared/abi.ts";
import { RX_ARENA, TRACE_RING, TRACE_RING_LENGTH } from "../../../wasm/shared/layout.ts";
import { FRAME_LENGTH_MAX, HEADROOM } from "../../../wasm/shared/limits.ts";
import type { Poller } from "../../ports/native.ts";
import type { EngineExports } from "../engine.ts";
import { POLLER_LAYOUT, rxDescriptor, type Views, viewsOf } from "../memory.ts";
import type { ApplyReply, ApplyRequest, Notice, Protocol, Request, StatsReply } from "../messages.ts";
import { instantiateEngine } from "../module.ts";
import { applyRows } from "../tables/ops.ts";
import type { Cipher } from "./cipher.ts";
import { ShardCapture } from "./shard-capture.ts";
import { ShardCounters } from "./shard-counters.ts";
import { ShardEsp } from "./shard-esp.ts";
import { ShardPorts } from "./shard-ports.ts";
import { copyOut, dumpChunk, readTables } from "./shard-reads.ts";
import { saveTrap } from "./trap-file.ts";

const TICK_MS = 1000;
export interface ShardOptions {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly poller: Poller;
  /** Opens the cipher over this shard's memory; `engine` is the engine as it is when asked. */
  readonly cipher: (views: Views, engine: () => EngineExports) => Cipher;
  readonly fdbSlots: number;
  readonly trapsFolder: string;
  readonly notify: (notice: Notice, transfer?: readonly ArrayBuffer[]) => void;
  /** Makes the engine: `instantiateEngine` unless a test has its own. */
  readonly instantiate?: (module: WebAssembly.Module, memory: WebAssembly.Memory) => EngineExports;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Nanoseconds since 1970. */
  readonly wallNs: () => bigint;
}

export class Shard {
  readonly #options: ShardOptions;
  readonly #poller: Poller;
  readonly #views: Views;
  readonly #ports: ShardPorts;
  readonly #counters: ShardCounters;
  readonly #capture = new ShardCapture();
  readonly #esp: ShardEsp;
  #engine: EngineExports;
  #generation = 1;
  #nextTickMs = 0;
  /** Receive descriptors of the batch that runs. */
  #batch = 0;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.#poller = options.poller;
    this.#views = viewsOf(options.memory);
    this.#ports = new ShardPorts(this.#poller, this.#views);
    this.#counters = new ShardCounters(this.#views);
    this.#engine = this.#instantiate();
    this.#engine.reset(options.fdbSlots);
    this.#esp = new ShardEsp(
      this.#views,
      options.cipher(this.#views, () => this.#engine),
      options.notify,
    );
    this.#poller.attach(this.#views.bytes, POLLER_LAYOUT);
  }

  get generation(): number {
    return this.#generation;
  }

  get abiVersion(): number {
    return this.#engine.abiVersion();
  }

  #instantiate(): EngineExports {
    return (this.#options.instantiate ?? instantiateEngine)(this.#options.module, this.#options.memory);
  }

  /** One round: what arrives within `timeoutMs`, through the graph and out again. Answers how many descriptors arrived. */
  turn(timeoutMs: number): number {
    const count = this.#poller.poll(timeoutMs);
    const now = this.#options.nowMs();
    if (now >= this.#nextTickMs) this.#tick(now);
    if (count > 0) this.#run(count);
    this.#esp.drainEvents(this.#engine, now);
    return count;
  }

  #tick(now: number): void {
    this.#nextTickMs = now + TICK_MS;
    this.#guarded(() => this.#engine.tick(now >>> 0));
    for (const { port, error } of this.#poller.failed()) this.#options.notify({ notice: "port-failed", port, error });
  }

  #run(count: number): void {
    this.#batch = count;
    this.#counters.batchBegins();
    try {
      this.#esp.open(this.#engine, count);
      let filled = this.#engine.run(count);
      for (;;) {
        if (filled > 0) this.#flush(filled);
        if (this.#engine.pending() === 0) break;
        this.#counters.flushed();
        filled = this.#engine.resume();
      }
      this.#capture.drain(this.#engine, this.#views, this.#options.wallNs, this.#options.notify);
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      this.#rebuild(error);
    }
    this.#batch = 0;
  }

  #flush(filled: number): void {
    if (this.#esp.seal(this.#engine, filled) && this.#poller.flush(filled) > 0) this.#engine.settle(filled);
  }

  #probe(vtep: number, what: number): number {
    const filled = this.#engine.espProbe(vtep, what);
    if (filled > 0) this.#flush(filled);
    return filled;
  }

  /** Runs a call of the engine outside of a batch; false if it trapped. */
  #guarded(call: () => void): boolean {
    try {
      call();
      return true;
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      this.#rebuild(error);
      return false;
    }
  }

  // ── after a trap ──

  #rebuild(trap: WebAssembly.RuntimeError): void {
    const reason = trap.message;
    let file: string | null = null;
    try {
      if (this.#batch > 0) {
        const timeNs = this.#options.wallNs();
        file = saveTrap(this.#options.trapsFolder, {
          views: this.#views,
          count: this.#batch,
          framings: this.#ports.framings,
          reason,
          timeNs,
        });
      }
    } catch {
      // A full disk must not stop the network; the notice then names no file.
    }
    const counters = this.#counters.afterTrap(this.#batch);
    this.#counters.carryPorts();
    this.#engine = this.#instantiate();
    this.#engine.reset(this.#options.fdbSlots);
    this.#esp.clear();
    this.#views.counters.set(counters);
    this.#poller.attach(this.#views.bytes, POLLER_LAYOUT);
    this.#capture.apply(this.#engine);
    this.#batch = 0;
    this.#generation++;
    this.#nextTickMs = 0;
    this.#options.notify({ notice: "rebuilt", generation: this.#generation, reason, file });
  }

  // ── requests ──

  /** Answers a request of the main thread; buffers to transfer are collected in `transfer`. */
  execute(request: Request, transfer: ArrayBuffer[]): Protocol[Request["kind"]]["reply"] {
    try {
      return this.#execute(request, transfer);
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      this.#rebuild(error);
      throw new Error(`the engine trapped: ${error.message}`);
    }
  }

  #execute(request: Request, transfer: ArrayBuffer[]): Protocol[Request["kind"]]["reply"] {
    switch (request.kind) {
      case "apply":
        return this.#apply(request);
      case "stats":
        return this.#stats(request.ports, transfer);
      case "dump":
        return { generation: this.#generation, ...dumpChunk(this.#engine, this.#views, request, transfer) };
      case "entries":
        return { generation: this.#generation, ...readTables(this.#views, request, transfer) };
      case "trace": {
        if (request.address !== null) this.#views.argumentBytes.set(request.address);
        const count = this.#engine.traceCount() >>> 0;
        this.#engine.traceSet(request.port, request.address === null ? 0 : 1, request.budget);
        if (request.probe !== null) this.#inject(request.probe.port, request.probe.frame);
        return { count };
      }
      case "traceRead": {
        const ring = copyOut(this.#views, TRACE_RING, TRACE_RING_LENGTH, transfer);
        return { count: this.#engine.traceCount() >>> 0, ring };
      }
      case "capture":
        this.#capture.set(this.#engine, request.all, request.snapLength);
        return null;
      case "probe":
        return { sent: this.#probe(request.vtep, request.what) };
      case "trap":
        this.#guarded(() => this.#engine.trap());
        return null;
      case "stop":
        return { released: this.#ports.releaseAll() };
    }
  }

  #apply(request: ApplyRequest): ApplyReply {
    const nothing = { generation: this.#generation, stale: false, done: 0, refused: 0, error: null, released: [] };
    if (request.generation !== this.#generation) return { ...nothing, stale: true };
    const keys = request.keys ?? [];
    this.#esp.setKeys(keys);
    let outcome = { done: 0, refused: 0 };
    if (!this.#guarded(() => (outcome = applyRows(this.#engine, this.#views.argumentData, request.rows)))) {
      return { ...nothing, generation: this.#generation, stale: true };
    }
    this.#counters.forget(request.rows, outcome.done);
    this.#esp.removeKeys(request.rows, outcome.done);
    if (outcome.refused !== 0) {
      this.#esp.takeBack(keys);
      return { ...nothing, ...outcome };
    }
    const released = request.release.flatMap((port) => this.#ports.release(port));
    const error = this.#ports.attach(request.attach);
    return { ...nothing, ...outcome, error, released };
  }

  #stats(ports: readonly number[], transfer: ArrayBuffer[]): StatsReply {
    const read = this.#counters.read(ports);
    transfer.push(read.counters.buffer, read.ports.buffer);
    return { generation: this.#generation, ...read, poller: this.#poller.stats() };
  }

  /** A frame composed by the host, as if received on `port`: the arena is free between two polls. */
  #inject(port: number, frame: Uint8Array): void {
    if (frame.length > FRAME_LENGTH_MAX) throw new RangeError(`a frame of ${frame.length} bytes is longer than ${FRAME_LENGTH_MAX}`);
    const { bytes, data } = this.#views;
    const offset = RX_ARENA + HEADROOM;
    bytes.fill(0, offset, offset + VNET_HEADER_LENGTH);
    bytes.set(frame, offset + VNET_HEADER_LENGTH);
    const at = rxDescriptor(0);
    data.setUint32(at + RX_OFFSET, offset, true);
    data.setUint32(at + RX_LENGTH, VNET_HEADER_LENGTH + frame.length, true);
    data.setUint16(at + RX_PORT, port, true);
    data.setUint16(at + RX_SEGMENT, 0, true);
    data.setUint32(at + RX_FLAGS, RX_FLAG_INJECTED, true);
    this.#run(1);
  }

  /** The main thread has taken `length` bytes of captured records. */
  captureTaken(length: number): void {
    this.#capture.taken(length);
  }
}

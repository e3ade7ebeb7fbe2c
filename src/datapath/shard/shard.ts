// A shard: one engine, its memory, its poller, and the set of bridge domains that live in it. All that a worker thread has is
// one object of this class; nothing of it is shared with another worker. There is one today.
//
//   turn(timeout):  poll ─> run ─> flush ─> [settle] ─> resume ... until the batch is used up ─> tick once a second
//   execute():      what the main thread asks for, between two batches
//
// Its rooms: shard-esp (ciphers, keys), shard-capture (the ring of copies), shard-reads (tables as they are).
//
// A trap of the engine is a bug of ours, and the frames that hit it may come again. So: the batch is saved for whoever mends
// it, its packets are counted under engine-trap, a new instance takes over the memory, and the main thread, told by the
// generation's number, sends all tables again. Counters go on: they are read before the reset and written back after it.
import {
  PORT_LENGTH,
  PORT_RX_PACKETS,
  PORT_UDP_PORT,
  RX_FLAG_INJECTED,
  RX_FLAGS,
  RX_LENGTH,
  RX_OFFSET,
  RX_PORT,
  RX_SEGMENT,
  VNET_HEADER_LENGTH,
} from "../../../wasm/shared/abi.ts";
import {
  COUNTER_CLONED,
  COUNTER_ORIGINATED,
  COUNTER_RX,
  COUNTER_TX,
  DROP_BASE,
  DROP_COUNT,
  DROP_ENGINE_TRAP,
} from "../../../wasm/shared/counters.ts";
import { PORTS, RX_ARENA, TRACE_RING, TRACE_RING_LENGTH } from "../../../wasm/shared/layout.ts";
import { FRAME_LENGTH_MAX, HEADROOM, PORT_MAX } from "../../../wasm/shared/limits.ts";
import type { Poller } from "../../ports/native.ts";
import type { EngineExports } from "../engine.ts";
import { COUNTER_WORDS, POLLER_LAYOUT, rxDescriptor, type Views, viewsOf } from "../memory.ts";
import type { ApplyReply, ApplyRequest, Attachment, Notice, Protocol, Request, StatsReply } from "../messages.ts";
import { instantiateEngine } from "../module.ts";
import { applyRows, PORT_DELETE, ROW_WORDS } from "../tables/ops.ts";
import type { Cipher } from "./cipher.ts";
import { ShardCapture } from "./shard-capture.ts";
import { ShardEsp } from "./shard-esp.ts";
import { copyOut, dumpChunk, readTables } from "./shard-reads.ts";
import { type PortFraming, saveTrap } from "./trap-file.ts";

const TICK_MS = 1000;
/** Counters per port in the table: rx packets, rx bytes, tx packets, tx bytes, drops. */
export const PORT_COUNTERS = 5;

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
  readonly #framings = new Map<number, PortFraming>();
  /** The main thread's descriptors by port: the poller has duplicates. */
  readonly #descriptors = new Map<number, readonly number[]>();
  /** Counters of ports from before the last rebuild: the table starts again at zero. */
  readonly #carried = new Map<number, BigUint64Array>();
  readonly #capture = new ShardCapture();
  readonly #esp: ShardEsp;
  #engine: EngineExports;
  #generation = 1;
  #nextTickMs = 0;
  /** Receive descriptors of the batch that runs. */
  #batch = 0;
  #rxBefore = 0;
  #txBefore = 0;

  constructor(options: ShardOptions) {
    this.#options = options;
    this.#poller = options.poller;
    this.#views = viewsOf(options.memory);
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
    const halves = this.#views.counterHalves;
    this.#batch = count;
    this.#rxBefore = halves[2 * COUNTER_RX]!;
    try {
      this.#txBefore = halves[2 * COUNTER_TX]!;
      this.#esp.open(this.#engine, count);
      let filled = this.#engine.run(count);
      for (;;) {
        if (filled > 0) this.#flush(filled);
        if (this.#engine.pending() === 0) break;
        this.#txBefore = halves[2 * COUNTER_TX]!;
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
      this.#txBefore = this.#views.counterHalves[2 * COUNTER_TX]!;
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
        file = saveTrap(this.#options.trapsFolder, { views: this.#views, count: this.#batch, framings: this.#framings, reason, timeNs });
      }
    } catch {
      // A full disk must not stop the network; the notice then names no file.
    }
    const counters = this.#countTrap();
    this.#carryPortCounters();
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

  /**
   * The counters as they shall stand after the batch: packets that it had counted as sent but not flushed, and those that it
   * had not come to yet, were lost by the trap; what it had in hand shows as the law's difference.
   */
  #countTrap(): BigUint64Array {
    const halves = this.#views.counterHalves;
    const counters = this.#views.counters.slice();
    const unsent = this.#batch === 0 ? 0 : (halves[2 * COUNTER_TX]! - this.#txBefore) >>> 0;
    counters[COUNTER_TX]! -= BigInt(unsent);
    const taken = (halves[2 * COUNTER_RX]! - this.#rxBefore) >>> 0;
    const untaken = this.#batch === 0 ? 0 : Math.max(0, packetsIn(this.#views, this.#batch) - taken);
    counters[COUNTER_RX]! += BigInt(untaken);
    let dropped = 0n;
    for (let i = 0; i < DROP_COUNT; i++) dropped += counters[DROP_BASE + i]!;
    const held = counters[COUNTER_RX]! + counters[COUNTER_CLONED]! + counters[COUNTER_ORIGINATED]! - counters[COUNTER_TX]! - dropped;
    if (BigInt.asIntN(64, held) > 0n) counters[DROP_BASE + DROP_ENGINE_TRAP]! += held;
    return counters;
  }

  #carryPortCounters(): void {
    for (let port = 0; port < PORT_MAX; port++) {
      const now = this.#portCounters(port);
      if (now.some((value) => value !== 0n)) this.#carried.set(port, now);
    }
  }

  #portCounters(port: number): BigUint64Array {
    const at = PORTS + port * PORT_LENGTH + PORT_RX_PACKETS;
    const values = new BigUint64Array(PORT_COUNTERS);
    const carried = this.#carried.get(port);
    for (let i = 0; i < PORT_COUNTERS; i++) values[i] = this.#views.data.getBigUint64(at + 8 * i, true) + (carried?.[i] ?? 0n);
    return values;
  }

  // ── requests ──

  /** Answers a request of the main thread; buffers to transfer are collected in `transfer`. */
  execute(request: Request, transfer: ArrayBuffer[]): Protocol[Request["kind"]]["reply"] {
    try {
      return this.#execute(request, transfer);
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      this.#txBefore = this.#views.counterHalves[2 * COUNTER_TX]!;
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
        return { released: [...this.#framings.keys()].flatMap((port) => this.#release(port)) };
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
    if (this.#carried.size > 0) this.#forgetCarried(request.rows, outcome.done);
    this.#esp.removeKeys(request.rows, outcome.done);
    if (outcome.refused !== 0) {
      this.#esp.takeBack(keys);
      return { ...nothing, ...outcome };
    }
    const released = request.release.flatMap((port) => this.#release(port));
    const error = this.#attach(request.attach);
    return { ...nothing, ...outcome, error, released };
  }

  #forgetCarried(rows: Uint32Array, count: number): void {
    for (let i = 0; i < count; i++) if (rows[i * ROW_WORDS] === PORT_DELETE) this.#carried.delete(rows[i * ROW_WORDS + 1]!);
  }

  /** Has the poller poll descriptors, all or none; the reason if none. */
  #attach(attachments: readonly Attachment[]): string | null {
    const taken: number[] = [];
    try {
      for (const { port, kind, fds } of attachments) {
        if (kind === "tap") this.#poller.addTap(port, fds[0]!);
        else if (kind === "packet") this.#poller.addPacket(port, fds[0]!);
        else if (kind === "icmp") this.#poller.addQuiet(port, fds[0]!);
        else this.#poller.addUdp(port, [...fds]);
        this.#framings.set(
          port,
          kind === "tap" || kind === "packet" ? { kind } : { kind: kind === "icmp" ? kind : "udp", udpPort: this.#udpPort(port) },
        );
        this.#descriptors.set(port, fds);
        taken.push(port);
      }
      return null;
    } catch (error) {
      for (const port of taken) this.#release(port);
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** UDP port of an underlay port, from its entry. */
  #udpPort(port: number): number {
    return this.#views.data.getUint16(PORTS + port * PORT_LENGTH + PORT_UDP_PORT, true);
  }

  /** None: the port has no descriptors. */
  #release(port: number): Attachment[] {
    const framing = this.#framings.get(port);
    if (framing === undefined) return [];
    const fds = this.#descriptors.get(port) ?? [];
    this.#framings.delete(port);
    this.#descriptors.delete(port);
    this.#poller.release(port);
    return [{ port, kind: framing.kind, fds: [...fds] }];
  }

  #stats(ports: readonly number[], transfer: ArrayBuffer[]): StatsReply {
    const counters = new BigUint64Array(COUNTER_WORDS);
    counters.set(this.#views.counters);
    const portCounters = new BigUint64Array(ports.length * PORT_COUNTERS);
    ports.forEach((port, i) => {
      portCounters.set(this.#portCounters(port), i * PORT_COUNTERS);
    });
    transfer.push(counters.buffer, portCounters.buffer);
    return { generation: this.#generation, counters, ports: portCounters, poller: this.#poller.stats() };
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

/** Packets in the `batch` receive descriptors: a UDP_GRO buffer has many. */
function packetsIn({ data }: Views, batch: number): number {
  let packets = 0;
  for (let i = 0; i < batch; i++) {
    const at = rxDescriptor(i);
    const segment = data.getUint16(at + RX_SEGMENT, true);
    packets += segment === 0 ? 1 : Math.ceil(data.getUint32(at + RX_LENGTH, true) / segment);
  }
  return packets;
}

// The counters of a shard where they are more than what stands in memory: after a trap the law must hold again, and the counts of
// ports, which a new engine begins at zero, go on.
//
// While a batch runs, two numbers are kept: how many packets had been received before it, and how many of those counted as sent
// are sent. What lies beyond them is what a trap takes along.
import { PORT_LENGTH, PORT_RX_PACKETS, RX_LENGTH, RX_SEGMENT } from "../../../wasm/shared/abi.ts";
import {
  COUNTER_CLONED,
  COUNTER_ORIGINATED,
  COUNTER_RX,
  COUNTER_TX,
  DROP_BASE,
  DROP_COUNT,
  DROP_ENGINE_TRAP,
} from "../../../wasm/shared/counters.ts";
import { PORTS } from "../../../wasm/shared/layout.ts";
import { PORT_MAX } from "../../../wasm/shared/limits.ts";
import { COUNTER_WORDS, rxDescriptor, type Views } from "../memory.ts";
import { PORT_DELETE, ROW_WORDS } from "../tables/ops.ts";

/** Counters per port in the table: rx packets, rx bytes, tx packets, tx bytes, drops. */
export const PORT_COUNTERS = 5;

export class ShardCounters {
  readonly #views: Views;
  /** Of ports, from before the last rebuild. */
  readonly #carried = new Map<number, BigUint64Array>();
  #rxBefore = 0;
  #txBefore = 0;

  constructor(views: Views) {
    this.#views = views;
  }

  batchBegins(): void {
    this.#rxBefore = this.#views.counterHalves[2 * COUNTER_RX]!;
    this.flushed();
  }

  /** All that is counted as sent is sent. */
  flushed(): void {
    this.#txBefore = this.#views.counterHalves[2 * COUNTER_TX]!;
  }

  /**
   * The counters as they shall stand after a trap in a batch of so many receive descriptors (0: outside of one): packets that it
   * had counted as sent but not flushed, and those that it had not come to yet, were lost by the trap; what it had in hand
   * shows as the law's difference.
   */
  afterTrap(batch: number): BigUint64Array {
    const halves = this.#views.counterHalves;
    const counters = this.#views.counters.slice();
    const unsent = batch === 0 ? 0 : (halves[2 * COUNTER_TX]! - this.#txBefore) >>> 0;
    counters[COUNTER_TX]! -= BigInt(unsent);
    const taken = (halves[2 * COUNTER_RX]! - this.#rxBefore) >>> 0;
    const untaken = batch === 0 ? 0 : Math.max(0, packetsIn(this.#views, batch) - taken);
    counters[COUNTER_RX]! += BigInt(untaken);
    let dropped = 0n;
    for (let i = 0; i < DROP_COUNT; i++) dropped += counters[DROP_BASE + i]!;
    const held = counters[COUNTER_RX]! + counters[COUNTER_CLONED]! + counters[COUNTER_ORIGINATED]! - counters[COUNTER_TX]! - dropped;
    if (BigInt.asIntN(64, held) > 0n) counters[DROP_BASE + DROP_ENGINE_TRAP]! += held;
    return counters;
  }

  /** Keeps what ports have counted, before their table begins again. */
  carryPorts(): void {
    for (let port = 0; port < PORT_MAX; port++) {
      const now = this.#ofPort(port);
      if (now.some((value) => value !== 0n)) this.#carried.set(port, now);
    }
  }

  /** Ports that the first `count` rows delete: whoever gets their index begins at zero. */
  forget(rows: Uint32Array, count: number): void {
    if (this.#carried.size === 0) return;
    for (let i = 0; i < count; i++) if (rows[i * ROW_WORDS] === PORT_DELETE) this.#carried.delete(rows[i * ROW_WORDS + 1]!);
  }

  /** Copies that can be transferred: the engine's counters, and PORT_COUNTERS words for each port. */
  read(ports: readonly number[]): { readonly counters: BigUint64Array<ArrayBuffer>; readonly ports: BigUint64Array<ArrayBuffer> } {
    const counters = new BigUint64Array(COUNTER_WORDS);
    counters.set(this.#views.counters);
    const portCounters = new BigUint64Array(ports.length * PORT_COUNTERS);
    ports.forEach((port, i) => {
      portCounters.set(this.#ofPort(port), i * PORT_COUNTERS);
    });
    return { counters, ports: portCounters };
  }

  #ofPort(port: number): BigUint64Array {
    const at = PORTS + port * PORT_LENGTH + PORT_RX_PACKETS;
    const values = new BigUint64Array(PORT_COUNTERS);
    const carried = this.#carried.get(port);
    for (let i = 0; i < PORT_COUNTERS; i++) values[i] = this.#views.data.getBigUint64(at + 8 * i, true) + (carried?.[i] ?? 0n);
    return values;
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

// Answers of upstream servers, kept as long as their records say. One cache for all sandboxes; the key tells apart what is
// asked of different servers or from different places. The oldest entries go when it is full.
import type { Clock } from "../clock.ts";
import { lifetimeOf, type Query, relayed } from "./message.ts";

interface Entry {
  readonly bytes: Uint8Array;
  readonly ttlOffsets: readonly number[];
  readonly storedMs: number;
  readonly endsMs: number;
}

/** 512-byte answers: some 5 MB. */
const ENTRIES_MAX = 10_000;
/** An upstream that says "a year" is not to be believed for longer (RFC 8767 recommends a cap). */
const TTL_MAX_S = 86_400;

export class AnswerCache {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** In the order in which they came. */
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** For this query, its times to live counted down. */
  get(key: string, query: Query): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= entry.endsMs) {
      this.#entries.delete(key);
      return undefined;
    }
    return relayed(entry.bytes, query, entry.ttlOffsets, Math.floor((nowMs - entry.storedMs) / 1000));
  }

  put(key: string, bytes: Uint8Array): void {
    const { ttlS, ttlOffsets } = lifetimeOf(bytes);
    if (ttlS < 1) return;
    const storedMs = this.#clock.monotonicMs();
    this.#entries.delete(key);
    this.#entries.set(key, { bytes, ttlOffsets, storedMs, endsMs: storedMs + Math.min(ttlS, TTL_MAX_S) * 1000 });
    if (this.#entries.size > ENTRIES_MAX) this.#entries.delete(this.#entries.keys().next().value!);
  }
}

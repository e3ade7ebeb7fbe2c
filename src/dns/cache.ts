// Answers of upstream servers, kept as long as their records say. One cache for all sandboxes; the key tells apart what is
// asked of different servers or from different places. The oldest entries go when it is full: it is counted in bytes too, for
// an answer by TCP may have 64 KB, and who owns a name chooses.
import type { Clock } from "../clock.ts";
import { lifetimeOf, relayed } from "./forwarded.ts";
import type { Query } from "./message.ts";

interface Entry {
  readonly bytes: Uint8Array;
  readonly ttlOffsets: readonly number[];
  readonly storedMs: number;
  readonly endsMs: number;
}

/** 512-byte answers: some 5 MB. */
const ENTRIES_MAX = 10_000;
const BYTES_MAX = 16 << 20;
/** An upstream that says "a year" is not to be believed for longer (RFC 8767 recommends a cap). */
const TTL_MAX_S = 86_400;

export class AnswerCache {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** In the order in which they came. */
  readonly #entries = new Map<string, Entry>();

  #bytes = 0;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Of answers, without what it takes to find them. */
  get bytes(): number {
    return this.#bytes;
  }

  /** For this query, its times to live counted down. */
  get(key: string, query: Query): Uint8Array | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= entry.endsMs) {
      this.#drop(key);
      return undefined;
    }
    return relayed(entry.bytes, query, entry.ttlOffsets, Math.floor((nowMs - entry.storedMs) / 1000));
  }

  put(key: string, bytes: Uint8Array): void {
    const { ttlS, ttlOffsets } = lifetimeOf(bytes);
    if (ttlS < 1) return;
    const storedMs = this.#clock.monotonicMs();
    this.#drop(key);
    this.#entries.set(key, { bytes, ttlOffsets, storedMs, endsMs: storedMs + Math.min(ttlS, TTL_MAX_S) * 1000 });
    this.#bytes += bytes.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= ENTRIES_MAX && this.#bytes <= BYTES_MAX) return;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes.length ?? 0;
    this.#entries.delete(key);
  }
}

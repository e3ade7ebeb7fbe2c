// ESP's part of a shard: the cipher's turns before the engine's run and before each flush, keys that come with rows and go with
// them, and the events on their way to the main thread.
import { TX_DESCRIPTOR_LENGTH, TX_ERRNO } from "../../../wasm/shared/abi.ts";
import { ESP_EVENTS, OPEN_OPS, SEAL_OPS, TX_RING } from "../../../wasm/shared/layout.ts";
import type { EngineExports } from "../engine.ts";
import type { Views } from "../memory.ts";
import type { Notice, SlotKey } from "../messages.ts";
import { ROW_WORDS, SA_DELETE, SA_SET } from "../tables/ops.ts";
import type { Cipher } from "./cipher.ts";

/** Between two drains of the region of events: what floods us with unknown SPIs must not flood the main thread. */
const EVENTS_MS = 10;
/** Bytes of the region that are its own. */
const EVENTS_EMPTY = 8;
/** "Key was rejected by service": the errno of what could not be sealed. */
const EKEYREJECTED = 129;

type Notify = (notice: Notice, transfer?: readonly ArrayBuffer[]) => void;

export class ShardEsp {
  readonly #views: Views;
  readonly #cipher: Cipher;
  readonly #notify: Notify;
  #nextEventsMs = 0;

  constructor(views: Views, cipher: Cipher, notify: Notify) {
    this.#views = views;
    this.#cipher = cipher;
    this.#notify = notify;
  }

  /** Before the run: opens what of the batch came by ESP ports. What is forged says so in its operation. */
  open(engine: EngineExports, count: number): void {
    const toOpen = engine.espPrepare(count);
    if (toOpen > 0) this.#cipher.run(OPEN_OPS, toOpen);
  }

  /**
   * Before a flush: seals what is to be sealed. False: something could not be; it is plaintext, so nothing of these descriptors
   * may be sent, and all are counted as refused.
   */
  seal(engine: EngineExports, filled: number): boolean {
    const toSeal = engine.sealCount();
    if (toSeal === 0) return true;
    if (this.#cipher.run(SEAL_OPS, toSeal) === 0) {
      engine.sealed();
      return true;
    }
    const { data } = this.#views;
    for (let i = 0; i < filled; i++) data.setUint16(TX_RING + i * TX_DESCRIPTOR_LENGTH + TX_ERRNO, EKEYREJECTED, true);
    engine.settle(filled);
    return false;
  }

  /** Tells the main thread what ESP has to say; not more often than it can listen. */
  drainEvents(engine: EngineExports, nowMs: number): void {
    const { data, bytes } = this.#views;
    const used = data.getUint32(ESP_EVENTS, true);
    if (used <= EVENTS_EMPTY || nowMs < this.#nextEventsMs) return;
    this.#nextEventsMs = nowMs + EVENTS_MS;
    const events = bytes.slice(ESP_EVENTS, ESP_EVENTS + used);
    engine.espEventsClear();
    this.#notify({ notice: "esp-events", events }, [events.buffer]);
  }

  /** Puts keys into their slots, before the rows that name them. */
  setKeys(keys: readonly SlotKey[]): void {
    for (const { slot, algorithm, material } of keys) {
      this.#cipher.setKey(slot, algorithm, material);
      material.fill(0);
    }
  }

  /** The rows were refused: their keys are nobody's. */
  takeBack(keys: readonly SlotKey[]): void {
    for (const { slot } of keys) this.#cipher.removeKey(slot);
  }

  /** Removes the keys of associations that the first `count` rows have deleted, and not set anew. */
  removeKeys(rows: Uint32Array, count: number): void {
    const gone = new Set<number>();
    for (let i = 0; i < count; i++) {
      const at = i * ROW_WORDS;
      if (rows[at] === SA_DELETE) gone.add(rows[at + 1]!);
      else if (rows[at] === SA_SET) gone.delete(rows[at + 1]!);
    }
    for (const slot of gone) this.#cipher.removeKey(slot);
  }

  /** The engine starts anew: keys come again with its tables. */
  clear(): void {
    this.#cipher.clear();
  }
}

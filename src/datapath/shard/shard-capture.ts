// A shard's capture ring, drained between batches. What is on its way to the main thread is bounded: a slow reader loses
// records, never packets.
import { CAPTURE_RING } from "../../../wasm/shared/layout.ts";
import { stampCapture } from "../capture/capture-records.ts";
import type { EngineExports } from "../engine.ts";
import type { Views } from "../memory.ts";
import type { Notice } from "../messages.ts";

const IN_FLIGHT_MAX_BYTES = 32 * 1024 * 1024;

export class ShardCapture {
  #all = false;
  /** Bytes kept of each captured frame; 0: capture is off. */
  #snapLength = 0;
  #inFlightBytes = 0;
  #lost = 0;

  set(engine: EngineExports, all: boolean, snapLength: number): void {
    this.#all = all;
    this.#snapLength = snapLength;
    this.apply(engine);
  }

  /** Tells an engine, maybe a new one, what is captured. */
  apply(engine: EngineExports): void {
    engine.captureSet(this.#all ? 1 : 0, this.#snapLength);
    if (this.#snapLength === 0) engine.captureClear();
  }

  /** The main thread has taken `lengthBytes` of records. */
  taken(lengthBytes: number): void {
    this.#inFlightBytes -= lengthBytes;
  }

  /** Hands over what the ring has; `wallNs` is now. */
  drain(
    engine: EngineExports,
    views: Views,
    wallNs: () => bigint,
    notify: (notice: Notice, transfer: readonly ArrayBuffer[]) => void,
  ): void {
    if (this.#snapLength === 0) return;
    const length = engine.captureLength() >>> 0;
    if (length === 0) return;
    if (this.#inFlightBytes + length > IN_FLIGHT_MAX_BYTES) {
      this.#lost += length;
    } else {
      const records = views.bytes.slice(CAPTURE_RING, CAPTURE_RING + length);
      stampCapture(records, wallNs());
      this.#inFlightBytes += length;
      const lost = this.#lost;
      this.#lost = 0;
      notify({ notice: "captured", records, lost }, [records.buffer]);
    }
    engine.captureClear();
  }
}

// The count of this host's starts, by which no two lives derive the same key: stored before its first use.
import { ESP_EPOCH_KEY } from "../store/keys.ts";
import type { Store } from "../store/store.ts";

export class Epochs {
  readonly #store: Store;
  #epoch: number | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  /** This start's. */
  async current(): Promise<number> {
    return this.#epoch ?? (await this.next());
  }

  async next(): Promise<number> {
    const entry = await this.#store.get(ESP_EPOCH_KEY);
    const epoch = Math.max(Number(entry?.value ?? 0), this.#epoch ?? 0) + 1;
    await this.#store.commit({ puts: [{ key: ESP_EPOCH_KEY, value: epoch }], deletes: [] });
    this.#epoch = epoch;
    return epoch;
  }
}

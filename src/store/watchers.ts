// The listeners of a store, shared by its implementations.
import type { Change } from "./store.ts";

export class Watchers {
  readonly #listeners = new Set<{ prefix: string; listener: (changes: readonly Change[]) => void }>();

  add(prefix: string, listener: (changes: readonly Change[]) => void): () => void {
    const entry = { prefix, listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  tell(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    for (const { prefix, listener } of [...this.#listeners]) {
      const mine = changes.filter((change) => change.key.startsWith(prefix));
      if (mine.length > 0) listener(mine);
    }
  }

  clear(): void {
    this.#listeners.clear();
  }
}

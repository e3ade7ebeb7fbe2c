// A store in memory: the twin of lmdb.ts for tests and simulations. Values are copied in and out as JSON, so that a caller
// that keeps and changes an object finds the same surprise here as with a file.
import { unavailable } from "../errors.ts";
import type { Change, CommitResult, Entry, Store, Transaction } from "./store.ts";
import { Watchers } from "./watchers.ts";

export class MemoryStore implements Store {
  readonly description = "memory";
  readonly #entries = new Map<string, { json: string; revision: number }>();
  readonly #watchers = new Watchers();
  #revision = 0;
  #closed = false;

  async get(key: string): Promise<Entry | null> {
    this.#refuseClosed();
    const entry = this.#entries.get(key);
    return entry === undefined ? null : { key, value: JSON.parse(entry.json), revision: entry.revision };
  }

  async list(prefix: string): Promise<Entry[]> {
    this.#refuseClosed();
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort();
    return keys.map((key) => {
      const entry = this.#entries.get(key)!;
      return { key, value: JSON.parse(entry.json), revision: entry.revision };
    });
  }

  async commit(transaction: Transaction): Promise<CommitResult> {
    this.#refuseClosed();
    for (const check of transaction.checks ?? []) {
      if ((this.#entries.get(check.key)?.revision ?? 0) !== check.revision) return { committed: false, conflict: check.key };
    }
    const changes: Change[] = [];
    const revision = this.#revision + 1;
    for (const key of transaction.deletes ?? []) {
      if (this.#entries.delete(key)) changes.push({ key, value: null, deleted: true, revision });
    }
    for (const { key, value } of transaction.puts ?? []) {
      const json = JSON.stringify(value);
      this.#entries.set(key, { json, revision });
      changes.push({ key, value: JSON.parse(json), deleted: false, revision });
    }
    if (changes.length > 0) this.#revision = revision;
    this.#watchers.tell(changes);
    return { committed: true, revision: this.#revision };
  }

  watch(prefix: string, listener: (changes: readonly Change[]) => void): () => void {
    return this.#watchers.add(prefix, listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.clear();
  }

  #refuseClosed(): void {
    if (this.#closed) throw unavailable("the store is closed");
  }
}

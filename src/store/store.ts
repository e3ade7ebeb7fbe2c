// Where the control plane keeps what should be: a small ordered key-value store with transactions. A key says what its value
// is (keys.ts); a value is JSON. Each entry has the revision of the commit that wrote it last, and a transaction names the
// revisions that it was computed from: if one has moved, nothing is written and the caller starts again from what is there.
//
// The contract that every store keeps (test/compliance/store.ts holds them to it):
//   - commit is all or nothing, and once its promise resolves the writes survive a crash of the process and of the machine;
//   - revisions grow by one with each commit that writes something;
//   - watchers hear of each commit in order of revision, before the promise of that commit resolves, so that a cache fed by a
//     watch is never older than what its owner knows to be written;
//   - list is ordered by key (code units).
//
// Reads are promises because later stores are remote. Embedded: lmdb.ts. Twin for tests and throw-away daemons: memory.ts.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Entry {
  readonly key: string;
  readonly value: Json;
  readonly revision: number;
}

/** Holds if the entry's revision is this one; 0: if there is no such entry. */
export interface Check {
  readonly key: string;
  readonly revision: number;
}

export interface Put {
  readonly key: string;
  readonly value: Json;
}

export interface Transaction {
  readonly checks?: readonly Check[];
  readonly puts?: readonly Put[];
  /** Missing ones are fine. */
  readonly deletes?: readonly string[];
}

export type CommitResult =
  | { readonly committed: true; readonly revision: number }
  /** Nothing was written: the entry of this key has another revision than the check said. */
  | { readonly committed: false; readonly conflict: string };

/** `value` is null when the key was deleted. */
export interface Change {
  readonly key: string;
  readonly value: Json;
  readonly deleted: boolean;
  readonly revision: number;
}

export interface Store {
  /** How errors name it: a file's path, or "memory". */
  readonly description: string;
  get(key: string): Promise<Entry | null>;
  /** Every entry whose key starts with `prefix`; "" is all. */
  list(prefix: string): Promise<Entry[]>;
  /** Rejects when nothing could be written: RESOURCE_EXHAUSTED (disk full), FORBIDDEN (read-only), UNAVAILABLE (closed). */
  commit(transaction: Transaction): Promise<CommitResult>;
  /** Calls back with the changes of each later commit under `prefix`; returns the way to stop. */
  watch(prefix: string, listener: (changes: readonly Change[]) => void): () => void;
  /** Later calls are refused with UNAVAILABLE. Closing twice is fine. */
  close(): Promise<void>;
}

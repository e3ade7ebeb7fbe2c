// The embedded store: one LMDB file in the state directory.
//
// Commits are gathered for one turn of the event loop and written by one synchronous LMDB transaction that ends with
// fdatasync: 200 sandboxes started together cost one or two syncs, and an acknowledged change is on the disk. It stops the
// main thread for that long, which is the control plane's only; frames are forwarded by another thread. lmdb's own
// asynchronous writer is not used: its failures also surface as rejections that nobody can await.
//
// One daemon per file: the state directory's lock sees to that, not this.
import { chmodSync, closeSync, existsSync, openSync, type Stats, statfsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { open, type RootDatabase } from "lmdb";
import { unavailable, WeftError } from "../errors.ts";
import { corrupt, hostFailure, lmdbFailure } from "./lmdb-failures.ts";
import { probeLmdb } from "./lmdb-probe.ts";
import { decode, encode } from "./lmdb-record.ts";
import type { Change, CommitResult, Entry, Json, Store, Transaction } from "./store.ts";
import { Watchers } from "./watchers.ts";

/** In the state directory. */
export const STORE_FILE = "store.lmdb";

const FORMAT_VERSION = 1;
/** Sorts before every other key and is shown to nobody. Its revision is the store's. */
const HEADER_KEY = " header";

/**
 * Below this much free space nothing is added. LMDB needs room for copies of the pages it changes, and a write that it can't
 * finish takes it through its least used code; refusing early also leaves room for the removals that make space.
 */
const SPARE_BYTES = 256 * 1024;

export const LMDB_OPTIONS = { noSubdir: true, encoding: "string", overlappingSync: false, maxReaders: 16 } as const;

/** Secrets of peers are in it. */
const FILE_MODE = 0o600;

/** Takes from others what rights the files may have: LMDB makes its own by the umask, and so did earlier versions. */
function restrict(path: string): void {
  for (const file of [path, `${path}-lock`]) {
    if (existsSync(file) && (statSync(file).mode & 0o777) !== FILE_MODE) chmodSync(file, FILE_MODE);
  }
}

interface Pending {
  readonly transaction: Transaction;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: Error) => void;
}

/** Opens the store, or makes it. DATA_LOSS if the file is damaged, RESOURCE_EXHAUSTED, FORBIDDEN (read-only) or UNAVAILABLE if the
 * host doesn't let us. `mapBytes`: of the map to begin with; it grows. */
export async function openLmdbStore(path: string, limits: { readonly mapBytes?: number } = {}): Promise<Store> {
  const found = existsSync(path);
  if (found && statSync(path).isDirectory()) throw hostFailure(path, "open", "EISDIR", "is a directory");
  if (found && statSync(path).size > 0) {
    const damage = await probeLmdb(path, LMDB_OPTIONS);
    // A host's failure (no rights, read-only) meets the probe too; the open below then words it.
    if (damage !== null && !/Permission denied|Read-only file system|No space left|Too many open files/.test(damage))
      throw corrupt(path, damage);
  }
  let db: RootDatabase<string, string>;
  try {
    if (!found) closeSync(openSync(path, "a", FILE_MODE));
    db = open<string, string>({ path, ...LMDB_OPTIONS, ...(limits.mapBytes === undefined ? {} : { mapSize: limits.mapBytes }) });
    restrict(path);
  } catch (error) {
    throw lmdbFailure(path, "open", error);
  }
  try {
    return new LmdbStore(path, db);
  } catch (error) {
    await db.close();
    throw error;
  }
}

class LmdbStore implements Store {
  readonly description: string;
  readonly #db: RootDatabase<string, string>;
  readonly #watchers = new Watchers();
  /** Which file it is. */
  readonly #file: Pick<Stats, "dev" | "ino">;
  #revision: number;
  #queue: Pending[] = [];
  #closed = false;

  constructor(path: string, db: RootDatabase<string, string>) {
    this.description = path;
    this.#db = db;
    this.#file = statSync(path);
    const header = this.#read(HEADER_KEY);
    if (header === null) {
      if (db.getKeysCount({ limit: 1 }) > 0) throw corrupt(path, "it has records but no header");
      this.#revision = 0;
      try {
        db.transactionSync(() => this.#writeHeader());
      } catch (error) {
        throw lmdbFailure(path, "write", error);
      }
      return;
    }
    const version = (header.value as { version?: unknown } | null)?.version;
    if (version !== FORMAT_VERSION) {
      throw unavailable(
        `the store ${path} has format version ${JSON.stringify(version)}, this Weft reads version ${FORMAT_VERSION}: run the Weft that wrote it, or move the file away to start anew`,
      );
    }
    this.#revision = header.revision;
  }

  async get(key: string): Promise<Entry | null> {
    this.#refuseClosed();
    return key === HEADER_KEY ? null : this.#read(key);
  }

  async list(prefix: string): Promise<Entry[]> {
    this.#refuseClosed();
    const entries: Entry[] = [];
    for (const { key, value } of this.#db.getRange(prefix === "" ? {} : { start: prefix })) {
      if (!key.startsWith(prefix)) break;
      if (key !== HEADER_KEY) entries.push(this.#decode(key, value));
    }
    return entries;
  }

  commit(transaction: Transaction): Promise<CommitResult> {
    return new Promise((resolve, reject) => {
      this.#refuseClosed();
      this.#queue.push({ transaction, resolve, reject });
      if (this.#queue.length === 1) setImmediate(() => this.#flush());
    });
  }

  watch(prefix: string, listener: (changes: readonly Change[]) => void): () => void {
    return this.#watchers.add(prefix, listener);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    this.#watchers.clear();
    await this.#db.close();
  }

  /** Writes all that waits in one LMDB transaction. A conflict is one waiter's business, a failed write everyone's. */
  #flush(): void {
    const batch = this.#queue;
    this.#queue = [];
    if (batch.length === 0) return;
    const before = this.#revision;
    const fail = (error: Error): void => {
      for (const { reject } of batch) reject(error);
    };
    const outcomes: { result: CommitResult; changes: readonly Change[] }[] = [];
    try {
      this.#checkPlace();
      if (batch.some(({ transaction }) => (transaction.puts?.length ?? 0) > 0) && this.#freeBytes() < SPARE_BYTES) {
        throw hostFailure(this.description, "write", "ENOSPC", "no space left on device");
      }
      this.#db.transactionSync(() => {
        for (const { transaction } of batch) outcomes.push(this.#apply(transaction));
        if (this.#revision !== before) this.#writeHeader();
      });
    } catch (error) {
      this.#revision = before;
      fail(error instanceof WeftError ? error : lmdbFailure(this.description, "write", error));
      return;
    }
    outcomes.forEach(({ result, changes }, index) => {
      this.#watchers.tell(changes);
      batch[index]!.resolve(result);
    });
  }

  /** Inside an LMDB transaction. */
  #apply(transaction: Transaction): { result: CommitResult; changes: readonly Change[] } {
    for (const check of transaction.checks ?? []) {
      if ((this.#read(check.key)?.revision ?? 0) !== check.revision)
        return { result: { committed: false, conflict: check.key }, changes: [] };
    }
    const changes: Change[] = [];
    const revision = this.#revision + 1;
    for (const key of transaction.deletes ?? []) {
      if (this.#db.removeSync(key)) changes.push({ key, value: null, deleted: true, revision });
    }
    for (const { key, value } of transaction.puts ?? []) {
      const json = JSON.stringify(value);
      this.#db.putSync(key, encode(revision, json));
      changes.push({ key, value: JSON.parse(json) as Json, deleted: false, revision });
    }
    if (changes.length > 0) this.#revision = revision;
    return { result: { committed: true, revision: this.#revision }, changes };
  }

  #read(key: string): Entry | null {
    let text: string | undefined;
    try {
      text = this.#db.get(key);
    } catch (error) {
      throw lmdbFailure(this.description, "read", error);
    }
    return text === undefined ? null : this.#decode(key, text);
  }

  #decode(key: string, text: string): Entry {
    const record = decode(text);
    if (record === null) throw corrupt(this.description, `the record ${key} is damaged`);
    return { key, ...record };
  }

  #writeHeader(): void {
    this.#db.putSync(HEADER_KEY, encode(this.#revision, JSON.stringify({ version: FORMAT_VERSION })));
  }

  /** A file that was deleted or moved away still takes what is written, and no next daemon would find it. */
  #checkPlace(): void {
    const there = statSync(this.description, { throwIfNoEntry: false });
    if (there !== undefined && there.ino === this.#file.ino && there.dev === this.#file.dev) return;
    throw hostFailure(this.description, "write", "ENOENT", there === undefined ? "the file is gone" : "another file is in its place");
  }

  #freeBytes(): number {
    const { bavail, bsize } = statfsSync(dirname(this.description));
    return bavail * bsize;
  }

  #refuseClosed(): void {
    if (this.#closed) throw unavailable(`the store ${this.description} is closed`);
  }
}

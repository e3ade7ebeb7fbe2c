// Locks by key, shared or exclusive, so that operations on the same object follow each other and others don't wait. All the
// keys of an operation are taken in one call, in the order of their names: no two operations can wait for each other.
//
// Waiters are served first come, first served: an exclusive one behind shared holders holds up later shared ones, or it might
// wait for ever.

export interface LockRequest {
  readonly key: string;
  readonly mode: "shared" | "exclusive";
}

interface Waiter {
  readonly mode: LockRequest["mode"];
  readonly go: () => void;
}

interface Lock {
  shared: number;
  exclusive: boolean;
  readonly waiters: Waiter[];
}

export const shared = (key: string): LockRequest => ({ key, mode: "shared" });
export const exclusive = (key: string): LockRequest => ({ key, mode: "exclusive" });

export class KeyedLocks {
  readonly #locks = new Map<string, Lock>();

  /** Keys that somebody holds or waits for. */
  get size(): number {
    return this.#locks.size;
  }

  /** Runs `work` while holding all of `requests`. A key asked for twice is held exclusively if either says so. */
  async run<T>(requests: readonly LockRequest[], work: () => Promise<T>): Promise<T> {
    const modes = new Map<string, LockRequest["mode"]>();
    for (const { key, mode } of requests) modes.set(key, modes.get(key) === "exclusive" ? "exclusive" : mode);
    const held = [...modes].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [key, mode] of held) await this.#acquire(key, mode);
    try {
      return await work();
    } finally {
      for (const [key, mode] of held.reverse()) this.#release(key, mode);
    }
  }

  #acquire(key: string, mode: LockRequest["mode"]): Promise<void> | undefined {
    let lock = this.#locks.get(key);
    if (lock === undefined) {
      lock = { shared: 0, exclusive: false, waiters: [] };
      this.#locks.set(key, lock);
    }
    if (lock.waiters.length === 0 && admits(lock, mode)) {
      enter(lock, mode);
      return undefined;
    }
    const { waiters } = lock;
    return new Promise((go) => waiters.push({ mode, go }));
  }

  #release(key: string, mode: LockRequest["mode"]): void {
    const lock = this.#locks.get(key)!;
    if (mode === "shared") lock.shared--;
    else lock.exclusive = false;
    while (lock.waiters.length > 0 && admits(lock, lock.waiters[0]!.mode)) {
      const next = lock.waiters.shift()!;
      enter(lock, next.mode);
      next.go();
    }
    if (lock.shared === 0 && !lock.exclusive) this.#locks.delete(key);
  }
}

const admits = (lock: Lock, mode: LockRequest["mode"]): boolean => !lock.exclusive && (mode === "shared" || lock.shared === 0);

function enter(lock: Lock, mode: LockRequest["mode"]): void {
  if (mode === "shared") lock.shared++;
  else lock.exclusive = true;
}

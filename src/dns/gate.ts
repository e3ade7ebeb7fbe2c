// How many upstream questions a sandbox, or all together, may have under way: so many at once, as many more wait for their turn, but
// not for longer than an asker would. What comes then is refused at once: a flood must not take the daemon's descriptors and memory.

interface Waiter {
  readonly start: (entered: boolean) => void;
  readonly timer: NodeJS.Timeout;
}

export class Gate {
  readonly #limit: number;
  readonly #waitMs: number;
  #inside = 0;
  readonly #waiting = new Set<Waiter>();

  constructor(limit: number, waitMs: number) {
    this.#limit = limit;
    this.#waitMs = waitMs;
  }

  /** True: go on, and `leave` afterwards. False: there was no turn in time. */
  enter(): boolean | Promise<boolean> {
    if (this.#inside < this.#limit) {
      this.#inside++;
      return true;
    }
    if (this.#waiting.size >= this.#limit) return false;
    return new Promise((start) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(waiter);
        start(false);
      }, this.#waitMs);
      const waiter = { start, timer };
      this.#waiting.add(waiter);
    });
  }

  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inside--;
      return;
    }
    this.#waiting.delete(next);
    clearTimeout(next.timer);
    next.start(true);
  }
}

/** Does `work` once all gates are passed, one after the other; null: at one of them there was no turn in time. */
export async function through<T>([gate, ...others]: readonly Gate[], work: () => Promise<T>): Promise<T | null> {
  if (gate === undefined) return await work();
  if (!(await gate.enter())) return null;
  try {
    return await through(others, work);
  } finally {
    gate.leave();
  }
}

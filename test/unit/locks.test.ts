// Keyed locks: who waits for whom.
import { describe, expect, it } from "vitest";
import { exclusive, KeyedLocks, type LockRequest, shared } from "../../src/controller/locks.ts";

/** Starts work that holds until it is let go, and notes when it starts. */
function bench() {
  const locks = new KeyedLocks();
  const started: string[] = [];
  const gates = new Map<string, () => void>();
  const ends: Promise<void>[] = [];
  const start = (name: string, requests: LockRequest[]): void => {
    const gate = new Promise<void>((open) => gates.set(name, open));
    ends.push(
      locks.run(requests, async () => {
        started.push(name);
        await gate;
      }),
    );
  };
  /** All that can run has run. */
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const end = async (name: string): Promise<void> => {
    gates.get(name)!();
    await settled();
  };
  return { locks, started, start, end, settled, all: () => Promise.all(ends) };
}

describe("keyed locks", () => {
  it("let different keys and shared holders run together, and exclusive ones alone", async () => {
    const { start, started, end, settled, all, locks } = bench();
    start("a", [exclusive("x")]);
    start("b", [exclusive("y")]);
    start("c", [exclusive("x")]);
    start("d", [shared("z")]);
    start("e", [shared("z")]);
    await settled();
    expect(started).toEqual(["a", "b", "d", "e"]);
    await end("a");
    expect(started).toEqual(["a", "b", "d", "e", "c"]);
    for (const name of ["b", "c", "d", "e"]) await end(name);
    await all();
    expect(locks.size).toBe(0);
  });

  it("serve first come first: a later reader waits behind a waiting writer", async () => {
    const { start, started, end, settled, all } = bench();
    start("reader", [shared("x")]);
    start("writer", [exclusive("x")]);
    start("late", [shared("x")]);
    await settled();
    expect(started).toEqual(["reader"]);
    await end("reader");
    expect(started).toEqual(["reader", "writer"]);
    await end("writer");
    expect(started).toEqual(["reader", "writer", "late"]);
    await end("late");
    await all();
  });

  it("never wait for each other in a circle, whatever the order of keys", async () => {
    const locks = new KeyedLocks();
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const keys = ["a", "b", "c", "d"];
    let inside = 0;
    const work = Array.from({ length: 100 }, (_, index) => {
      const mine = [keys[index % 4]!, keys[(index * 7 + 1) % 4]!, keys[(index * 3 + 2) % 4]!].map((key, n) =>
        n === 0 ? exclusive(key) : shared(key),
      );
      return locks.run([exclusive("all"), ...mine], async () => {
        expect(++inside).toBe(1);
        await turn();
        inside--;
      });
    });
    const loose = Array.from({ length: 100 }, (_, index) =>
      locks.run([exclusive(keys[index % 4]!), exclusive(keys[(index + 1) % 4]!)], turn),
    );
    await Promise.all([...work, ...loose]);
    expect(locks.size).toBe(0);
  });

  it("take a key that is asked for twice once, as the stronger", async () => {
    const { start, started, end, settled, all } = bench();
    start("both", [shared("x"), exclusive("x")]);
    start("reader", [shared("x")]);
    await settled();
    expect(started).toEqual(["both"]);
    await end("both");
    await end("reader");
    await all();
  });

  it("are free again after a failure", async () => {
    const locks = new KeyedLocks();
    await expect(locks.run([exclusive("x")], () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(locks.size).toBe(0);
  });
});

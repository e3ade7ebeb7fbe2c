// The replay window against a set of bigints: whatever arrives in whatever order, over any number of wraps of the window and
// of 2^32, the engine takes what the model takes. And ESN: of whatever truly was sent within half of 2^32 of the window, the
// upper half is guessed right. A window may begin behind any number, where a restart found it: all up to it is taken for received.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { REPLAY_WINDOW } from "../../wasm/shared/limits.ts";
import { BUILDS, instantiateTesting } from "../support/wasm.ts";

interface Testing {
  replayOffer(newest: bigint, sequence: bigint): number;
  replayStart(newest: bigint): void;
  replayExtend(newest: bigint, low: number): bigint;
}

const [FRESH, REPLAYED, LATE] = [0, 1, 2];
const WINDOW = BigInt(REPLAY_WINDOW);
const RUNS = 300;

/** Where the stream begins, and how far each datagram lies from the newest: mostly near, sometimes a word, a window, a leap. */
const starts = fc.oneof(
  fc.constant(0n),
  fc.bigInt(0n, 2n ** 20n),
  fc.bigInt(2n ** 32n - 20_000n, 2n ** 32n + 20_000n),
  fc.bigInt(0n, 2n ** 62n),
);
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.bigInt(-80n, 80n) },
    { weight: 2, arbitrary: fc.bigInt(-WINDOW - 70n, -WINDOW + 70n) },
    { weight: 1, arbitrary: fc.bigInt(-2n * WINDOW, 3n * WINDOW) },
    { weight: 1, arbitrary: fc.constantFrom(64n, -64n, 8192n, -8192n, 8128n, -8128n, 1n, 0n) },
  ),
  { minLength: 1, maxLength: 200 },
);

describe.each(BUILDS)("the replay window (%s)", (build) => {
  const { exports: engine } = instantiateTesting<Testing>(build);

  it("takes each number of the window once, and none behind it or up to where it began", () => {
    fc.assert(
      fc.property(fc.oneof(fc.constant(0n), starts), starts, steps, (begin, start, moves) => {
        engine.replayStart(begin);
        const seen = new Set<bigint>();
        let newest = begin;
        for (const move of [0n, ...moves]) {
          const sequence = seen.size === 0 && begin === 0n ? start + 1n : newest + move;
          if (sequence < 0n) continue;
          const late = sequence === 0n || sequence <= newest - WINDOW;
          const expected = late ? LATE : sequence <= begin || seen.has(sequence) ? REPLAYED : FRESH;
          expect([sequence, engine.replayOffer(newest, sequence)]).toEqual([sequence, expected]);
          if (expected === FRESH) seen.add(sequence);
          if (expected === FRESH && sequence > newest) newest = sequence;
        }
      }),
      { numRuns: RUNS },
    );
  });

  it("guesses the upper half of an extended number", () => {
    const near = fc.bigInt(-WINDOW + 1n, 2n ** 31n);
    fc.assert(
      fc.property(fc.oneof(starts, fc.bigInt(2n ** 32n - 9000n, 2n ** 32n + 9000n)), near, (newest, distance) => {
        const sequence = newest + distance;
        if (sequence <= 0n) return;
        expect(BigInt.asUintN(64, engine.replayExtend(newest, Number(sequence & 0xffffffffn)))).toBe(sequence);
      }),
      { numRuns: 10 * RUNS },
    );
  });

  it("gives no number to what would lie before the first or behind the last", () => {
    expect(engine.replayExtend(5n, 0xffffffff)).toBe(0n);
    expect(engine.replayExtend(2n ** 64n - 1n, 3)).toBe(0n);
  });
});

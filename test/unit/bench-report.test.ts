// The benchmark's arithmetic: a wrong median or ratio would be believed.
import { describe, expect, it } from "vitest";
import { judge, summary, TARGETS } from "../../bench/report.mjs";

describe("summary", () => {
  it.each([
    [[3], { median: 3, min: 3, max: 3 }],
    [[9, 1, 5], { median: 5, min: 1, max: 9 }],
    [[4, 1, 3, 2], { median: 2.5, min: 1, max: 4 }],
    // By number, not by text.
    [[10, 9, 100], { median: 10, min: 9, max: 100 }],
  ])("of %j", (values, expected) => {
    expect(summary(values)).toEqual(expected);
  });
});

describe("judge", () => {
  const target = { figure: "f", question: "q", metric: "m", subject: "ours", against: "theirs", atLeast: 0.5 };
  const samples = (ours: number[], theirs: number[]) => ({ q: { ours: ours.map((m) => ({ m })), theirs: theirs.map((m) => ({ m })) } });

  it("takes ratios within rounds, so that a slow round of the machine does not count", () => {
    // Ratios 0.5, 0.6, 0.4: the machine was ten times slower in the second round.
    expect(judge(samples([5, 0.6, 4], [10, 1, 10]), target)).toMatchObject({ median: 0.5, min: 0.4, max: 0.6, reached: true });
  });

  it("takes the best of several, round by round, and nothing where none of them was measured", () => {
    const all = { q: { ours: [{ m: 8 }, { m: 9 }], one: [{ m: 1 }, { m: 3 }], two: [{ m: 4 }, { m: 2 }] } };
    expect(judge(all, { ...target, against: ["one", "two", "missing"] })).toMatchObject({ min: 2, max: 3 });
    expect(judge(all, { ...target, against: ["missing"] })).toBeNull();
  });

  it("says missed below the bound and above it", () => {
    expect(judge(samples([4], [10]), target)?.reached).toBe(false);
    const { atLeast: _, ...rest } = target;
    expect(judge(samples([14], [10]), { ...rest, atMost: 1.3 })?.reached).toBe(false);
    expect(judge(samples([13], [10]), { ...rest, atMost: 1.3 })?.reached).toBe(true);
  });

  it("has nothing to say about what was not measured", () => {
    expect(judge({}, target)).toBeNull();
    expect(judge(samples([1], []), target)).toBeNull();
  });

  it("knows each target's bound", () => {
    expect(TARGETS.filter((one) => (one.atLeast === undefined) === (one.atMost === undefined))).toEqual([]);
  });
});

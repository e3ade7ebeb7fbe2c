// `--filter` as Docker reads it: what passes, and what is refused.
import { describe, expect, it } from "vitest";
import { filtered, type Matchers, on, pruneMatcher, yesOrNo } from "../../src/api/filters.ts";
import { naturalOrder } from "../../src/api/natural-order.ts";
import { matchesText } from "../../src/api/patterns.ts";

const NOW = Date.parse("2026-01-31T12:00:00Z");
const object = (createdAt: string, labels: Record<string, string> = {}) => ({ createdAt, labels });

describe("names and ids", () => {
  it.each([
    ["", ["", "web", "web-1"]],
    ["eb", ["web", "web-1"]],
    ["^web$", ["web"]],
    ["^w.b$", ["web"]],
    ["^web-\\d+$", ["web-1"]],
    ["^(web|db)$", ["web"]],
    ["1$|^$", ["", "web-1"]],
    ["[", []],
    ["(", []],
    ["constructor", []],
  ])("%j picks %j, as Docker's regular expressions do", (wanted, names) => {
    expect(["", "web", "web-1"].filter(matchesText(wanted))).toEqual(names);
  });

  it.each(["^(a+)+$", "^(a|a)*$", `^${"(a|a)".repeat(40)}$`])("%s holds nobody up", (wanted) => {
    const before = performance.now();
    expect(() => matchesText(wanted)(`${"a".repeat(40)}!`)).toThrowError(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    expect(performance.now() - before).toBeLessThan(10_000);
  });

  it("nor does one that is slow for each of many names: it has a second for all of them", () => {
    const name = `${"a".repeat(22)}!`; // some milliseconds
    const matches = matchesText("^(a+)+$");
    expect(() => {
      for (let count = 0; count < 1000; count++) matches(name);
    }).toThrow("it takes too long to match");
  });
});

it("names stand in natural order, as Docker lists them", () => {
  const names = ["", "1", "2", "02", "10", "Web", "web", "web-1", "web-a", "web2", "web2a", "web10", "web10.1", "weba"];
  expect([...names].reverse().sort(naturalOrder)).toEqual(names);
});

describe("filters of lists", () => {
  interface Thing {
    readonly name: string;
    readonly unused: boolean;
  }
  const matchers: Matchers<Thing> = {
    name: (value) => on(matchesText(value), ({ name }) => name),
    dangling: (value) => {
      const wanted = yesOrNo("dangling", value);
      return ({ unused }) => unused === wanted;
    },
  };
  const things = [
    { name: "a", unused: true },
    { name: "b", unused: false },
  ];

  it("of one key are alternatives, of several must all hold", () => {
    const names = (...filters: string[]) => filtered(things, filters, matchers).map(({ name }) => name);
    expect(names("name=a", "name=b")).toEqual(["a", "b"]);
    expect(names("name=a", "name=b", " Dangling = true ", "dangling=true")).toEqual(["a"]);
  });

  it.each([
    [["name=nosuch", "dangling=maybe"], "invalid value for filter 'dangling'"],
    [["dangling=true", "dangling=false"], 'got more than one value for filter key "dangling"'],
    [["color=red"], "invalid filter 'color'"],
    [["name"], "bad format of filter"],
  ])("%j is refused, whatever there is to filter", (filters, message) => {
    expect(() => filtered([], filters, matchers)).toThrow(message);
  });
});

describe("filters of prune", () => {
  it.each([
    [[], object("2026-01-31T11:59:59Z"), true],
    [["until=1h"], object("2026-01-31T11:00:01Z"), false],
    [["until=1h"], object("2026-01-31T10:59:59Z"), true],
    [["until=1h30m"], object("2026-01-31T10:31:00Z"), false],
    [["until=1.5h"], object("2026-01-31T10:29:00Z"), true],
    [["until=2026-01-31T10:00:00Z"], object("2026-01-31T09:59:59Z"), true],
    [["until=2026-01-31T10:00:00Z"], object("2026-01-31T10:00:00Z"), false],
    [["until=2026-01-31T10:00:00+02:00"], object("2026-01-31T09:00:00Z"), false],
    [["until=2026-01-31T08Z"], object("2026-01-31T07:59:00Z"), true],
    [[`until=${NOW / 1000}`], object("2026-01-31T11:59:59Z"), true],
    [["label=a"], object("", { a: "1" }), true],
    [["label=a"], object("", { b: "1" }), false],
    [["label=a=1"], object("", { a: "2" }), false],
    [["label=a", "label=b"], object("", { a: "1" }), false],
    [["label!=a"], object("", { a: "1" }), false],
    [["label!=a"], object("", {}), true],
    [["label!=a=1"], object("", { a: "2" }), true],
    [["until=1h", "label=a"], object("2026-01-31T09:00:00Z", { a: "" }), true],
    [["until=1h", "label=a"], object("2026-01-31T09:00:00Z", {}), false],
  ])("%j on %j: %s", (filters, candidate, passes) => {
    expect(pruneMatcher(filters, NOW)(candidate)).toBe(passes);
  });

  it.each([
    [["name=a"], "invalid filter 'name'"],
    [["until"], "invalid filter 'until'"],
    [["until!=1h"], "invalid filter 'until'"],
    [["until=yesterday"], 'invalid filter "until=yesterday"'],
    [["until=2026-13-31"], 'invalid filter "until=2026-13-31"'],
    [["until=1h", "until=2h"], "more than one until filter specified"],
  ])("%j is refused", (filters, message) => {
    expect(() => pruneMatcher(filters, NOW)).toThrowError(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
    );
  });
});

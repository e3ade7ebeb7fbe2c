import { describe, expect, it } from "vitest";
import { facts, table } from "../../src/cli/table.ts";
import { amount, durationMs, figure, pairs, span } from "../../src/cli/values.ts";

describe("tables", () => {
  const rows = [
    ["1", "a name of some length", "x"],
    ["22", "short", "a text that is the widest of them all"],
  ];

  it("are as wide as their cells", () => {
    expect(table(["ID", "NAME", "TEXT"], rows)).toBe(
      [
        "ID  NAME                   TEXT",
        "1   a name of some length  x",
        "22  short                  a text that is the widest of them all",
        "",
      ].join("\n"),
    );
  });

  it("put figures to the right", () => {
    expect(
      table(
        ["N", "X"],
        [
          ["a", "5"],
          ["b", "500"],
        ],
        undefined,
        [1],
      ),
    ).toBe("N    X\na    5\nb  500\n");
  });

  it.each([63, 50, 40, 30, 24])("fit %d columns, the widest column first", (columns) => {
    const lines = table(["ID", "NAME", "TEXT"], rows, columns).split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    expect(lines[2]).toContain("…");
    if (columns >= 50) expect(lines[1]).toContain("a name of some length");
  });

  it("cut no id, no name and no figure", () => {
    const columns = ["0123456789ab", "a name of some length", "1234567", "text that is long enough to give way"];
    const lines = table(["ID", "NAME", "SIZE", "TEXT"], [columns], 60, [2], [0, 1]).split("\n");
    expect(lines[1]).toBe("0123456789ab  a name of some length  1234567  text that is …");
    expect(table(["ID", "SIZE"], [["0123456789ab", "1234567"]], 5, [1], [0]).split("\n")[1]).toBe("0123456789ab  1234567");
  });

  it("stay readable where nothing fits", () => {
    expect(table(["ID", "NAME", "TEXT"], rows, 5).split("\n")[1]).toBe("1   a name …  x");
  });

  it("have as many rows as an FDB", () => {
    const many = Array.from({ length: 300_000 }, (_, row) => [String(row)]);
    expect(table(["N"], many).length).toBeGreaterThan(many.length);
  });

  it("without rows have their header", () => {
    expect(table(["ID", "NAME"], [])).toBe("ID  NAME\n");
  });

  it("of facts", () => {
    expect(
      facts([
        ["a", "1"],
        ["long name", "2"],
      ]),
    ).toBe("a          1\nlong name  2\n");
  });
});

describe("values", () => {
  it.each([
    ["10s", 10_000],
    ["500ms", 500],
    ["2m", 120_000],
    ["1h", 3_600_000],
    ["3", 3000],
    ["1.5s", 1500],
    ["0.5ms", 1],
    ["596h", 2_145_600_000],
    ["1m30s", 90_000],
    ["1h0.5m200ms", 3_630_200],
  ])("duration %s is %d ms", (text, ms) => expect(durationMs(text)).toBe(ms));

  it.each(["", "s", "-1s", "1d", "10 s", "1s2", "1m30", "597h", "99999999999999999999"])("duration %j is refused", (text) =>
    expect(() => durationMs(text)).toThrow("invalid duration"),
  );

  it.each<[number | bigint, string | undefined, string]>([
    [0, undefined, "0"],
    [999, undefined, "999"],
    [1234, undefined, "1.2k"],
    [123_456, undefined, "123k"],
    [16_100_000_000, "bit", "16.1 Gbit"],
    [12, "B", "12 B"],
    [2n ** 62n, undefined, "4612P"],
  ])("amount %d %s is %s", (value, unit, text) => expect(amount(value, unit)).toBe(text));

  it.each([
    [0, "0s"],
    [0.4, "0s"],
    [61, "1m 1s"],
    [3600, "1h"],
    [90_061, "1d 1h"],
  ])("%d s is %s", (seconds, text) => expect(span(seconds)).toBe(text));

  it("figures are numbers while they are exact", () => {
    expect(figure("9007199254740991")).toBe(9007199254740991);
    expect(figure("9007199254740992")).toBe("9007199254740992");
  });

  it("pairs keep the last", () => expect(pairs(["a=1", "a=2=3", "b", "c="])).toEqual({ a: "2=3", b: "", c: "" }));
});

import { describe, expect, it } from "vitest";
import { Indexes } from "../../../src/datapath/tables/indexes.ts";

describe("Indexes", () => {
  it("gives a name one index and keeps it", () => {
    const indexes = new Indexes("ports", 1, 10);
    expect([indexes.ensure("a"), indexes.ensure("b"), indexes.ensure("a")]).toEqual([1, 2, 1]);
    expect(indexes.nameOf(2)).toBe("b");
    expect(indexes.indexOf("c")).toBeUndefined();
    expect(indexes.size).toBe(2);
  });

  it("gives an index again as late as possible", () => {
    const indexes = new Indexes("ports", 1, 5);
    for (const name of ["a", "b", "c"]) indexes.ensure(name);
    indexes.release("a");
    expect(indexes.nameOf(1)).toBeUndefined();
    expect([indexes.ensure("d"), indexes.ensure("e")]).toEqual([4, 1]);
    expect(indexes.limit).toBe(5);
  });

  it("says what is used up, and how much of it there was", () => {
    const indexes = new Indexes("VTEPs", 1, 3);
    indexes.ensure("a");
    indexes.ensure("b");
    expect(() => indexes.ensure("c")).toThrow("all 2 VTEPs of this host are taken");
    expect(indexes.ensure("a")).toBe(1);
  });
});

// What every store must do (src/store/store.ts). Run by test/unit/store.test.ts on each implementation.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Change, Json, Store } from "../../src/store/store.ts";

export function storeCompliance(name: string, make: () => Promise<Store>): void {
  describe(`store compliance: ${name}`, () => {
    let store: Store;
    beforeEach(async () => {
      store = await make();
    });
    afterEach(() => store.close());

    const put = (key: string, value: Json) => store.commit({ puts: [{ key, value }] });

    it("has nothing at first", async () => {
      expect(await store.list("")).toEqual([]);
      expect(await store.get("network/a")).toBeNull();
    });

    it("gives back what was put, with the revision of its commit", async () => {
      const value = { text: "ü", number: 1.5, list: [1, null, true], nested: { a: "b" } };
      const result = await put("network/a", value);
      expect(result).toEqual({ committed: true, revision: 1 });
      expect(await store.get("network/a")).toEqual({ key: "network/a", value, revision: 1 });
    });

    it("keeps no reference to a value", async () => {
      const value = { list: [1] };
      await put("a", value);
      value.list.push(2);
      const read = (await store.get("a"))!.value as { list: number[] };
      expect(read.list).toEqual([1]);
      read.list.push(3);
      expect((await store.get("a"))!.value).toEqual({ list: [1] });
    });

    it("lists by prefix in the order of keys", async () => {
      for (const key of ["network/b", "endpoint/a", "network/a", "networks", "network/aa", "z"]) await put(key, key);
      expect((await store.list("network/")).map((entry) => entry.key)).toEqual(["network/a", "network/aa", "network/b"]);
      expect((await store.list("")).map((entry) => entry.key)).toEqual([
        "endpoint/a",
        "network/a",
        "network/aa",
        "network/b",
        "networks",
        "z",
      ]);
      expect(await store.list("nothing")).toEqual([]);
    });

    it("writes all of a transaction under one revision", async () => {
      await put("old", 1);
      await store.commit({
        puts: [
          { key: "a", value: 1 },
          { key: "b", value: 2 },
        ],
        deletes: ["old", "never"],
      });
      expect((await store.list("")).map(({ key, revision }) => [key, revision])).toEqual([
        ["a", 2],
        ["b", 2],
      ]);
    });

    it("writes nothing when a check fails, and names the key", async () => {
      await put("a", 1);
      const stale = await store.commit({ checks: [{ key: "a", revision: 7 }], puts: [{ key: "b", value: 1 }], deletes: ["a"] });
      expect(stale).toEqual({ committed: false, conflict: "a" });
      const taken = await store.commit({ checks: [{ key: "a", revision: 0 }], puts: [{ key: "a", value: 2 }] });
      expect(taken).toEqual({ committed: false, conflict: "a" });
      expect(await store.list("")).toEqual([{ key: "a", value: 1, revision: 1 }]);
    });

    it("writes when checks hold: the right revision, or absence", async () => {
      await put("a", 1);
      const result = await store.commit({
        checks: [
          { key: "a", revision: 1 },
          { key: "b", revision: 0 },
        ],
        puts: [{ key: "a", value: 2 }],
      });
      expect(result).toEqual({ committed: true, revision: 2 });
      expect((await store.get("a"))!.revision).toBe(2);
    });

    it("lets one of many that race for a key win", async () => {
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, index) => store.commit({ checks: [{ key: "a", revision: 0 }], puts: [{ key: "a", value: index }] })),
      );
      expect(results.filter((result) => result.committed)).toHaveLength(1);
      expect((await store.get("a"))!.value).toBe(results.findIndex((result) => result.committed));
    });

    it("does not count a commit that changes nothing", async () => {
      await put("a", 1);
      expect(await store.commit({ deletes: ["never"] })).toEqual({ committed: true, revision: 1 });
      expect(await put("b", 1)).toEqual({ committed: true, revision: 2 });
    });

    it("tells watchers of their prefix, in order, before the commit resolves", async () => {
      const heard: Change[] = [];
      const stop = store.watch("network/", (changes) => heard.push(...changes));
      const commits = [put("network/a", 1), put("endpoint/a", 1), put("network/a", 2), store.commit({ deletes: ["network/a"] })];
      await commits[0];
      expect(heard[0]).toEqual({ key: "network/a", value: 1, deleted: false, revision: 1 });
      await Promise.all(commits);
      expect(heard.map(({ value, deleted, revision }) => [value, deleted, revision])).toEqual([
        [1, false, 1],
        [2, false, 3],
        [null, true, 4],
      ]);
      stop();
      await put("network/b", 1);
      expect(heard).toHaveLength(3);
    });

    it("does not tell watchers of a refused transaction", async () => {
      let told = 0;
      store.watch("", () => told++);
      await store.commit({ checks: [{ key: "a", revision: 9 }], puts: [{ key: "a", value: 1 }] });
      expect(told).toBe(0);
    });

    it("refuses work once closed, and closes twice", async () => {
      await store.close();
      await store.close();
      await expect(put("a", 1)).rejects.toMatchObject({ code: "UNAVAILABLE" });
      await expect(store.get("a")).rejects.toMatchObject({ code: "UNAVAILABLE" });
      await expect(store.list("")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    });
  });
}

// Both stores against one suite, then what only a file can suffer.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { open } from "lmdb";
import { afterAll, describe, expect, it } from "vitest";
import { ROOT } from "../../src/paths.ts";
import { LMDB_OPTIONS, openLmdbStore } from "../../src/store/lmdb.ts";
import { lmdbFailure } from "../../src/store/lmdb-failures.ts";
import { probeLmdb } from "../../src/store/lmdb-probe.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { storeCompliance } from "../compliance/store.ts";

const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-store-`));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newPath = (): string => join(folder, `${++files}.mdb`);

storeCompliance("memory", async () => new MemoryStore());
storeCompliance("lmdb", () => openLmdbStore(newPath()));

/** A store with enough in it to fill many pages. */
async function filled(): Promise<string> {
  const path = newPath();
  const store = await openLmdbStore(path);
  for (let index = 0; index < 500; index++) void store.commit({ puts: [{ key: `endpoint/${index}`, value: "x".repeat(200) }] });
  await store.close();
  return path;
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const fd = openSync(path, "r+");
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

describe("lmdb store", () => {
  it("keeps entries and revisions across a restart", async () => {
    const path = newPath();
    const first = await openLmdbStore(path);
    await first.commit({ puts: [{ key: "a", value: 1 }] });
    await first.commit({ puts: [{ key: "b", value: [2] }] });
    await first.close();
    const second = await openLmdbStore(path);
    expect(await second.list("")).toEqual([
      { key: "a", value: 1, revision: 1 },
      { key: "b", value: [2], revision: 2 },
    ]);
    expect(await second.commit({ puts: [{ key: "c", value: 3 }] })).toEqual({ committed: true, revision: 3 });
    await second.close();
  });

  it("is readable by its owner alone, whatever the umask, and so is one of an earlier version", async () => {
    const path = newPath();
    const modes = (): string[] => [path, `${path}-lock`].map((file) => (statSync(file).mode & 0o777).toString(8));
    const first = await openLmdbStore(path);
    expect(modes()).toEqual(["600", "600"]);
    await first.close();
    for (const file of [path, `${path}-lock`]) chmodSync(file, 0o644);
    const second = await openLmdbStore(path);
    expect(modes()).toEqual(["600", "600"]);
    await second.close();
  });

  it("writes what waits when it is closed", async () => {
    const path = newPath();
    const store = await openLmdbStore(path);
    const commit = store.commit({ puts: [{ key: "a", value: 1 }] });
    await store.close();
    expect(await commit).toEqual({ committed: true, revision: 1 });
  });

  const DAMAGE: readonly [string, (path: string) => void][] = [
    ["all zero", (path) => writeFileSync(path, Buffer.alloc(32768))],
    ["of something else", (path) => writeFileSync(path, Buffer.alloc(32768, "not a database "))],
    ["ten bytes long", (path) => writeFileSync(path, "0123456789")],
    ["cut in half", (path) => truncateSync(path, Math.floor(statSync(path).size / 2))],
    ["without its first page", (path) => overwrite(path, 0, Buffer.alloc(4096, 0xff))],
    ["overwritten from the third page on", (path) => overwrite(path, 8192, Buffer.alloc(statSync(path).size - 12288, 0xff))],
  ];
  it.each(DAMAGE)("says DATA_LOSS of a file %s, names it and survives", async (_what, damage) => {
    const path = await filled();
    damage(path);
    const failure = await openLmdbStore(path).then(
      async (store) => {
        // Damage that LMDB tolerates must at least show when the records are read.
        try {
          return await store.list("");
        } finally {
          await store.close();
        }
      },
      (error) => error,
    );
    expect(failure).toMatchObject({ code: "DATA_LOSS" });
    expect(failure.message).toContain(path);
    expect(failure.message).toContain("restore it from a backup");
  });

  it("gives up a reader that comes to no end", async () => {
    const path = await filled();
    const script = `const db = require("lmdb").open({ path: ${JSON.stringify(path)}, ...${JSON.stringify(LMDB_OPTIONS)} });
      db.transactionSync(() => { console.log("held"); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); });`;
    const holder = spawn(process.execPath, ["-e", script], { cwd: ROOT, stdio: ["ignore", "pipe", "inherit"] });
    try {
      await once(holder.stdout, "data");
      expect(await probeLmdb(path, LMDB_OPTIONS, 300)).toBe(
        "a reader of it had not come to its end after 0.3 s: its pages lead in circles, or another process holds its lock",
      );
    } finally {
      holder.kill("SIGKILL");
      await once(holder, "close");
    }
    expect(await probeLmdb(path, LMDB_OPTIONS)).toBeNull();
  });

  it("says DATA_LOSS of a record whose bytes changed, by its checksum", async () => {
    const path = newPath();
    const store = await openLmdbStore(path);
    await store.commit({ puts: [{ key: "network/a", value: "10.0.0.0/24" }] });
    await store.close();
    const raw = open<string, string>({ path, noSubdir: true, encoding: "string" });
    raw.putSync("network/a", raw.get("network/a")!.replace("10.0", "10.1"));
    await raw.close();
    const again = await openLmdbStore(path);
    await expect(again.get("network/a")).rejects.toMatchObject({ code: "DATA_LOSS", message: expect.stringContaining("network/a") });
    await again.close();
  });

  it("refuses a format it does not know", async () => {
    const path = newPath();
    await (await openLmdbStore(path)).close();
    const { crc32 } = await import("node:zlib");
    const body = '0 {"version":2}';
    const raw = open<string, string>({ path, noSubdir: true, encoding: "string" });
    raw.putSync(" header", `${crc32(body).toString(16).padStart(8, "0")} ${body}`);
    await raw.close();
    await expect(openLmdbStore(path)).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("format version 2") });
  });

  it("acknowledges nothing into a file that was moved away, and goes on when it is back", async () => {
    const path = newPath();
    const store = await openLmdbStore(path);
    await store.commit({ puts: [{ key: "a", value: 1 }] });
    const change = () => store.commit({ puts: [{ key: "b", value: 2 }] });
    renameSync(path, `${path}.away`);
    await expect(change()).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/the file is gone \(ENOENT\)/) });
    writeFileSync(path, "");
    await expect(change()).rejects.toThrow(/another file is in its place/);
    renameSync(`${path}.away`, path);
    expect(await change()).toEqual({ committed: true, revision: 2 });
    // With its whole folder, too.
    renameSync(dirname(path), `${dirname(path)}.away`);
    await expect(store.commit({ deletes: ["a"] })).rejects.toMatchObject({ code: "UNAVAILABLE" });
    renameSync(`${dirname(path)}.away`, dirname(path));
    expect(await store.list("")).toHaveLength(2);
    await store.close();
  });

  it("names a folder in the file's place", async () => {
    const path = newPath();
    mkdirSync(path);
    await expect(openLmdbStore(path)).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("move it away") });
  });

  it("outgrows the map that it began with", async () => {
    const store = await openLmdbStore(newPath(), { mapBytes: 256 * 1024 });
    for (let n = 0; n < 300; n++) await store.commit({ puts: [{ key: `a/${n}`, value: "x".repeat(2000) }] });
    expect(await store.list("a/")).toHaveLength(300);
    await store.close();
  });

  it("says RESOURCE_EXHAUSTED, and not that the file is damaged, should there be no room for a larger map", () => {
    const full = Object.assign(new Error("MDB_MAP_FULL: Environment mapsize limit reached"), { code: -30792 });
    expect(lmdbFailure("/s", "write", full)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringContaining("cannot write the store /s"),
    });
  });

  describe.skipIf(process.getuid?.() !== 0)("on a small file system", () => {
    const mounted = async (test: (mount: string) => Promise<void>): Promise<void> => {
      const mount = join(folder, `mount-${++files}`);
      mkdirSync(mount);
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "weft-test", mount]);
      try {
        await test(mount);
      } finally {
        execFileSync("umount", [mount]);
      }
    };

    it("says RESOURCE_EXHAUSTED when the disk is full, keeps what was there and goes on", () =>
      mounted(async (mount) => {
        const store = await openLmdbStore(join(mount, "store.mdb"));
        let failure: unknown;
        let stored = 0;
        for (; stored < 1000 && failure === undefined; stored++) {
          await store.commit({ puts: [{ key: `a/${stored}`, value: "x".repeat(2000) }] }).catch((error) => {
            failure = error;
          });
        }
        expect(failure).toMatchObject({
          code: "RESOURCE_EXHAUSTED",
          message: expect.stringMatching(/no space left.*ENOSPC.*free some space/),
        });
        expect(await store.list("a/")).toHaveLength(stored - 1);
        execFileSync("mount", ["-o", "remount,size=4m", mount]);
        expect(await store.commit({ deletes: ["a/0", "a/1", "a/2"] })).toEqual({ committed: true, revision: stored });
        await store.close();
      }));

    it("says FORBIDDEN on a read-only file system", () =>
      mounted(async (mount) => {
        execFileSync("mount", ["-o", "remount,ro", mount]);
        await expect(openLmdbStore(join(mount, "store.mdb"))).rejects.toMatchObject({
          code: "FORBIDDEN",
          message: expect.stringMatching(/EROFS.*read-only/),
        });
      }));
  });
});

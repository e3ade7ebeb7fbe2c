// weft-shim by itself: what is in its log when there was no room for it meanwhile.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SHIM_PATH } from "../../src/paths.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-t"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it("goes on with the log when there is room for files again", async () => {
  const disk = join(folder, "disk");
  mkdirSync(disk);
  // The root, the filler and the log: none is left for a second log.
  const [log, exit, go] = [join(disk, "log"), join(folder, "exit"), join(folder, "go")];
  const script = `seq 1 100; until [ -e ${go} ]; do sleep 0.01; done; seq 101 200`;
  const words = ["/proc/self/ns/net", "", "", log, "400", exit, "null", "--", "sh", "-c", script];
  let ended: Promise<unknown> = Promise.resolve();
  execFileSync("mount", ["-t", "tmpfs", "-o", "nr_inodes=3", "weft-t", disk]);
  try {
    writeFileSync(join(disk, "filler"), "");
    const child = spawn(SHIM_PATH, words, { stdio: ["ignore", "ignore", "inherit", "pipe"] });
    ended = new Promise((resolve) => child.once("exit", resolve));
    expect(await text(child.stdio[3] as Readable)).toMatch(/^pid \d+\n$/);
    await expect.poll(() => existsSync(`${log}.1`), { timeout: 5000 }).toBe(true);
    rmSync(join(disk, "filler"));
    writeFileSync(go, "");
    await ended;
    expect(readFileSync(exit, "utf8")).toBe("0\n");
    expect(readFileSync(log, "utf8")).toMatch(/\n200\n$/);
  } finally {
    writeFileSync(go, "");
    await ended;
    execFileSync("umount", [disk]);
  }
});

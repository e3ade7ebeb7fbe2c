// Folders with their parents, also where the kernel makes none.
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeFolders } from "../../src/paths.ts";

let scratch = "";
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "weft-t-paths-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("makes what is missing, with its mode, and keeps what is there", () => {
  const folder = join(scratch, "a/b/c");
  makeFolders(folder, 0o700);
  makeFolders(folder, 0o755);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test("ends with the kernel's error where no folder can be", () => {
  expect(() => makeFolders("/proc/x/y", 0o700)).toThrow(/ENOENT.*\/proc\/x/);
  expect(() => makeFolders("/dev/null/x", 0o700)).toThrow(/ENOTDIR/);
});

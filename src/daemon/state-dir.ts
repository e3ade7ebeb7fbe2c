// The state directory: one daemon's, for as long as its process lives. The lock is the kernel's, on a file that names the owner for
// the second daemon's message, and goes with the process however that ends.
import { closeSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { forbidden, unavailable } from "../errors.ts";
import { makeFolders } from "../paths.ts";
import { native } from "../ports/native.ts";

const LOCK_FILE = "lock";
const STATE_DIR_MODE = 0o700;

/** Made if it is not there. */
export function makeStateDir(path: string): void {
  try {
    makeFolders(path, STATE_DIR_MODE);
    if (!statSync(path).isDirectory()) throw new Error("not a folder");
  } catch (error) {
    throw unavailable(`cannot make the state directory ${path}: ${(error as Error).message}; give another --state-dir`);
  }
}

/** The descriptor that holds the lock. Throws, naming the owner, if another daemon has it. */
export function lockStateDir(stateDir: string): number {
  const path = join(stateDir, LOCK_FILE);
  let fd: number | null;
  try {
    fd = native().lockFile(path);
  } catch (error) {
    throw unavailable(
      `cannot write in the state directory ${stateDir}: ${(error as Error).message}; make it writable or give another --state-dir`,
    );
  }
  if (fd === null) {
    const owner = readFileSync(path, "utf8").trim();
    const who = owner === "" ? "another weft daemon" : `another weft daemon (pid ${owner})`;
    throw forbidden(`${who} uses state directory ${stateDir}; stop it or give --state-dir`);
  }
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    closeSync(fd);
    throw unavailable(`cannot write ${path}: ${(error as Error).message}; free some space there or give another --state-dir`);
  }
  return fd;
}

// Where the checkout is, whether we run from build/dist (bin/weft) or from the sources (tests).
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

function findRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, "asconfig.json"))) return folder;
    if (folder === dirname(folder)) throw new Error("not inside a Weft checkout: no asconfig.json in any parent folder");
  }
}

/** The checkout's top folder. */
export const ROOT = findRoot();
export const ADDON_PATH = join(ROOT, "build", "weft.node");
/** The program that stays with one of `weft run -d`. */
export const SHIM_PATH = join(ROOT, "build", "weft-shim");
export const ENGINE_RELEASE_PATH = join(ROOT, "build", "wasm", "engine.release.wasm");
export const ENGINE_DEBUG_PATH = join(ROOT, "build", "wasm", "engine.debug.wasm");
export const PROTO_PATH = join(ROOT, "proto");

/** The network namespace of whoever looks: in records it means the daemon's. Other processes call it by the daemon's pid. */
export const OWN_NAMESPACE = "/proc/self/ns/net";

/**
 * Makes a folder and those above it that are missing; what is there already is fine. Node's own `recursive` never returns
 * where the kernel says ENOENT below a folder that exists, as it does in /proc (seen with Node 20).
 */
export function makeFolders(path: string, mode: number): void {
  const missing: string[] = [];
  for (let folder = resolve(path); !existsSync(folder); folder = dirname(folder)) missing.push(folder);
  for (const folder of missing.reverse()) {
    try {
      mkdirSync(folder, { mode });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

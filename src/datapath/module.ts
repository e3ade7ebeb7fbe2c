// The engine's module: compiled once in the main thread, instantiated in the worker over a memory of fixed size.
//
// V8 compiles WebAssembly twice: at once and badly (Liftoff), then well (TurboFan) after some ten thousand calls, and by
// default each function only when it is first called. A switch must not stall for that in its first seconds, so the module is
// compiled whole, and by the good compiler only: the first batch then takes 12 us instead of 400, and no warm-up is needed.
// That costs 17 ms of a start, once: the compiled code is shared with the worker and with every instance after a trap. The
// flags are V8's, for the whole process, and so they are put back when the module is compiled.
import { readFile } from "node:fs/promises";
import v8 from "node:v8";
import { ABI_VERSION } from "../../wasm/shared/abi.ts";
import { MEMORY_PAGES } from "../../wasm/shared/layout.ts";
import { unavailable, WeftError } from "../errors.ts";
import type { EngineExports } from "./engine.ts";

export async function compileEngine(path: string): Promise<WebAssembly.Module> {
  let bytes: Buffer<ArrayBuffer>;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new WeftError("UNAVAILABLE", `cannot read the engine ${path}; \`npm run build\` makes it`, { cause: error });
  }
  v8.setFlagsFromString("--no-liftoff");
  v8.setFlagsFromString("--no-wasm-lazy-compilation");
  try {
    // Not WebAssembly.compile: in Node 24 its promise does not keep the process alive, which then ends in the middle of a start.
    return new WebAssembly.Module(bytes);
  } finally {
    v8.setFlagsFromString("--liftoff");
    v8.setFlagsFromString("--wasm-lazy-compilation");
  }
}

/** Never grows, so that views and native's pointer into it stay good for life. */
export function createMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
}

/** A new instance over `memory`; `reset` is the caller's. */
export function instantiateEngine(module: WebAssembly.Module, memory: WebAssembly.Memory): EngineExports {
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const engine = instance.exports as unknown as EngineExports;
  const found = typeof engine.abiVersion === "function" ? engine.abiVersion() : null;
  if (found !== ABI_VERSION)
    throw unavailable(`the engine speaks ABI ${found ?? "none"}, this daemon ${ABI_VERSION}; \`npm run build\` makes both anew`);
  return engine;
}

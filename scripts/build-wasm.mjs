// Builds the engine: AssemblyScript to WebAssembly, into build/wasm/.
//
//   engine.release.wasm   what the daemon runs
//   engine.debug.wasm     the same with assertions, names and a source map; every wasm test runs against both
//   testing.*.wasm        wasm/testing/index.ts: internals that unit tests call directly
//
// Then it proves by the text form of the debug build that the packet path has no garbage collector in it: one `new` of a
// managed object anywhere would link the runtime in, and a pause with it.
//
// Does nothing when sources and compiler are those of the last success. Node's own modules only.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OUT = "build/wasm";
const ASC = "node_modules/assemblyscript/bin/asc.js";
const STAMP = join(ROOT, OUT, ".stamp");
const SOURCES = ["wasm", "asconfig.json", "scripts/build-wasm.mjs", "node_modules/assemblyscript/package.json"];

const BUILDS = [
  { name: "engine.release", argv: ["--target", "release"] },
  { name: "engine.debug", argv: ["--target", "debug"] },
  { name: "testing.release", argv: ["--config", "wasm/testing/asconfig.json", "--target", "release"] },
  { name: "testing.debug", argv: ["--config", "wasm/testing/asconfig.json", "--target", "debug"] },
];

/** @param {import("node:crypto").Hash} hash @param {string} path below ROOT */
function addToHash(hash, path) {
  const full = join(ROOT, path);
  if (statSync(full).isDirectory()) {
    for (const name of readdirSync(full).sort()) addToHash(hash, join(path, name));
  } else {
    hash.update(`${path}\0`).update(readFileSync(full)).update("\0");
  }
}

/** @param {string[]} argv @returns {Promise<string>} what the compiler said */
function compile(argv) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [ASC, ...argv], { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const take = (/** @type {Buffer} */ bytes) => {
      output += bytes.toString();
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(output) : reject(new Error(output.trim() || `asc ended with exit code ${code}`))));
  });
}

/** Throws if the module that `wat` is the text of links in the managed runtime. @param {string} wat */
function refuseRuntime(wat) {
  const found = new Set(wat.match(/~lib\/rt\/[\w/]+/g));
  if (found.size === 0) return;
  throw new Error(
    `the engine must not allocate, but ${OUT}/engine.debug.wat links the managed runtime (${[...found].slice(0, 4).join(", ")}): ` +
      "look for `new`, array or object literals, strings and closures in what changed under wasm/",
  );
}

async function build() {
  for (const path of SOURCES) {
    if (!existsSync(join(ROOT, path))) throw new Error(`${path} is not there: run \`npm ci\` first (or \`npm run build\`, which does)`);
  }
  const hash = createHash("sha256");
  for (const path of SOURCES) addToHash(hash, path);
  const digest = hash.digest("hex");
  const complete = BUILDS.every(({ name }) => existsSync(join(ROOT, OUT, `${name}.wasm`)));
  if (complete && existsSync(STAMP) && readFileSync(STAMP, "utf8") === digest) {
    console.log("engine: up to date");
    return;
  }
  mkdirSync(join(ROOT, OUT), { recursive: true });
  rmSync(STAMP, { force: true });
  for (const { name, argv } of BUILDS) {
    const started = performance.now();
    await compile(argv);
    const bytes = statSync(join(ROOT, OUT, `${name}.wasm`)).size;
    console.log(`${name.padEnd(16)} ${(bytes / 1024).toFixed(0).padStart(5)} KiB  ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  refuseRuntime(readFileSync(join(ROOT, OUT, "engine.debug.wat"), "utf8"));
  console.log("engine.debug.wat: no managed runtime on the packet path");
  writeFileSync(STAMP, digest);
}

try {
  await build();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

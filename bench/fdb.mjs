// Does a big forwarding table slow forwarding down? Frames of 64 bytes between two ports, each with another source (refreshed
// by learning) and another destination (looked up), drawn at random from a table of a thousand entries and of a million.
//
// Two answers. Through a daemon, from one TAP to the other: what a user gets, and what the target is about. And the engine
// alone, in this process, without system calls: every lookup misses all caches, and nothing hides it.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { inNamespace } from "../scripts/lab.mjs";
import { ROOT, run, StepError } from "../scripts/steps.mjs";
import { ask, SENDER } from "./child.mjs";
import { lab, namespace, startDaemon, weft } from "./topology.mjs";

export const subjects = ["1k entries", "1M entries"];

export const metrics = {
  kfps: { title: "random MACs, forwarded from TAP to TAP", unit: "thousand frames/s", digits: 0 },
  engineMfps: { title: "engine alone, learn and forward", unit: "million frames/s", digits: 2 },
};

const ENTRIES = { "1k entries": 1_000, "1M entries": 1_000_000 };
const DOMAIN = 1;
const [PORT_A, PORT_B] = [1, 2];
const FRAME_BYTES = 64;
/** Frames ready in the arena; more than the first- and second-level caches hold of the table's entries. */
const FRAMES = 65_536;
const SECONDS = 1;
const HOST = "f";
/** Frames a second that teach. On a busy machine a TAP's queue loses some even so: then they are all said again. */
const LEARN_RATE = 100_000;
const LEARNED_MIN = 0.99;
const PASSES_MAX = 5;

const dist = (/** @type {string} */ path) => import(join(ROOT, "build/dist", path));

/** A small fast generator with a fixed seed (xorshift32): both tables are asked in the same order of luck. */
function random() {
  let state = 0x9e3779b9;
  return (/** @type {number} */ below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Entry `i`'s MAC: even entries live behind port A, odd ones behind port B. 02:00 + 32 bits. */
const MAC_HIGH = 0x0200;

/** @type {Promise<WebAssembly.Module> | undefined} */
let compiled;

/** The engine alone, million frames a second. @param {number} entries */
async function engineAlone(entries) {
  const [{ compileEngine, instantiateEngine, createMemory }, abi, layout, limits, paths] = await Promise.all([
    dist("src/datapath/module.js"),
    dist("wasm/shared/abi.js"),
    dist("wasm/shared/layout.js"),
    dist("wasm/shared/limits.js"),
    dist("src/paths.js"),
  ]);
  compiled ??= compileEngine(paths.ENGINE_RELEASE_PATH);
  const memory = createMemory();
  const engine = instantiateEngine(await compiled, memory);
  engine.reset(limits.FDB_SLOTS_MAX);
  engine.tick(1000);
  engine.domainSet(DOMAIN, abi.VNI_NONE, abi.DOMAIN_FLAG_LEARNING, 1500, limits.FDB_SLOTS_MAX, 300);
  for (const port of [PORT_A, PORT_B]) engine.portSet(port, abi.PORT_TAP, DOMAIN, 0, 1500);

  const data = new DataView(memory.buffer);
  const stride = limits.HEADROOM + 128;
  const frameAt = (/** @type {number} */ i) => layout.RX_ARENA + limits.HEADROOM + (i % FRAMES) * stride;
  const length = abi.VNET_HEADER_LENGTH + FRAME_BYTES;
  /** @param {number} i @param {number} destination @param {number} source */
  const write = (i, destination, source) => {
    const frame = frameAt(i) + abi.VNET_HEADER_LENGTH;
    data.setUint16(frame, MAC_HIGH);
    data.setUint32(frame + 2, destination);
    data.setUint16(frame + 6, MAC_HIGH);
    data.setUint32(frame + 8, source);
    data.setUint16(frame + 12, 0x88b5); // local experimental EtherType: no layer above Ethernet is looked at
  };
  /** @param {number} first @param {number} port answers the milliseconds that the engine took */
  const runBatch = (first, port) => {
    for (let i = 0; i < limits.RX_BATCH_MAX; i += 1) {
      const descriptor = layout.RX_RING + i * abi.RX_DESCRIPTOR_LENGTH;
      data.setUint32(descriptor + abi.RX_OFFSET, frameAt(first + i), true);
      data.setUint32(descriptor + abi.RX_LENGTH, length, true);
      data.setUint16(descriptor + abi.RX_PORT, port, true);
      data.setUint16(descriptor + abi.RX_SEGMENT, 0, true);
      data.setUint32(descriptor + abi.RX_FLAGS, 0, true);
    }
    const started = performance.now();
    engine.run(limits.RX_BATCH_MAX);
    while (engine.pending() > 0) engine.resume();
    return performance.now() - started;
  };

  // Every entry is learned from a frame, as in life; broadcasts, so that no destination need be known yet.
  for (let next = 0; next < entries; next += 2 * limits.RX_BATCH_MAX) {
    for (const port of [PORT_A, PORT_B]) {
      for (let i = 0; i < limits.RX_BATCH_MAX; i += 1) write(i, 0, (next + 2 * i + (port - PORT_A)) % entries);
      runBatch(0, port);
    }
  }

  const below = random();
  for (let i = 0; i < FRAMES; i += 1) write(i, 2 * below(entries / 2) + 1, 2 * below(entries / 2));
  let [frames, milliseconds] = [0, 0];
  // The first tenth warms caches and predictors up and is not counted.
  for (let batch = 0; milliseconds < SECONDS * 1000; batch += 1) {
    const took = runBatch((batch * limits.RX_BATCH_MAX) % FRAMES, PORT_A);
    if (batch < FRAMES / limits.RX_BATCH_MAX) continue;
    milliseconds += took;
    frames += limits.RX_BATCH_MAX;
  }
  return frames / milliseconds / 1e3;
}

/** Frames that eth0 of a namespace has received. @param {string} path */
async function received(path) {
  const device = await run(inNamespace(path, ["ip", "-j", "-s", "link", "show", "dev", "eth0"]));
  return JSON.parse(device)[0].stats64.rx.packets;
}

/** From TAP to TAP, thousand frames a second. @param {number} entries */
async function throughDaemon(entries) {
  await namespace(HOST);
  const daemon = await startDaemon(HOST, null, ["--set", "datapath.fdbSlots=2097152"]);
  try {
    await weft(HOST, ["network", "create", "-d", "bridge", "-o", "weft.fdb.limit=2000000", "bench-fdb"]);
    const paths = [];
    for (const side of [0, 1]) {
      await namespace(`${HOST}${side}`);
      paths.push(lab.namespacePath(`${HOST}${side}`));
      const sandbox = ["--netns", lab.namespacePath(`${HOST}${side}`), "--network", "bench-fdb", `${HOST}${side}`];
      await weft(HOST, ["sandbox", "create", ...sandbox]);
    }
    const [from = "", to = ""] = paths;
    const macs = String(entries / 2);
    for (let pass = 0, learned = 0; learned < LEARNED_MIN * entries; pass += 1) {
      if (pass === PASSES_MAX) throw new StepError(`the daemon learned ${learned} of ${entries} addresses in ${pass} passes`);
      for (const [side, path] of paths.entries()) await ask(path, [SENDER, "learn", "eth0", macs, String(side), String(LEARN_RATE)]);
      await wait(200);
      const stats = JSON.parse(await weft(HOST, ["--format", "json", "stats"]));
      learned = Number(stats.Counters["fdb-learned"]);
    }
    const before = await received(to);
    const blast = await ask(from, [SENDER, "frames", "eth0", macs, "0", String(SECONDS)]);
    await wait(100);
    return ((await received(to)) - before) / blast.seconds / 1e3;
  } finally {
    await lab.end(daemon);
    await lab.removeNamespaces([`${HOST}0`, `${HOST}1`, HOST]);
    rmSync(join(lab.folder, HOST), { recursive: true, force: true });
  }
}

/** @param {string} subject */
export async function measure(subject) {
  const entries = ENTRIES[/** @type {keyof typeof ENTRIES} */ (subject)];
  return { kfps: await throughDaemon(entries), engineMfps: await engineAlone(entries) };
}

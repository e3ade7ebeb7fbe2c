// Does a big forwarding table slow forwarding down? The engine alone, in this process, without system calls: frames of 64
// bytes between two ports, each with another source (refreshed by learning) and another destination (looked up), drawn at
// random from a table of a thousand entries and of a million. In a daemon the system calls, the same for both, would hide
// most of the difference: this ratio is the hardest that can be asked for.
import { join } from "node:path";
import { ROOT } from "../scripts/steps.mjs";

export const subjects = ["1k entries", "1M entries"];

export const metrics = {
  mfps: { title: "engine alone, learn and forward", unit: "million frames/s", digits: 2 },
};

const ENTRIES = { "1k entries": 1_000, "1M entries": 1_000_000 };
const DOMAIN = 1;
const [PORT_A, PORT_B] = [1, 2];
const FRAME_BYTES = 64;
/** Frames ready in the arena; more than the first- and second-level caches hold of the table's entries. */
const FRAMES = 65_536;
const SECONDS = 1;

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

/** @param {string} subject */
export async function measure(subject) {
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
  const entries = ENTRIES[/** @type {keyof typeof ENTRIES} */ (subject)];
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
  return { mfps: frames / milliseconds / 1e3 };
}

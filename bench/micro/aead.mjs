// What sealing and opening cost on one core, without the graph and without system calls: node bench/micro/aead.mjs (after npm
// run build; "native" or "wasm" behind it for one of the two). A batch is 32 datagrams under one key, as a segmented
// super-frame is. The best of many short turns counts, so that a busy machine changes little; Gbit/s are of payload.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
const shared = (name) => import(join(ROOT, "build/dist/wasm/shared", `${name}.js`));
const aead = await shared("aead");
const layout = await shared("layout");
const BATCH = 32;
const TURNS = 200;
const only = process.argv[2];

const memory = new WebAssembly.Memory({ initial: layout.MEMORY_PAGES, maximum: layout.MEMORY_PAGES });
const bytes = new Uint8Array(memory.buffer);
const view = new DataView(memory.buffer);

function native() {
  const cipher = new (createRequire(import.meta.url)(join(ROOT, "build/weft.node")).Aead)();
  cipher.attach(bytes);
  return { setKey: (algorithm, key) => cipher.setKey(1, algorithm, key), run: cipher.run };
}

function wasm() {
  const module = new WebAssembly.Module(readFileSync(process.env.WEFT_ENGINE ?? join(ROOT, "build/wasm/engine.release.wasm")));
  const engine = new WebAssembly.Instance(module, { env: { memory } }).exports;
  engine.reset(1024);
  return {
    setKey: (algorithm, key) => {
      bytes.set(key, layout.ARGUMENTS);
      engine.aeadSetKey(1, algorithm);
    },
    run: engine.aeadRun,
  };
}

/** BATCH operations over datagrams side by side. */
function write(kind, length) {
  for (let i = 0; i < BATCH; i++) {
    const at = layout.SEAL_OPS + i * aead.AEAD_OP_LENGTH;
    bytes.fill(0, at, at + aead.AEAD_OP_LENGTH);
    view.setUint8(at + aead.AEAD_KIND, kind);
    view.setUint8(at + aead.AEAD_ICV_BYTES, 16);
    view.setUint16(at + aead.AEAD_KEY, 1, true);
    view.setUint32(at + aead.AEAD_OFFSET, layout.RX_ARENA + i * (length + 48), true);
    view.setUint32(at + aead.AEAD_BYTES, length, true);
    view.setUint8(at + aead.AEAD_AAD_BYTES, 12);
    view.setUint32(at + aead.AEAD_IV + 4, i);
  }
}

function best(work, perTurn) {
  let ns = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < TURNS; turn++) {
    const started = process.hrtime.bigint();
    for (let i = 0; i < perTurn; i++) work();
    ns = Math.min(ns, Number(process.hrtime.bigint() - started) / perTurn);
  }
  return ns / BATCH;
}

const rows = [];
for (const [name, open] of [
  ["native", native],
  ["wasm", wasm],
]) {
  if (only !== undefined && only !== name) continue;
  const cipher = open();
  for (const algorithm of [1, 2, 3]) {
    cipher.setKey(algorithm, new Uint8Array(aead.AEAD_KEY_BYTES[algorithm] + aead.AEAD_SALT_BYTES).fill(7));
    for (const length of [64, 1400, 9000]) {
      const perTurn = Math.max(1, Math.round(60_000 / length / (name === "wasm" ? 4 : 1)));
      write(aead.AEAD_SEAL, length);
      const seal = best(() => {
        if (cipher.run(layout.SEAL_OPS, BATCH) !== 0) throw new Error("a seal failed");
      }, perTurn);
      // Sealed once more, then opened and closed in turn: opening destroys what it opens.
      cipher.run(layout.SEAL_OPS, BATCH);
      const both = best(() => {
        for (let i = 0; i < BATCH; i++) bytes[layout.SEAL_OPS + i * aead.AEAD_OP_LENGTH] = aead.AEAD_OPEN;
        if (cipher.run(layout.SEAL_OPS, BATCH) !== 0) throw new Error("an open failed");
        for (let i = 0; i < BATCH; i++) bytes[layout.SEAL_OPS + i * aead.AEAD_OP_LENGTH] = aead.AEAD_SEAL;
        cipher.run(layout.SEAL_OPS, BATCH);
      }, perTurn);
      const gbits = (ns) => +((length * 8) / ns).toFixed(2);
      rows.push({
        cipher: name,
        algorithm: aead.AEAD_ALGORITHM_NAMES[algorithm],
        bytes: length,
        "seal ns": Math.round(seal),
        "seal Gbit/s": gbits(seal),
        "open Gbit/s": gbits(both - seal),
      });
    }
  }
}
console.table(rows);

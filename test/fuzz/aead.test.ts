// Operations of any bytes whatever: no trap, no panic, and both ciphers do the same with them, to the last byte of memory that
// they may touch. (The one difference by design: the engine's own refuse what touches the region where its keys stand.)
import { expect, it } from "vitest";
import * as aead from "../../wasm/shared/aead.ts";
import { AEAD_STATE, AEAD_STATE_LENGTH, MEMORY_LENGTH, OPEN_OPS, RX_ARENA, SEAL_OPS } from "../../wasm/shared/layout.ts";
import { material, nativeRig, wasmRig } from "../support/aead.ts";
import { type Random, random } from "../support/random.ts";

const BATCH = 40;
/** A ciphered operation costs what many frames do. */
const ROUNDS = Math.ceil(Number(process.env.WEFT_FUZZ ?? 100_000) / (40 * BATCH));
const SEED = Number(process.env.WEFT_FUZZ_SEED ?? 1);
const SPAN = 70_000;

function operation(rnd: Random): Uint8Array {
  const bytes = rnd.bytes(aead.AEAD_OP_LENGTH);
  if (rnd.chance(0.1)) return bytes;
  const view = new DataView(bytes.buffer);
  view.setUint8(aead.AEAD_KIND, rnd.pick([0, 1, 1, 1, 2, 2, 3, 255]));
  view.setUint8(aead.AEAD_ICV_BYTES, rnd.pick([16, 16, 16, 12, 8, 0, 4, 17, 255]));
  view.setUint8(aead.AEAD_AAD_BYTES, rnd.pick([8, 8, 12, 12, 0, 5, 13, 255]));
  view.setUint16(aead.AEAD_KEY, rnd.pick([1, 2, 3, 1, 2, 3, 0, 4, aead.AEAD_KEYS - 1, aead.AEAD_KEYS, 65535]), true);
  const length = rnd.pick([0, 1, rnd.below(200), rnd.below(2000), 65535, 65536, 0xffffffff - rnd.below(20)]);
  view.setUint32(aead.AEAD_BYTES, length, true);
  const offset = rnd.pick([
    RX_ARENA + rnd.below(1000),
    RX_ARENA + rnd.below(1000),
    // Over the operations themselves.
    SEAL_OPS + rnd.below(BATCH * aead.AEAD_OP_LENGTH),
    MEMORY_LENGTH - rnd.below(300),
    MEMORY_LENGTH + rnd.below(300),
    0xffffffff - rnd.below(70_000),
    AEAD_STATE - rnd.below(300),
    AEAD_STATE + AEAD_STATE_LENGTH - rnd.below(3),
  ]);
  view.setUint32(aead.AEAD_OFFSET, offset >>> 0, true);
  return bytes;
}

/** Where an operation may have written. */
const REGIONS: readonly (readonly [number, number])[] = [
  [RX_ARENA, RX_ARENA + SPAN],
  [SEAL_OPS, SEAL_OPS + SPAN],
  [AEAD_STATE - SPAN, AEAD_STATE],
  [MEMORY_LENGTH - SPAN, MEMORY_LENGTH],
];

function touchesKeys(view: DataView, at: number): boolean {
  const offset = view.getUint32(at + aead.AEAD_OFFSET, true);
  const end = offset + view.getUint32(at + aead.AEAD_BYTES, true) + view.getUint8(at + aead.AEAD_ICV_BYTES);
  return offset < AEAD_STATE + AEAD_STATE_LENGTH && end > AEAD_STATE;
}

it.each(["debug", "release"] as const)("any operation ends the same way in native and wasm (%s)", (build) => {
  const rnd = random(SEED + (build === "debug" ? 0 : 1));
  const rigs = [nativeRig(), wasmRig(build)] as const;
  for (const algorithm of [1, 2, 3]) {
    const key = rnd.bytes(aead.AEAD_KEY_BYTES[algorithm] ?? 0);
    for (const rig of rigs) rig.setKey(algorithm, algorithm, material(key, new Uint8Array(12).fill(algorithm)));
  }
  const statuses = new Set<number>();
  for (let round = 0; round < ROUNDS; round++) {
    const fill = rnd.bytes(4096);
    for (const rig of rigs) {
      for (let at = 0; at < SPAN; at += fill.length) rig.bytes.set(fill, RX_ARENA + at);
      rig.bytes.fill(0, SEAL_OPS, OPEN_OPS);
    }
    const batch = Array.from({ length: BATCH }, () => operation(rnd));
    for (const rig of rigs) {
      for (const [i, bytes] of batch.entries()) rig.bytes.set(bytes, SEAL_OPS + i * aead.AEAD_OP_LENGTH);
      const view = new DataView(rig.bytes.buffer);
      for (let i = 0; i < BATCH; i++) {
        const at = SEAL_OPS + i * aead.AEAD_OP_LENGTH;
        if (touchesKeys(view, at)) {
          // Asked of the engine alone: it must refuse. Native's would change the region, which is not compared.
          if (rig === rigs[1] && (view.getUint8(at) === 1 || view.getUint8(at) === 2)) {
            expect(rig.run(at, 1)).toBe(1);
            expect(view.getUint32(at + aead.AEAD_STATUS, true)).toBe(aead.AEAD_REFUSED);
          }
          rig.bytes.fill(0, at, at + aead.AEAD_OP_LENGTH);
        }
      }
    }
    // One at a time, as each may write over the next: what that says then is checked anew.
    for (let i = 0; i < BATCH; i++) {
      const at = SEAL_OPS + i * aead.AEAD_OP_LENGTH;
      if (touchesKeys(new DataView(rigs[0].bytes.buffer), at)) continue;
      const failed = rigs.map((rig) => rig.run(at, 1));
      const [a, b] = rigs.map((rig) => new DataView(rig.bytes.buffer).getUint32(at + aead.AEAD_STATUS, true));
      expect([round, i, failed[1], b]).toEqual([round, i, failed[0], a]);
      statuses.add(a ?? 0);
      for (const [from, to] of REGIONS) {
        const one = rigs[0].bytes.subarray(from, to);
        // What was forged is unspecified: made alike again.
        if (a === aead.AEAD_FORGED) rigs[1].bytes.set(one, from);
        else if (Buffer.compare(one, rigs[1].bytes.subarray(from, to)) !== 0)
          throw new Error(`round ${round}, operation ${i}: memory differs`);
      }
    }
  }
  expect([...statuses].filter((status) => status <= aead.AEAD_REFUSED).sort()).toEqual(
    expect.arrayContaining([aead.AEAD_DONE, aead.AEAD_FORGED, aead.AEAD_REFUSED]),
  );
});

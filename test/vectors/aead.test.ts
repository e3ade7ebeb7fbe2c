// Both ciphers, debug and release, against vectors of standards and of Project Wycheproof, valid and invalid.
//
// ESP's operations have nonces of 12 bytes, keys of 128 and 256 bits and AADs of at most 12 bytes. Vectors with longer AADs go to
// the engine's own ciphers behind the operations (native's library has been through them itself); the rest is not ours.
import { execFileSync } from "node:child_process";
import { hkdfSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../src/paths.ts";
import * as aead from "../../wasm/shared/aead.ts";
import { ARGUMENTS, RX_ARENA } from "../../wasm/shared/layout.ts";
import { type Message, perform, RIGS } from "../support/aead.ts";
import { BUILDS, instantiateTesting } from "../support/wasm.ts";
import { CHACHA20_POLY1305, ESP_DRAFT, GCM_SPECIFICATION, HKDF_SHA256 } from "./published.ts";

interface Wycheproof {
  set: "aes-gcm" | "chacha20-poly1305";
  id: number;
  key: string;
  nonce: string;
  aad: string;
  plain: string;
  sealed: string;
  icvBytes: number;
  valid: boolean;
}

const FILE = join(ROOT, "build/vectors/aead.json");
const hex = (text: string): Uint8Array => Buffer.from(text, "hex");
const PUBLISHED: [string, Message][] = [
  ...Object.entries(GCM_SPECIFICATION).map(([name, one]): [string, Message] => [`GCM specification, ${name}`, one]),
  ...ESP_DRAFT.map((one, i): [string, Message] => [`draft-mcgrew-gcm-test, ${i + 1}`, one]),
  ...Object.entries(CHACHA20_POLY1305),
];
const fits = (one: Message): boolean => one.aad.length <= aead.AEAD_AAD_MAX;

/** Wycheproof's that ESP's parameters allow: 96-bit nonces, keys of 128 and 256 bits, whole ICVs. */
function wycheproof(): (Message & { id: string; valid: boolean })[] {
  if (!existsSync(FILE)) {
    const program = 'import { build, VECTORS_STAGE } from "./scripts/build.mjs"; await build([VECTORS_STAGE]);';
    execFileSync(process.execPath, ["--input-type=module", "-e", program], { cwd: ROOT, stdio: "inherit" });
  }
  const all = JSON.parse(readFileSync(FILE, "utf8")) as Wycheproof[];
  return all
    .filter((one) => one.nonce.length === 24 && one.key.length !== 48)
    .map((one) => ({
      id: `${one.set} ${one.id}`,
      valid: one.valid,
      algorithm: one.set === "aes-gcm" ? (one.key.length === 32 ? 1 : 2) : 3,
      key: hex(one.key),
      nonce: hex(one.nonce),
      aad: hex(one.aad),
      plain: hex(one.plain),
      sealed: hex(one.sealed),
      icvBytes: one.icvBytes,
    }));
}

let vectors: ReturnType<typeof wycheproof>;

beforeAll(() => {
  vectors = wycheproof();
}, 240_000);

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

it("Wycheproof's are all there", () => {
  expect(vectors.filter(({ valid }) => valid).length).toBe(335);
  expect(vectors.filter(({ valid }) => !valid).length).toBe(114);
});

describe.each(RIGS)("%s", (_name, open) => {
  const rig = open();

  it.each(PUBLISHED.filter(([, one]) => fits(one)))("%s", (_title, one) => {
    expect(Buffer.from(perform(rig, aead.AEAD_SEAL, one, one.plain).bytes).toString("hex")).toBe(Buffer.from(one.sealed).toString("hex"));
    const opened = perform(rig, aead.AEAD_OPEN, one, one.sealed);
    expect([opened.status, same(opened.bytes, one.plain)]).toEqual([aead.AEAD_DONE, true]);
  });

  it("Wycheproof", () => {
    const wrong: string[] = [];
    let count = 0;
    for (const one of vectors.filter(fits)) {
      count++;
      const opened = perform(rig, aead.AEAD_OPEN, one, one.sealed);
      if (opened.status !== (one.valid ? aead.AEAD_DONE : aead.AEAD_FORGED)) wrong.push(`${one.id}: status ${opened.status}`);
      if (!one.valid) continue;
      if (!same(opened.bytes, one.plain)) wrong.push(`${one.id}: plaintext`);
      if (!same(perform(rig, aead.AEAD_SEAL, one, one.plain).bytes, one.sealed)) wrong.push(`${one.id}: ciphertext`);
    }
    expect(wrong).toEqual([]);
    expect(count).toBe(350);
  });
});

describe.each(BUILDS)("wasm %s behind the operations", (build) => {
  const { exports, memory } = instantiateTesting<{
    aeadDirectly(seals: number, keyBytes: number, aadBytes: number, length: number): number;
  }>(build);
  const bytes = new Uint8Array(memory.buffer);
  const direct = (seals: boolean, one: Message, input: Uint8Array): { done: boolean; bytes: Uint8Array } => {
    bytes.set(one.key, ARGUMENTS);
    bytes.set(one.nonce, ARGUMENTS + 32);
    bytes.set(one.aad, ARGUMENTS + 64);
    bytes.set(input, RX_ARENA);
    const length = one.plain.length;
    const done = exports.aeadDirectly(Number(seals), one.algorithm === 3 ? 0 : one.key.length, one.aad.length, length) !== 0;
    return { done, bytes: bytes.slice(RX_ARENA, RX_ARENA + length + (seals ? 16 : 0)) };
  };

  it("passes the vectors with AADs of any length", () => {
    const wrong: string[] = [];
    const all = [...PUBLISHED.map(([id, one]) => ({ ...one, id, valid: true })), ...vectors];
    for (const one of all) {
      const opened = direct(false, one, one.sealed);
      if (opened.done !== one.valid || (one.valid && !same(opened.bytes, one.plain))) wrong.push(`${one.id}: opening`);
      if (one.valid && !same(direct(true, one, one.plain).bytes, one.sealed)) wrong.push(`${one.id}: sealing`);
    }
    expect(wrong).toEqual([]);
    expect(all.filter((one) => !fits(one)).length).toBe(101);
  });
});

it.each(HKDF_SHA256)("node:crypto's HKDF is RFC 5869's", ({ key, salt, info, okm }) => {
  expect(same(new Uint8Array(hkdfSync("sha256", key, salt, info, okm.length)), okm)).toBe(true);
});

// Both ciphers behind one face: a message goes in as an operation in the engine's memory, what became of it comes out.
import { createCipheriv } from "node:crypto";
import type { EngineExports } from "../../src/datapath/engine.ts";
import { createMemory } from "../../src/datapath/module.ts";
import { ENGINE_DEBUG_PATH, ENGINE_RELEASE_PATH } from "../../src/paths.ts";
import { native } from "../../src/ports/native.ts";
import * as aead from "../../wasm/shared/aead.ts";
import { ARGUMENTS, RX_ARENA, SEAL_OPS } from "../../wasm/shared/layout.ts";
import { type Build, instantiate } from "./wasm.ts";

export interface Rig {
  readonly bytes: Uint8Array;
  setKey(slot: number, algorithm: number, material: Uint8Array): void;
  removeKey(slot: number): void;
  run(at: number, count: number): number;
}

export interface Message {
  readonly algorithm: number;
  readonly key: Uint8Array;
  /** 12 bytes: salt and IV. */
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly plain: Uint8Array;
  /** Ciphertext and ICV. */
  readonly sealed: Uint8Array;
  readonly icvBytes?: number;
}

export interface Operation {
  readonly kind: number;
  readonly slot?: number;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly icvBytes?: number;
  /** Where the payload stands; RX_ARENA unless given. */
  readonly offset?: number;
  readonly length: number;
}

export const ALGORITHMS = [aead.AEAD_ALGORITHM_AES_128_GCM, aead.AEAD_ALGORITHM_AES_256_GCM, aead.AEAD_ALGORITHM_CHACHA20_POLY1305];

export function nativeRig(): Rig {
  const bytes = new Uint8Array(createMemory().buffer);
  const cipher = new (native().Aead)();
  cipher.attach(bytes);
  return {
    bytes,
    setKey: (slot, algorithm, material) => cipher.setKey(slot, algorithm, material),
    removeKey: (slot) => cipher.removeKey(slot),
    run: (at, count) => cipher.run(at, count),
  };
}

export function wasmRig(build: Build): Rig {
  const { exports, memory } = instantiate<EngineExports>(build === "debug" ? ENGINE_DEBUG_PATH : ENGINE_RELEASE_PATH);
  exports.reset(1024);
  const bytes = new Uint8Array(memory.buffer);
  return {
    bytes,
    setKey: (slot, algorithm, keyAndSalt) => {
      bytes.set(keyAndSalt, ARGUMENTS);
      const refused = exports.aeadSetKey(slot, algorithm);
      if (refused !== 0) throw new Error(`the engine refused a key: ${refused}`);
    },
    removeKey: (slot) => exports.aeadRemoveKey(slot),
    run: (at, count) => exports.aeadRun(at, count),
  };
}

/** For `describe.each`: each cipher there is. */
export const RIGS: readonly [string, () => Rig][] = [
  ["native", nativeRig],
  ["wasm debug", () => wasmRig("debug")],
  ["wasm release", () => wasmRig("release")],
];

export function writeOperation(bytes: Uint8Array, at: number, operation: Operation): void {
  const view = new DataView(bytes.buffer, at, aead.AEAD_OP_LENGTH);
  bytes.fill(0, at, at + aead.AEAD_OP_LENGTH);
  view.setUint8(aead.AEAD_KIND, operation.kind);
  view.setUint8(aead.AEAD_ICV_BYTES, operation.icvBytes ?? 16);
  view.setUint16(aead.AEAD_KEY, operation.slot ?? 1, true);
  view.setUint32(aead.AEAD_OFFSET, operation.offset ?? RX_ARENA, true);
  view.setUint32(aead.AEAD_BYTES, operation.length, true);
  view.setUint8(aead.AEAD_AAD_BYTES, operation.aad.length);
  bytes.set(operation.aad.subarray(0, 12), at + aead.AEAD_AAD);
  bytes.set(operation.nonce.subarray(4), at + aead.AEAD_IV);
}

export function statusOf(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer).getUint32(at + aead.AEAD_STATUS, true);
}

export function material(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  return Buffer.concat([key, nonce.subarray(0, 4)]);
}

/** Runs one operation over `input` (with room for an ICV behind it) and answers status and bytes. */
export function perform(
  rig: Rig,
  kind: number,
  message: Omit<Message, "sealed" | "plain">,
  input: Uint8Array,
): { status: number; bytes: Uint8Array } {
  const icvBytes = message.icvBytes ?? 16;
  const length = kind === aead.AEAD_SEAL ? input.length : input.length - icvBytes;
  rig.setKey(1, message.algorithm, material(message.key, message.nonce));
  rig.bytes.fill(0xa5, RX_ARENA - 64, RX_ARENA + length + icvBytes + 64);
  rig.bytes.set(input, RX_ARENA);
  writeOperation(rig.bytes, SEAL_OPS, { kind, nonce: message.nonce, aad: message.aad, icvBytes, length });
  const failed = rig.run(SEAL_OPS, 1);
  const status = statusOf(rig.bytes, SEAL_OPS);
  if ((failed === 0) !== (status === aead.AEAD_DONE)) throw new Error(`run answered ${failed}, the status is ${status}`);
  const end = RX_ARENA + length + (kind === aead.AEAD_SEAL ? icvBytes : 0);
  for (const [from, to] of [
    [RX_ARENA - 64, RX_ARENA],
    [RX_ARENA + length + icvBytes, RX_ARENA + length + icvBytes + 64],
  ] as const) {
    if (rig.bytes.subarray(from, to).some((byte) => byte !== 0xa5)) throw new Error("bytes around the payload were written");
  }
  return { status, bytes: rig.bytes.slice(RX_ARENA, end) };
}

const NODE_NAMES = ["", "aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const;

/** What OpenSSL makes of it: ciphertext and whole ICV. */
export function opensslSeal(algorithm: number, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array {
  const cipher = createCipheriv(NODE_NAMES[algorithm] as "aes-128-gcm", key, nonce, { authTagLength: 16 });
  cipher.setAAD(aad, { plaintextLength: plain.length });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

// AEAD operations run by node:crypto: the cipher of engine tests, which none of ours has had a hand in.
import { type CipherGCMTypes, createCipheriv, createDecipheriv } from "node:crypto";
import { ALGORITHM_NUMBERS } from "../../src/datapath/esp-algorithms.ts";
import type { Cipher as ShardCipher } from "../../src/datapath/shard/cipher.ts";
import {
  AEAD_AAD,
  AEAD_AAD_BYTES,
  AEAD_BYTES,
  AEAD_DONE,
  AEAD_FORGED,
  AEAD_ICV_BYTES,
  AEAD_IV,
  AEAD_KEY,
  AEAD_KIND,
  AEAD_NONE,
  AEAD_OFFSET,
  AEAD_OP_LENGTH,
  AEAD_REFUSED,
  AEAD_SEAL,
  AEAD_STATUS,
} from "../../wasm/shared/aead.ts";
import type { Cipher } from "./wasm.ts";

export interface NodeKey {
  readonly algorithm: "aes-128-gcm" | "aes-256-gcm" | "chacha20-poly1305";
  readonly key: Uint8Array;
  /** Four bytes. */
  readonly salt: Uint8Array;
}

/** The same as a shard's cipher, with the keys that the shard was given. */
export class NodeCipher implements ShardCipher {
  readonly keys = new Map<number, NodeKey>();
  readonly #run: Cipher;
  readonly #memory: DataView;

  constructor(memory: WebAssembly.Memory) {
    this.#memory = new DataView(memory.buffer);
    this.#run = nodeCipher(this.keys);
  }

  setKey(slot: number, number: number, material: Uint8Array): void {
    const [algorithm] = Object.entries(ALGORITHM_NUMBERS).find(([, one]) => one === number)!;
    const salt = material.length - 4;
    this.keys.set(slot, { algorithm: algorithm as NodeKey["algorithm"], key: material.slice(0, salt), salt: material.slice(salt) });
  }

  removeKey(slot: number): void {
    this.keys.delete(slot);
  }

  clear(): void {
    this.keys.clear();
  }

  run(ring: number, count: number): number {
    return this.#run(this.#memory, ring, count);
  }
}

/** A cipher over the keys in `slots`. */
export function nodeCipher(slots: ReadonlyMap<number, NodeKey>): Cipher {
  return (memory, ring, count) => {
    let failed = 0;
    for (let i = 0; i < count; i++) {
      const op = ring + i * AEAD_OP_LENGTH;
      if (memory.getUint8(op + AEAD_KIND) === AEAD_NONE) continue;
      const status = one(memory, op, slots);
      memory.setUint32(op + AEAD_STATUS, status, true);
      if (status !== AEAD_DONE) failed++;
    }
    return failed;
  };
}

function one(memory: DataView, op: number, slots: ReadonlyMap<number, NodeKey>): number {
  const slot = slots.get(memory.getUint16(op + AEAD_KEY, true));
  if (slot === undefined) return AEAD_REFUSED;
  const bytes = (at: number, length: number): Uint8Array => new Uint8Array(memory.buffer, at, length);
  const nonce = Buffer.concat([slot.salt, bytes(op + AEAD_IV, 8)]);
  const aad = bytes(op + AEAD_AAD, memory.getUint8(op + AEAD_AAD_BYTES));
  const text = bytes(memory.getUint32(op + AEAD_OFFSET, true), memory.getUint32(op + AEAD_BYTES, true));
  const authTagLength = memory.getUint8(op + AEAD_ICV_BYTES);
  const icv = bytes(text.byteOffset + text.length, authTagLength);
  const algorithm = slot.algorithm as CipherGCMTypes;
  if (memory.getUint8(op + AEAD_KIND) === AEAD_SEAL) {
    const cipher = createCipheriv(algorithm, slot.key, nonce, { authTagLength }).setAAD(aad, { plaintextLength: text.length });
    text.set(Buffer.concat([cipher.update(text), cipher.final()]));
    icv.set(cipher.getAuthTag());
    return AEAD_DONE;
  }
  const decipher = createDecipheriv(algorithm, slot.key, nonce, { authTagLength }).setAAD(aad, { plaintextLength: text.length });
  try {
    text.set(Buffer.concat([decipher.setAuthTag(icv).update(text), decipher.final()]));
    return AEAD_DONE;
  } catch {
    return AEAD_FORGED;
  }
}

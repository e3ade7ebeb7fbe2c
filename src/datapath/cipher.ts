// Who seals and opens ESP for a shard. Two can: native/src/aead and the engine's own in wasm/crypto; both read the operations
// of wasm/shared/aead.ts where the engine has written them.

import { AEAD_ALGORITHM_AES_128_GCM, AEAD_ALGORITHM_AES_256_GCM, AEAD_ALGORITHM_CHACHA20_POLY1305 } from "../../wasm/shared/aead.ts";
import type { EspAlgorithm } from "./declarations.ts";

export interface Cipher {
  /** Puts key and salt into a slot; the caller overwrites `material`. */
  setKey(slot: number, algorithm: number, material: Uint8Array): void;
  /** None there: fine. */
  removeKey(slot: number): void;
  /** Empties all slots. */
  clear(): void;
  /** Carries out the `count` operations at `ring`; how many did not succeed. */
  run(ring: number, count: number): number;
}

export const ALGORITHM_NUMBERS: Readonly<Record<EspAlgorithm, number>> = {
  "aes-128-gcm": AEAD_ALGORITHM_AES_128_GCM,
  "aes-256-gcm": AEAD_ALGORITHM_AES_256_GCM,
  "chacha20-poly1305": AEAD_ALGORITHM_CHACHA20_POLY1305,
};

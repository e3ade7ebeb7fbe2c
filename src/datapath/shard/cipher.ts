// Who seals and opens ESP for a shard. Two can: native/src/aead and the engine's own in wasm/crypto (aead.ts chooses); both read
// the operations of wasm/shared/aead.ts where the engine has written them.

export interface Cipher {
  /** Key and salt into a slot, which `material` is overwritten for. Throws without a cipher, or for what no slot can hold. */
  setKey(slot: number, algorithm: number, material: Uint8Array): void;
  /** None there: fine. */
  removeKey(slot: number): void;
  /** Empties all slots: after a rebuild of the engine, whose tables start again. */
  clear(): void;
  /** Carries out the `count` operations at `ring`; how many did not end in AEAD_DONE. */
  run(ring: number, count: number): number;
}

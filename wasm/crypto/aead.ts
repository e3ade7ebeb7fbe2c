// The engine's own ciphers, for where native code can't be had: the operations of shared/aead.ts, by crypto/gcm and
// crypto/chacha20-poly1305. Slower than native by ten times and its keys stand in the engine's memory; see SECURITY.md.
//
// A slot holds what is derived from a key once: AES's expanded key and GHASH's point. What is derived from that by a run of
// datagrams under one key (round keys as planes, GHASH's tables) is made when the key changes, in 0.7 us.
//
//   0           4      8       24               40 .. 280 (AES), 40 .. 72 (ChaCha20)
//   ┌───────────┬──────┬───────┬────────────────┬─────
//   │ algorithm │ salt │       │ GHASH's H      │ expanded key; key
//   └───────────┴──────┴───────┴────────────────┴─────
//
import { AEAD_AAD, AEAD_AAD_BYTES, AEAD_AAD_MAX, AEAD_ALGORITHM_AES_128_GCM, AEAD_ALGORITHM_AES_256_GCM, AEAD_ALGORITHM_CHACHA20_POLY1305, AEAD_BYTES, AEAD_BYTES_MAX, AEAD_DONE, AEAD_FORGED, AEAD_ICV_BYTES, AEAD_IV, AEAD_KEY, AEAD_KEYS, AEAD_KIND, AEAD_NONE, AEAD_OFFSET, AEAD_OP_LENGTH, AEAD_OPEN, AEAD_OPS, AEAD_REFUSED, AEAD_SEAL, AEAD_STATUS } from "../shared/aead";
import { AEAD_STATE, AEAD_STATE_LENGTH, MEMORY_LENGTH } from "../shared/layout";
import * as aes from "./aes";
import * as chacha20 from "./chacha20";
import * as chacha20Poly1305 from "./chacha20-poly1305";
import * as gcm from "./gcm";

const SLOT_LENGTH: usize = 512;
const SLOT_ALGORITHM: usize = 0;
const SLOT_SALT: usize = 4;
const SLOT_H: usize = 24;
const SLOT_SCHEDULE: usize = 40;
/** Slot 0 is never used: the highest that ever was stands there, in the memory, because an instance can end and another follow. */
const HIGHEST: usize = AEAD_STATE;
/** Behind the slots: nonce and AAD of the operation under way. */
const NONCE: usize = AEAD_STATE + 0x807000;
const AAD: usize = NONCE + 16;

/** The slot whose key GCM has in use. */
let inUse: u32 = 0;

// @ts-ignore: decorator
@inline function slotAt(slot: u32): usize {
  return <usize>AEAD_STATE + SLOT_LENGTH * <usize>slot;
}

/** Forgets all keys. Part of `reset`. Where native has the keys, it touches next to nothing. */
export function reset(): void {
  memory.fill(AEAD_STATE, 0, SLOT_LENGTH * <usize>(min<u32>(load<u32>(HIGHEST), AEAD_KEYS - 1) + 1));
  gcm.forget();
  chacha20.forget();
  inUse = 0;
  chacha20.initialise();
}

/** Takes key and salt from `material` and leaves zeros there. False: no such slot or algorithm. */
export function setKey(slot: u32, algorithm: u32, material: usize): bool {
  if (slot == 0 || slot >= <u32>AEAD_KEYS) return false;
  let keyBytes: u32 = 32;
  if (algorithm == AEAD_ALGORITHM_AES_128_GCM) keyBytes = 16;
  else if (algorithm != AEAD_ALGORITHM_AES_256_GCM && algorithm != AEAD_ALGORITHM_CHACHA20_POLY1305) return false;
  removeKey(slot);
  store<u32>(HIGHEST, max<u32>(load<u32>(HIGHEST), slot));
  const at = slotAt(slot);
  if (algorithm == AEAD_ALGORITHM_CHACHA20_POLY1305) {
    memory.copy(at + SLOT_SCHEDULE, material, keyBytes);
  } else {
    aes.expand(material, keyBytes, at + SLOT_SCHEDULE);
    gcm.derive(at + SLOT_SCHEDULE, aes.roundsOf(keyBytes), at + SLOT_H);
    inUse = 0;
  }
  store<u32>(at + SLOT_SALT, load<u32>(material + keyBytes));
  store<u32>(at + SLOT_ALGORITHM, algorithm);
  memory.fill(material, 0, keyBytes + 4);
  return true;
}

export function removeKey(slot: u32): void {
  if (slot == 0 || slot >= <u32>AEAD_KEYS) return;
  memory.fill(slotAt(slot), 0, SLOT_LENGTH);
  inUse = 0;
  gcm.forget();
  chacha20.forget();
}

/** Carries out the `count` operations at `at`; how many failed. All of them, when they are not inside the memory. */
export function run(at: usize, count: u32): u32 {
  if (count > <u32>AEAD_OPS || <u64>at + <u64>count * AEAD_OP_LENGTH > <u64>MEMORY_LENGTH) return count;
  let failed: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    if (load<u8>(at, AEAD_KIND) != AEAD_NONE) {
      const status = perform(at);
      store<u32>(at, status, AEAD_STATUS);
      if (status != AEAD_DONE) failed++;
    }
    at += AEAD_OP_LENGTH;
  }
  return failed;
}

/** Carries out one operation, whatever its bytes say. */
function perform(at: usize): u32 {
  const kind = <u32>load<u8>(at, AEAD_KIND);
  const icvBytes = <u32>load<u8>(at, AEAD_ICV_BYTES);
  const slot = <u32>load<u16>(at, AEAD_KEY);
  const offset = <usize>load<u32>(at, AEAD_OFFSET);
  const length = load<u32>(at, AEAD_BYTES);
  const aadBytes = <u32>load<u8>(at, AEAD_AAD_BYTES);
  if (kind != AEAD_SEAL && kind != AEAD_OPEN) return AEAD_REFUSED;
  if ((icvBytes != 16 && icvBytes != 12 && icvBytes != 8) || aadBytes > <u32>AEAD_AAD_MAX || length > <u32>AEAD_BYTES_MAX) return AEAD_REFUSED;
  // Inside the memory, and not where the keys are.
  const end = <u64>offset + length + icvBytes;
  if (end > <u64>MEMORY_LENGTH || (offset < <usize>AEAD_STATE + AEAD_STATE_LENGTH && end > <u64>AEAD_STATE)) return AEAD_REFUSED;
  if (slot == 0 || slot >= <u32>AEAD_KEYS) return AEAD_REFUSED;
  const entry = slotAt(slot);
  const algorithm = load<u32>(entry, SLOT_ALGORITHM);
  if (algorithm == 0) return AEAD_REFUSED;
  store<u32>(NONCE, load<u32>(entry, SLOT_SALT));
  store<u64>(NONCE, load<u64>(at, AEAD_IV), 4);
  store<u64>(AAD, load<u64>(at, AEAD_AAD));
  store<u32>(AAD, load<u32>(at, AEAD_AAD + 8), 8);
  const seals = kind == AEAD_SEAL;
  if (algorithm == AEAD_ALGORITHM_CHACHA20_POLY1305) {
    return chacha20Poly1305.run(seals, entry + SLOT_SCHEDULE, NONCE, AAD, aadBytes, offset, length, icvBytes) ? AEAD_DONE : AEAD_FORGED;
  }
  const rounds = aes.roundsOf(algorithm == AEAD_ALGORITHM_AES_128_GCM ? 16 : 32);
  if (inUse != slot) {
    gcm.use(entry + SLOT_SCHEDULE, rounds, entry + SLOT_H);
    inUse = slot;
  }
  return gcm.run(seals, rounds, NONCE, AAD, aadBytes, offset, length, icvBytes) ? AEAD_DONE : AEAD_FORGED;
}

// AES-GCM (NIST SP 800-38D) over one run of bytes, in place: counter mode by crypto/aes, GHASH over AAD and ciphertext. Opening
// authenticates before it deciphers: what is forged stays ciphertext.
//
// Counters go sixteen at a time, from 0: that one is not used, 1 is the tag's, 2 the first of the payload. So the first sixteen
// have 14 blocks for the payload.
//
import * as aes from "./aes";
import * as ghash from "./ghash";
import * as stream from "./stream";
import { AEAD_STATE } from "../shared/layout";

/** The key stream's block that is added to the tag. */
const TAG_MASK: usize = AEAD_STATE + 0x807100;
const ZEROS: usize = TAG_MASK + 16;

/** GHASH's point of an expanded key: the block of zeros, ciphered. The key in use is not that of `use` any more. */
export function derive(schedule: usize, rounds: u32, h: usize): void {
  aes.use(schedule, rounds);
  v128.store(ZEROS, i64x2.splat(0));
  aes.start(ZEROS);
  aes.keyStream(0, 1, rounds);
  v128.store(h, v128.load(aes.KEY_STREAM));
}

/** Makes a key the one in use: its expanded form and its point. */
export function use(schedule: usize, rounds: u32, h: usize): void {
  aes.use(schedule, rounds);
  ghash.use(h);
}

/** Overwrites the key in use. */
export function forget(): void {
  aes.forget();
  ghash.forget();
}

/** Tag of `length` bytes of ciphertext at `p`, in ghash.DIGEST. */
function authenticate(aad: usize, aadBytes: u32, p: usize, length: u32): void {
  ghash.start();
  ghash.update(aad, aadBytes);
  ghash.digest(aadBytes, p, length);
  v128.store(ghash.DIGEST, v128.xor(v128.load(ghash.DIGEST), v128.load(TAG_MASK)));
}

/** Adds the key stream from block 16 on. */
function cipherRest(rounds: u32, p: usize, length: u32): void {
  let counter: u32 = 16;
  while (length != 0) {
    const bytes = min<u32>(length, 256);
    aes.keyStream(counter, (bytes + 15) >> 4, rounds);
    stream.add(p, aes.KEY_STREAM, bytes);
    p += bytes;
    length -= bytes;
    counter += 16;
  }
}

/** Seals or opens with the key in use. False: forged. */
export function run(seals: bool, rounds: u32, nonce: usize, aad: usize, aadBytes: u32, p: usize, length: u32, icvBytes: u32): bool {
  aes.start(nonce);
  aes.keyStream(0, 2 + ((length + 15) >> 4), rounds);
  v128.store(TAG_MASK, v128.load(aes.KEY_STREAM, 16));
  const icv = p + length;
  if (!seals) {
    authenticate(aad, aadBytes, p, length);
    if (!stream.agrees(icv, ghash.DIGEST, icvBytes)) return false;
  }
  const first = min<u32>(length, 224);
  stream.add(p, aes.KEY_STREAM + 32, first);
  cipherRest(rounds, p + first, length - first);
  if (seals) {
    authenticate(aad, aadBytes, p, length);
    stream.write(icv, ghash.DIGEST, icvBytes);
  }
  return true;
}

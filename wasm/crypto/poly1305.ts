// Poly1305 (RFC 8439), the authenticator beside ChaCha20: a polynomial modulo 2^130 - 5 at a secret point, in five limbs of 26
// bits, so that products and their sums fit into 64 bits. No branch and no address depends on key or data.

import { AEAD_STATE } from "../shared/layout";

/** Where `digest` writes, and what is in the middle of a block. */
export const DIGEST: usize = AEAD_STATE + 0x806000;
const PARTIAL: usize = DIGEST + 16;
const PAD: usize = DIGEST + 32;

const LIMB: u64 = 0x3ffffff;

// The point r, and five times its upper limbs: what wraps around 2^130 comes back times five.
let r0: u64 = 0;
let r1: u64 = 0;
let r2: u64 = 0;
let r3: u64 = 0;
let r4: u64 = 0;
// The sum so far.
let h0: u64 = 0;
let h1: u64 = 0;
let h2: u64 = 0;
let h3: u64 = 0;
let h4: u64 = 0;

/** Takes the one-time key, r and pad, 32 bytes, and starts a sum. */
export function start(key: usize): void {
  const low = load<u64>(key) & 0x0ffffffc0fffffff;
  const high = load<u64>(key, 8) & 0x0ffffffc0ffffffc;
  r0 = low & LIMB;
  r1 = (low >> 26) & LIMB;
  r2 = ((low >> 52) | (high << 12)) & LIMB;
  r3 = (high >> 14) & LIMB;
  r4 = high >> 40;
  v128.store(PAD, v128.load(key, 16));
  h0 = 0;
  h1 = 0;
  h2 = 0;
  h3 = 0;
  h4 = 0;
}

/** Adds `count` whole blocks. */
function blocks(p: usize, count: u32): void {
  const s1 = 5 * r1;
  const s2 = 5 * r2;
  const s3 = 5 * r3;
  const s4 = 5 * r4;
  const p0 = r0;
  const p1 = r1;
  const p2 = r2;
  const p3 = r3;
  const p4 = r4;
  let a0 = h0;
  let a1 = h1;
  let a2 = h2;
  let a3 = h3;
  let a4 = h4;
  while (count != 0) {
    const low = load<u64>(p);
    const high = load<u64>(p, 8);
    a0 += low & LIMB;
    a1 += (low >> 26) & LIMB;
    a2 += ((low >> 52) | (high << 12)) & LIMB;
    a3 += (high >> 14) & LIMB;
    a4 += (high >> 40) | 0x1000000;
    const d0 = a0 * p0 + a1 * s4 + a2 * s3 + a3 * s2 + a4 * s1;
    const d1 = a0 * p1 + a1 * p0 + a2 * s4 + a3 * s3 + a4 * s2;
    const d2 = a0 * p2 + a1 * p1 + a2 * p0 + a3 * s4 + a4 * s3;
    const d3 = a0 * p3 + a1 * p2 + a2 * p1 + a3 * p0 + a4 * s4;
    const d4 = a0 * p4 + a1 * p3 + a2 * p2 + a3 * p1 + a4 * p0;
    // Two chains of carries side by side; each limb stays below 2^27.
    const e0 = d0 & LIMB;
    const e1 = d1 + (d0 >> 26);
    const e3 = d3 & LIMB;
    const e4 = d4 + (d3 >> 26);
    const e2 = d2 + (e1 >> 26);
    const f0 = e0 + 5 * (e4 >> 26);
    a4 = e4 & LIMB;
    a2 = e2 & LIMB;
    a3 = e3 + (e2 >> 26);
    a0 = f0 & LIMB;
    a1 = (e1 & LIMB) + (f0 >> 26);
    p += 16;
    count--;
  }
  h0 = a0;
  h1 = a1;
  h2 = a2;
  h3 = a3;
  h4 = a4;
}

/** Adds `length` bytes at `p`, filled up with zeros to whole blocks, as the AEAD has them. */
export function update(p: usize, length: u32): void {
  const whole = length >> 4;
  blocks(p, whole);
  const rest = length & 15;
  if (rest == 0) return;
  v128.store(PARTIAL, i64x2.splat(0));
  memory.copy(PARTIAL, p + (<usize>whole << 4), rest);
  blocks(PARTIAL, 1);
}

/** Adds the block of lengths and writes the tag to DIGEST. */
export function digest(aadBytes: u32, bytes: u32): void {
  store<u64>(PARTIAL, aadBytes);
  store<u64>(PARTIAL, bytes, 8);
  blocks(PARTIAL, 1);
  // Carries to the end: twice, because five times the last one comes back to the first limb.
  let c: u64 = 0;
  for (let i = 0; i < 2; i++) {
    h0 += 5 * c;
    h1 += h0 >> 26;
    h0 &= LIMB;
    h2 += h1 >> 26;
    h1 &= LIMB;
    h3 += h2 >> 26;
    h2 &= LIMB;
    h4 += h3 >> 26;
    h3 &= LIMB;
    c = h4 >> 26;
    h4 &= LIMB;
  }
  h0 += 5 * c;
  // h - p if that is not negative: chosen by a mask.
  let g0 = h0 + 5;
  let g1 = h1 + (g0 >> 26);
  let g2 = h2 + (g1 >> 26);
  let g3 = h3 + (g2 >> 26);
  const g4 = h4 + (g3 >> 26) - (1 << 26);
  const negative = <u64>(<i64>g4 >> 63);
  g0 = (g0 & LIMB & ~negative) | (h0 & negative);
  g1 = (g1 & LIMB & ~negative) | (h1 & negative);
  g2 = (g2 & LIMB & ~negative) | (h2 & negative);
  g3 = (g3 & LIMB & ~negative) | (h3 & negative);
  const top = (g4 & ~negative) | (h4 & negative);
  const low = g0 | (g1 << 26) | (g2 << 52);
  const high = (g2 >> 12) | (g3 << 14) | (top << 40);
  const pad = load<u64>(PAD);
  const sum = low + pad;
  store<u64>(DIGEST, sum);
  store<u64>(DIGEST, high + load<u64>(PAD, 8) + <u64>(sum < pad), 8);
}

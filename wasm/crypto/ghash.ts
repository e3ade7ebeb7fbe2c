// GHASH, the authenticator of GCM (NIST SP 800-38D): a polynomial over GF(2^128), whose coefficients are the message's blocks,
// at the point H.
//
// WebAssembly has no carry-less multiplication, and the usual tables indexed by data would tell H to whoever shares the cache.
// So ordinary multiplication is used, with holes (Thomas Pornin's way, BearSSL): of operands that keep every fourth bit only,
// the sums of a product stay below 16, no carry reaches the next bit that counts, and that bit is the sum modulo 2. Four by
// four such products make one of 64 bits. That gives its low half; the high half is the low half of the product of the
// operands in reverse. Karatsuba leaves three of four 64-bit products.
//
// A 128-bit number is two words as the block has them in network order; GCM counts bits from the first byte's top, hence the
// shift by one at the end.

import { AEAD_STATE } from "../shared/layout";

/** Where `digest` writes, and what is in the middle of a block. */
export const DIGEST: usize = AEAD_STATE + 0x804000;
const PARTIAL: usize = DIGEST + 16;

// H in use: low and high word, their sum, and the three in reverse.
let h0: u64 = 0;
let h1: u64 = 0;
let h2: u64 = 0;
let h0r: u64 = 0;
let h1r: u64 = 0;
let h2r: u64 = 0;
// The sum so far.
let y0: u64 = 0;
let y1: u64 = 0;

const M0: u64 = 0x1111111111111111;
const M1: u64 = 0x2222222222222222;
const M2: u64 = 0x4444444444444444;
const M3: u64 = 0x8888888888888888;

/** Low half of the carry-less product. */
// @ts-ignore: decorator
@inline function multiply(x: u64, y: u64): u64 {
  const a = x & M0;
  const b = x & M1;
  const c = x & M2;
  const d = x & M3;
  const e = y & M0;
  const f = y & M1;
  const g = y & M2;
  const h = y & M3;
  return (
    (((a * e) ^ (b * h) ^ (c * g) ^ (d * f)) & M0) |
    (((a * f) ^ (b * e) ^ (c * h) ^ (d * g)) & M1) |
    (((a * g) ^ (b * f) ^ (c * e) ^ (d * h)) & M2) |
    (((a * h) ^ (b * g) ^ (c * f) ^ (d * e)) & M3)
  );
}

/** Bits in reverse. */
// @ts-ignore: decorator
@inline function reversed(x: u64): u64 {
  x = ((x & 0x5555555555555555) << 1) | ((x >> 1) & 0x5555555555555555);
  x = ((x & 0x3333333333333333) << 2) | ((x >> 2) & 0x3333333333333333);
  x = ((x & 0x0f0f0f0f0f0f0f0f) << 4) | ((x >> 4) & 0x0f0f0f0f0f0f0f0f);
  return bswap<u64>(x);
}

/** Takes the 16 bytes at `h` as the point, and starts a sum. */
export function start(h: usize): void {
  h1 = bswap<u64>(load<u64>(h));
  h0 = bswap<u64>(load<u64>(h, 8));
  h2 = h0 ^ h1;
  h0r = reversed(h0);
  h1r = reversed(h1);
  h2r = h0r ^ h1r;
  y0 = 0;
  y1 = 0;
}

/** Sum times H. */
function step(): void {
  const y0r = reversed(y0);
  const y1r = reversed(y1);
  const z0 = multiply(y0, h0);
  const z1 = multiply(y1, h1);
  const z2 = multiply(y0 ^ y1, h2) ^ z0 ^ z1;
  const z0h = multiply(y0r, h0r);
  const z1h = multiply(y1r, h1r);
  const z2h = multiply(y0r ^ y1r, h2r) ^ z0h ^ z1h;
  let v0 = z0;
  let v1 = (reversed(z0h) >> 1) ^ z2;
  let v2 = z1 ^ (reversed(z2h) >> 1);
  let v3 = reversed(z1h) >> 1;
  v3 = (v3 << 1) | (v2 >> 63);
  v2 = (v2 << 1) | (v1 >> 63);
  v1 = (v1 << 1) | (v0 >> 63);
  v0 = v0 << 1;
  v2 ^= v0 ^ (v0 >> 1) ^ (v0 >> 2) ^ (v0 >> 7);
  v1 ^= (v0 << 63) ^ (v0 << 62) ^ (v0 << 57);
  v3 ^= v1 ^ (v1 >> 1) ^ (v1 >> 2) ^ (v1 >> 7);
  v2 ^= (v1 << 63) ^ (v1 << 62) ^ (v1 << 57);
  y0 = v2;
  y1 = v3;
}

// @ts-ignore: decorator
@inline function block(p: usize): void {
  y1 ^= bswap<u64>(load<u64>(p));
  y0 ^= bswap<u64>(load<u64>(p, 8));
  step();
}

/** Adds `length` bytes at `p`, filled up with zeros to whole blocks. */
export function update(p: usize, length: u32): void {
  while (length >= 16) {
    block(p);
    p += 16;
    length -= 16;
  }
  if (length == 0) return;
  v128.store(PARTIAL, i64x2.splat(0));
  memory.copy(PARTIAL, p, length);
  block(PARTIAL);
}

/** Adds the block of lengths and writes the sum to DIGEST. */
export function digest(aadBytes: u32, bytes: u32): void {
  y1 ^= <u64>aadBytes << 3;
  y0 ^= <u64>bytes << 3;
  step();
  store<u64>(DIGEST, bswap<u64>(y1));
  store<u64>(DIGEST, bswap<u64>(y0), 8);
}

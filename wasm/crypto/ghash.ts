// GHASH, the authenticator of GCM (NIST SP 800-38D): a polynomial over GF(2^128), whose coefficients are the message's blocks,
// at the point H.
//
// WebAssembly has no carry-less multiplication, and the usual tables indexed by data would tell H to whoever shares the cache.
// So ordinary multiplication is used, with holes (Thomas Pornin's way, BearSSL): of operands that keep every fourth bit only,
// the sums of a product stay below 16, no carry reaches the next bit that counts, and that bit is the sum modulo 2. Four by
// four such products make one of 64 bits. That gives its low half; the high half is the low half of the product of the
// operands in reverse. Karatsuba leaves three of four 64-bit products.
//
// Up to four blocks are multiplied by four powers of H and reduced together: a product's sums are linear, so that reversing them
// back, folding them and waiting for the last block's result come once in four.
//
// A 128-bit number is two words as the block has them in network order; GCM counts bits from the first byte's top, hence the
// shift by one at the end.

import { AEAD_STATE } from "../shared/layout";

/** Where `digest` writes, and what is in the middle of a block. */
export const DIGEST: usize = AEAD_STATE + 0x804000;
const PARTIAL: usize = DIGEST + 16;

/** H^4, H^3, H^2 and H: each low and high word, their sum, and the three in reverse. */
const POWERS: usize = DIGEST + 64;
const POWER: usize = 48;

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

function setPower(exponent: u32, low: u64, high: u64): void {
  const at = POWERS + POWER * <usize>(4 - exponent);
  store<u64>(at, low);
  store<u64>(at, high, 8);
  store<u64>(at, low ^ high, 16);
  store<u64>(at, reversed(low), 24);
  store<u64>(at, reversed(high), 32);
  store<u64>(at, reversed(low) ^ reversed(high), 40);
}

/** Makes the 16 bytes at `h` the point in use. */
export function use(h: usize): void {
  y0 = 0;
  y1 = 0;
  setPower(1, bswap<u64>(load<u64>(h, 8)), bswap<u64>(load<u64>(h)));
  blocks(h, 1);
  for (let exponent: u32 = 2; exponent <= 4; exponent++) {
    setPower(exponent, y0, y1);
    multiplyByPoint();
  }
}

/** Overwrites the point in use. */
export function forget(): void {
  memory.fill(DIGEST, 0, 64 + 4 * POWER);
  y0 = 0;
  y1 = 0;
}

/** Starts a sum. */
export function start(): void {
  y0 = 0;
  y1 = 0;
}

/** Adds `count` whole blocks. */
function blocks(p: usize, count: u32): void {
  let low = y0;
  let high = y1;
  while (count != 0) {
    const together: u32 = min<u32>(count, 4);
    count -= together;
    let power = POWERS + POWER * <usize>(4 - together);
    let z0: u64 = 0;
    let z1: u64 = 0;
    let z2: u64 = 0;
    let z0h: u64 = 0;
    let z1h: u64 = 0;
    let z2h: u64 = 0;
    // The sum so far is part of the first block.
    for (; power < POWERS + 4 * POWER; power += POWER) {
      const x1 = high ^ bswap<u64>(load<u64>(p));
      const x0 = low ^ bswap<u64>(load<u64>(p, 8));
      const x0r = reversed(x0);
      const x1r = reversed(x1);
      z0 ^= multiply(x0, load<u64>(power));
      z1 ^= multiply(x1, load<u64>(power, 8));
      z2 ^= multiply(x0 ^ x1, load<u64>(power, 16));
      z0h ^= multiply(x0r, load<u64>(power, 24));
      z1h ^= multiply(x1r, load<u64>(power, 32));
      z2h ^= multiply(x0r ^ x1r, load<u64>(power, 40));
      low = 0;
      high = 0;
      p += 16;
    }
    z2 ^= z0 ^ z1;
    z2h ^= z0h ^ z1h;
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
    low = v2;
    high = v3;
  }
  y0 = low;
  y1 = high;
}

/** Sum times H: a block of zeros added. */
function multiplyByPoint(): void {
  v128.store(PARTIAL, i64x2.splat(0));
  blocks(PARTIAL, 1);
}

/** Adds `length` bytes at `p`, filled up with zeros to whole blocks. */
export function update(p: usize, length: u32): void {
  const whole = length >> 4;
  blocks(p, whole);
  const rest = length & 15;
  if (rest == 0) return;
  v128.store(PARTIAL, i64x2.splat(0));
  memory.copy(PARTIAL, p + (<usize>whole << 4), rest);
  blocks(PARTIAL, 1);
}

/** Adds the block of lengths and writes the sum to DIGEST. */
export function digest(aadBytes: u32, bytes: u32): void {
  store<u64>(PARTIAL, bswap<u64>(<u64>aadBytes << 3));
  store<u64>(PARTIAL, bswap<u64>(<u64>bytes << 3), 8);
  blocks(PARTIAL, 1);
  store<u64>(DIGEST, bswap<u64>(y1));
  store<u64>(DIGEST, bswap<u64>(y0), 8);
}

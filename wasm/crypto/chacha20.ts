// ChaCha20 (RFC 8439), four blocks at a time: a vector holds one word of the state for each of the four, so that a quarter round
// is lane by lane and needs no shuffle. Additions, rotations and sums only: its time depends on nothing but the length.
//
// The state's sixteen vectors are locals of one loop; what does not fit into registers the engine spills, which costs less
// than any arrangement of fewer.

import { AEAD_STATE } from "../shared/layout";

/** Four blocks of key stream, of `keyStream`'s last call. */
export const KEY_STREAM: usize = AEAD_STATE + 0x805000;
const STATE: usize = KEY_STREAM + 256;
const ROTATE_16: usize = STATE + 256;
const ROTATE_8: usize = ROTATE_16 + 16;
const STEPS: usize = ROTATE_16 + 32;

/** Puts the constants where they are loaded from. Part of `reset`. */
export function initialise(): void {
  v128.store(ROTATE_16, i8x16(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  v128.store(ROTATE_8, i8x16(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
  v128.store(STEPS, i32x4(0, 1, 2, 3));
}

/** Takes key (32 bytes) and nonce (12) for the calls that follow. */
export function start(key: usize, nonce: usize): void {
  v128.store(STATE, i32x4.splat(0x61707865));
  v128.store(STATE, i32x4.splat(0x3320646e), 16);
  v128.store(STATE, i32x4.splat(0x79622d32), 32);
  v128.store(STATE, i32x4.splat(0x6b206574), 48);
  for (let i: u32 = 0; i < 8; i++) v128.store(STATE + 64 + 16 * i, v128.load_splat<i32>(key + 4 * i));
  for (let i: u32 = 0; i < 3; i++) v128.store(STATE + 208 + 16 * i, v128.load_splat<i32>(nonce + 4 * i));
}

/** Overwrites the key in use and what was made of it. */
export function forget(): void {
  memory.fill(KEY_STREAM, 0, 512);
}

// @ts-ignore: decorator
@inline function rotated(a: v128, by: i32): v128 {
  return v128.or(i32x4.shl(a, by), i32x4.shr_u(a, 32 - by));
}

/** Four words of four blocks each become four words in a row of each block: a 4 x 4 transposition. */
// @ts-ignore: decorator
@inline function write(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const ef = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const gh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 64);
  v128.store(to, v128.shuffle<i64>(ef, gh, 0, 2), 128);
  v128.store(to, v128.shuffle<i64>(ef, gh, 1, 3), 192);
}

/** Key stream of the four blocks from `counter` on, to KEY_STREAM. */
export function keyStream(counter: u32): void {
  const by16 = v128.load(ROTATE_16);
  const by8 = v128.load(ROTATE_8);
  const counters = i32x4.add(i32x4.splat(counter), v128.load(STEPS));
  let a0 = v128.load(STATE);
  let a1 = v128.load(STATE, 16);
  let a2 = v128.load(STATE, 32);
  let a3 = v128.load(STATE, 48);
  let b0 = v128.load(STATE, 64);
  let b1 = v128.load(STATE, 80);
  let b2 = v128.load(STATE, 96);
  let b3 = v128.load(STATE, 112);
  let c0 = v128.load(STATE, 128);
  let c1 = v128.load(STATE, 144);
  let c2 = v128.load(STATE, 160);
  let c3 = v128.load(STATE, 176);
  let d0 = counters;
  let d1 = v128.load(STATE, 208);
  let d2 = v128.load(STATE, 224);
  let d3 = v128.load(STATE, 240);
  for (let i = 0; i < 10; i++) {
    a0 = i32x4.add(a0, b0);
    a1 = i32x4.add(a1, b1);
    a2 = i32x4.add(a2, b2);
    a3 = i32x4.add(a3, b3);
    d0 = v128.swizzle(v128.xor(d0, a0), by16);
    d1 = v128.swizzle(v128.xor(d1, a1), by16);
    d2 = v128.swizzle(v128.xor(d2, a2), by16);
    d3 = v128.swizzle(v128.xor(d3, a3), by16);
    c0 = i32x4.add(c0, d0);
    c1 = i32x4.add(c1, d1);
    c2 = i32x4.add(c2, d2);
    c3 = i32x4.add(c3, d3);
    b0 = rotated(v128.xor(b0, c0), 12);
    b1 = rotated(v128.xor(b1, c1), 12);
    b2 = rotated(v128.xor(b2, c2), 12);
    b3 = rotated(v128.xor(b3, c3), 12);
    a0 = i32x4.add(a0, b0);
    a1 = i32x4.add(a1, b1);
    a2 = i32x4.add(a2, b2);
    a3 = i32x4.add(a3, b3);
    d0 = v128.swizzle(v128.xor(d0, a0), by8);
    d1 = v128.swizzle(v128.xor(d1, a1), by8);
    d2 = v128.swizzle(v128.xor(d2, a2), by8);
    d3 = v128.swizzle(v128.xor(d3, a3), by8);
    c0 = i32x4.add(c0, d0);
    c1 = i32x4.add(c1, d1);
    c2 = i32x4.add(c2, d2);
    c3 = i32x4.add(c3, d3);
    b0 = rotated(v128.xor(b0, c0), 7);
    b1 = rotated(v128.xor(b1, c1), 7);
    b2 = rotated(v128.xor(b2, c2), 7);
    b3 = rotated(v128.xor(b3, c3), 7);
    // The diagonals.
    a0 = i32x4.add(a0, b1);
    a1 = i32x4.add(a1, b2);
    a2 = i32x4.add(a2, b3);
    a3 = i32x4.add(a3, b0);
    d3 = v128.swizzle(v128.xor(d3, a0), by16);
    d0 = v128.swizzle(v128.xor(d0, a1), by16);
    d1 = v128.swizzle(v128.xor(d1, a2), by16);
    d2 = v128.swizzle(v128.xor(d2, a3), by16);
    c2 = i32x4.add(c2, d3);
    c3 = i32x4.add(c3, d0);
    c0 = i32x4.add(c0, d1);
    c1 = i32x4.add(c1, d2);
    b1 = rotated(v128.xor(b1, c2), 12);
    b2 = rotated(v128.xor(b2, c3), 12);
    b3 = rotated(v128.xor(b3, c0), 12);
    b0 = rotated(v128.xor(b0, c1), 12);
    a0 = i32x4.add(a0, b1);
    a1 = i32x4.add(a1, b2);
    a2 = i32x4.add(a2, b3);
    a3 = i32x4.add(a3, b0);
    d3 = v128.swizzle(v128.xor(d3, a0), by8);
    d0 = v128.swizzle(v128.xor(d0, a1), by8);
    d1 = v128.swizzle(v128.xor(d1, a2), by8);
    d2 = v128.swizzle(v128.xor(d2, a3), by8);
    c2 = i32x4.add(c2, d3);
    c3 = i32x4.add(c3, d0);
    c0 = i32x4.add(c0, d1);
    c1 = i32x4.add(c1, d2);
    b1 = rotated(v128.xor(b1, c2), 7);
    b2 = rotated(v128.xor(b2, c3), 7);
    b3 = rotated(v128.xor(b3, c0), 7);
    b0 = rotated(v128.xor(b0, c1), 7);
  }
  a0 = i32x4.add(a0, v128.load(STATE));
  a1 = i32x4.add(a1, v128.load(STATE, 16));
  a2 = i32x4.add(a2, v128.load(STATE, 32));
  a3 = i32x4.add(a3, v128.load(STATE, 48));
  write(KEY_STREAM, a0, a1, a2, a3);
  b0 = i32x4.add(b0, v128.load(STATE, 64));
  b1 = i32x4.add(b1, v128.load(STATE, 80));
  b2 = i32x4.add(b2, v128.load(STATE, 96));
  b3 = i32x4.add(b3, v128.load(STATE, 112));
  write(KEY_STREAM + 16, b0, b1, b2, b3);
  c0 = i32x4.add(c0, v128.load(STATE, 128));
  c1 = i32x4.add(c1, v128.load(STATE, 144));
  c2 = i32x4.add(c2, v128.load(STATE, 160));
  c3 = i32x4.add(c3, v128.load(STATE, 176));
  write(KEY_STREAM + 32, c0, c1, c2, c3);
  d0 = i32x4.add(d0, counters);
  d1 = i32x4.add(d1, v128.load(STATE, 208));
  d2 = i32x4.add(d2, v128.load(STATE, 224));
  d3 = i32x4.add(d3, v128.load(STATE, 240));
  write(KEY_STREAM + 48, d0, d1, d2, d3);
}

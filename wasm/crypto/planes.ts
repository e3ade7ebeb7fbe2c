// The order of bits in which AES is computed (crypto/aes), and the ways in and out of it: eight blocks as eight planes. A plane
// has a byte for each byte of AES's state, and in that byte a bit for each of the eight blocks. The state stands row by row
// (FIPS 197 has it column by column): byte 4 * row + column. So rows turn by moving 32-bit lanes, which MixColumns does twice a
// plane, and ShiftRows is one shuffle of bytes.

/** Bytes of eight planes. */
export const PLANES: usize = 128;

// @ts-ignore: decorator
@inline function xor(a: v128, b: v128): v128 {
  return v128.xor(a, b);
}

/** From the order of bytes that AES has, column by column, to rows; and back. */
// @ts-ignore: decorator
@inline export function transposed(a: v128): v128 {
  return v128.swizzle(a, i8x16(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
}

// @ts-ignore: decorator
@inline export function shiftedRows(a: v128): v128 {
  return v128.swizzle(a, i8x16(0, 1, 2, 3, 5, 6, 7, 4, 10, 11, 8, 9, 15, 12, 13, 14));
}

/** Rows shifted, in the order of bytes that AES has. */
// @ts-ignore: decorator
@inline function toColumns(a: v128): v128 {
  return v128.swizzle(a, i8x16(0, 5, 10, 15, 1, 6, 11, 12, 2, 7, 8, 13, 3, 4, 9, 14));
}

/** The other way round. */
// @ts-ignore: decorator
@inline export function fromColumns(a: v128): v128 {
  return v128.swizzle(a, i8x16(0, 4, 8, 12, 13, 1, 5, 9, 10, 14, 2, 6, 7, 11, 15, 3));
}

/** The plane of bit `bit` of eight blocks that are all `block`. */
// @ts-ignore: decorator
@inline export function plane(block: v128, bit: u32): v128 {
  const mask = i8x16.splat(<i8>(<u32>1 << bit));
  return i8x16.eq(v128.and(block, mask), mask);
}

// @ts-ignore: decorator
@inline function added(state: usize, bit: usize, key: usize): v128 {
  return xor(v128.load(state + 16 * bit), v128.load(key + 16 * bit));
}

/** Bits of `a`, moved down by `by`, that differ from `b`'s, where `mask` is set: what the two exchange. */
// @ts-ignore: decorator
@inline function exchanged(a: v128, b: v128, by: i32, mask: v128): v128 {
  return v128.and(v128.xor(i64x2.shr_u(a, by), b), mask);
}

/** Turns the planes into blocks, in the order of bytes that AES has them, and writes them to `to`. */
// @ts-ignore: decorator
@inline export function toBlocks(state: usize, key: usize, to: usize): void {
  const mask1 = i8x16.splat(0x55);
  const mask2 = i8x16.splat(0x33);
  const mask4 = i8x16.splat(0x0f);
  let a0 = added(state, 0, key);
  let a1 = added(state, 1, key);
  let a2 = added(state, 2, key);
  let a3 = added(state, 3, key);
  let a4 = added(state, 4, key);
  let a5 = added(state, 5, key);
  let a6 = added(state, 6, key);
  let a7 = added(state, 7, key);
  let t = exchanged(a0, a1, 1, mask1);
  a1 = xor(a1, t);
  a0 = xor(a0, i64x2.shl(t, 1));
  t = exchanged(a2, a3, 1, mask1);
  a3 = xor(a3, t);
  a2 = xor(a2, i64x2.shl(t, 1));
  t = exchanged(a4, a5, 1, mask1);
  a5 = xor(a5, t);
  a4 = xor(a4, i64x2.shl(t, 1));
  t = exchanged(a6, a7, 1, mask1);
  a7 = xor(a7, t);
  a6 = xor(a6, i64x2.shl(t, 1));
  t = exchanged(a0, a2, 2, mask2);
  a2 = xor(a2, t);
  a0 = xor(a0, i64x2.shl(t, 2));
  t = exchanged(a1, a3, 2, mask2);
  a3 = xor(a3, t);
  a1 = xor(a1, i64x2.shl(t, 2));
  t = exchanged(a4, a6, 2, mask2);
  a6 = xor(a6, t);
  a4 = xor(a4, i64x2.shl(t, 2));
  t = exchanged(a5, a7, 2, mask2);
  a7 = xor(a7, t);
  a5 = xor(a5, i64x2.shl(t, 2));
  t = exchanged(a0, a4, 4, mask4);
  v128.store(to, toColumns(xor(a4, t)), 64);
  v128.store(to, toColumns(xor(a0, i64x2.shl(t, 4))), 0);
  t = exchanged(a1, a5, 4, mask4);
  v128.store(to, toColumns(xor(a5, t)), 80);
  v128.store(to, toColumns(xor(a1, i64x2.shl(t, 4))), 16);
  t = exchanged(a2, a6, 4, mask4);
  v128.store(to, toColumns(xor(a6, t)), 96);
  v128.store(to, toColumns(xor(a2, i64x2.shl(t, 4))), 32);
  t = exchanged(a3, a7, 4, mask4);
  v128.store(to, toColumns(xor(a7, t)), 112);
  v128.store(to, toColumns(xor(a3, i64x2.shl(t, 4))), 48);
}

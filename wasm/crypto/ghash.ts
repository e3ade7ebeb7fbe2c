// GHASH, the authenticator of GCM (NIST SP 800-38D): a polynomial over GF(2^128), whose coefficients are the message's blocks,
// at the point H.
//
// WebAssembly has no carry-less multiplication, and the usual tables indexed by data would tell H to whoever shares the cache.
// So the tables' rows are vectors: a swizzle looks up sixteen nibbles in sixteen bytes that are in a register, in a time that
// depends on neither. Memory is read at the same places whatever the data.
//
// Multiplied by a power of H, a nibble makes 16 bytes: one table for each of these columns, one set for the upper nibbles
// (GCM counts bits from a byte's top: they are the lower powers of x) and one for the lower. Looked up for the 16 bytes of a
// block at once, column c holds what lands c bytes behind the byte it came from. Columns are sums, so those of up to eight
// blocks, each with its own power of H, are added up first; then, once for the eight, columns are put side by side as 32 bytes
// and reduced to 16 by x^128 = x^7 + x^2 + x + 1.
//
// Eight columns at a time, because sums, nibbles and what V8 needs besides fill sixteen registers; and written out for both halves
// (`columns` is inlined twice): of a loop of two V8 loads a block's tables all at first and has no registers left.

import { AEAD_STATE } from "../shared/layout";

/** Where `digest` writes, and what is in the middle of a block. */
export const DIGEST: usize = AEAD_STATE + 0x808000;
/** The sum so far. */
const SUM: usize = DIGEST + 16;
const PARTIAL: usize = DIGEST + 32;
/** 32 bytes: blocks times powers, not reduced. */
const PRODUCT: usize = DIGEST + 64;
/** x^0 to x^7 times a power. */
const MULTIPLES: usize = DIGEST + 96;
/** H^8 to H: 16 columns each, a table for upper nibbles and one for lower. */
const POWERS: usize = DIGEST + 256;
const POWER: usize = 512;
const GROUP: u32 = 8;
/** Bytes of the tables for eight columns. */
const HALF: usize = 256;

// @ts-ignore: decorator
@inline function xor(a: v128, b: v128): v128 {
  return v128.xor(a, b);
}

/** What two tables have for the nibbles, and the sum so far. */
// @ts-ignore: decorator
@inline function added(sum: v128, upper: v128, ofUpper: v128, lower: v128, ofLower: v128): v128 {
  return xor(sum, xor(v128.swizzle(ofUpper, upper), v128.swizzle(ofLower, lower)));
}

/** Bytes of the words in reverse: a block's 64-bit words as numbers, and back. */
// @ts-ignore: decorator
@inline function swapped(a: v128): v128 {
  return v128.swizzle(a, i8x16(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
}

/** The 32 bytes `low`, `high` modulo x^128 + x^7 + x^2 + x + 1. The last byte is zero: 16 bytes by 16 make 31. */
// @ts-ignore: decorator
@inline function reduced(low: v128, high: v128): v128 {
  const words = swapped(high);
  // What each word's product by x^7 + x^2 + x loses to the word behind it; of the second it comes back to the first.
  const lost = xor(xor(i64x2.shl(words, 63), i64x2.shl(words, 62)), i64x2.shl(words, 57));
  const folded = xor(words, v128.shuffle<i64>(lost, i64x2.splat(0), 1, 2));
  const product = xor(xor(folded, i64x2.shr_u(folded, 1)), xor(i64x2.shr_u(folded, 2), i64x2.shr_u(folded, 7)));
  return xor(low, swapped(xor(product, v128.shuffle<i64>(i64x2.splat(0), lost, 0, 2))));
}

/**
 * Adds up eight columns of the blocks from `p` to `end`, to whose first `carried` is added, and puts them at PRODUCT, before the
 * eight columns behind them, which are there.
 */
// @ts-ignore: decorator
@inline function columns(p: usize, end: usize, carried: v128, table: usize): void {
  const zero = i64x2.splat(0);
  const nibble = i8x16.splat(0x0f);
  let s0 = zero;
  let s1 = zero;
  let s2 = zero;
  let s3 = zero;
  let s4 = zero;
  let s5 = zero;
  let s6 = zero;
  let s7 = zero;
  for (let q = p; q < end; q += 16) {
    const block = xor(v128.load(q), carried);
    carried = zero;
    const upper = v128.and(i64x2.shr_u(block, 4), nibble);
    const lower = v128.and(block, nibble);
    s0 = added(s0, upper, v128.load(table), lower, v128.load(table, 16));
    s1 = added(s1, upper, v128.load(table, 32), lower, v128.load(table, 48));
    s2 = added(s2, upper, v128.load(table, 64), lower, v128.load(table, 80));
    s3 = added(s3, upper, v128.load(table, 96), lower, v128.load(table, 112));
    s4 = added(s4, upper, v128.load(table, 128), lower, v128.load(table, 144));
    s5 = added(s5, upper, v128.load(table, 160), lower, v128.load(table, 176));
    s6 = added(s6, upper, v128.load(table, 192), lower, v128.load(table, 208));
    s7 = added(s7, upper, v128.load(table, 224), lower, v128.load(table, 240));
    table += POWER;
  }
  // What the columns behind have made moves on by eight bytes; then each of these by its number.
  const behind = v128.load(PRODUCT);
  let high = v128.shuffle<i64>(behind, v128.load(PRODUCT, 16), 1, 2);
  let low = xor(v128.shuffle<i64>(zero, behind, 0, 2), s0);
  low = xor(low, v128.shuffle<i8>(zero, s1, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30));
  high = xor(high, v128.shuffle<i8>(s1, zero, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30));
  low = xor(low, v128.shuffle<i8>(zero, s2, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29));
  high = xor(high, v128.shuffle<i8>(s2, zero, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29));
  low = xor(low, v128.shuffle<i8>(zero, s3, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28));
  high = xor(high, v128.shuffle<i8>(s3, zero, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28));
  low = xor(low, v128.shuffle<i8>(zero, s4, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27));
  high = xor(high, v128.shuffle<i8>(s4, zero, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27));
  low = xor(low, v128.shuffle<i8>(zero, s5, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26));
  high = xor(high, v128.shuffle<i8>(s5, zero, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26));
  low = xor(low, v128.shuffle<i8>(zero, s6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25));
  high = xor(high, v128.shuffle<i8>(s6, zero, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25));
  low = xor(low, v128.shuffle<i8>(zero, s7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24));
  high = xor(high, v128.shuffle<i8>(s7, zero, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24));
  v128.store(PRODUCT, low);
  v128.store(PRODUCT, high, 16);
}

/** Adds `count` whole blocks. */
function blocks(p: usize, count: u32): void {
  let sum = v128.load(SUM);
  while (count != 0) {
    const together: u32 = min<u32>(count, GROUP);
    const end = p + (<usize>together << 4);
    const tables = POWERS + POWER * <usize>(GROUP - together);
    v128.store(PRODUCT, i64x2.splat(0));
    v128.store(PRODUCT, i64x2.splat(0), 16);
    columns(p, end, sum, tables + HALF);
    columns(p, end, sum, tables);
    sum = reduced(v128.load(PRODUCT), v128.load(PRODUCT, 16));
    p = end;
    count -= together;
  }
  v128.store(SUM, sum);
}

/** A column's table for four multiples of the power: bit 3 of the index is the first, bit 0 the last. */
// @ts-ignore: decorator
@inline function table(multiples: usize): v128 {
  const a = v128.and(v128.load_splat<u8>(multiples), i8x16(0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1));
  const b = v128.and(v128.load_splat<u8>(multiples, 16), i8x16(0, 0, 0, 0, -1, -1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1));
  const c = v128.and(v128.load_splat<u8>(multiples, 32), i8x16(0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1));
  const d = v128.and(v128.load_splat<u8>(multiples, 48), i8x16(0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1));
  return xor(xor(a, b), xor(c, d));
}

/** Makes the tables of a power of H, which is the sum so far. */
function setPower(exponent: u32): void {
  let first = bswap<u64>(load<u64>(SUM));
  let second = bswap<u64>(load<u64>(SUM, 8));
  for (let at = MULTIPLES; at < MULTIPLES + 128; at += 16) {
    store<u64>(at, bswap<u64>(first));
    store<u64>(at, bswap<u64>(second), 8);
    const out = second & 1;
    second = (second >> 1) | (first << 63);
    first = (first >> 1) ^ ((0 - out) & 0xe100000000000000);
  }
  let at = POWERS + POWER * <usize>(GROUP - exponent);
  for (let column: usize = 0; column < 16; column++) {
    v128.store(at, table(MULTIPLES + column));
    v128.store(at, table(MULTIPLES + 64 + column), 16);
    at += 32;
  }
}

/** Makes the 16 bytes at `h` the point in use. */
export function use(h: usize): void {
  v128.store(SUM, v128.load(h));
  setPower(1);
  for (let exponent: u32 = 2; exponent <= GROUP; exponent++) {
    // Times H: a block of zeros added.
    v128.store(PARTIAL, i64x2.splat(0));
    blocks(PARTIAL, 1);
    setPower(exponent);
  }
}

/** Overwrites the point in use. */
export function forget(): void {
  memory.fill(DIGEST, 0, 256 + POWER * <usize>GROUP);
}

/** Starts a sum. */
export function start(): void {
  v128.store(SUM, i64x2.splat(0));
}

/** The last `rest` (1 to 15) of `length` bytes at `p`, filled up with zeros. */
// @ts-ignore: decorator
@inline function filledUp(p: usize, length: u32, rest: u32): v128 {
  if (length < 16) {
    v128.store(PARTIAL, i64x2.splat(0));
    memory.copy(PARTIAL, p, rest);
    return v128.load(PARTIAL);
  }
  // Moved down over what comes before; an index past the end makes zero.
  const places = i8x16.add(i8x16.splat(<i8>(16 - rest)), i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  return v128.swizzle(v128.load(p + length - 16), places);
}

/** Adds `length` bytes at `p`, filled up with zeros to whole blocks. */
export function update(p: usize, length: u32): void {
  blocks(p, length >> 4);
  const rest = length & 15;
  if (rest == 0) return;
  v128.store(PARTIAL, filledUp(p, length, rest));
  blocks(PARTIAL, 1);
}

/** Adds the `bytes` at `p` and the block of lengths, and writes the sum to DIGEST. */
export function digest(aadBytes: u32, p: usize, bytes: u32): void {
  blocks(p, bytes >> 4);
  const rest = bytes & 15;
  if (rest != 0) v128.store(PARTIAL, filledUp(p, bytes, rest));
  store<u64>(PARTIAL, bswap<u64>(<u64>aadBytes << 3), 16);
  store<u64>(PARTIAL, bswap<u64>(<u64>bytes << 3), 24);
  if (rest != 0) blocks(PARTIAL, 2);
  else blocks(PARTIAL + 16, 1);
  v128.store(DIGEST, v128.load(SUM));
}

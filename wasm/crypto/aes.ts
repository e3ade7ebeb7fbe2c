// AES in counter mode, bitsliced: eight blocks at a time as eight planes of bits (crypto/sbox), so that nothing that is
// looked up or branched on depends on key or data. After Käsper and Schwabe, "Faster and Timing-Attack Resistant AES-GCM"
// (2009).
//
// A plane has a byte for each byte of AES's state, and in that byte a bit for each of the eight blocks. The state stands row by
// row (FIPS 197 has it column by column): byte 4 * row + column. So rows turn by moving 32-bit lanes, which MixColumns does
// twice a plane, and ShiftRows is one shuffle of bytes.
//
// What differs from round to round by nothing but constants is folded away: 0x63 of the S-box and, in the last round, which has
// no MixColumns, ShiftRows (into the permutation that puts the state back in column order) stand in the round keys.
//
// The counter block is nonce (12 bytes) and counter (4). Of eight blocks only the counter differs, so the planes of a group are
// made from those of the nonce by setting bits: group g has counters 8 g to 8 g + 7. GCM starts with counter 1, for the tag.
//
import { AEAD_STATE } from "../shared/layout";
import { subBytes } from "./sbox";

/** Bytes of a round key as planes. */
const PLANES: usize = 128;
/** Round keys of the key in use, as planes: 15 of AES-256. */
const ROUND_KEYS: usize = AEAD_STATE + 0x800000;
const STATE: usize = ROUND_KEYS + 15 * PLANES;
/** Planes of the nonce with a counter of 0 to 7, first round key added. */
const NONCE: usize = STATE + PLANES;
const CONSTANTS: usize = NONCE + PLANES;
const SHIFT_ROWS: usize = CONSTANTS;
const TO_COLUMNS: usize = CONSTANTS + 16;
const MASK_1: usize = CONSTANTS + 32;
const MASK_2: usize = CONSTANTS + 48;
const MASK_4: usize = CONSTANTS + 64;
/** Eight blocks of key stream, of `keyStream`'s last call. */
export const KEY_STREAM: usize = CONSTANTS + 128;

/** Puts the constants where they are loaded from. Part of `reset`. */
export function initialise(): void {
  for (let row: u32 = 0; row < 4; row++) {
    for (let column: u32 = 0; column < 4; column++) {
      const from = 4 * row + ((column + row) & 3);
      store<u8>(SHIFT_ROWS + 4 * row + column, <u8>from);
      store<u8>(TO_COLUMNS + 4 * column + row, <u8>from);
    }
  }
  v128.store(MASK_1, i8x16.splat(0x55));
  v128.store(MASK_2, i8x16.splat(0x33));
  v128.store(MASK_4, i8x16.splat(0x0f));
}

/** Writes `byte` as bits of all eight blocks to the planes at `planes`, at `place` in each. */
// @ts-ignore: decorator
@inline function spread(planes: usize, place: u32, byte: u32): void {
  for (let bit: u32 = 0; bit < 8; bit++) store<u8>(planes + 16 * bit + place, <u8>(0 - ((byte >> bit) & 1)));
}

/** The S-box of four bytes in a word, by the circuit. */
function subWord(word: u32): u32 {
  for (let i: u32 = 0; i < 4; i++) spread(STATE, i, (word >> (8 * i)) & 0xff);
  subBytes(STATE);
  let answer: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    for (let bit: u32 = 0; bit < 8; bit++) answer |= <u32>(load<u8>(STATE + 16 * bit + i) & 1) << (8 * i + bit);
  }
  return answer ^ 0x63636363;
}

/** Rounds that a key of `keyBytes` has. */
export function roundsOf(keyBytes: u32): u32 {
  return 6 + (keyBytes >> 2);
}

/** Expands the key at `key` (16 or 32 bytes) to `schedule`: 16 bytes for each round and one more (FIPS 197, 5.2). */
export function expand(key: usize, keyBytes: u32, schedule: usize): void {
  memory.copy(schedule, key, keyBytes);
  const words: u32 = 4 * (roundsOf(keyBytes) + 1);
  const keyWords = keyBytes >> 2;
  let constant: u32 = 1;
  for (let i = keyWords; i < words; i++) {
    let word = load<u32>(schedule + 4 * (i - 1));
    if (i % keyWords == 0) {
      word = subWord(rotr<u32>(word, 8)) ^ constant;
      constant = (constant << 1) ^ ((constant >> 7) * 0x11b);
    } else if (keyWords > 6 && i % keyWords == 4) {
      word = subWord(word);
    }
    store<u32>(schedule + 4 * i, load<u32>(schedule + 4 * (i - keyWords)) ^ word);
  }
}

/** Makes the expanded key at `schedule` the one in use. */
export function use(schedule: usize, rounds: u32): void {
  for (let round: u32 = 0; round <= rounds; round++) {
    const planes = ROUND_KEYS + PLANES * round;
    for (let i: u32 = 0; i < 16; i++) {
      const byte = <u32>load<u8>(schedule + 16 * round + i);
      const place = round == rounds ? <u32>load<u8>(TO_COLUMNS + i) : 4 * (i & 3) + (i >> 2);
      spread(planes, place, round == 0 ? byte : byte ^ 0x63);
    }
  }
}

/** Overwrites the key in use and what was made of it. */
export function forget(): void {
  memory.fill(ROUND_KEYS, 0, 17 * PLANES);
  memory.fill(KEY_STREAM, 0, PLANES);
}

/** Takes the 12 bytes at `nonce` for the groups that follow. */
export function start(nonce: usize): void {
  for (let bit: u32 = 0; bit < 8; bit++) v128.store(NONCE + 16 * bit, i64x2.splat(0));
  for (let i: u32 = 0; i < 12; i++) spread(NONCE, 4 * (i & 3) + (i >> 2), load<u8>(nonce + i));
  store<u8>(NONCE + 15, 0xaa);
  store<u8>(NONCE + 31, 0xcc);
  store<u8>(NONCE + 47, 0xf0);
  for (let bit: u32 = 0; bit < 8; bit++) {
    v128.store(NONCE + 16 * bit, v128.xor(v128.load(NONCE + 16 * bit), v128.load(ROUND_KEYS + 16 * bit)));
  }
}

/** The bits of a group's counter in one plane: counter bytes 15 and 14 of the block, which a datagram does not outgrow. */
// @ts-ignore: decorator
@inline function counterBits(counter: u32, bit: u32): v128 {
  const low = (<u64>0 - <u64>((counter >> bit) & 1)) & 0xff00000000000000;
  const high = (<u64>0 - <u64>((counter >> (8 + bit)) & 1)) & 0xff000000;
  return i64x2.replace_lane(i64x2.splat(0), 1, low | high);
}

// @ts-ignore: decorator
@inline function turned(a: v128): v128 {
  return v128.shuffle<i32>(a, a, 1, 2, 3, 0);
}

// @ts-ignore: decorator
@inline function turnedTwice(a: v128): v128 {
  return v128.shuffle<i32>(a, a, 2, 3, 0, 1);
}

/** ShiftRows, MixColumns and AddRoundKey on the planes at STATE. */
// @ts-ignore: decorator
@inline function mix(key: usize): void {
  const shift = v128.load(SHIFT_ROWS);
  // s: a plane with its rows shifted. r: its rows turned by one. u = s + r: what is doubled, and what is turned by two.
  const s7 = v128.swizzle(v128.load(STATE, 112), shift);
  const r7 = turned(s7);
  const u7 = v128.xor(s7, r7);
  const s0 = v128.swizzle(v128.load(STATE, 0), shift);
  const r0 = turned(s0);
  const u0 = v128.xor(s0, r0);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(u7, r0), turnedTwice(u0)), v128.load(key)), 0);
  const s1 = v128.swizzle(v128.load(STATE, 16), shift);
  const r1 = turned(s1);
  const u1 = v128.xor(s1, r1);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(v128.xor(u0, u7), r1), turnedTwice(u1)), v128.load(key, 16)), 16);
  const s2 = v128.swizzle(v128.load(STATE, 32), shift);
  const r2 = turned(s2);
  const u2 = v128.xor(s2, r2);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(u1, r2), turnedTwice(u2)), v128.load(key, 32)), 32);
  const s3 = v128.swizzle(v128.load(STATE, 48), shift);
  const r3 = turned(s3);
  const u3 = v128.xor(s3, r3);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(v128.xor(u2, u7), r3), turnedTwice(u3)), v128.load(key, 48)), 48);
  const s4 = v128.swizzle(v128.load(STATE, 64), shift);
  const r4 = turned(s4);
  const u4 = v128.xor(s4, r4);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(v128.xor(u3, u7), r4), turnedTwice(u4)), v128.load(key, 64)), 64);
  const s5 = v128.swizzle(v128.load(STATE, 80), shift);
  const r5 = turned(s5);
  const u5 = v128.xor(s5, r5);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(u4, r5), turnedTwice(u5)), v128.load(key, 80)), 80);
  const s6 = v128.swizzle(v128.load(STATE, 96), shift);
  const r6 = turned(s6);
  const u6 = v128.xor(s6, r6);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(u5, r6), turnedTwice(u6)), v128.load(key, 96)), 96);
  v128.store(STATE, v128.xor(v128.xor(v128.xor(u6, r7), turnedTwice(u7)), v128.load(key, 112)), 112);
}

// @ts-ignore: decorator
@inline function added(bit: u32, key: usize): v128 {
  return v128.xor(v128.load(STATE + 16 * bit), v128.load(key + 16 * bit));
}

/** Bits of `a`, moved down by `by`, that differ from `b`'s, where `mask` is set: what the two exchange. */
// @ts-ignore: decorator
@inline function exchanged(a: v128, b: v128, by: i32, mask: v128): v128 {
  return v128.and(v128.xor(i64x2.shr_u(a, by), b), mask);
}

/** Turns the planes into blocks, in the order of bytes that AES has them, and writes them to KEY_STREAM. */
// @ts-ignore: decorator
@inline function toBlocks(key: usize): void {
  const columns = v128.load(TO_COLUMNS);
  const mask1 = v128.load(MASK_1);
  const mask2 = v128.load(MASK_2);
  const mask4 = v128.load(MASK_4);
  let a0 = added(0, key);
  let a1 = added(1, key);
  let a2 = added(2, key);
  let a3 = added(3, key);
  let a4 = added(4, key);
  let a5 = added(5, key);
  let a6 = added(6, key);
  let a7 = added(7, key);
  let t = exchanged(a0, a1, 1, mask1);
  a1 = v128.xor(a1, t);
  a0 = v128.xor(a0, i64x2.shl(t, 1));
  t = exchanged(a2, a3, 1, mask1);
  a3 = v128.xor(a3, t);
  a2 = v128.xor(a2, i64x2.shl(t, 1));
  t = exchanged(a4, a5, 1, mask1);
  a5 = v128.xor(a5, t);
  a4 = v128.xor(a4, i64x2.shl(t, 1));
  t = exchanged(a6, a7, 1, mask1);
  a7 = v128.xor(a7, t);
  a6 = v128.xor(a6, i64x2.shl(t, 1));
  t = exchanged(a0, a2, 2, mask2);
  a2 = v128.xor(a2, t);
  a0 = v128.xor(a0, i64x2.shl(t, 2));
  t = exchanged(a1, a3, 2, mask2);
  a3 = v128.xor(a3, t);
  a1 = v128.xor(a1, i64x2.shl(t, 2));
  t = exchanged(a4, a6, 2, mask2);
  a6 = v128.xor(a6, t);
  a4 = v128.xor(a4, i64x2.shl(t, 2));
  t = exchanged(a5, a7, 2, mask2);
  a7 = v128.xor(a7, t);
  a5 = v128.xor(a5, i64x2.shl(t, 2));
  t = exchanged(a0, a4, 4, mask4);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a4, t), columns), 64);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a0, i64x2.shl(t, 4)), columns), 0);
  t = exchanged(a1, a5, 4, mask4);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a5, t), columns), 80);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a1, i64x2.shl(t, 4)), columns), 16);
  t = exchanged(a2, a6, 4, mask4);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a6, t), columns), 96);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a2, i64x2.shl(t, 4)), columns), 32);
  t = exchanged(a3, a7, 4, mask4);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a7, t), columns), 112);
  v128.store(KEY_STREAM, v128.swizzle(v128.xor(a3, i64x2.shl(t, 4)), columns), 48);
}

/** Key stream of counters 8 `group` to 8 `group` + 7, to KEY_STREAM. */
export function keyStream(group: u32, rounds: u32): void {
  const counter = group << 3;
  for (let bit: u32 = 0; bit < 8; bit++) {
    v128.store(STATE + 16 * bit, v128.xor(v128.load(NONCE + 16 * bit), counterBits(counter, bit)));
  }
  let key = ROUND_KEYS + PLANES;
  const last = ROUND_KEYS + PLANES * rounds;
  while (key < last) {
    subBytes(STATE);
    mix(key);
    key += PLANES;
  }
  subBytes(STATE);
  toBlocks(last);
}

// AES in counter mode, bitsliced: eight blocks at a time as eight planes of bits (crypto/planes), so that nothing that is
// looked up or branched on depends on key or data. After Käsper and Schwabe, "Faster and Timing-Attack Resistant AES-GCM"
// (2009).
//
// What differs from round to round by nothing but constants is folded away: 0x63 of the S-box and, in the last round, which has
// no MixColumns, ShiftRows (into the permutation that puts the state back in column order) stand in the round keys.
//
// The counter block is nonce (12 bytes) and counter (4, of which a datagram uses two). Two groups of eight blocks are ciphered
// side by side, because a circuit waits for itself: two keep a processor busy, and three would be wasted on small datagrams.
//
// The first round is made in advance. Under one key the counter's last byte has 256 values, whose S-boxes are two passes of the
// circuit, made when the key changes (COUNTERS). Of one nonce all else in that round is the same for 256 counters (FIRST). What
// is left of it for a group is to add up the two: MixColumns is linear.
//
import { AEAD_STATE } from "../shared/layout";
import { fromColumns, PLANES, plane, shiftedRows, toBlocks, transposed } from "./planes";
import { subBytes } from "./sbox";

/** Round keys of the key in use, as planes: 15 of AES-256. */
const ROUND_KEYS: usize = AEAD_STATE + 0x800000;
/** Two groups. */
const STATE: usize = ROUND_KEYS + 15 * PLANES;
/** Planes of the nonce with a counter of 0, first round key added. */
const NONCE: usize = STATE + 2 * PLANES;
/** The state after the first round, but for what the counter's last byte does to it. */
const FIRST: usize = NONCE + PLANES;
/** S-box of the counter's last byte: eight planes of 32 groups. */
const COUNTERS: usize = FIRST + PLANES;
const COUNTERS_PLANE: usize = 32;
/** Sixteen blocks of key stream, of `keyStream`'s last call. */
export const KEY_STREAM: usize = COUNTERS + 8 * COUNTERS_PLANE;
const KEY_STREAM_BYTES: usize = 256;
/** Blocks that differ in the counter's last byte only. */
const SPAN: u32 = 256;
const GROUP: u32 = 8;
/** Where the counter's last two bytes stand in a plane. */
const UPPER_PLACE: u8 = 11;
const LOWER_PLACE: u8 = 15;

// @ts-ignore: decorator
@inline function xor(a: v128, b: v128): v128 {
  return v128.xor(a, b);
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
    const bytes = v128.load(schedule + 16 * round);
    let key = round == rounds ? fromColumns(bytes) : transposed(bytes);
    if (round != 0) key = xor(key, i8x16.splat(0x63));
    for (let bit: u32 = 0; bit < 8; bit++) v128.store(planes + 16 * bit, plane(key, bit));
  }
  subCounters(0);
  subCounters(1);
}

/** COUNTERS of sixteen groups: a byte of a plane is one of them. */
function subCounters(half: u32): void {
  v128.store(STATE, i8x16.splat(<i8>0xaa));
  v128.store(STATE, i8x16.splat(<i8>0xcc), 16);
  v128.store(STATE, i8x16.splat(<i8>0xf0), 32);
  const groups = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (let bit: u32 = 0; bit < 4; bit++) v128.store(STATE + 48 + 16 * bit, plane(groups, bit));
  v128.store(STATE, i8x16.splat(<i8>(0 - half)), 112);
  for (let at: usize = 0; at < PLANES; at += 16) {
    v128.store(STATE + at, xor(v128.load(STATE + at), v128.load_splat<u8>(ROUND_KEYS + <usize>LOWER_PLACE + at)));
  }
  subBytes(STATE);
  for (let bit: u32 = 0; bit < 8; bit++) {
    v128.store(COUNTERS + COUNTERS_PLANE * bit + 16 * half, v128.load(STATE + 16 * bit));
  }
}

/** Overwrites the key in use and what was made of it. */
export function forget(): void {
  memory.fill(ROUND_KEYS, 0, KEY_STREAM + KEY_STREAM_BYTES - ROUND_KEYS);
}

/** Takes the 12 bytes at `nonce` for the calls that follow. 16 are read. */
export function start(nonce: usize): void {
  const block = transposed(i32x4.replace_lane(v128.load(nonce), 3, 0));
  for (let bit: u32 = 0; bit < 8; bit++) {
    v128.store(NONCE + 16 * bit, xor(plane(block, bit), v128.load(ROUND_KEYS + 16 * bit)));
  }
  first(0);
}

/** Makes FIRST for the counters from SPAN * `upper` on. */
function first(upper: u32): void {
  for (let bit: u32 = 0; bit < 8; bit++) {
    const counter = i8x16.replace_lane(i64x2.splat(0), UPPER_PLACE, <i8>(0 - ((upper >> bit) & 1)));
    v128.store(STATE + 16 * bit, xor(v128.load(NONCE + 16 * bit), counter));
  }
  subBytes(STATE);
  for (let at = STATE; at < STATE + PLANES; at += 16) v128.store(at, i8x16.replace_lane(v128.load(at), LOWER_PLACE, 0));
  mix(STATE, ROUND_KEYS + PLANES);
  for (let at: usize = 0; at < PLANES; at += 16) v128.store(FIRST + at, v128.load(STATE + at));
}

/** A plane of a group after the first round. `s`: this bit of the counter's S-box; `doubled`: of twice that. */
// @ts-ignore: decorator
@inline function afterFirst(bit: usize, s: v128, doubled: v128): v128 {
  // The last byte of a column is taken once, once, three times and twice by its rows.
  const once = v128.and(s, i8x16(-1, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0));
  const twice = v128.and(doubled, i8x16(0, 0, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0));
  return xor(v128.load(FIRST + 16 * bit), xor(once, twice));
}

/** Writes the state of group `group` of a span after the first round to `state`. */
// @ts-ignore: decorator
@inline function begin(state: usize, group: u32): void {
  const at = COUNTERS + group;
  const s0 = v128.load_splat<u8>(at);
  const s1 = v128.load_splat<u8>(at + COUNTERS_PLANE);
  const s2 = v128.load_splat<u8>(at + 2 * COUNTERS_PLANE);
  const s3 = v128.load_splat<u8>(at + 3 * COUNTERS_PLANE);
  const s4 = v128.load_splat<u8>(at + 4 * COUNTERS_PLANE);
  const s5 = v128.load_splat<u8>(at + 5 * COUNTERS_PLANE);
  const s6 = v128.load_splat<u8>(at + 6 * COUNTERS_PLANE);
  const s7 = v128.load_splat<u8>(at + 7 * COUNTERS_PLANE);
  v128.store(state, afterFirst(0, s0, s7));
  v128.store(state, afterFirst(1, s1, xor(s0, s7)), 16);
  v128.store(state, afterFirst(2, s2, s1), 32);
  v128.store(state, afterFirst(3, s3, xor(s2, s7)), 48);
  v128.store(state, afterFirst(4, s4, xor(s3, s7)), 64);
  v128.store(state, afterFirst(5, s5, s4), 80);
  v128.store(state, afterFirst(6, s6, s5), 96);
  v128.store(state, afterFirst(7, s7, s6), 112);
}

// @ts-ignore: decorator
@inline function turned(a: v128): v128 {
  return v128.shuffle<i32>(a, a, 1, 2, 3, 0);
}

// @ts-ignore: decorator
@inline function turnedTwice(a: v128): v128 {
  return v128.shuffle<i32>(a, a, 2, 3, 0, 1);
}

/** ShiftRows, MixColumns and AddRoundKey on the planes at `state`. */
// @ts-ignore: decorator
@inline function mix(state: usize, key: usize): void {
  // s: a plane with its rows shifted. r: its rows turned by one. u = s + r: what is doubled, and what is turned by two.
  const s7 = shiftedRows(v128.load(state, 112));
  const r7 = turned(s7);
  const u7 = xor(s7, r7);
  const s0 = shiftedRows(v128.load(state, 0));
  const r0 = turned(s0);
  const u0 = xor(s0, r0);
  v128.store(state, xor(xor(xor(u7, r0), turnedTwice(u0)), v128.load(key)), 0);
  const s1 = shiftedRows(v128.load(state, 16));
  const r1 = turned(s1);
  const u1 = xor(s1, r1);
  v128.store(state, xor(xor(xor(xor(u0, u7), r1), turnedTwice(u1)), v128.load(key, 16)), 16);
  const s2 = shiftedRows(v128.load(state, 32));
  const r2 = turned(s2);
  const u2 = xor(s2, r2);
  v128.store(state, xor(xor(xor(u1, r2), turnedTwice(u2)), v128.load(key, 32)), 32);
  const s3 = shiftedRows(v128.load(state, 48));
  const r3 = turned(s3);
  const u3 = xor(s3, r3);
  v128.store(state, xor(xor(xor(xor(u2, u7), r3), turnedTwice(u3)), v128.load(key, 48)), 48);
  const s4 = shiftedRows(v128.load(state, 64));
  const r4 = turned(s4);
  const u4 = xor(s4, r4);
  v128.store(state, xor(xor(xor(xor(u3, u7), r4), turnedTwice(u4)), v128.load(key, 64)), 64);
  const s5 = shiftedRows(v128.load(state, 80));
  const r5 = turned(s5);
  const u5 = xor(s5, r5);
  v128.store(state, xor(xor(xor(u4, r5), turnedTwice(u5)), v128.load(key, 80)), 80);
  const s6 = shiftedRows(v128.load(state, 96));
  const r6 = turned(s6);
  const u6 = xor(s6, r6);
  v128.store(state, xor(xor(xor(u5, r6), turnedTwice(u6)), v128.load(key, 96)), 96);
  v128.store(state, xor(xor(xor(u6, r7), turnedTwice(u7)), v128.load(key, 112)), 112);
}

/** Key stream of the blocks from `counter` on, a multiple of sixteen: eight, or sixteen if more than eight are wanted. */
export function keyStream(counter: u32, wanted: u32, rounds: u32): void {
  if (counter != 0 && counter % SPAN == 0) first(counter / SPAN);
  const group = (counter % SPAN) / GROUP;
  let key = ROUND_KEYS + 2 * PLANES;
  const last = ROUND_KEYS + PLANES * rounds;
  begin(STATE, group);
  if (wanted <= GROUP) {
    for (; key < last; key += PLANES) {
      subBytes(STATE);
      mix(STATE, key);
    }
    subBytes(STATE);
    toBlocks(STATE, last, KEY_STREAM);
    return;
  }
  begin(STATE + PLANES, group + 1);
  for (; key < last; key += PLANES) {
    subBytes(STATE);
    subBytes(STATE + PLANES);
    mix(STATE, key);
    mix(STATE + PLANES, key);
  }
  subBytes(STATE);
  subBytes(STATE + PLANES);
  toBlocks(STATE, last, KEY_STREAM);
  toBlocks(STATE + PLANES, last, KEY_STREAM + PLANES);
}

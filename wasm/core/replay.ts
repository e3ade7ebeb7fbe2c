// The replay window: which of the newest sequence numbers of an inbound association were received (RFC 4303 section 3.4.3,
// in the form of RFC 6479). A ring of words, one bit a number; the word that the newest number falls into may be partly used,
// so the window is one word shorter than the ring. Moving on clears whole words and shifts nothing.
//
//   word     0      1      2            127
//          ┌──────┬──────┬──────┬ ... ┬──────┐      number n is bit (n mod 64) of word (n / 64 mod 128)
//          └──────┴──────┴──────┴ ... ┴──────┘
//
// A number is looked at twice: before its datagram is opened, since forging should cost the forger and not us, and after,
// when it counts: of two that were opened in one batch the second is the replay.
//
import { REPLAY_WINDOWS, REPLAY_WINDOWS_LENGTH } from "../shared/layout";
import { REPLAY_BITS, REPLAY_WINDOW, SA_MAX } from "../shared/limits";

const WINDOW_BYTES: usize = REPLAY_BITS / 8;
const WORDS: u64 = REPLAY_BITS / 64;

if (SA_MAX * (REPLAY_BITS / 8) > REPLAY_WINDOWS_LENGTH) ERROR("REPLAY_WINDOWS outgrows its region");
if (REPLAY_WINDOW != REPLAY_BITS - 64) ERROR("the window is one word shorter than the ring");

export const FRESH: u32 = 0;
export const REPLAYED: u32 = 1;
export const LATE: u32 = 2;

// @ts-ignore: decorator
@inline function wordAt(sa: u32, sequence: u64): usize {
  return <usize>REPLAY_WINDOWS + <usize>sa * WINDOW_BYTES + (<usize>((sequence >> 6) & (WORDS - 1)) << 3);
}

/** FRESH, REPLAYED or LATE: what `sequence` is to association `sa`, whose newest is `newest`. Changes nothing. */
export function check(sa: u32, newest: u64, sequence: u64): u32 {
  if (sequence > newest) return FRESH;
  if (sequence == 0 || newest - sequence >= <u64>REPLAY_WINDOW) return LATE;
  return (load<u64>(wordAt(sa, sequence)) >> (sequence & 63)) & 1 ? REPLAYED : FRESH;
}

/** Marks a FRESH number as received; the newest from here on. */
export function accept(sa: u32, newest: u64, sequence: u64): u64 {
  if (sequence > newest) {
    const from = newest >> 6;
    const words = min<u64>((sequence >> 6) - from, WORDS);
    for (let i: u64 = 1; i <= words; i++) store<u64>(wordAt(sa, (from + i) << 6), 0);
    newest = sequence;
  }
  const word = wordAt(sa, sequence);
  store<u64>(word, load<u64>(word) | (<u64>1 << (sequence & 63)));
  return newest;
}

/**
 * The whole of an extended sequence number of which `low` travelled: the one that lies nearest the window (RFC 4303 appendix
 * A2.1). 0, which no datagram has, if that would be before the first or behind the last.
 */
export function extend(newest: u64, low: u32): u64 {
  const high = newest >> 32;
  const newestLow = <u32>newest;
  const edge = newestLow - (REPLAY_WINDOW - 1); // modulo 2^32
  if (newestLow >= <u32>(REPLAY_WINDOW - 1)) {
    if (low >= edge) return (high << 32) | <u64>low;
    return high == 0xffffffff ? 0 : ((high + 1) << 32) | <u64>low;
  }
  if (low < edge) return (high << 32) | <u64>low;
  return high == 0 ? 0 : ((high - 1) << 32) | <u64>low;
}

/** Every number up to `newest` may have been received, and none behind it. */
export function startBehind(sa: u32, newest: u64): void {
  memory.fill(<usize>REPLAY_WINDOWS + <usize>sa * WINDOW_BYTES, 0xff, WINDOW_BYTES);
  // accept() clears the words that it moves into; of this one the numbers behind `newest` are still to come.
  store<u64>(wordAt(sa, newest), <u64>-1 >> (63 - (newest & 63)));
}

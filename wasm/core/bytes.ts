// Copies of a few dozen to a few hundred bytes: below that size a loop of 16-byte moves beats memory.copy, which is a call
// into the engine's host.
//
/** Copies `length` bytes in moves of 16: up to 15 bytes behind both ends are read and written too, the caller has room. */
// @ts-ignore: decorator
@inline export function copy16(to: usize, from: usize, length: u32): void {
  for (let i: usize = 0; i < <usize>length; i += 16) v128.store(to + i, v128.load(from + i));
}

/** The same, but at most 7 bytes too many: for headers that nearly fill their slot. */
// @ts-ignore: decorator
@inline export function copy8(to: usize, from: usize, length: u32): void {
  let i: usize = 0;
  while (i + 16 <= <usize>length) {
    v128.store(to + i, v128.load(from + i));
    i += 16;
  }
  while (i < <usize>length) {
    store<u64>(to + i, load<u64>(from + i));
    i += 8;
  }
}

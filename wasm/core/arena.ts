// Room for bytes that the engine makes: header slots for what goes in front of received bytes, scratch for whole frames.
// Both are bump allocators over the batch: descriptors that point in here are flushed before the next run or resume starts,
// and that is when `reset` is called. There is nothing to free and nothing to leak.
//
import { HEADERS, HEADERS_LENGTH, HEADER_SLOT_LENGTH, SCRATCH, SCRATCH_LENGTH } from "../shared/layout";
import { HEADROOM, TAILROOM } from "../shared/limits";

const HEADERS_END: usize = HEADERS + HEADERS_LENGTH;
const SCRATCH_END: usize = SCRATCH + SCRATCH_LENGTH;

let nextHeader: usize = HEADERS;
let nextScratch: usize = SCRATCH;

/** A slot of HEADER_SLOT_LENGTH bytes, not cleared; 0 when none is left. */
// @ts-ignore: decorator
@inline export function headerSlot(): usize {
  const slot = nextHeader;
  if (slot == HEADERS_END) return 0;
  nextHeader = slot + HEADER_SLOT_LENGTH;
  return slot;
}

// @ts-ignore: decorator
@inline export function headerSlotsLeft(): u32 {
  return <u32>(HEADERS_END - nextHeader) / HEADER_SLOT_LENGTH;
}

/** `length` bytes with HEADROOM before and TAILROOM behind them, not cleared; 0 when there is no room. */
export function scratch(length: u32): usize {
  const p = nextScratch + HEADROOM;
  const end = (p + <usize>length + TAILROOM + 15) & ~15;
  if (end > SCRATCH_END) return 0;
  nextScratch = end;
  return p;
}

// @ts-ignore: decorator
@inline export function scratchLeft(): u32 {
  return <u32>(SCRATCH_END - nextScratch);
}

/** Whether nothing was taken since `reset`. */
// @ts-ignore: decorator
@inline export function untouched(): bool {
  return nextHeader == <usize>HEADERS && nextScratch == <usize>SCRATCH;
}

export function reset(): void {
  nextHeader = HEADERS;
  nextScratch = SCRATCH;
}

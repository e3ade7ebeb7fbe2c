// The engine's time: what the host said last. Nothing here reads a clock, so tests run at any speed and replay exactly.
//
// The host's milliseconds wrap after 49 days; differences don't. Ageing counts whole seconds, modulo 2^16 where a table
// keeps them.
//
let lastMs: u32 = 0;
let elapsedMs: u64 = 0; // since reset
let started = false;

/** Takes the host's time; whole seconds since the call before, for those who do something each second. */
export function advance(nowMs: u32): u32 {
  const before = seconds();
  if (started) elapsedMs += <u64>(nowMs - lastMs);
  started = true;
  lastMs = nowMs;
  return seconds() - before;
}

// @ts-ignore: decorator
@inline export function seconds(): u32 {
  return <u32>(elapsedMs / 1000);
}

/** Of the last tick. */
// @ts-ignore: decorator
@inline export function milliseconds(): u64 {
  return elapsedMs;
}

export function reset(): void {
  lastMs = 0;
  elapsedMs = 0;
  started = false;
}

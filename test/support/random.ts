// Numbers that look random and are the same for the same seed: a failing case can be run again from its seed alone.

export interface Random {
  /** 0 <= n < limit */
  below(limit: number): number;
  pick<T>(from: readonly T[]): T;
  chance(probability: number): boolean;
  bytes(length: number): Uint8Array;
}

/** mulberry32: 32 bits of state, passes what a test needs. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (limit: number): number => Math.floor((next() / 0x100000000) * limit);
  return {
    below,
    pick: (from) => from[below(from.length)]!,
    chance: (probability) => next() / 0x100000000 < probability,
    bytes: (length) => Uint8Array.from({ length }, () => next() & 255),
  };
}

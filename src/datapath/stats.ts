// Figures: the counters of the engine's memory under their names, and the law that they keep.
import {
  COUNTER_CLONED,
  COUNTER_NAMES,
  COUNTER_ORIGINATED,
  COUNTER_RX,
  COUNTER_TX,
  DROP_BASE,
  DROP_NAMES,
  DROP_TEXTS,
} from "../../wasm/shared/counters.ts";
import type { CounterStats, DropStats } from "./datapath-api.ts";

export function counterStats(counters: BigUint64Array): CounterStats[] {
  return COUNTER_NAMES.map((name, i) => ({ name, value: counters[i] ?? 0n }));
}

export function dropStats(counters: BigUint64Array): DropStats[] {
  return DROP_NAMES.map((name, i) => ({ name, text: DROP_TEXTS[i] ?? "", value: counters[DROP_BASE + i] ?? 0n }));
}

/** rx + cloned + originated - tx - sum(drops): each packet gets one verdict, so this is 0 between two batches. */
export function lawDifference(counters: BigUint64Array): bigint {
  let dropped = 0n;
  for (let i = 0; i < DROP_NAMES.length; i++) dropped += counters[DROP_BASE + i] ?? 0n;
  const at = (i: number): bigint => counters[i] ?? 0n;
  return BigInt.asIntN(64, at(COUNTER_RX) + at(COUNTER_CLONED) + at(COUNTER_ORIGINATED) - at(COUNTER_TX) - dropped);
}

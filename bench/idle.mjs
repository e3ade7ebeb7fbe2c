// What does a daemon cost when nothing is going on? The time its threads run, with sandboxes attached and no traffic.
import { setTimeout as wait } from "node:timers/promises";
import { processSeconds } from "./cpu.mjs";

export const subjects = ["weft-overlay"];

export const metrics = {
  percentOfCore: { title: "idle daemon, the busier of the two", unit: "% of a core", digits: 2 },
};

const SETTLE_MS = 2000;
const MEASURE_MS = 5000;

/** @param {import("./topology.mjs").Subject} subject */
export async function measure(subject) {
  await wait(SETTLE_MS);
  const before = subject.daemons.map(processSeconds);
  const started = performance.now();
  await wait(MEASURE_MS);
  const elapsedS = (performance.now() - started) / 1000;
  const used = subject.daemons.map((pid, i) => processSeconds(pid) - (before[i] ?? 0));
  return { percentOfCore: (Math.max(...used) / elapsedS) * 100 };
}

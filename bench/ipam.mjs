// How long does an address take from a pool of a million? Given serially from an empty pool, and from one that is full but for
// one hole anywhere, the worst there is to look for. One call each, in this process, without the store: what a commit costs is
// the question of create.mjs.
import { join } from "node:path";
import { ROOT } from "../scripts/steps.mjs";

export const subjects = ["empty", "full but one"];

export const metrics = {
  medianUs: { title: "an address from a pool of 2^20, median", unit: "us", digits: 2 },
  p99Us: { title: "the 99th percentile", unit: "us", digits: 2 },
};

const SAMPLES = 20_000;
const POOL = { subnet: "10.0.0.0/12", ipRange: null, gateway: "10.0.0.1", auxAddresses: {} };

/** @param {string} subject */
export async function measure(subject) {
  const { AddressPool } = await import(join(ROOT, "build/dist/src/ipam/pool.js"));
  const { parseAddress } = await import(join(ROOT, "build/dist/src/net/address.js"));
  const pool = new AddressPool(POOL);
  const full = subject === "full but one";
  if (full) for (let n = 0; n < 2 ** 20 - 3; n++) pool.request();
  const base = parseAddress("10.0.0.2").value;
  const tookUs = new Float64Array(SAMPLES);
  for (let n = 0; n < SAMPLES; n++) {
    if (full) pool.release({ family: 4, value: base + BigInt((n * 7919 * 131) % 1_000_000) });
    const started = performance.now();
    pool.request();
    tookUs[n] = (performance.now() - started) * 1000;
  }
  tookUs.sort();
  return { medianUs: tookUs[SAMPLES / 2] ?? 0, p99Us: tookUs[Math.floor(SAMPLES * 0.99)] ?? 0 };
}

// Five hundred sandboxes created and joined, and removed again: by a client that has a pool of calls under way, and by one that
// waits for each. With all of them there: what memory does the daemon hold?
import { readFileSync } from "node:fs";
import { createSandbox, each, makeFleet, namesOf, POOL, removeSandbox } from "./fleet.mjs";

export const subjects = ["pool of 16 calls", "one call after another"];

export const metrics = {
  createSeconds: { title: "500 sandboxes created and joined", unit: "s", digits: 2 },
  removeSeconds: { title: "500 sandboxes removed", unit: "s", digits: 2 },
  residentMb: { title: "memory of the daemon with 500 sandboxes, resident", unit: "MB", digits: 0 },
  engineMb: { title: "of it the engine's memory", unit: "MB", digits: 0 },
};

const SANDBOXES = 500;
const LANES = { "pool of 16 calls": POOL, "one call after another": 1 };
/** The engine's memory is one mapping: the biggest that a daemon has. */
const ENGINE_KB = 96 * 1024;

/** Resident bytes of the process, and of its mapping that holds the engine's memory. @param {number} pid */
function memoryOf(pid) {
  const residentKb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  const sizes = readFileSync(`/proc/${pid}/smaps`, "utf8").matchAll(/^Size:\s+(\d+) kB(?:.*\n)*?Rss:\s+(\d+) kB/gm);
  const engineKb = [...sizes].find(([, size]) => Number(size) === ENGINE_KB)?.[2];
  return { residentMb: (residentKb * 1024) / 1e6, engineMb: (Number(engineKb) * 1024) / 1e6 };
}

/** @param {() => Promise<unknown>} work */
async function seconds(work) {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

let rounds = 0;

/** @param {string} subject */
export async function measure(subject) {
  const lanes = LANES[/** @type {keyof typeof LANES} */ (subject)];
  const fleet = await makeFleet(`b${rounds++}`);
  try {
    const names = namesOf(SANDBOXES);
    const createSeconds = await seconds(() => each(names, lanes, (name) => createSandbox(fleet.client, name)));
    const memory = memoryOf(fleet.daemon);
    const removeSeconds = await seconds(() => each(names, lanes, (name) => removeSandbox(fleet.client, name)));
    return { createSeconds, removeSeconds, ...memory };
  } finally {
    await fleet.end();
  }
}

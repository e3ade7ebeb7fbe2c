// How long does it take to create a sandbox with one network, and a network, one after another, among few and among many? From
// the call to its answer, at which a program in the sandbox could use its interface and ask its resolver.
import { createSandbox, each, makeFleet, namesOf, POOL, removeSandbox } from "./fleet.mjs";
import { summary } from "./report.mjs";

export const subjects = ["10 sandboxes", "500 sandboxes"];

export const metrics = {
  sandboxMs: { title: "sandbox create with one network", unit: "ms", digits: 1 },
  networkMs: { title: "network create", unit: "ms", digits: 1 },
  sandboxRemoveMs: { title: "sandbox remove", unit: "ms", digits: 1 },
};

const EXISTING = { "10 sandboxes": 10, "500 sandboxes": 500 };
const SAMPLES = 25;

/** @type {Map<string, Awaited<ReturnType<typeof makeFleet>>>} */
const fleets = new Map();

/** @param {string} subject */
async function prepare(subject) {
  const fleet = await makeFleet(`c${fleets.size}`);
  fleets.set(subject, fleet);
  await each(namesOf(EXISTING[/** @type {keyof typeof EXISTING} */ (subject)]), POOL, (name) => createSandbox(fleet.client, name));
  return fleet;
}

/** @param {string[]} items @param {(item: string) => Promise<unknown>} work median of milliseconds */
async function timed(items, work) {
  const times = [];
  for (const item of items) {
    const started = performance.now();
    await work(item);
    times.push(performance.now() - started);
  }
  return summary(times).median;
}

/** @param {string} subject */
export async function measure(subject) {
  const { client } = fleets.get(subject) ?? (await prepare(subject));
  const names = namesOf(SAMPLES, "sample");
  const sandboxMs = await timed(names, (name) => createSandbox(client, name));
  const sandboxRemoveMs = await timed(names, (name) => removeSandbox(client, name));
  const networkMs = await timed(names, (name) => client.call("network", "Create", { name, driver: "bridge" }));
  for (const network of names) await client.call("network", "Remove", { network });
  return { sandboxMs, networkMs, sandboxRemoveMs };
}

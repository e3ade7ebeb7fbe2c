// A daemon with many sandboxes, for the questions about numbers: made, asked and removed through the API, because five hundred
// starts of the CLI would measure Node's start.
//
// Each daemon lives in a host namespace of its own with a fresh state directory.
import { join } from "node:path";
import { ROOT } from "../scripts/steps.mjs";
import { lab, namespace, socketOf, startDaemon } from "./topology.mjs";

export const NETWORKS = 5;

/** What a client with a pool of concurrent calls has under way. */
export const POOL = 16;

const host = (/** @type {string} */ key) => `fleet-${key}`;

/** @param {string} key */
export async function makeHost(key) {
  await namespace(host(key));
}

/** Starts the daemon of a host again or for the first time. @param {string} key */
export const startIn = (key) => startDaemon(host(key), null);

/** @param {string} key */
export const clientOf = async (key) => {
  const { ApiClient } = await import(join(ROOT, "build/dist/src/api/client.js"));
  return new ApiClient(socketOf(host(key)));
};

/** A host with a daemon, its networks and no sandbox. @param {string} key */
export async function makeFleet(key) {
  await makeHost(key);
  const daemon = await startIn(key);
  const client = await clientOf(key);
  for (let n = 0; n < NETWORKS; n += 1) {
    await client.call("network", "Create", { name: `bench-${n}`, driver: "bridge", ipam: [{ subnet: `10.${220 + n}.0.0/16` }] });
  }
  return {
    daemon,
    client,
    end: async () => {
      client.close();
      await lab.end(daemon);
      await lab.removeNamespaces([host(key)]);
    },
  };
}

/** @typedef {Awaited<ReturnType<typeof makeFleet>>["client"]} Client */

/** Does `work` for each item, `lanes` at a time. @template T @param {T[]} items @param {number} lanes @param {(item: T) => Promise<unknown>} work */
export async function each(items, lanes, work) {
  const rest = items.values();
  const lane = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** @param {number} count @param {string} [prefix] */
export const namesOf = (count, prefix = "bench") => Array.from({ length: count }, (_, n) => `${prefix}-${n}`);

/** A sandbox with one network. @param {Client} client @param {string} name */
export const createSandbox = (client, name) =>
  client.call("sandbox", "Create", { name, attachments: [{ network: `bench-${Number(name.split("-").at(-1)) % NETWORKS}` }] });

/** @param {Client} client @param {string} sandbox */
export const removeSandbox = (client, sandbox) => client.call("sandbox", "Remove", { sandbox, force: false });

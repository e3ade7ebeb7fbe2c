// How long until a daemon that finds 500 sandboxes in its store forwards for them again? From the start of the process to
// the moment at which it answers that it serves; TAPs are there already, as after a crash or an upgrade.
import { join } from "node:path";
import { ROOT } from "../scripts/steps.mjs";
import { lab, namespace, socketOf, startDaemon, weft } from "./topology.mjs";

export const subjects = ["500 sandboxes"];

export const metrics = {
  seconds: { title: "start of a daemon", unit: "s", digits: 2 },
};

const HOST = "s";
const SANDBOXES = 500;
const NETWORKS = 5;
const PARALLEL = 4;

let prepared = false;

async function prepare() {
  await namespace(HOST);
  const daemon = await startDaemon(HOST, null);
  for (let n = 0; n < NETWORKS; n += 1) {
    await weft(HOST, ["network", "create", "-d", "bridge", "--subnet", `10.${220 + n}.0.0/16`, `bench-${n}`]);
  }
  // By the API: five hundred starts of the CLI would take minutes.
  const { ApiClient } = await import(join(ROOT, "build/dist/src/api/client.js"));
  const client = new ApiClient(socketOf(HOST));
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < SANDBOXES; i = next++) {
      await client.call("sandbox", "Create", { name: `bench-${i}`, attachments: [{ network: `bench-${i % NETWORKS}` }] });
    }
  };
  try {
    await Promise.all(Array.from({ length: PARALLEL }, worker));
  } finally {
    client.close();
  }
  await lab.end(daemon);
  prepared = true;
}

export async function measure() {
  if (!prepared) await prepare();
  const started = performance.now();
  const daemon = await startDaemon(HOST, null);
  const seconds = (performance.now() - started) / 1000;
  await lab.end(daemon);
  return { seconds };
}

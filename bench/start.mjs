// How long until a daemon that finds 500 sandboxes in its store forwards for them again? From the start of the process to
// the moment at which it answers that it serves; TAPs are there already, as after a crash or an upgrade.
import { run } from "../scripts/steps.mjs";
import { lab, startDaemon, weft } from "./topology.mjs";

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
  await run(["ip", "netns", "add", `${lab.name}-${HOST}`]);
  const daemon = await startDaemon(HOST, null);
  for (let n = 0; n < NETWORKS; n += 1)
    await weft(HOST, ["network", "create", "-d", "bridge", "--subnet", `10.${220 + n}.0.0/16`, `bench-${n}`]);
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < SANDBOXES; i = next++) {
      await weft(HOST, ["sandbox", "create", "--network", `bench-${i % NETWORKS}`, `bench-${i}`]);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
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

// How long until a daemon that finds 500 sandboxes in its store forwards for them again? From the start of the process to
// the moment at which it answers that it serves; TAPs are there already, as after a crash or an upgrade.

import { createSandbox, each, makeFleet, namesOf, POOL, startIn } from "./fleet.mjs";
import { lab } from "./topology.mjs";

export const subjects = ["500 sandboxes"];

export const metrics = {
  seconds: { title: "start of a daemon", unit: "s", digits: 2 },
};

const HOST = "s";
const SANDBOXES = 500;

let prepared = false;

async function prepare() {
  const { daemon, client } = await makeFleet(HOST);
  try {
    await each(namesOf(SANDBOXES), POOL, (name) => createSandbox(client, name));
  } finally {
    client.close();
  }
  await lab.end(daemon);
  prepared = true;
}

export async function measure() {
  if (!prepared) await prepare();
  const started = performance.now();
  const daemon = await startIn(HOST);
  const seconds = (performance.now() - started) / 1000;
  await lab.end(daemon);
  return { seconds };
}

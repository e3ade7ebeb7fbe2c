// How many questions a second does the embedded DNS answer? One sandbox asks for one name, 64 questions under way; the network
// has one member beside it, or a thousand names. The figure is per core: answers over the processor time that the daemon took,
// for the asker has the other core to itself and may be the slower of the two.
import { join } from "node:path";
import { ROOT } from "../scripts/steps.mjs";
import { ask } from "./child.mjs";
import { processSeconds } from "./cpu.mjs";
import { namespace, socketOf, startDaemon, weft } from "./topology.mjs";

export const subjects = ["2 names", "1000 names"];

export const metrics = {
  perSecond: { title: "local names, asked from one sandbox", unit: "answers/s", digits: 0 },
  perCore: { title: "per second of the daemon's processor time", unit: "answers/s of a core", digits: 0 },
};

const SECONDS = 2;
const ALIASES = 50;
/** Sandboxes beside the two, with ALIASES names each. */
const OTHERS = { "2 names": 0, "1000 names": 20 };

/** @type {Map<string, { daemon: number, asker: string }>} */
const prepared = new Map();

/** @param {string} subject */
async function prepare(subject) {
  const host = `d${prepared.size}`;
  await namespace(host);
  const daemon = await startDaemon(host, null);
  await weft(host, ["network", "create", "-d", "bridge", "--subnet", "10.219.0.0/16", "bench-dns"]);
  for (const name of ["asker", "asked"]) await weft(host, ["sandbox", "create", "--network", "bench-dns", name]);
  const { ApiClient } = await import(join(ROOT, "build/dist/src/api/client.js"));
  const client = new ApiClient(socketOf(host));
  try {
    for (let n = 0; n < OTHERS[/** @type {keyof typeof OTHERS} */ (subject)]; n++) {
      const aliases = Array.from({ length: ALIASES }, (_, at) => `alias-${n}-${at}`);
      await client.call("sandbox", "Create", { name: `other-${n}`, attachments: [{ network: "bench-dns", aliases }] });
    }
    const { sandbox } = await client.call("sandbox", "Inspect", { sandbox: "asker" });
    return { daemon, asker: sandbox.namespacePath };
  } finally {
    client.close();
  }
}

/** @param {string} subject */
export async function measure(subject) {
  const { daemon, asker } = prepared.get(subject) ?? (await prepare(subject));
  prepared.set(subject, { daemon, asker });
  const argv = [process.execPath, join(ROOT, "bench/dns-client.mjs"), "127.0.0.11", "asked", String(SECONDS)];
  await ask(asker, argv); // until both sides are compiled
  const before = processSeconds(daemon);
  const { answers, seconds } = await ask(asker, argv);
  return { perSecond: answers / seconds, perCore: answers / (processSeconds(daemon) - before) };
}

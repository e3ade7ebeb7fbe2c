// How many datagrams of 64 bytes a second arrive? Two answers: the highest offered rate of which at most 1 % is lost, found
// by halving between what surely passes and what surely does not, and what still arrives when the sender offers all it can.
//
// 64 bytes is the UDP payload: a frame of 106 bytes. One flow, one sender thread, one receiver thread.
import { setTimeout as wait } from "node:timers/promises";
import { ask, SENDER, serve } from "./child.mjs";

export const subjects = ["weft-overlay", "kernel-vxlan", "weft-bridge", "kernel-bridge"];

export const metrics = {
  kpps: { title: "64-byte datagrams, at most 1 % lost", unit: "kpps", digits: 0 },
  overloadKpps: { title: "64-byte datagrams arriving in overload", unit: "kpps", digits: 0 },
  offeredKpps: { title: "... of offered", unit: "kpps", digits: 0 },
};

const PORT = 7801;
const BYTES = 64;
const LOSS_MAX = 0.01;
const HALVINGS = 6;
/** What is in queues when the sender stops. */
const DRAIN_MS = 100;

/** @param {import("./topology.mjs").Subject} subject @param {number} ratePerSecond 0: all it can @param {number} seconds */
export async function offer(subject, ratePerSecond, seconds) {
  const sink = await serve(subject.server, [SENDER, "sink", subject.address, String(PORT)], /^ready\n/);
  let blast;
  let counted;
  try {
    blast = await ask(subject.client, [SENDER, "blast", subject.address, ...[PORT, BYTES, seconds, ratePerSecond].map(String)]);
    await wait(DRAIN_MS);
  } finally {
    counted = await sink.end();
  }
  const { received } = JSON.parse(counted);
  const offered = blast.sent + blast.refused;
  return { loss: 1 - received / offered, offeredPps: offered / blast.seconds, receivedPps: received / blast.seconds };
}

/** @param {import("./topology.mjs").Subject} subject @param {{ seconds: number }} options */
export async function measure(subject, options) {
  const overload = await offer(subject, 0, options.seconds);
  const answer = { overloadKpps: overload.receivedPps / 1e3, offeredKpps: overload.offeredPps / 1e3 };
  if (overload.loss <= LOSS_MAX) return { kpps: overload.receivedPps / 1e3, ...answer };
  // A trial of half a second sees 100,000 datagrams and more: enough to tell 1 % from 2 %.
  const seconds = Math.max(0.5, options.seconds / 3);
  let [low, high, best] = [0, overload.offeredPps, 0];
  for (let i = 0; i < HALVINGS; i += 1) {
    // What arrives in overload is near the answer more often than half of what was offered.
    const rate = i === 0 ? Math.min(overload.receivedPps, 0.9 * high) : (low + high) / 2;
    let trial = await offer(subject, Math.round(rate), seconds);
    // A second chance: one moment in which the machine ran something else must not halve the answer.
    if (trial.loss > LOSS_MAX) trial = await offer(subject, Math.round(rate), seconds);
    if (trial.loss <= LOSS_MAX) {
      best = Math.max(best, trial.receivedPps);
      low = rate;
    } else {
      high = rate;
    }
  }
  return { kpps: best / 1e3, ...answer };
}

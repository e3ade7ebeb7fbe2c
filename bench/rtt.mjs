// How long does a request of 64 bytes and its response take, one at a time? Traffic is recent all the while: this is the
// state in which Weft's worker spins before it sleeps.
import { ask, SENDER, serve } from "./child.mjs";

export const subjects = ["weft-overlay", "kernel-vxlan", "weft-bridge", "kernel-bridge"];

export const metrics = {
  p50Us: { title: "request and response, p50", unit: "us", digits: 1 },
  p99Us: { title: "request and response, p99", unit: "us", digits: 1 },
};

const PORT = 7802;
const BYTES = 64;

/** @param {import("./topology.mjs").Subject} subject @param {{ seconds: number }} options */
export async function measure(subject, options) {
  const echo = await serve(subject.server, [SENDER, "echo", subject.address, String(PORT)], /^ready\n/);
  try {
    const result = await ask(subject.client, [SENDER, "rtt", subject.address, ...[PORT, BYTES, options.seconds].map(String)]);
    return { p50Us: result.p50Us, p99Us: result.p99Us };
  } finally {
    await echo.end();
  }
}

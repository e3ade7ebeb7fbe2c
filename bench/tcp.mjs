// How fast is TCP, by one stream and by four, and how much processor time does a gigabyte cost? iperf3 on both ends; the
// namespaces' congestion control is cubic, so that the host's has no say.
import { setTimeout as wait } from "node:timers/promises";
import { StepError } from "../scripts/steps.mjs";
import { ask, serve } from "./child.mjs";
import { machineSeconds, sumSeconds } from "./cpu.mjs";

export const subjects = ["weft-overlay", "kernel-vxlan", "kernel-vxlan-plain", "weft-bridge", "kernel-bridge"];

export const metrics = {
  gbps1: { title: "TCP, 1 stream", unit: "Gbit/s", digits: 2 },
  gbps4: { title: "TCP, 4 streams", unit: "Gbit/s", digits: 2 },
  machineSecondsPerGb: { title: "processor time per GB, whole machine, 1 stream", unit: "s", digits: 3 },
  daemonSecondsPerGb: { title: "... of it the daemons", unit: "s", digits: 3 },
};

/** @param {import("./topology.mjs").Subject} subject @param {number} streams @param {number} seconds */
export async function throughput(subject, streams, seconds) {
  const server = await serve(subject.server, ["iperf3", "-s", "-1", "--forceflush"], /Server listening/);
  try {
    const [machine, daemons] = [machineSeconds(), sumSeconds(subject.daemons)];
    const result = await ask(subject.client, [
      ...["iperf3", "-c", subject.address, "-J", "--connect-timeout", "3000"],
      ...["-t", String(seconds), "-P", String(streams)],
    ]);
    if (result.error) throw new StepError(`${subject.title}: iperf3 says ${result.error}`);
    const gigabytes = result.end.sum_received.bytes / 1e9;
    return {
      gbps: result.end.sum_received.bits_per_second / 1e9,
      machineSecondsPerGb: (machineSeconds() - machine) / gigabytes,
      daemonSecondsPerGb: (sumSeconds(subject.daemons) - daemons) / gigabytes,
    };
  } finally {
    await server.end("SIGTERM");
  }
}

/** @param {import("./topology.mjs").Subject} subject @param {{ seconds: number }} options */
export async function measure(subject, options) {
  const one = await throughput(subject, 1, options.seconds);
  await wait(200);
  const four = await throughput(subject, 4, options.seconds);
  const { machineSecondsPerGb, daemonSecondsPerGb } = one;
  return { gbps1: one.gbps, gbps4: four.gbps, machineSecondsPerGb, ...(subject.daemons.length > 0 ? { daemonSecondsPerGb } : {}) };
}

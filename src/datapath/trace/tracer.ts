// One trace from beginning to end: set the filter, inject the probe if there is one, read the ring until enough packets have
// been followed, time is up or nobody waits any more, switch the filter off. Other traces wait for this one's end, so one that
// was given up must not go on.
import { setTimeout as sleep } from "node:timers/promises";
import { FRAME_LENGTH_MAX } from "../../../wasm/shared/limits.ts";
import { invalidArgument } from "../../errors.ts";
import type { Client } from "../client.ts";
import type { TraceOptions, TraceResult } from "../datapath-api.ts";
import { addressBytes } from "../words.ts";
import { echoFrame } from "./probe.ts";
import { type DecodedTrace, decodeTrace, type Names } from "./trace.ts";

const ANY_PORT = 0xffff;
const PACKETS_MAX = 64;
const PROBE_TIMEOUT_MS = 1000;
const TIMEOUT_MS = 10_000;
const READ_EVERY_MS = 20;

/** `port`: index of the port that `options.port` names. */
export async function runTrace(client: Client, names: Names, options: TraceOptions, port: number | null): Promise<TraceResult> {
  const packets = options.packets ?? 1;
  if (!Number.isInteger(packets) || packets < 1 || packets > PACKETS_MAX) {
    throw invalidArgument(`a trace can follow 1 to ${PACKETS_MAX} packets, not ${packets}`);
  }
  const probe = probeOf(options, port);
  // What a probe brings about comes in by other ports.
  const filterPort = probe !== null || port === null ? ANY_PORT : port;
  const address = options.address === undefined ? null : addressBytes(options.address);
  const { signal } = options;
  if (signal?.aborted) return { lines: [], lost: 0 };
  const { count } = await client.request({ kind: "trace", port: filterPort, address, budget: packets, probe });
  const until = performance.now() + (options.timeoutMs ?? (probe === null ? TIMEOUT_MS : PROBE_TIMEOUT_MS));
  let seen: DecodedTrace;
  for (;;) {
    const read = await client.request({ kind: "traceRead" });
    seen = decodeTrace(read.ring, count, read.count, names);
    if (seen.packets >= packets || performance.now() >= until || signal?.aborted) break;
    await sleep(READ_EVERY_MS);
  }
  await client.request({ kind: "trace", port: ANY_PORT, address: null, budget: 0, probe: null });
  return { lines: seen.lines, lost: seen.lost };
}

function probeOf(options: TraceOptions, port: number | null): { port: number; frame: Uint8Array } | null {
  const { probe } = options;
  if (probe === undefined) return null;
  if (port === null) throw invalidArgument("a probe needs the port that it shall come in by");
  const frame = probe.kind === "echo" ? echoFrame(probe) : probe.frame;
  if (frame.length > FRAME_LENGTH_MAX - 10) throw invalidArgument(`a probe of ${frame.length} bytes is longer than a frame can be`);
  return { port, frame };
}

import { describe, expect, it } from "vitest";
import type { Client } from "../../../src/datapath/client.ts";
import type { Names } from "../../../src/datapath/trace/trace.ts";
import { runTrace } from "../../../src/datapath/trace/tracer.ts";

const NAMES: Names = { port: () => undefined, domain: () => undefined, vtep: () => undefined };

/** An engine by whose ports no frame comes. `onRead`: before each look at the ring. */
function silentEngine(onRead: () => void = () => {}) {
  const requests: { kind: string; budget?: number }[] = [];
  const client = {
    async request(request: { kind: string; budget?: number }) {
      requests.push(request);
      if (request.kind === "traceRead") onRead();
      return { count: 0, ring: new Uint8Array(0) };
    },
  };
  return { requests, client: client as unknown as Client };
}

describe("a trace", () => {
  it("that is given up ends at once and switches the filter off", async () => {
    const giveUp = new AbortController();
    const { client, requests } = silentEngine(() => giveUp.abort());
    expect(await runTrace(client, NAMES, { timeoutMs: 3_600_000, signal: giveUp.signal }, 3)).toEqual({ lines: [], lost: 0 });
    expect(requests.map(({ kind, budget }) => [kind, budget])).toEqual([
      ["trace", 1],
      ["traceRead", undefined],
      ["trace", 0],
    ]);
  });

  it("that was given up while it waited for another asks the engine nothing", async () => {
    const { client, requests } = silentEngine();
    expect(await runTrace(client, NAMES, { signal: AbortSignal.abort() }, 3)).toEqual({ lines: [], lost: 0 });
    expect(requests).toEqual([]);
  });
});

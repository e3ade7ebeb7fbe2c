// The datapath's in-memory twin as the API sees it: figures, tables and chunks that a test sets beforehand.
import { setTimeout as wait } from "node:timers/promises";
import type {
  AssociationEntry,
  AuditReport,
  CaptureOptions,
  DatapathInfo,
  DatapathService,
  DatapathStats,
  FdbEntry,
  NeighborEntry,
  TraceOptions,
  TraceResult,
  VtepEntry,
} from "../../src/datapath/datapath-api.ts";

export class FakeDatapath implements DatapathService {
  fdb: FdbEntry[] = [];
  neighbors: NeighborEntry[] = [];
  vteps: VtepEntry[] = [];
  associations: AssociationEntry[] = [];
  underlay: DatapathInfo["underlay"] = [{ address: "192.0.2.1", port: 4789, sourcePorts: [49152, 49153] }];
  traced: TraceOptions[] = [];
  captured: CaptureOptions[] = [];
  /** Captures that were ended by their reader. */
  capturesEnded = 0;
  captureChunks: Uint8Array[] = [Uint8Array.of(10, 13, 13, 10), Uint8Array.of(1, 2, 3)];
  /** After the chunks, a capture waits for its signal instead of ending. */
  captureEndless = false;
  figures: DatapathStats = {
    counters: [
      { name: "rx", value: 2n ** 60n },
      { name: "tx", value: 2n ** 60n - 5n },
    ],
    drops: [
      { name: "runt", text: "shorter than an Ethernet header", value: 0n },
      { name: "vni-unknown", text: "VXLAN for a VNI that no network here has", value: 5n },
    ],
    ports: [],
    poller: { polls: 9, sleeps: 3, spinUs: 50, wakes: 1, receiveCalls: 8, sendCalls: 7, receiveErrors: {}, sendErrors: { ENOBUFS: 2 } },
    lawDifference: 0n,
    rebuilds: 0,
    audits: 1,
    mended: 0,
  };

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  async declare(): Promise<void> {}
  async withdraw(): Promise<void> {}
  async declareAll(): Promise<ReadonlyMap<string, Error>> {
    return new Map();
  }
  onInterfaceRecreated(): void {}
  onEspEvent(): void {}
  async probe(): Promise<boolean> {
    return false;
  }
  async dumpAssociations(): Promise<readonly AssociationEntry[]> {
    return this.associations;
  }

  info(): DatapathInfo {
    return {
      abiVersion: 1,
      underlay: this.underlay,
      vxlanPort: 4789,
      fdbSlots: 131072,
      spinUs: 50,
      domains: 1,
      ports: this.figures.ports.length,
      vteps: this.vteps.length,
      startedAt: "2026-01-02T03:04:05.000Z",
      missing: [],
      engineBytes: 100663296,
      cipher: { by: "native", reason: "self-test passed" },
    };
  }

  async stats(): Promise<DatapathStats> {
    return this.figures;
  }

  async dumpFdb(): Promise<readonly FdbEntry[]> {
    return this.fdb;
  }

  async dumpNeighbors(): Promise<readonly NeighborEntry[]> {
    return this.neighbors;
  }

  async dumpVteps(): Promise<readonly VtepEntry[]> {
    return this.vteps;
  }

  async trace(options: TraceOptions): Promise<TraceResult> {
    this.traced.push(options);
    return { lines: [{ packet: 1, node: "l2-forward", event: "next", domain: "d", text: "to port-output" }], lost: 0 };
  }

  async *capture(options: CaptureOptions): AsyncGenerator<Uint8Array> {
    this.captured.push(options);
    try {
      yield* this.captureChunks;
      if (this.captureEndless) await wait(60_000, undefined, { signal: options.signal }).catch(() => {});
    } finally {
      this.capturesEnded += 1;
    }
  }

  async audit(): Promise<AuditReport> {
    return { checked: 42, mended: 1 };
  }
}

// A shard without threads or privileges: the built engine over the in-memory poller, and the tables written through the same
// path as in the daemon.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Declaration } from "../../src/datapath/declarations.ts";
import { merge } from "../../src/datapath/desired/merge.ts";
import type { EngineExports } from "../../src/datapath/engine.ts";
import { ALGORITHM_NUMBERS } from "../../src/datapath/esp-algorithms.ts";
import type { Attachment, Notice, Protocol, Request } from "../../src/datapath/messages.ts";
import { createMemory, instantiateEngine } from "../../src/datapath/module.ts";
import { Shard } from "../../src/datapath/shard/shard.ts";
import { applyToImage, difference, emptyImage } from "../../src/datapath/tables/diff.ts";
import { NO_MARKS } from "../../src/datapath/tables/marks.ts";
import { packRows } from "../../src/datapath/tables/ops.ts";
import { Tables } from "../../src/datapath/tables/tables.ts";
import { ENGINE_DEBUG_PATH, ENGINE_RELEASE_PATH } from "../../src/paths.ts";
import { MemoryPoller } from "../../src/ports/memory.ts";
import { NodeCipher } from "./node-cipher.ts";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "weft-t"));
  folders.push(folder);
  return folder;
}

const UNDERLAY_ADDRESS = "10.9.0.1";

export class TestShard {
  readonly poller = new MemoryPoller();
  readonly tables = new Tables();
  readonly notices: Notice[] = [];
  readonly trapsFolder = join(temporaryFolder(), "traps");
  readonly memory = createMemory();
  readonly cipher = new NodeCipher(this.memory);
  readonly shard: Shard;
  #nowMs = 0;

  /** `wrap` may stand between the shard and each instance of the engine. */
  constructor(build: "debug" | "release" = "release", wrap: (engine: EngineExports) => EngineExports = (engine) => engine) {
    const path = build === "debug" ? ENGINE_DEBUG_PATH : ENGINE_RELEASE_PATH;
    this.shard = new Shard({
      module: new WebAssembly.Module(readFileSync(path)),
      memory: this.memory,
      poller: this.poller,
      cipher: () => this.cipher,
      fdbSlots: 1024,
      trapsFolder: this.trapsFolder,
      instantiate: (module, memory) => wrap(instantiateEngine(module, memory)),
      notify: (notice) => this.notices.push(notice),
      nowMs: () => this.#nowMs,
      wallNs: () => 1_700_000_000_000_000_000n + BigInt(this.#nowMs) * 1_000_000n,
    });
    this.tables.setUnderlays([{ name: "underlay", address: UNDERLAY_ADDRESS, udpPort: 4789, socketCount: 4, errors: null }]);
    this.declare({});
    this.execute({
      kind: "apply",
      generation: 1,
      rows: packRows([]),
      release: [],
      attach: [{ port: this.port("underlay"), kind: "udp", fds: [100] }],
    });
  }

  execute<K extends Request["kind"]>(request: Protocol[K]["request"] & { kind: K }): Protocol[K]["reply"] {
    return this.shard.execute(request as Request, []) as Protocol[K]["reply"];
  }

  /** Opens the ESP port of the underlay's address. */
  openEsp(): void {
    this.tables.setEspPorts([{ name: "esp", kind: "udp", address: UNDERLAY_ADDRESS, vxlanPort: 4789 }]);
    this.declare({});
    const attach = [{ port: this.port("esp"), kind: "udp" as const, fds: [101] }];
    this.execute({ kind: "apply", generation: this.shard.generation, rows: packRows([]), release: [], attach });
  }

  /** Makes exactly this true; ports that are new are polled from here on. */
  declare(declaration: Declaration): void {
    const { desired, failures } = merge(new Map([["test", declaration]]));
    for (const failure of failures.values()) throw failure;
    const known = new Set(this.tables.image.ports.keys());
    const want = this.tables.imageOf(desired, NO_MARKS);
    const rows = difference(this.tables.image, want);
    const keys = [...desired.associations.values()].map(({ id, algorithm, key }) => {
      return { slot: this.tables.names.associations.indexOf(id)!, algorithm: ALGORITHM_NUMBERS[algorithm], material: key.copy() };
    });
    const fresh = [...desired.ports.keys()].filter((id) => !known.has(this.port(id)));
    const attach = fresh.map((id, i): Attachment => ({ port: this.port(id), kind: "tap", fds: [i + 1] }));
    const reply = this.execute({ kind: "apply", generation: this.shard.generation, rows: packRows(rows), keys, release: [], attach });
    if (reply.stale || reply.refused !== 0 || reply.error !== null) throw new Error(`not applied: ${JSON.stringify(reply)}`);
    for (const row of rows) applyToImage(this.tables.image, row);
  }

  /** As after a rebuild: all rows, nothing attached. */
  replay(): void {
    const rows = difference(emptyImage(), this.tables.image);
    const reply = this.execute({ kind: "apply", generation: this.shard.generation, rows: packRows(rows), release: [], attach: [] });
    if (reply.stale || reply.refused !== 0) throw new Error(`not applied: ${JSON.stringify(reply)}`);
  }

  port(id: string): number {
    return this.tables.names.ports.indexOf(id)!;
  }

  /** A frame from the sandbox behind `port`, with an empty virtio-net header. */
  frame(port: string, frame: Uint8Array): void {
    const bytes = new Uint8Array(10 + frame.length);
    bytes.set(frame, 10);
    this.poller.deliver({ port: this.port(port), bytes });
  }

  /** Runs until nothing arrives any more, and a tick. */
  run(): void {
    while (this.shard.turn(0) > 0);
    this.#nowMs += 1000;
    this.shard.turn(0);
  }

  get counters(): BigUint64Array {
    return this.execute({ kind: "stats", ports: [] }).counters;
  }
}

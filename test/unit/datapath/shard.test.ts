import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { captureRecords } from "../../../src/datapath/capture/capture-records.ts";
import type { Declaration } from "../../../src/datapath/declarations.ts";
import type { EngineExports } from "../../../src/datapath/engine.ts";
import type { Notice } from "../../../src/datapath/messages.ts";
import { PORT_COUNTERS } from "../../../src/datapath/shard/shard-counters.ts";
import { counterStats, dropStats, lawDifference } from "../../../src/datapath/stats.ts";
import { emptyImage } from "../../../src/datapath/tables/diff.ts";
import { packRows } from "../../../src/datapath/tables/ops.ts";
import { readEntries, readFdb, readMembers, readNeighbors } from "../../../src/datapath/tables/read-back.ts";
import { echoFrame } from "../../../src/datapath/trace/probe.ts";
import { decodeTrace } from "../../../src/datapath/trace/trace.ts";
import { addressBytes } from "../../../src/datapath/words.ts";
import { DIRECTION_RX, DIRECTION_TX } from "../../../wasm/shared/abi.ts";
import { TestShard } from "../../support/shard.ts";
import { tsharkFields } from "../../support/tshark.ts";

const MAC = ["02:42:0a:00:00:01", "02:42:0a:00:00:02", "02:42:0a:00:00:03"] as const;
const tap = (id: string, mac: string) => {
  return { kind: "tap", id, domain: "n1", namespacePath: null, interfaceName: id, mac, mtuBytes: 1450, isolated: false } as const;
};
const NETWORK: Declaration = {
  domains: [{ id: "n1", vni: 4097, mtuBytes: 1450, learning: true, proxyNeighbors: true, clampMss: true, fdbLimit: 100, fdbAgeS: 300 }],
  ports: [tap("e1", MAC[1]), tap("e2", MAC[2])],
  fdb: [
    { domain: "n1", mac: MAC[1], to: { port: "e1" } },
    { domain: "n1", mac: MAC[2], to: { port: "e2" } },
    { domain: "n1", mac: MAC[0], to: { vtep: "10.9.0.2" } },
  ],
  neighbors: [{ domain: "n1", address: "10.0.0.1", mac: MAC[0] }],
  vteps: [{ domain: "n1", address: "10.9.0.2", port: 4789 }],
};
const echo = (from: number, to: number): Uint8Array => {
  return echoFrame({
    kind: "echo",
    sourceMac: MAC[from]!,
    destinationMac: MAC[to]!,
    source: `10.0.0.${from}`,
    destination: `10.0.0.${to}`,
  });
};
const nonZero = (stats: readonly { name: string; value: bigint }[]): Record<string, number> => {
  return Object.fromEntries(stats.filter(({ value }) => value !== 0n).map(({ name, value }) => [name, Number(value)]));
};

function made(build: "debug" | "release" = "release"): TestShard {
  const shard = new TestShard(build);
  shard.declare(NETWORK);
  return shard;
}

describe.each(["debug", "release"] as const)("a shard over the %s engine", (build) => {
  it("carries frames between ports and to a VTEP, and keeps the law", () => {
    const shard = made(build);
    shard.frame("e1", echo(1, 2));
    shard.frame("e1", echo(1, 0));
    shard.frame("e1", new Uint8Array(3));
    shard.run();
    const [local, remote] = shard.poller.sent;
    expect(shard.poller.sent).toHaveLength(2);
    expect(local?.port).toBe(shard.port("e2"));
    expect(local?.bytes.subarray(-52)).toEqual(echo(1, 2));
    expect(remote?.port).toBe(shard.port("underlay"));
    expect(remote?.destination).toEqual({ address: addressBytes("10.9.0.2"), port: 4789 });
    const counters = shard.counters;
    expect(nonZero(dropStats(counters))).toEqual({ runt: 1 });
    expect(nonZero(counterStats(counters))).toMatchObject({ rx: 3, tx: 2 });
    expect(lawDifference(counters)).toBe(0n);
  });

  it("counts what the kernel refuses", () => {
    const shard = made(build);
    shard.poller.refusing.set(shard.port("e2"), 5); // EIO: the interface is down
    shard.frame("e1", echo(1, 2));
    shard.run();
    expect(nonZero(dropStats(shard.counters))).toEqual({ "send-refused": 1 });
    expect(lawDifference(shard.counters)).toBe(0n);
  });

  it("goes on after a trap with counters, ports and, once replayed, tables", () => {
    const shard = made(build);
    shard.frame("e1", echo(1, 2));
    shard.run();
    const before = shard.counters;
    shard.execute({ kind: "trap" });
    expect(shard.notices.filter(({ notice }) => notice === "rebuilt")).toEqual([
      { notice: "rebuilt", generation: 2, reason: expect.any(String), file: null },
    ]);
    expect(shard.counters).toEqual(before);
    expect(shard.execute({ kind: "apply", generation: 1, rows: packRows([]), release: [], attach: [] })).toMatchObject({
      stale: true,
      generation: 2,
    });
    shard.replay();
    shard.frame("e2", echo(2, 1));
    shard.run();
    expect(shard.poller.sent.map(({ port }) => port)).toEqual([shard.port("e2"), shard.port("e1")]);
    expect(lawDifference(shard.counters)).toBe(0n);
    const ports = shard.execute({ kind: "stats", ports: [shard.port("e1"), shard.port("e2")] }).ports;
    expect([...ports.filter((_, i) => i % PORT_COUNTERS === 0)]).toEqual([1n, 1n]); // rx packets, the first from before
  });
});

describe("a shard whose engine traps within a batch", () => {
  /** The first batch of two frames or more traps, before the engine has taken anything or when all of it is ready to be sent. */
  function trapping(when: "at once" | "at the end"): TestShard {
    let armed = true;
    const shard = new TestShard("release", (engine) => ({
      ...engine,
      run(count) {
        if (!armed || count < 2) return engine.run(count);
        armed = false;
        if (when === "at the end") engine.run(count);
        engine.trap();
        return 0;
      },
    }));
    shard.declare(NETWORK);
    return shard;
  }

  it.each(["at once", "at the end"] as const)("counts its packets under one name, saves them, and carries the next batch: %s", (when) => {
    const shard = trapping(when);
    shard.frame("e1", echo(1, 2));
    shard.run();
    shard.frame("e1", echo(1, 2));
    shard.frame("e2", echo(2, 0));
    const vxlan = Uint8Array.from([0x08, 0, 0, 0, 0, 0x10, 0x01, 0, ...echo(0, 1)]);
    const sender = { address: addressBytes("10.9.0.2"), port: 50000 };
    const local = addressBytes("10.9.0.1");
    shard.poller.deliver({
      port: shard.port("underlay"),
      bytes: Uint8Array.from([...vxlan, ...vxlan]),
      segment: vxlan.length,
      sender,
      local,
    });
    shard.run();
    expect(nonZero(counterStats(shard.counters))).toMatchObject({ rx: 5, tx: 1 });
    expect(nonZero(dropStats(shard.counters))).toEqual({ "engine-trap": 4 });
    expect(lawDifference(shard.counters)).toBe(0n);
    expect(shard.poller.sent).toHaveLength(1);

    const files = readdirSync(shard.trapsFolder);
    expect(files).toHaveLength(1);
    expect(shard.notices.at(-1)).toMatchObject({ notice: "rebuilt", file: join(shard.trapsFolder, files[0]!) });
    const fields = ["frame.interface_name", "ip.src", "ip.dst", "udp.dstport", "vxlan.vni"];
    const underlay = [`port ${shard.port("underlay")}`, "10.9.0.2", "10.9.0.1", "4789", "4097"];
    expect(tsharkFields(readFileSync(join(shard.trapsFolder, files[0]!)), fields)).toEqual([
      [`port ${shard.port("e1")}`, "10.0.0.1", "10.0.0.2", "", ""],
      [`port ${shard.port("e2")}`, "10.0.0.2", "10.0.0.0", "", ""],
      underlay,
      underlay,
    ]);

    shard.replay();
    shard.frame("e2", echo(2, 1));
    shard.run();
    expect(shard.poller.sent.at(-1)?.port).toBe(shard.port("e1"));
    expect(lawDifference(shard.counters)).toBe(0n);
  });

  it("keeps a bounded number of files", () => {
    const trapAlways = (engine: EngineExports) => (): number => {
      engine.trap();
      return 0;
    };
    const shard = new TestShard("release", (engine) => ({ ...engine, run: trapAlways(engine) }));
    for (let i = 0; i < 40; i++) {
      shard.declare({});
      shard.declare(NETWORK);
      shard.frame("e1", echo(1, 2));
      shard.run();
      shard.tables.image = emptyImage();
      shard.declare({});
    }
    expect(readdirSync(shard.trapsFolder)).toHaveLength(32);
    expect(shard.notices.at(-1)).toMatchObject({ notice: "rebuilt", file: null });
  });
});

describe("what a shard tells", () => {
  it("reads its tables back as they were written", () => {
    const shard = made();
    const image = emptyImage();
    const { domains, ports, vteps } = shard.tables.names;
    readEntries(image, shard.execute({ kind: "entries", domains: domains.limit, ports: ports.limit, vteps: vteps.limit, associations: 0 }));
    readFdb(image, shard.execute({ kind: "dump", table: "fdb", cursor: 0, staticOnly: true }).entries);
    readNeighbors(image, shard.execute({ kind: "dump", table: "neighbors", cursor: 0, staticOnly: false }).entries);
    readMembers(image, shard.execute({ kind: "dump", table: "members", cursor: 0, staticOnly: false }).entries);
    expect(image).toEqual(shard.tables.image);
  });

  it("traces an injected frame from node to node", () => {
    const shard = made();
    const probe = { port: shard.port("e1"), frame: echo(1, 0) };
    const { count } = shard.execute({ kind: "trace", port: 0xffff, address: null, budget: 1, probe });
    const read = shard.execute({ kind: "traceRead" });
    const { tables } = shard;
    const names = {
      port: (i: number) => tables.names.ports.nameOf(i),
      domain: (i: number) => tables.names.domains.nameOf(i),
      vtep: (i: number) => tables.names.vteps.nameOf(i),
    };
    const { lines, lost, packets } = decodeTrace(read.ring, count, read.count, names);
    expect({ lost, packets }).toEqual({ lost: 0, packets: 1 });
    expect(lines[0]).toEqual({ packet: 1, node: "tap-input", event: "enter", domain: expect.any(String), text: "52 bytes from port e1" });
    expect(lines.map(({ text }) => text)).toContain("02:42:0a:00:00:01 is behind VTEP 10.9.0.2");
    expect(lines.at(-1)?.node).toBe("underlay-output");
  });

  it("copies frames for a capture, as received and as sent", () => {
    const shard = made();
    shard.execute({ kind: "capture", all: true, snapLength: 65536 });
    shard.frame("e1", echo(1, 2));
    shard.run();
    const [captured] = shard.notices.filter((one): one is Extract<Notice, { notice: "captured" }> => one.notice === "captured");
    const records = [...captureRecords(captured!.records)];
    expect(records.map(({ port, direction }) => [port, direction])).toEqual([
      [shard.port("e1"), DIRECTION_RX],
      [shard.port("e2"), DIRECTION_TX],
    ]);
    for (const record of records) expect(record.bytes).toEqual(echo(1, 2));
    expect(records[0]?.timeNs).toBe(1_700_000_000_000_000_000n);
  });

  it("forgets the counters of a port that goes", () => {
    const shard = made();
    shard.frame("e1", echo(1, 2));
    shard.run();
    shard.execute({ kind: "trap" });
    shard.replay();
    const e1 = shard.port("e1");
    shard.declare({ ...NETWORK, ports: [tap("e2", MAC[2])], fdb: [] });
    expect([...shard.execute({ kind: "stats", ports: [e1] }).ports]).toEqual([0n, 0n, 0n, 0n, 0n]);
  });
});

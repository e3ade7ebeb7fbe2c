// Encrypted overlays on real TAPs and real sockets: two hosts whose datapaths are told of associations by hand.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DatapathStats } from "../../src/datapath/datapath-api.ts";
import type { AssociationDeclaration } from "../../src/datapath/declarations.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import { association, EspPair, INNER, type Way } from "../support/esp-pair.ts";

let hosts: EspPair;

beforeEach(() => {
  hosts = new EspPair("esp");
});
afterEach(() => hosts.stop());

/** A sandbox's kernel that has given up on a neighbour would wait before it asks again. */
async function askAgain(): Promise<void> {
  for (const sandbox of ["s0", "s1"]) await hosts.namespaces.ip(sandbox, "neighbor", "flush", "dev", "eth0");
}

const drops = (stats: DatapathStats): Record<string, bigint> =>
  Object.fromEntries(stats.drops.filter(({ value }) => value > 0n).map(({ name, value }) => [name, value]));

describe.each<Way>([
  { family: "ipv4", transport: "udp" },
  { family: "ipv6", transport: "udp" },
  { family: "ipv4", transport: "raw" },
  { family: "ipv6", transport: "raw" },
  { family: "ipv4", transport: "udp", crypto: "wasm" },
])("an encrypted overlay by $transport over $family ($crypto)", (way) => {
  it("carries what it is keyed for and nothing before", async () => {
    await hosts.start(way);
    expect(await hosts.namespaces.ping("s0", INNER[1], 3, 0.05)).toMatchObject({ received: 0 });
    expect(drops(await hosts.datapaths[0]!.stats())["esp-no-sa"]).toBeGreaterThan(0n);
    await hosts.key(way);
    await askAgain();
    expect(await hosts.namespaces.ping("s0", INNER[1], 50, 0.01)).toEqual({ sent: 50, received: 50 });
    for (const datapath of hosts.datapaths) {
      const stats = await datapath.stats();
      expect(stats.lawDifference).toBe(0n);
      expect(Object.keys(drops(stats)).filter((name) => name.startsWith("esp-") && name !== "esp-no-sa")).toEqual([]);
      expect(await datapath.audit()).toMatchObject({ mended: 0 });
      const [inbound] = (await datapath.dumpAssociations()).filter(({ direction }) => direction === "in");
      expect(inbound).toMatchObject({ esn: true, forged: 0n, replayed: 0n, late: 0n });
      expect(inbound!.packets).toBeGreaterThanOrEqual(50n);
      expect(inbound!.sequence).toBe(inbound!.packets);
    }
    expect(hosts.events.filter(({ kind }) => kind === "first-use")).toHaveLength(2);
  });
});

describe("an encrypted overlay", () => {
  const way: Way = { family: "ipv4", transport: "udp" };

  it.each(["native", "wasm"] as const)(
    "goes on after a trap of the engine with the same keys, and repeats no number (%s)",
    async (crypto) => {
      await hosts.start({ ...way, crypto });
      await hosts.key(way);
      expect(await hosts.namespaces.ping("s0", INNER[1], 5, 0.01)).toMatchObject({ received: 5 });
      const before = (await hosts.datapaths[0]!.dumpAssociations()).find(({ direction }) => direction === "out")!.sequence;
      await hosts.datapaths[0]!.trapEngine();
      expect(await hosts.namespaces.ping("s0", INNER[1], 5, 0.01)).toMatchObject({ received: 5 });
      const after = (await hosts.datapaths[0]!.dumpAssociations()).find(({ direction }) => direction === "out")!.sequence;
      expect(after - before).toBeGreaterThan(5n);
      expect(drops(await hosts.datapaths[1]!.stats())["esp-replayed"]).toBeUndefined();
    },
  );

  it("stands still when the worker with its keys has died, until there are new ones", async () => {
    await hosts.start(way);
    await hosts.key(way);
    expect(await hosts.namespaces.ping("s0", INNER[1], 2, 0.01)).toMatchObject({ received: 2 });
    const lost = new Promise<void>((resolve) => {
      hosts.datapaths[0]!.onEspEvent((event) => {
        if (event.kind === "lost") resolve();
      });
    });
    await hosts.datapaths[0]!.killWorker();
    await lost;
    await hosts.datapaths[0]!.declare("other", {}); // behind the new worker
    expect(await hosts.datapaths[0]!.dumpAssociations()).toEqual([]);
    expect(await hosts.namespaces.ping("s0", INNER[1], 2, 0.01)).toMatchObject({ received: 0 });
    const renewed = { spi: 0x80000003, id: "out/new", key: new KeyMaterial(new Uint8Array(36).fill(9)) };
    await hosts.datapaths[0]!.declare("keys", { associations: [association(0, 0, way, renewed), association(0, 1, way)] });
    await hosts.datapaths[1]!.declare("keys", {
      associations: [association(1, 0, way, { ...renewed, id: "in/new" }), association(1, 1, way)],
    });
    await askAgain();
    expect(await hosts.namespaces.ping("s0", INNER[1], 5, 0.01)).toMatchObject({ received: 5 });
  });

  it("moves to another key without losing a packet", async () => {
    await hosts.start(way);
    await hosts.key(way);
    const pinging = hosts.namespaces.ping("s0", INNER[1], 200, 0.005);
    for (let turn = 0; turn < 8; turn++) {
      const next = { spi: 0x90000000 + turn, key: new KeyMaterial(new Uint8Array(36).fill(40 + turn)) };
      const last = { spi: next.spi - 1, key: new KeyMaterial(new Uint8Array(36).fill(39 + turn)) };
      const both = (at: 0 | 1): AssociationDeclaration[] => [
        turn === 0
          ? association(at, 0, way, { current: false })
          : association(at, 0, way, { ...last, id: `turn/${turn - 1}`, current: false }),
        association(at, 0, way, { ...next, id: `turn/${turn}`, current: at === 0 }),
        association(at, 1, way),
      ];
      await hosts.datapaths[1]!.declare("keys", { associations: both(1) });
      await hosts.datapaths[0]!.declare("keys", { associations: both(0) });
      // The next turn ends the key before this one: what it sealed has to be there.
      await expect
        .poll(async () => (await hosts.datapaths[1]!.dumpAssociations()).find(({ id }) => id === `turn/${turn}`)?.packets)
        .toBeGreaterThan(0n);
    }
    expect(await pinging).toEqual({ sent: 200, received: 200 });
    for (const datapath of hosts.datapaths) expect(drops(await datapath.stats())["esp-unknown-spi"]).toBeUndefined();
  });
});

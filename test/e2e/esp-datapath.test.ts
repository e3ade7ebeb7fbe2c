// Encrypted overlays on real TAPs and real sockets: two hosts whose datapaths are told of associations by hand.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WeftDatapath } from "../../src/datapath/datapath.ts";
import type { DatapathStats, EspEvent } from "../../src/datapath/datapath-api.ts";
import type { AssociationDeclaration, Declaration } from "../../src/datapath/declarations.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import { Namespaces } from "../support/ping-hosts.ts";

const MAC = ["02:42:0a:00:00:02", "02:42:0a:00:00:03"] as const;
const INNER = ["10.0.0.2", "10.0.0.3"] as const;
const OUTER = { ipv4: ["10.9.0.1", "10.9.0.2"], ipv6: ["fd09::1", "fd09::2"] } as const;
const SPI = [0x80000001, 0x80000002] as const;
const MTU = 1300;

let namespaces: Namespaces;
let stateDir: string;
let datapaths: WeftDatapath[];
let events: EspEvent[];

beforeEach(() => {
  namespaces = new Namespaces("esp");
  stateDir = mkdtempSync(join(tmpdir(), "weft-t"));
  datapaths = [];
  events = [];
});

afterEach(async () => {
  for (const datapath of datapaths) await datapath.stop({ keepInterfaces: false });
  await namespaces.removeAll();
  rmSync(stateDir, { recursive: true });
});

interface Way {
  readonly family: "ipv4" | "ipv6";
  readonly transport: "udp" | "raw";
  readonly crypto?: "native" | "wasm";
}

/** The association from host `from` to the other one, as host `at` has it. */
function association(
  at: 0 | 1,
  from: 0 | 1,
  { family, transport }: Way,
  more: Partial<AssociationDeclaration> = {},
): AssociationDeclaration {
  const direction = at === from ? "out" : "in";
  return {
    id: `${direction}/${SPI[from].toString(16)}`,
    direction,
    peer: OUTER[family][1 - at]!,
    vxlanPort: 4789,
    spi: SPI[from],
    algorithm: "aes-256-gcm",
    icvBytes: 16,
    esn: true,
    udpPort: transport === "udp" ? 4500 : null,
    innerChecksum: false,
    packetLimit: 2 ** 40,
    byteLimit: 2 ** 50,
    firstSequence: 0,
    notify: direction === "in",
    current: direction === "out",
    key: new KeyMaterial(new Uint8Array(36).fill(from + 1)),
    ...more,
  };
}

const network = (at: 0 | 1, { family }: Way): Declaration => ({
  domains: [
    {
      id: "n1",
      vni: 4097,
      mtuBytes: MTU,
      learning: true,
      proxyNeighbors: false,
      clampMss: true,
      fdbLimit: 100,
      fdbAgeS: 300,
      encrypted: true,
    },
  ],
  vteps: [{ domain: "n1", address: OUTER[family][1 - at]!, port: 4789 }],
});

const endpoint = (i: 0 | 1): Declaration => ({
  ports: [
    {
      kind: "tap",
      id: `e${i}`,
      domain: "n1",
      namespacePath: namespaces.path(`s${i}`),
      interfaceName: "eth0",
      mac: MAC[i],
      mtuBytes: MTU,
      isolated: false,
    },
  ],
});

async function twoHosts(way: Way): Promise<void> {
  for (const i of [0, 1]) {
    await namespaces.create(`h${i}`);
    await namespaces.create(`s${i}`);
  }
  await namespaces.join("h0", "h1", "u0", [
    ["10.9.0.1/24", "fd09::1/64"],
    ["10.9.0.2/24", "fd09::2/64"],
  ]);
  for (const i of [0, 1] as const) {
    const datapath = new WeftDatapath();
    datapaths.push(datapath);
    datapath.onEspEvent((event) => events.push(event));
    await datapath.start({
      stateDir,
      auditIntervalS: 0,
      underlayAddresses: [OUTER[way.family][i]!],
      underlayNamespacePath: namespaces.path(`h${i}`),
      crypto: way.crypto ?? "native",
    });
    await datapath.declare("net", network(i, way));
    await datapath.declare(`e${i}`, endpoint(i));
    await namespaces.ip(`s${i}`, "address", "add", `${INNER[i]}/24`, "dev", "eth0");
    await namespaces.ip(`s${i}`, "link", "set", "eth0", "up");
  }
}

async function key(way: Way): Promise<void> {
  for (const at of [0, 1] as const) {
    await datapaths[at]!.declare("keys", { associations: [association(at, 0, way), association(at, 1, way)] });
  }
}

/** A sandbox's kernel that has given up on a neighbour would wait before it asks again. */
async function askAgain(): Promise<void> {
  for (const sandbox of ["s0", "s1"]) await namespaces.ip(sandbox, "neighbor", "flush", "dev", "eth0");
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
    await twoHosts(way);
    expect(await namespaces.ping("s0", INNER[1], 3, 0.05)).toMatchObject({ received: 0 });
    expect(drops(await datapaths[0]!.stats())["esp-no-sa"]).toBeGreaterThan(0n);
    await key(way);
    await askAgain();
    expect(await namespaces.ping("s0", INNER[1], 50, 0.01)).toEqual({ sent: 50, received: 50 });
    for (const datapath of datapaths) {
      const stats = await datapath.stats();
      expect(stats.lawDifference).toBe(0n);
      expect(Object.keys(drops(stats)).filter((name) => name.startsWith("esp-") && name !== "esp-no-sa")).toEqual([]);
      expect(await datapath.audit()).toMatchObject({ mended: 0 });
      const [inbound] = (await datapath.dumpAssociations()).filter(({ direction }) => direction === "in");
      expect(inbound).toMatchObject({ esn: true, forged: 0n, replayed: 0n, late: 0n });
      expect(inbound!.packets).toBeGreaterThanOrEqual(50n);
      expect(inbound!.sequence).toBe(inbound!.packets);
    }
    expect(events.filter(({ kind }) => kind === "first-use")).toHaveLength(2);
  });
});

describe("an encrypted overlay", () => {
  const way: Way = { family: "ipv4", transport: "udp" };

  it.each(["native", "wasm"] as const)(
    "goes on after a trap of the engine with the same keys, and repeats no number (%s)",
    async (crypto) => {
      await twoHosts({ ...way, crypto });
      await key(way);
      expect(await namespaces.ping("s0", INNER[1], 5, 0.01)).toMatchObject({ received: 5 });
      const before = (await datapaths[0]!.dumpAssociations()).find(({ direction }) => direction === "out")!.sequence;
      await datapaths[0]!.trapEngine();
      expect(await namespaces.ping("s0", INNER[1], 5, 0.01)).toMatchObject({ received: 5 });
      const after = (await datapaths[0]!.dumpAssociations()).find(({ direction }) => direction === "out")!.sequence;
      expect(after - before).toBeGreaterThan(5n);
      expect(drops(await datapaths[1]!.stats())["esp-replayed"]).toBeUndefined();
    },
  );

  it("stands still when the worker with its keys has died, until there are new ones", async () => {
    await twoHosts(way);
    await key(way);
    expect(await namespaces.ping("s0", INNER[1], 2, 0.01)).toMatchObject({ received: 2 });
    const lost = new Promise<void>((resolve) => {
      datapaths[0]!.onEspEvent((event) => {
        if (event.kind === "lost") resolve();
      });
    });
    await datapaths[0]!.killWorker();
    await lost;
    await datapaths[0]!.declare("other", {}); // behind the new worker
    expect(await datapaths[0]!.dumpAssociations()).toEqual([]);
    expect(await namespaces.ping("s0", INNER[1], 2, 0.01)).toMatchObject({ received: 0 });
    const renewed = { spi: 0x80000003, id: "out/new", key: new KeyMaterial(new Uint8Array(36).fill(9)) };
    await datapaths[0]!.declare("keys", { associations: [association(0, 0, way, renewed), association(0, 1, way)] });
    await datapaths[1]!.declare("keys", {
      associations: [association(1, 0, way, { ...renewed, id: "in/new" }), association(1, 1, way)],
    });
    await askAgain();
    expect(await namespaces.ping("s0", INNER[1], 5, 0.01)).toMatchObject({ received: 5 });
  });

  it("moves to another key without losing a packet", async () => {
    await twoHosts(way);
    await key(way);
    const pinging = namespaces.ping("s0", INNER[1], 200, 0.005);
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
      await datapaths[1]!.declare("keys", { associations: both(1) });
      await datapaths[0]!.declare("keys", { associations: both(0) });
      // The next turn ends the key before this one: what it sealed has to be there.
      await expect
        .poll(async () => (await datapaths[1]!.dumpAssociations()).find(({ id }) => id === `turn/${turn}`)?.packets)
        .toBeGreaterThan(0n);
    }
    expect(await pinging).toEqual({ sent: 200, received: 200 });
    for (const datapath of datapaths) expect(drops(await datapath.stats())["esp-unknown-spi"]).toBeUndefined();
  });
});

// Keys of seeded pairs on real TAPs and sockets: two datapaths, each with a key service and a store of its own.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import type { PeerSecret } from "../../src/keys/key-service.ts";
import { Keys } from "../../src/keys/service.ts";
import { type Repeated, repeat } from "../../src/repeat.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { EspPair, INNER, OUTER, type Way } from "../support/esp-pair.ts";
import { Host, Lab } from "../support/hosts.ts";
import { LinkCapture } from "../support/link-capture.ts";

const SEED = randomBytes(32);
const WAY: Way = { family: "ipv4", transport: "udp" };

/** What ping fills its requests with: 0x18 and on. */
const PING_PAYLOAD = Buffer.from(Array.from({ length: 24 }, (_, i) => 0x18 + i));

let hosts: EspPair;
let stores: [MemoryStore, MemoryStore];
let keys: [Keys, Keys];
let ticks: [Repeated, Repeated];

beforeEach(() => {
  hosts = new EspPair("key");
  stores = [new MemoryStore(), new MemoryStore()];
  keys = [] as unknown as [Keys, Keys];
  ticks = [] as unknown as [Repeated, Repeated];
});
afterEach(async () => {
  for (const tick of ticks) await tick.end();
  for (const one of keys) await one.stop();
  await hosts.stop();
});

async function startKeys(i: 0 | 1, way: Way, limits = {}): Promise<void> {
  keys[i] = new Keys({
    store: stores[i],
    datapath: hosts.datapaths[i]!,
    clock: systemClock,
    randomBytes: (count) => randomBytes(count),
    underlayAddresses: [OUTER[way.family][i]!],
    limits: { rekeyS: 43200, packetLimit: 2 ** 32, byteLimit: 2 ** 38, keepaliveS: 20, ...limits },
    log: () => {},
  });
  await keys[i].start();
  ticks[i] = repeat(
    () => keys[i].tick(),
    100,
    () => {},
  );
}

const seeded = ({ transport }: Way): PeerSecret => ({
  kind: "seed",
  seed: new KeyMaterial(new Uint8Array(SEED)),
  transport,
  localId: null,
  peerId: null,
});

const addPeer = (at: 0 | 1, way: Way): Promise<void> => keys[at].setPeer(OUTER[way.family][1 - at]!, 4789, seeded(way));
const isHeard = (at: 0 | 1): boolean => keys[at].peers()[0]?.heard ?? false;
const bothHeard = (): boolean => isHeard(0) && isHeard(1);
const index = (at: 0 | 1): number => keys[at].peers()[0]!.index!;
const pings = (from: 0 | 1, count = 20, intervalS = 0.01): Promise<{ sent: number; received: number }> =>
  hosts.namespaces.ping(`s${from}`, INNER[1 - from]!, count, intervalS);
const askAgain = async (): Promise<void> => {
  for (const sandbox of ["s0", "s1"]) await hosts.namespaces.ip(sandbox, "neighbor", "flush", "dev", "eth0");
};

async function keyed(way: Way, limits = {}): Promise<void> {
  await hosts.start(way);
  for (const i of [0, 1] as const) {
    await startKeys(i, way, limits);
    await addPeer(i, way);
  }
  await expect.poll(bothHeard, { timeout: 5000 }).toBe(true);
  await askAgain();
}

/** What a kill leaves: the store. */
async function crash(i: 0 | 1): Promise<void> {
  await ticks[i].end();
  await hosts.datapaths[i]!.stop({ keepInterfaces: true });
}

async function boot(i: 0 | 1): Promise<void> {
  await hosts.boot(i, WAY);
  await startKeys(i, WAY);
}

describe.each<Way>([WAY, { family: "ipv6", transport: "raw" }])("a seeded pair by $transport over $family", (way) => {
  it("talks both ways, also when one side was told first", async () => {
    await hosts.start(way);
    await startKeys(0, way);
    await addPeer(0, way);
    expect(await pings(0, 2)).toMatchObject({ received: 0 });
    await startKeys(1, way);
    await addPeer(1, way);
    await expect.poll(bothHeard, { timeout: 12_000 }).toBe(true);
    await askAgain();
    expect(await pings(0)).toEqual({ sent: 20, received: 20 });
    expect(await pings(1)).toEqual({ sent: 20, received: 20 });
    const shown = await keys[0].list();
    expect(shown.filter(({ direction }) => direction === "out")).toHaveLength(1);
    expect(shown.reduce((sum, { forged, replayed }) => sum + forged + replayed, 0n)).toBe(0n);
  });
});

describe("a seeded pair", () => {
  it("goes on when one host, then both at once, have started again", async () => {
    await keyed(WAY);
    expect(await pings(0)).toMatchObject({ received: 20 });
    await crash(1);
    await boot(1);
    await expect.poll(bothHeard, { timeout: 5000 }).toBe(true);
    await askAgain();
    expect(await pings(0)).toMatchObject({ received: 20 });
    await crash(0);
    await crash(1);
    await boot(0);
    await boot(1);
    await expect.poll(bothHeard, { timeout: 5000 }).toBe(true);
    await askAgain();
    expect(await pings(1)).toMatchObject({ received: 20 });
  });

  it("gets new keys when the worker has died, and says nothing in clear meanwhile", async () => {
    await keyed(WAY);
    const before = index(0);
    const lab = new Lab();
    const captureOf = (name: string, link: string) => LinkCapture.start(lab, new Host(hosts.namespaces.path(name)), link);
    const [outside, inside] = await Promise.all([captureOf("h0", "u0"), captureOf("s0", "eth0")]);
    const talk = Promise.all([pings(0, 300), pings(1, 300)]);
    await hosts.datapaths[0]!.killWorker();
    await expect.poll(() => index(0) >= before + 2 && isHeard(0), { timeout: 15_000 }).toBe(true);
    await talk;
    const sees = async (capture: LinkCapture): Promise<boolean> => readFileSync(await capture.stop()).includes(PING_PAYLOAD);
    expect(await Promise.all([sees(outside), sees(inside)])).toEqual([false, true]);
    await lab.dispose();
    await askAgain();
    expect(await pings(0)).toMatchObject({ received: 20 });
    expect(await pings(1)).toMatchObject({ received: 20 });
  });

  it("loses no packet over rotations by either host", async () => {
    await keyed(WAY);
    const pinging = pings(0, 300);
    for (let turn = 0; turn < 10; turn++) {
      const before = index(0);
      await keys[(turn & 1) as 0 | 1].rotate();
      await expect.poll(() => index(0) === index(1) && index(0) > before).toBe(true);
    }
    expect(await pinging).toEqual({ sent: 300, received: 300 });
  });

  // 1200 echo requests of 84 bytes, 98 as frames: the engine tells of either limit when seven eighths are used.
  it.each([
    ["packets", { packetLimit: 1024 }, 1],
    ["bytes", { byteLimit: 65_536 }, 1],
  ])("changes keys before a limit of %s is reached", async (_, limits, least) => {
    await keyed(WAY, limits);
    const before = index(0);
    expect(await pings(0, 1200, 0.003)).toEqual({ sent: 1200, received: 1200 });
    expect(index(0)).toBeGreaterThanOrEqual(before + least);
    for (const datapath of hosts.datapaths) {
      const { drops } = await datapath.stats();
      expect(drops.find(({ name }) => name === "esp-exhausted")?.value).toBe(0n);
    }
  });
});

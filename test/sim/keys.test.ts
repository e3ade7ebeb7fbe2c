// Key services by the thousand of random steps: whatever fails, no number of a key is used or taken twice, nothing is declared
// before it is stored, and hosts that reach each other again talk again.
import { describe, expect, it } from "vitest";
import { SimHost, seedSecret, World } from "../support/key-world.ts";
import { random } from "../support/random.ts";

const ADDRESSES = ["10.9.0.1", "10.9.0.2", "10.9.0.3"];
const SEED = Uint8Array.from({ length: 32 }, (_, i) => i * 7 + 1);

async function meshed(seed: number): Promise<World> {
  const world = new World(random(seed));
  for (const address of ADDRESSES) await new SimHost(world, address).start();
  for (const host of world.hosts.values()) {
    for (const peer of ADDRESSES) if (peer !== host.address) await host.keys!.setPeer(peer, 4789, seedSecret(SEED));
  }
  return world;
}

/** One thing that happens; `full`: whether disks fill up. */
async function step(world: World): Promise<void> {
  const { random: dice } = world;
  const host = dice.pick([...world.hosts.values()]);
  const others = ADDRESSES.filter((address) => address !== host.address);
  const what = dice.below(100);
  if (what < 40) {
    if (host.keys !== null) host.send(dice.pick(others));
  } else if (what < 75) {
    const [sent] = world.wire.splice(dice.below(Math.max(1, world.wire.length)), 1);
    if (sent !== undefined && !dice.chance(0.2)) {
      world.hosts.get(sent.to)!.arrive(sent);
      if (dice.chance(0.1)) world.wire.push(sent);
    }
  } else if (what < 85) {
    if (world.recorded.length > 0) {
      const old = dice.pick(world.recorded);
      world.hosts.get(old.to)!.arrive(old);
    }
  } else if (what < 91) {
    world.nowMs += dice.pick([100, 1000, 1000, 20_000, 700_000]);
    for (const one of world.hosts.values()) await one.keys?.tick();
  } else if (what < 94) {
    await host.keys?.rotate().catch(() => {});
  } else if (what < 96) {
    host.loseWorker();
  } else if (what < 98) {
    host.crash();
    await world.settle();
    await host.start().catch(() => host.crash());
  } else {
    const isBad = dice.chance(0.5);
    host.store.isFull = () => isBad && dice.chance(0.5);
    host.declareFails = () => isBad && dice.chance(0.3);
  }
  await world.settle();
}

async function heal(world: World): Promise<void> {
  for (const host of world.hosts.values()) {
    host.store.isFull = () => false;
    host.declareFails = () => false;
    if (host.keys === null) await host.start();
  }
}

const PATIENCE_S = 15;

/** After so many seconds everybody reaches everybody: a datagram a second is sent until one comes out. */
async function expectTalk(world: World, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) await world.second();
  for (const host of world.hosts.values()) {
    for (const peer of ADDRESSES) {
      if (peer === host.address) continue;
      const other = world.hosts.get(peer)!;
      const before = other.received.length;
      for (let i = 0; i < PATIENCE_S && other.received.length === before; i++) {
        expect(host.send(peer), `${host.address} has nothing to send to ${peer} by`).toBe(true);
        await world.second();
      }
      expect(other.received.length - before, `${host.address} does not reach ${peer}`).toBe(1);
    }
  }
}

describe("key services", () => {
  it.each([1, 2, 3, 4, 5, 6])("survive whatever happens (seed %i)", async (seed) => {
    const world = await meshed(seed);
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 400; i++) await step(world);
      await heal(world);
      await expectTalk(world, 90);
    }
    expect(world.violations).toEqual([]);
    expect(world.sealedBy.size).toBeGreaterThan(500);
  });

  it("talk again when a state directory was copied back", async () => {
    const world = await meshed(77);
    await expectTalk(world, 30);
    const host = world.hosts.get(ADDRESSES[0]!)!;
    host.crash();
    const copy = await host.store.list("");
    await host.start();
    await expectTalk(world, 30);
    await host.restore(copy);
    await host.start();
    await expectTalk(world, 60);
    expect(world.violations).toEqual([]);
  });

  it("take nothing that was recorded before a restart", async () => {
    const world = await meshed(5);
    await expectTalk(world, 30);
    const old = [...world.recorded];
    for (const host of world.hosts.values()) {
      host.crash();
      await host.start();
      const before = host.received.length;
      for (const sent of old) if (sent.to === host.address) host.arrive(sent);
      await world.settle();
      for (const sent of old) if (sent.to === host.address) host.arrive(sent);
      expect(host.received.length).toBe(before);
    }
    await expectTalk(world, 30);
    expect(world.violations).toEqual([]);
  });

  it("show no key: not in logs, errors, views, nor in the store beside the secrets", async () => {
    const world = await meshed(9);
    for (let i = 0; i < 300; i++) await step(world);
    await heal(world);
    await expectTalk(world, 60);
    const shown: string[] = [...world.logged];
    const keys: Buffer[] = [Buffer.from(SEED)];
    for (const host of world.hosts.values()) {
      shown.push(JSON.stringify(host.keys!.peers()));
      shown.push(JSON.stringify(await host.keys!.list(), (_, value) => (typeof value === "bigint" ? String(value) : value)));
      shown.push(JSON.stringify(host.standing().map(({ declared }) => declared)));
      const entries = await host.store.list("");
      expect(entries.some(({ key }) => key.startsWith("secret/"))).toBe(true);
      shown.push(JSON.stringify(entries.filter(({ key }) => !key.startsWith("secret/"))));
      keys.push(...host.standing().map(({ key }) => key.subarray(0, 32)));
      shown.push(String(await host.keys!.setPeer(host.address, 4789, seedSecret(SEED.slice(0, 31))).catch((error: Error) => error)));
    }
    const text = shown.join("\n");
    expect(text.length).toBeGreaterThan(5000);
    for (const key of keys) {
      for (const form of [key.toString("hex"), key.toString("base64").slice(0, 42), JSON.stringify([...key]).slice(1, -1)])
        expect(text.includes(form)).toBe(false);
    }
  });
});

// Key services by the thousand of random steps: whatever fails, no number of a key is used or taken twice, nothing is declared
// before it is stored, and hosts that reach each other again talk again.
import { describe, expect, it } from "vitest";
import { type Sent, SimHost, seedSecret, World } from "../support/key-world.ts";
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

const DAY_MS = 86_400_000;

/** Somebody sets the host's wall clock, or its machine stood still for a while. */
function jump(host: SimHost, dice: World["random"]): void {
  host.ahead.wallMs = dice.pick([-1, 1]) * dice.below(3000) * DAY_MS;
  if (dice.chance(0.5)) host.ahead.monotonicMs += dice.pick([5000, 700_000, 3 * DAY_MS]);
}

/** After a crash, at times of the machine with its clock; at times on a copy of the state directory from before the last start. */
async function restart(host: SimHost): Promise<void> {
  const { world } = host;
  const { random: dice } = world;
  host.crash();
  await world.settle();
  if (dice.chance(0.3)) host.ahead.monotonicMs = -world.nowMs + dice.below(100_000);
  if (host.copy !== null && dice.chance(0.5)) await host.restore(host.copy);
  else host.copy = dice.chance(0.5) ? await host.store.list("") : null;
  await host.start().catch(() => host.crash());
}

/** One thing that happens. */
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
      world.deliver(sent);
      if (dice.chance(0.1)) world.wire.push(sent);
    }
  } else if (what < 83) {
    if (world.recorded.length > 0) {
      const old = dice.pick(world.recorded);
      world.hosts.get(old.to)!.arrive(old);
    }
  } else if (what < 85) {
    if (dice.chance(0.5)) world.cut(host.address, dice.pick(others), world.nowMs + dice.pick([2000, 30_000, 1_000_000]));
    else jump(host, dice);
  } else if (what < 91) {
    world.nowMs += dice.pick([100, 1000, 1000, 20_000, 700_000]);
    for (const one of world.hosts.values()) await one.keys?.tick();
  } else if (what < 94) {
    await host.keys?.rotate().catch(() => {});
  } else if (what < 96) {
    host.loseWorker();
  } else if (what < 98) {
    await restart(host);
  } else {
    const isBad = dice.chance(0.5);
    host.store.isFull = () => isBad && dice.chance(0.5);
    host.declareFails = () => isBad && dice.chance(0.3);
    host.diesDeclaring = () => isBad && dice.chance(0.1);
  }
  await world.settle();
}

async function heal(world: World): Promise<void> {
  world.mend();
  for (const host of world.hosts.values()) {
    host.store.isFull = () => false;
    host.declareFails = () => false;
    host.diesDeclaring = () => false;
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

/** Twice, for the first time may change what is known. */
async function playBack(world: World, old: readonly Sent[]): Promise<void> {
  for (let time = 0; time < 2; time++) {
    for (const sent of old) {
      world.deliver(sent);
      if (world.random.chance(0.1)) await world.settle();
    }
    await world.settle();
  }
}

async function expectRefused(world: World, old: readonly Sent[]): Promise<void> {
  const counts = (): number[] => [...world.hosts.values()].map(({ received }) => received.length);
  const before = counts();
  await playBack(world, old);
  expect(counts()).toEqual(before);
}

describe("key services", () => {
  it.each([1, 2, 3, 4, 5, 6])("survive whatever happens (seed %i)", { timeout: 120_000 }, async (seed) => {
    const world = await meshed(seed);
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 300; i++) await step(world);
      await heal(world);
      await expectTalk(world, 90);
    }
    expect(world.violations).toEqual([]);
    expect(world.sealedBy.size).toBeGreaterThan(500);
  });

  it("talk again when a state directory was copied back, and take nothing of the life that it has replaced", async () => {
    const world = await meshed(77);
    await expectTalk(world, 30);
    const host = world.hosts.get(ADDRESSES[0]!)!;
    host.crash();
    const copy = await host.store.list("");
    await host.start();
    await expectTalk(world, 30);
    const old = world.recorded.filter((sent) => sent.from === host.address);
    await host.restore(copy);
    await host.start();
    await expectTalk(world, 60);
    await expectRefused(world, old);
    await expectTalk(world, 30);
    expect(world.violations).toEqual([]);
  });

  it("talk to either of two hosts with one copied state, whichever has the address", async () => {
    const world = await meshed(78);
    await expectTalk(world, 30);
    const address = ADDRESSES[0]!;
    const first = world.hosts.get(address)!;
    first.crash();
    const second = new SimHost(world, address);
    await second.restore(await first.store.list(""));
    await first.start();
    await second.start();
    for (let turn = 0; turn < 6; turn++) {
      const [holder, other] = turn % 2 === 0 ? [first, second] : [second, first];
      world.hosts.set(address, holder);
      for (let i = 0; i < 60; i++) {
        other.send(ADDRESSES[1]!); // from where it is now it hears no answer
        await other.keys!.tick();
        await world.second();
      }
      await expectTalk(world, 0);
      await playBack(world, [...world.recorded]); // what the other has received is new to this one
    }
    expect(world.violations).toEqual([]);
  });

  it.each([2, 3, 4, 5, 6, 7])("talk again when one is put back by %i positions of the ring", async (lead) => {
    const world = await meshed(79);
    await expectTalk(world, 30);
    const [one, other] = ADDRESSES.map((address) => world.hosts.get(address)!) as [SimHost, SimHost];
    one.crash();
    const copy = await one.store.list("");
    await one.start();
    await expectTalk(world, 30);
    // What it has of the other's session after it was put back, it has of a recording.
    const old = world.recorded.filter(({ from, to }) => from === other.address && to === one.address);
    for (let i = 0; i < lead; i++) {
      await one.keys!.rotate();
      await world.second();
    }
    await one.restore(copy);
    await one.start();
    for (const sent of old.reverse()) {
      world.deliver(sent);
      await world.settle();
    }
    await expectTalk(world, 30);
    expect(world.violations).toEqual([]);
  });

  it("follow each other when one turned often while it was not heard", async () => {
    const world = await meshed(80);
    await expectTalk(world, 30);
    const [one, other] = ADDRESSES.map((address) => world.hosts.get(address)!) as [SimHost, SimHost];
    one.crash();
    await one.start();
    one.send(other.address);
    for (const sent of world.wire.splice(0)) world.deliver(sent); // the first is heard, its answer is lost, and so is the rest
    await world.settle();
    for (let i = 0; i < 4; i++) await one.keys!.rotate();
    world.wire.splice(0);
    await expectTalk(world, 30);
    expect(world.violations).toEqual([]);
  });

  it("take nothing that was recorded before a restart or the worker's death", async () => {
    const world = await meshed(5);
    await expectTalk(world, 30);
    for (const host of world.hosts.values()) {
      const old = [...world.recorded];
      host.crash();
      await host.start();
      await expectRefused(world, old);
      await expectTalk(world, 30);
      old.push(...world.recorded);
      host.loseWorker();
      await world.settle();
      await expectRefused(world, old);
    }
    await expectTalk(world, 30);
    expect(world.violations).toEqual([]);
  });

  it("take nothing twice of what came by the next key and could not be noted before a crash", async () => {
    const world = await meshed(6);
    await expectTalk(world, 30);
    const [one, other] = ADDRESSES.map((address) => world.hosts.get(address)!) as [SimHost, SimHost];
    other.store.isFull = () => true;
    await one.keys!.rotate();
    one.send(other.address);
    const before = other.received.length;
    for (const sent of world.wire.splice(0)) world.deliver(sent);
    await world.settle();
    expect(other.received.length).toBe(before + 1);
    other.crash();
    other.store.isFull = () => false;
    await other.start();
    await expectRefused(world, [...world.recorded]);
    await expectTalk(world, 30);
    expect(world.violations).toEqual([]);
  });

  it.each([
    ["that is silent", false],
    ["whose worker has died since", true],
  ])("keep their keys when recordings of a peer %s are played back", async (_, isAlive) => {
    const world = await meshed(7);
    await expectTalk(world, 30);
    const [one, other] = ADDRESSES.map((address) => world.hosts.get(address)!) as [SimHost, SimHost];
    const old = world.recorded.filter((sent) => sent.from === one.address && sent.to === other.address);
    if (isAlive) one.loseWorker();
    for (let i = 0; i < 2; i++) {
      await other.keys!.rotate();
      await world.second();
    }
    const sealing = (): string[] => other.standing().flatMap(({ declared: { id, current } }) => (current ? [id] : []));
    const before = sealing();
    for (let i = 0; i < 30; i++) {
      for (const sent of old) world.deliver(sent);
      if (isAlive) one.send(other.address);
      await world.second();
    }
    expect(sealing()).toEqual(before);
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

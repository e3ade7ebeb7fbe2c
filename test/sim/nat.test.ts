// Peers that a NAT gives addresses and ports to, with key services over a modelled network: who is found, and what misleads.
import { describe, expect, it } from "vitest";
import { type Sent, SimHost, seedSecret, World } from "../support/key-world.ts";
import { random } from "../support/random.ts";

const OUTSIDE = "10.9.0.2";
const NAT = "198.51.100.7";
const STRANGER = { from: "192.0.2.66", fromPort: 4500 };

interface Inside {
  readonly host: SimHost;
  /** What the one outside calls it. */
  readonly called: string;
}

/** Hosts behind one NAT, and one outside: each pair with a seed of its own. The first is called by the NAT's address. */
async function worldOf(count: number): Promise<{ world: World; outside: SimHost; insides: Inside[] }> {
  const world = new World(random(7));
  const outside = new SimHost(world, OUTSIDE);
  await outside.start();
  const insides: Inside[] = [];
  for (let i = 0; i < count; i++) {
    const host = new SimHost(world, `192.168.0.${i + 2}`);
    world.nat.set(host.address, { address: NAT, port: 61000 + i });
    await host.start();
    const called = i === 0 ? NAT : host.address;
    const seed = Uint8Array.from({ length: 32 }, (_, at) => at * 5 + i);
    await outside.keys!.setPeer(called, 4789, seedSecret(seed, "outside", host.address));
    await host.keys!.setPeer(OUTSIDE, 4789, seedSecret(seed, host.address, "outside"));
    insides.push({ host, called });
  }
  return { world, outside, insides };
}

const remoteOf = (outside: SimHost, called: string) => outside.keys!.peers().find(({ address }) => address === called)!.remote;

async function expectTalk(world: World, outside: SimHost, { host, called }: Inside, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) await world.second();
  const before = [host.received.length, outside.received.length];
  outside.send(called);
  host.send(OUTSIDE);
  await world.second();
  expect([host.received.length, outside.received.length]).toEqual([before[0]! + 1, before[1]! + 1]);
  expect(world.violations).toEqual([]);
}

describe("key services with a NAT between", () => {
  it("find each other from inside, two hosts behind one address too, and again when both start anew", async () => {
    const { world, outside, insides } = await worldOf(2);
    for (const inside of insides) await expectTalk(world, outside, inside, 12);
    expect(insides.map(({ called }) => remoteOf(outside, called))).toEqual([
      { address: NAT, port: 61000 },
      { address: NAT, port: 61001 },
    ]);
    for (const { host } of insides) {
      host.crash();
      await host.start();
    }
    outside.crash();
    await outside.start();
    for (const inside of insides) await expectTalk(world, outside, inside, 12);
  });

  it("find a peer that moved within a minute, though nobody speaks", async () => {
    const { world, outside, insides } = await worldOf(1);
    await expectTalk(world, outside, insides[0]!, 12);
    world.nat.set(insides[0]!.host.address, { address: "198.51.100.8", port: 62000 });
    await expectTalk(world, outside, insides[0]!, 61);
    expect(remoteOf(outside, NAT)).toEqual({ address: "198.51.100.8", port: 62000 });
  });

  it("go to where it was last, when the one outside starts anew and nobody inside speaks", async () => {
    const { world, outside, insides } = await worldOf(1);
    await expectTalk(world, outside, insides[0]!, 12);
    outside.crash();
    await outside.start();
    expect(remoteOf(outside, NAT)).toEqual({ address: NAT, port: 61000 });
    await expectTalk(world, outside, insides[0]!, 3);
  });

  it("are not moved by recordings; and not for long when all that was known is gone with the former life", async () => {
    const { world, outside, insides } = await worldOf(1);
    const [inside] = insides as [Inside];
    await expectTalk(world, outside, inside, 12);
    const recorded: Sent[] = world.recorded.filter(({ to }) => to === OUTSIDE).map((sent) => ({ ...sent, ...STRANGER }));
    expect(recorded.length).toBeGreaterThan(1);
    for (const sent of recorded) outside.arrive(sent);
    await world.settle();
    expect(remoteOf(outside, NAT)).toEqual({ address: NAT, port: 61000 });
    outside.crash();
    await outside.start();
    for (const sent of recorded) outside.arrive(sent);
    await world.settle();
    // It is believed for now, and not stored: the peer has not been heard in this life.
    expect(remoteOf(outside, NAT)).toEqual({ address: STRANGER.from, port: STRANGER.fromPort });
    expect(JSON.stringify(await outside.store.list("esp/"))).not.toContain(STRANGER.from);
    inside.host.send(OUTSIDE);
    await expectTalk(world, outside, inside, 12);
    expect(remoteOf(outside, NAT)).toEqual({ address: NAT, port: 61000 });
  });

  it("follow a peer without names to another port, and to no other address", async () => {
    const world = new World(random(7));
    const [a, b] = [new SimHost(world, "10.9.0.1"), new SimHost(world, OUTSIDE)];
    const seed = Uint8Array.from({ length: 32 }, (_, at) => at * 5);
    for (const [host, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      await host.start();
      await host.keys!.setPeer(peer.address, 4789, seedSecret(seed));
    }
    const inside = { host: a, called: a.address };
    await expectTalk(world, b, inside, 12);
    world.nat.set(a.address, { address: a.address, port: 61000 });
    a.send(OUTSIDE);
    await expectTalk(world, b, inside, 1);
    world.nat.set(a.address, { address: NAT, port: 61000 });
    a.send(OUTSIDE);
    await world.second();
    expect(remoteOf(b, a.address)).toEqual({ address: a.address, port: 61000 });
  });
});

// Associations by hand: numbers go on over every kind of end, and stop where none is reserved.
import { describe, expect, it } from "vitest";
import { KeyMaterial } from "../../../src/datapath/key-material.ts";
import { BLOCK } from "../../../src/keys/hand-peer.ts";
import type { HandAssociation, HandSecret } from "../../../src/keys/key-service.ts";
import { SimHost, World } from "../../support/key-world.ts";
import { random } from "../../support/random.ts";

const PEER = "10.9.0.2";

const association = (spi: number, more: Partial<HandAssociation> = {}): HandAssociation => {
  const key = new KeyMaterial(new Uint8Array(36).fill(spi));
  return { spi, algorithm: "aes-256-gcm", key, esn: true, icvBytes: 12, transport: "udp", port: 4500, ...more };
};
const secret = (more: Partial<HandAssociation> = {}): HandSecret => ({
  kind: "hand",
  out: association(300, more),
  in: association(301, more),
});

const one = (host: SimHost, direction: "in" | "out") => host.standing().find(({ declared }) => declared.direction === direction)!;

async function keyedHost(more: Partial<HandAssociation> = {}): Promise<SimHost> {
  const host = new SimHost(new World(random(1)), "10.9.0.1");
  await host.start();
  await host.keys!.setPeer(PEER, 4789, secret(more));
  return host;
}

describe("a peer keyed by hand", () => {
  it("has the associations that were given", async () => {
    const host = await keyedHost();
    expect(one(host, "out").declared).toMatchObject({
      spi: 300,
      icvBytes: 12,
      esn: true,
      current: true,
      firstSequence: 0,
      packetLimit: BLOCK,
    });
    expect(one(host, "in").declared).toMatchObject({ spi: 301, icvBytes: 12, esn: true, current: false, firstSequence: 0, notify: true });
  });

  it("goes on behind all numbers that may have been used: after a crash, a lost worker, and when removed and added again", async () => {
    const host = await keyedHost();
    let before = 0;
    const ends = [
      () => host.crash(),
      () => host.loseWorker(),
      async () => {
        await host.keys!.removePeer(PEER);
        await host.keys!.setPeer(PEER, 4789, secret());
      },
    ];
    for (const end of ends) {
      one(host, "out").sequence += 7n;
      before += 4321;
      one(host, "in").sequence = BigInt(before);
      await host.keys!.tick();
      await end();
      if (end === ends[0]) await host.start();
      await host.world.settle();
      const { firstSequence, packetLimit } = one(host, "out").declared;
      expect(firstSequence).toBeGreaterThan(0);
      expect(packetLimit).toBe(firstSequence + BLOCK);
      expect(one(host, "in").declared.firstSequence).toBe(before);
    }
    expect(one(host, "out").declared.firstSequence).toBe(3 * BLOCK);
  });

  it("sends under no number of a key twice, also when the key comes again with another SPI", async () => {
    const host = await keyedHost();
    const { key } = association(300);
    expect(host.send(PEER)).toBe(true);
    for (const out of [association(300), association(555, { key }), association(300)]) {
      await host.keys!.removePeer(PEER);
      await host.keys!.setPeer(PEER, 4789, { kind: "hand", out: { ...out, key: new KeyMaterial(key.copy()) }, in: association(301) });
      for (let i = 0; i < 3; i++) expect(host.send(PEER)).toBe(true);
    }
    expect(host.world.violations).toEqual([]);
  });

  it("sends by no key that it receives by no more, from where that has come on", async () => {
    const host = await keyedHost();
    one(host, "in").sequence = 9000n;
    await host.keys!.removePeer(PEER);
    await host.keys!.setPeer(PEER, 4789, { kind: "hand", out: association(700, { key: association(301).key }), in: association(701) });
    expect(one(host, "out").declared.firstSequence).toBe(9000);
  });

  it("is followed to another port, and not to port 0, to which nothing can be sent", async () => {
    const host = await keyedHost();
    const other = new SimHost(host.world, PEER);
    await other.start();
    await other.keys!.setPeer("10.9.0.1", 4789, { kind: "hand", out: association(301), in: association(300) });
    for (const [fromPort, followed] of [
      [0, 4500],
      [1025, 1025],
      [0, 1025],
    ] as const) {
      other.send("10.9.0.1");
      host.arrive({ ...host.world.wire.pop()!, fromPort });
      await host.world.settle();
      expect(one(host, "out").declared.udpPort).toBe(followed);
      expect(host.keys!.peers()).toMatchObject([{ remote: { port: followed }, heard: true }]);
    }
  });

  it("reserves the next block when half of one is used, and uses none that is not stored", async () => {
    const host = await keyedHost();
    one(host, "out").sequence = BigInt(BLOCK / 2 + 1);
    host.store.isFull = () => true;
    await host.keys!.tick();
    expect(one(host, "out").declared.packetLimit).toBe(BLOCK);
    host.store.isFull = () => false;
    const { key } = one(host, "out").declared;
    await host.keys!.tick();
    expect(one(host, "out").declared).toMatchObject({ packetLimit: 2 * BLOCK, firstSequence: 0 });
    expect(one(host, "out").declared.key).toBe(key); // the same association: the engine counts on
  });

  it("ends with the 32 bits of a number without ESN", async () => {
    const host = await keyedHost({ esn: false });
    for (let life = 0; life < 2000; life++) {
      host.loseWorker();
      await host.world.settle();
      const out = one(host, "out");
      if (out === undefined) break;
      expect(out.declared.packetLimit).toBeLessThan(2 ** 32);
    }
    expect(host.standing()).toEqual([]);
    expect(host.world.logged.join()).toContain("is used up");
  });

  it("is used to its last number, and that there is none left is said once", async () => {
    const host = await keyedHost({ esn: false });
    const last = 2 ** 32 - 1;
    while (one(host, "out").declared.packetLimit < last) {
      one(host, "out").sequence = BigInt(one(host, "out").declared.packetLimit);
      await host.keys!.tick();
    }
    const usedUp = () => host.world.logged.filter((line) => line.includes("is used up")).length;
    for (const left of [1, 0, 0]) {
      one(host, "out").sequence = BigInt(last - left);
      for (let second = 0; second < 3; second++) await host.keys!.tick();
      expect(usedUp()).toBe(left === 0 ? 1 : 0);
    }
    host.loseWorker();
    await host.world.settle();
    expect(usedUp()).toBe(2); // now it can't be keyed again: that is new
  });

  it("that fails for another reason says so, and says it anew when it had come right", async () => {
    const host = await keyedHost();
    one(host, "out").sequence = BigInt(BLOCK / 2 + 1);
    const said = () => host.world.logged.filter((line) => line.includes("no space")).length;
    for (const [full, count] of [
      [true, 1],
      [false, 1],
      [true, 2],
    ] as const) {
      host.store.isFull = () => full;
      for (let second = 0; second < 3; second++) await host.keys!.tick();
      expect(said()).toBe(count);
      one(host, "out").sequence += BigInt(full ? 0 : BLOCK);
    }
  });

  it("is refused when its numbers can't be reserved, and leaves nothing", async () => {
    const host = new SimHost(new World(random(1)), "10.9.0.1");
    await host.start();
    host.store.isFull = () => true;
    await expect(host.keys!.setPeer(PEER, 4789, secret())).rejects.toThrow("no space");
    host.store.isFull = () => false;
    host.declareFails = () => true;
    await expect(host.keys!.setPeer(PEER, 4789, secret())).rejects.toThrow("worker");
    expect(host.keys!.hasPeer(PEER)).toBe(false);
    expect(host.standing()).toEqual([]);
    expect(await host.store.list("secret/")).toEqual([]);
  });
});

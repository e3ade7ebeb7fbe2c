// No two peers of a host count by the same key: whoever comes second is refused, or left out where both are stored already.
import { describe, expect, it } from "vitest";
import { KeyMaterial } from "../../../src/datapath/key-material.ts";
import type { HandAssociation, PeerSecret } from "../../../src/keys/key-service.ts";
import { secretJson } from "../../../src/keys/secrets.ts";
import { peerSecretKey } from "../../../src/store/keys.ts";
import { SimHost, seedSecret, World } from "../../support/key-world.ts";
import { random } from "../../support/random.ts";

const [OWN, FIRST, SECOND] = ["10.9.0.1", "10.9.0.2", "10.9.0.3"] as const;
const SEED = new Uint8Array(Buffer.from("a seed of thirty-two bytes or more"));

let spis = 256;
const keyed = (key: number): HandAssociation => {
  const material = new KeyMaterial(new Uint8Array(36).fill(key));
  return { spi: spis++, algorithm: "aes-256-gcm", key: material, esn: true, icvBytes: 16, transport: "udp", port: 4500 };
};
const hand = (out: number, into: number): PeerSecret => ({ kind: "hand", out: keyed(out), in: keyed(into) });

const SHARED: readonly [string, () => PeerSecret, () => PeerSecret, RegExp][] = [
  ["a key to send by", () => hand(1, 2), () => hand(1, 3), /give each direction with each peer a key of its own/],
  ["a key to receive by", () => hand(1, 2), () => hand(3, 2), /a key that peer 10\.9\.0\.2 has/],
  ["a key that the other one sends by", () => hand(1, 2), () => hand(2, 3), /a key that peer 10\.9\.0\.2 has/],
  ["a seed with both names", () => seedSecret(SEED, "a", "b"), () => seedSecret(SEED, "a", "b"), /weft cluster keys new/],
  ["a seed with both names, the other way", () => seedSecret(SEED, "a", "b"), () => seedSecret(SEED, "b", "a"), /the seed and the names/],
  ["a seed with a name that is the other's address", () => seedSecret(SEED), () => seedSecret(SEED, null, FIRST), /the seed and the names/],
];

async function started(): Promise<SimHost> {
  const host = new SimHost(new World(random(1)), OWN);
  await host.start();
  return host;
}

describe.each(SHARED)("%s", (_, first, second, words) => {
  it("is refused to a second peer, which changes nothing", async () => {
    const host = await started();
    await host.keys!.setPeer(FIRST, 4789, first());
    const [before, stands] = [await host.store.list(""), host.standing().length];
    await expect(host.keys!.setPeer(SECOND, 4789, second())).rejects.toMatchObject({
      code: "FORBIDDEN",
      message: expect.stringMatching(words),
    });
    expect(await host.store.list("")).toEqual(before);
    expect(host.standing()).toHaveLength(stands);
    expect(host.keys!.hasPeer(SECOND)).toBe(false);
  });

  it("is free again when the first peer has gone", async () => {
    const host = await started();
    await host.keys!.setPeer(FIRST, 4789, first());
    await host.keys!.removePeer(FIRST);
    await host.keys!.setPeer(SECOND, 4789, second());
    expect(host.send(SECOND)).toBe(true);
    await expect(host.keys!.setPeer(FIRST, 4789, first())).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  it("leaves the second out where both are stored", async () => {
    const host = new SimHost(new World(random(1)), OWN);
    const puts = [[FIRST, first()] as const, [SECOND, second()] as const].map(([address, secret]) => {
      return { key: peerSecretKey(address), value: secretJson(4789, secret) };
    });
    await host.store.commit({ puts, deletes: [] });
    await host.start();
    expect([FIRST, SECOND].map((address) => host.keys!.hasPeer(address))).toEqual([true, false]);
    expect([FIRST, SECOND].map((address) => host.send(address))).toEqual([true, false]);
    expect(host.world.logged.join()).toMatch(words);
    // Removed, it leaves nothing behind.
    await host.keys!.removePeer(SECOND);
    expect((await host.store.list("secret/")).map(({ key }) => key)).toEqual([peerSecretKey(FIRST)]);
  });
});

describe("what may be shared", () => {
  it("is a seed, for pairs of other names", async () => {
    const host = await started();
    await host.keys!.setPeer(FIRST, 4789, seedSecret(SEED));
    await host.keys!.setPeer(SECOND, 4789, seedSecret(SEED));
    await host.keys!.setPeer("10.9.0.4", 4789, seedSecret(SEED, "a", "b"));
    for (const address of [FIRST, SECOND, "10.9.0.4"]) expect(host.send(address)).toBe(true);
  });
});

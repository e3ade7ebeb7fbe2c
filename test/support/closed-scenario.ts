// All that can happen to keys of two real daemons while their sandboxes talk, one test each; in the last one the capture of the
// underlay, which ran all the time, is looked at. Called by one test file for each family of the underlay.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PEER_SECRET_PREFIX } from "../../src/store/keys.ts";
import { openLmdbStore, STORE_FILE } from "../../src/store/lmdb.ts";
import type { Json } from "../../src/store/store.ts";
import { type Daemon, eventually } from "./daemon.ts";
import { ADDRESSES, type EncryptedHosts, encryptedHosts, UNDERLAYS } from "./encrypted-hosts.ts";
import { Lab } from "./hosts.ts";
import { type Sight, UnderlayWatch } from "./underlay-watch.ts";

/** `isBrief`: each event once. */
export function closedScenario(family: keyof typeof UNDERLAYS, { isBrief = false } = {}): void {
  const lab = new Lab();
  let all: EncryptedHosts;
  let watch: UnderlayWatch;

  beforeAll(async () => {
    all = await encryptedHosts(lab, family);
    await understand();
    watch = await UnderlayWatch.start(lab, all);
  });
  afterAll(() => lab.dispose());

  const hosts = () => [all.a, all.b] as const;
  const peerOf = (daemon: Daemon): string => UNDERLAYS[family][daemon === all.a ? 1 : 0];
  const ping = async (): Promise<number> => await all.sandboxes.sa.ping(ADDRESSES.sb[0], ["-W", "1"], 1);
  const understand = (): Promise<boolean> => eventually("the hosts understand each other", async () => (await ping()) === 1, 30_000);
  const indexOf = async (daemon: Daemon): Promise<number> => Number((await daemon.api.call("key", "List", {})).peers[0]!.index);

  /** Some tries in both directions, none of which comes through, though the plain network beside it works. */
  async function expectSilence(): Promise<void> {
    const { sa, sb, pa } = all.sandboxes;
    const tries = [sa.ping(ADDRESSES.sb[0], ["-w", "1"]), sb.ping(ADDRESSES.sa[1], ["-w", "1"])];
    expect(await Promise.all(tries)).toEqual([0, 0]);
    expect(await pa.ping(ADDRESSES.pb[0], ["-w", "5"])).toBe(3);
  }

  async function addAgain(daemon: Daemon, keyFile = all.keyFile): Promise<void> {
    await daemon.must("peer", "rm", peerOf(daemon));
    await daemon.must("peer", "add", "--key-file", keyFile, peerOf(daemon));
  }

  /** Changes the secret in the store of a daemon that was killed. */
  async function meddle(daemon: Daemon, value: Json | undefined): Promise<void> {
    const store = await openLmdbStore(join(daemon.stateDir, STORE_FILE));
    const keys = (await store.list(PEER_SECRET_PREFIX)).map(({ key }) => key);
    expect(keys).toHaveLength(1);
    await store.commit(value === undefined ? { deletes: keys } : { puts: keys.map((key) => ({ key, value })) });
    await store.close();
  }

  test("rotations by hand, by either", async () => {
    for (const daemon of [all.a, all.b, all.a]) {
      const before = await indexOf(daemon);
      await daemon.must("cluster", "keys", "rotate");
      await eventually("both have new keys", async () => (await indexOf(all.a)) > before && (await indexOf(all.b)) > before);
      expect(await ping()).toBe(1);
    }
  });

  test("an engine that traps", async () => {
    await all.a.trap();
    await eventually("the engine was rebuilt", async () => (await all.a.figures()).rebuilds === 1);
    await understand();
    await all.a.law(1);
  });

  test("kill -9, and a stop in good order", async () => {
    for (const dying of isBrief ? [hosts()] : [[all.a], [all.b], hosts()]) {
      await Promise.all(dying.map((daemon) => daemon.kill9()));
      await Promise.all(dying.map((daemon) => daemon.start()));
      await understand();
    }
    expect(await all.b.sigterm()).toBe(0);
    await all.b.start();
    await understand();
    for (const daemon of hosts()) await daemon.law();
  });

  const damages: [string, Json | undefined][] = [
    ["is damaged", { vxlanPort: 4789 }],
    ["is gone", undefined],
  ];
  describe.each(damages.slice(isBrief ? 1 : 0))("a host whose secret %s", (_, value) => {
    test("leaves its peer out, and starts", async () => {
      await all.b.kill9();
      await meddle(all.b, value);
      await all.b.start();
      expect(await all.b.must("status")).toContain("has no keys");
      await expectSilence();
      await addAgain(all.b);
      await understand();
    });
  });

  test("another secret on one side", async () => {
    const other = join(all.b.stateDir, "other.key");
    writeFileSync(other, await all.b.must("cluster", "keys", "new"), { mode: 0o600 });
    await addAgain(all.b, other);
    await expectSilence();
    await addAgain(all.b);
    await understand();
  });

  test("a peer that is removed on one side, then on both", async () => {
    await all.a.must("peer", "rm", peerOf(all.a));
    await all.a.must("peer", "add", peerOf(all.a)); // of all networks, which leaves out encrypted ones
    await expectSilence();
    await all.b.must("peer", "rm", peerOf(all.b));
    await all.b.must("peer", "add", peerOf(all.b));
    await expectSilence();
    for (const daemon of hosts()) await addAgain(daemon);
    await understand();
  });

  test("nothing of all this was seen in clear, though it would have been", async () => {
    const sight: Sight = await watch.end();
    expect(sight.safe).toEqual({});
    expect(sight.esp).toBeGreaterThan(300);
    for (const times of ["words", "headers", "addresses", "dissected"].map((what) => sight.plain[what] ?? 0))
      expect(times).toBeGreaterThan(300);
    for (const daemon of hosts()) {
      expect(await daemon.drops()).toMatchObject({ "esp-forged": 0, "esp-plaintext": 0 });
      await daemon.law();
    }
  });
}

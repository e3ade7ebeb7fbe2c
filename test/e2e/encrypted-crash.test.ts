// Keys over crashes of real daemons with their real stores: killed at any instant while sandboxes talk and keys rotate, a daemon
// comes back, takes nothing of what somebody recorded before, and talks again. And two daemons of one copied state directory
// use no number of a key twice.
//
// WEFT_KILLS sets how often one is killed: 20 in `npm run nightly`.
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { decodeSpi } from "../../src/keys/spi.ts";
import { STORE_FILE } from "../../src/store/lmdb.ts";
import { Daemon, eventually } from "../support/daemon.ts";
import { ADDRESSES, encryptedHosts, SAFE_VNI, UNDERLAYS } from "../support/encrypted-hosts.ts";
import { type Host, Lab, must } from "../support/hosts.ts";
import { fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { overlay } from "../support/two-hosts.ts";

const KILLS = Number(process.env.WEFT_KILLS ?? 4);
const RESUME_MS = 15_000;
const REPLAY = ["/usr/bin/python3", fileURLToPath(new URL("../support/replay.py", import.meta.url))];
/** Under which name a recording may end. */
const REFUSALS = ["esp-unknown-spi", "esp-replayed", "esp-late", "esp-forged"];

const lab = new Lab();
afterAll(() => lab.dispose());

/** ICMP messages that a host's stack has received. */
async function heard(host: Host): Promise<number> {
  return Number(await host.must(["awk", "/^Icmp: [0-9]/ { print $2 }", "/proc/net/snmp"]));
}

const refused = async (daemon: Daemon): Promise<number> => {
  const drops = await daemon.drops();
  return REFUSALS.reduce((sum, name) => sum + drops[name]!, 0);
};

test(`${KILLS} kills under rotations`, { timeout: 60_000 + KILLS * 30_000 }, async () => {
  const all = await encryptedHosts(lab, "ipv4");
  const { sa, sb } = all.sandboxes;
  const sides = [
    { daemon: all.a, sandbox: sa, address: UNDERLAYS.ipv4[0], from: all.b.host },
    { daemon: all.b, sandbox: sb, address: UNDERLAYS.ipv4[1], from: all.hostA },
  ] as const;
  const capture = await LinkCapture.start(lab, all.hostA, "up0", "udp port 4500");
  const reach = async (): Promise<boolean> => (await sa.ping(ADDRESSES.sb[0], ["-W", "1"], 1)) === 1;
  await eventually("they talk", reach, RESUME_MS);
  const account = { rotations: 0, played: 0, refused: 0, resumedMs: [] as number[] };
  for (let kill = 0; kill < KILLS; kill++) {
    const { daemon, sandbox, address, from } = sides[kill % 2]!;
    const talk = [sa, sb].map((one, i) => lab.background(one, ["ping", "-n", "-q", "-i", "0.005", ADDRESSES[i === 0 ? "sb" : "sa"][0]]));
    let over = false;
    const rotating = (async () => {
      for (let turn = 0; !over; turn++) {
        await sides[turn % 2]!.daemon.api.call("key", "Rotate", {}).then(
          () => account.rotations++,
          () => {}, // it has just been killed
        );
        await pause(20);
      }
    })();
    await pause(200 + Math.random() * 500);
    await daemon.kill9();
    await Promise.all(talk.map((one) => one.end("SIGINT")));
    over = true;
    await rotating;
    await daemon.start();
    const began = Date.now();

    // The most dangerous moment: replay windows are gone, and the peer has not been heard.
    const before = { heard: await heard(sandbox), refused: await refused(daemon) };
    const played = Number(/played (\d+)/.exec(await must(from.argv([...REPLAY, "up0", capture.file, address])))![1]);
    await eventually("all of it is refused", async () => (await refused(daemon)) - before.refused >= played, 10_000);
    expect(await heard(sandbox)).toBe(before.heard);
    account.played += played;
    account.refused += (await refused(daemon)) - before.refused;

    await eventually("they talk again", reach, RESUME_MS);
    account.resumedMs.push(Date.now() - began);
    await daemon.law();
  }
  if (KILLS > 10) console.log(JSON.stringify(account));
  await capture.stop();
  expect(account.played).toBeGreaterThan(20 * KILLS);
  expect(account.rotations).toBeGreaterThan(2 * KILLS);
});

/** A daemon that has a peer which never answers, and what of ESP it sends. */
async function lonely(name: string, origin?: Daemon): Promise<{ daemon: Daemon; capture: LinkCapture }> {
  const [host, other] = await Promise.all([lab.host(name), lab.host(`${name}x`)]);
  await lab.wire([host, "up0", "10.79.0.1/24"], [other, "up0", "10.79.0.2/24"]);
  const capture = await LinkCapture.start(lab, host, "up0", "udp port 4500");
  const daemon = new Daemon(lab, host, { underlayAddress: "10.79.0.1", nodeName: name });
  if (origin !== undefined) copyFileSync(join(origin.stateDir, STORE_FILE), join(daemon.stateDir, STORE_FILE));
  return { daemon, capture };
}

test("daemons of one copied state directory use no number of a key twice", async () => {
  const first = await lonely("c");
  await first.daemon.start();
  await first.daemon.must("network", "create", "--opt", "encrypted", ...overlay("safe", SAFE_VNI, 51));
  const seed = await first.daemon.must("cluster", "keys", "new");
  const added = await first.daemon.cli(["peer", "add", "--key-file", "-", "10.79.0.2"], { input: seed });
  expect(added).toMatchObject({ code: 0 });
  await first.daemon.kill9();
  const second = await lonely("d", first.daemon);
  const all = [first, second];
  await Promise.all(all.map(({ daemon }) => daemon.start()));
  // A second after its start, by its first position: one that is told to rotate before never says anything by it.
  const originated = async (daemon: Daemon): Promise<number> => Number((await daemon.figures()).counters.originated);
  await Promise.all(all.map(({ daemon }) => eventually("it spoke by its first key", async () => (await originated(daemon)) > 0)));
  for (const { daemon } of all) for (let i = 0; i < 3; i++) await daemon.must("cluster", "keys", "rotate");
  for (const { daemon } of all) expect(await originated(daemon)).toBeGreaterThan(3);
  const numbers = await Promise.all(
    all.map(async ({ capture }) => {
      const rows = await fieldsOf(await capture.stop(), "esp and ip.src == 10.79.0.1", ["esp.spi", "esp.sequence"]);
      return rows.map(([spi, sequence]) => ({ spi: Number(spi), text: `${spi} ${sequence}` }));
    }),
  );
  // By the same epoch and positions: only the tag tells them apart.
  const last = numbers.map((sent) => new Set(sent.map(({ spi }) => decodeSpi(spi)!).map(({ epoch, index }) => `${epoch} ${index}`)));
  expect([...last[1]!].every((one) => last[0]!.has(one))).toBe(true);
  const texts = numbers.flatMap((sent) => sent.map(({ text }) => text));
  expect(texts.length).toBeGreaterThan(6);
  expect(new Set(texts).size).toBe(texts.length);
  for (const { daemon } of all) await daemon.law();
});

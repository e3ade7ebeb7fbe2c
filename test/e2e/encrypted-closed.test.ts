// Encrypted overlays where keys come and go: a daemon that is killed, a peer whose keys are taken away. Whatever happens, nothing
// of theirs crosses the underlay in the clear.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Daemon, eventually } from "../support/daemon.ts";
import { ADDRESSES, type EncryptedHosts, encryptedHosts, SAFE_VNI, UNDERLAYS } from "../support/encrypted-hosts.ts";
import { Lab } from "../support/hosts.ts";
import { fieldsOf, LinkCapture } from "../support/link-capture.ts";

const lab = new Lab();
/** As ping -p has it: "weft" in hexadecimal. */
const PATTERN = "77656674";
const TEXT = "weftweftweft";
let all: EncryptedHosts;
let a: Daemon;

beforeAll(async () => {
  all = await encryptedHosts(lab, "ipv4");
  ({ a } = all);
});
afterEach(async () => {
  await all?.a.law();
  await all?.b.law();
});
afterAll(() => lab.dispose());

/** Datagrams of the encrypted network that are not in ESP. */
const inClear = (file: string): Promise<string[][]> =>
  fieldsOf(file, `vxlan.vni == ${SAFE_VNI} or frame contains "${TEXT}"`, ["frame.number"]);

/** How soon they do after one of them has lost its keys depends on who speaks first. */
const understand = (): Promise<boolean> =>
  eventually("the hosts understand each other", async () => (await all.sandboxes.sa.ping(ADDRESSES.sb[0], ["-W", "1"], 1)) === 1, 15_000);

test("a daemon that was killed has its peer's secret, and goes on with new keys, by the engine's own cipher too", async () => {
  await understand();
  const capture = await LinkCapture.start(lab, all.hostA, "up0");
  const pinging = all.sandboxes.sb.ping(ADDRESSES.sa[0], ["-p", PATTERN, "-i", "0.05", "-w", "3"], 60);
  await a.kill9();
  await a.start(["--set", "datapath.crypto=wasm"]);
  expect(await a.must("info")).toMatch(/crypto +wasm: self-test passed/);
  await pinging;
  await understand();
  expect(await all.sandboxes.sb.ping(ADDRESSES.sa[1], ["-i", "0.02"], 3)).toBe(3);
  expect(await a.must("peer", "ls")).toContain("key, udp");
  expect(await inClear(await capture.stop())).toEqual([]);
  for (const daemon of [all.a, all.b])
    expect(await daemon.drops()).toMatchObject({ "esp-forged": 0, "esp-replayed": 0, "esp-plaintext": 0 });
});

test("without keys there is no traffic, and nobody comes in by mistake", async () => {
  const refused = await a.cli(["peer", "add", "--network", "safe", "10.78.0.9"]);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/network safe is encrypted and peer 10\.78\.0\.9 has no keys/) });
  const capture = await LinkCapture.start(lab, all.hostA, "up0");
  await a.must("peer", "rm", UNDERLAYS.ipv4[1]);
  const added = await a.cli(["peer", "add", UNDERLAYS.ipv4[1]]);
  expect(added).toMatchObject({ code: 0, stderr: expect.stringContaining("left out of encrypted networks: safe") });
  expect(await a.must("peer", "ls")).toContain("none, left out of safe");
  expect((await a.json("network", "inspect", "safe"))[0].Warnings).toEqual([expect.stringContaining("has no keys")]);
  expect(await a.must("status")).toContain("has no keys");
  expect(await a.json("sa")).toEqual([]);
  expect(await all.sandboxes.sa.ping(ADDRESSES.sb[0], ["-W", "0.3", "-p", PATTERN], 1)).toBe(0);
  expect(await all.sandboxes.sb.ping(ADDRESSES.sa[0], ["-W", "0.3", "-p", PATTERN], 1)).toBe(0);
  expect(await all.sandboxes.pa.ping(ADDRESSES.pb[0], ["-i", "0.05"], 2)).toBe(2);
  const file = await capture.stop();
  expect(await inClear(file)).toEqual([]);
  await a.must("peer", "rm", UNDERLAYS.ipv4[1]);
  await a.must("peer", "add", "--key-file", all.keyFile, UNDERLAYS.ipv4[1]);
  await understand();
});

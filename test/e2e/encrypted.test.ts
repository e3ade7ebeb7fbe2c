// Encrypted overlays as a user meets them: two daemons, one key file, and somebody who listens on the underlay.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { isSealedBy } from "../../src/keys/verify.ts";
import { type Daemon, eventually } from "../support/daemon.ts";
import { ADDRESSES, type EncryptedHosts, encryptedHosts, PLAIN_VNI, UNDERLAYS } from "../support/encrypted-hosts.ts";
import { Lab } from "../support/hosts.ts";
import { formsOf, keysOf, type ShownAssociation } from "../support/key-forms.ts";
import { fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const lab = new Lab();
/** As ping -p has it: "weft" in hexadecimal. */
const PATTERN = "77656674";
const TEXT = "weftweftweft";
let all: EncryptedHosts;
let a: Daemon;
let b: Daemon;

beforeAll(async () => {
  all = await encryptedHosts(lab, "ipv4", ["--log-level", "trace"]);
  ({ a, b } = all);
  await Promise.all([servers(lab, all.sandboxes.sa), servers(lab, all.sandboxes.sb)]);
});
afterEach(async () => {
  await a?.law();
  await b?.law();
});
afterAll(() => lab.dispose());

/** Of drops that mean something went wrong, by either host. */
async function troubles(): Promise<string[]> {
  const counts = await Promise.all([a, b].map((daemon) => daemon.drops()));
  const names = ["esp-forged", "esp-replayed", "esp-late", "esp-malformed", "esp-plaintext", "esp-unexpected"];
  return counts.flatMap((drops) => names.filter((name) => (drops[name] ?? 0) > 0));
}

test("the underlay sees ESP of the encrypted network and VXLAN of the plain one", async () => {
  const capture = await LinkCapture.start(lab, all.hostA, "up0");
  const { sa, sb, pa } = all.sandboxes;
  for (const address of ADDRESSES.sb) expect(await sa.ping(address, ["-p", PATTERN, "-i", "0.05"])).toBe(3);
  for (const address of ADDRESSES.sa) expect(await sb.ping(address, ["-p", PATTERN, "-i", "0.05"])).toBe(3);
  expect(await pa.ping(ADDRESSES.pb[0], ["-i", "0.05"])).toBe(3);
  for (const address of ADDRESSES.sb) await transfer(sa, address, 10);
  for (const address of ADDRESSES.sa) await transfer(sb, address, 10);
  await datagramSizes(sa, ADDRESSES.sb[0], 1330, 1380); // 1408 less 28 are whole packets
  const file = await capture.stop();
  const vnis = new Set((await fieldsOf(file, "vxlan", ["vxlan.vni"])).map(([vni]) => vni));
  expect([...vnis]).toEqual([String(PLAIN_VNI)]);
  expect((await fieldsOf(file, "esp and udp.dstport == 4500", ["esp.spi"])).length).toBeGreaterThan(100);
  expect(await fieldsOf(file, `frame contains "${TEXT}"`, ["frame.number"])).toEqual([]);
  expect(await fieldsOf(file, "ip.addr == 10.51.0.0/24 or ipv6.addr == fd51::/64", ["frame.number"])).toEqual([]);
  expect(await fieldsOf(file, "ip.flags.mf == 1 or ip.frag_offset > 0", ["frame.number"])).toEqual([]);
  expect(await troubles()).toEqual([]);
});

describe("what the commands show", () => {
  test("network inspect: the option and the MTU that fits, which the interface has", async () => {
    const [network] = await a.json("network", "inspect", "safe");
    expect(network.Options).toMatchObject({ encrypted: "", "com.docker.network.driver.mtu": "1408" });
    expect(network).not.toHaveProperty("Warnings");
    expect((await all.sandboxes.sa.link("eth0")).mtu).toBe(1408);
    expect((await all.sandboxes.pa.link("eth0")).mtu).toBe(1450);
  });

  test("sa, peer ls, cluster keys ls, info", async () => {
    await all.sandboxes.sa.ping(ADDRESSES.sb[0], [], 1);
    const associations = (await a.json("sa", "safe")) as Record<string, unknown>[];
    const used = associations.filter(({ Packets }) => (Packets as number) > 0);
    expect(used.map(({ Peer, Direction, Transport, Algorithm }) => [Peer, Direction, Transport, Algorithm])).toEqual(
      expect.arrayContaining([
        [UNDERLAYS.ipv4[1], "in", "udp", "aes-256-gcm"],
        [UNDERLAYS.ipv4[1], "out", "udp", "aes-256-gcm"],
      ]),
    );
    expect(await a.must("sa")).toMatch(/^SPI +PEER +DIR +ALGORITHM/);
    expect(await a.must("peer", "ls")).toMatch(/10\.78\.0\.2 +4789 +\* +key, udp/);
    expect(await a.json("cluster", "keys", "ls")).toMatchObject([{ Address: UNDERLAYS.ipv4[1], Encryption: "key", Heard: true }]);
    expect(await a.must("info")).toMatch(/crypto +(native|wasm): .*self-test/);
  });

  test("capture of the underlay: ESP, or with --decrypt the frames inside", async () => {
    const captured = async (...flags: string[]): Promise<string> => {
      const file = join(a.stateDir, `capture${flags.length}.pcapng`);
      const capture = lab.background(a.host, [a.argv()[0]!, "--socket", a.socket, "capture", "underlay", "-w", file, ...flags]);
      await eventually("the capture has begun", () => capture.stderr.includes("ctrl-c ends"));
      expect(await all.sandboxes.sa.pings(ADDRESSES.sb[0], 3, 0)).toEqual({ sent: 3, received: 3 });
      await capture.end("SIGINT");
      return file;
    };
    const sealed = await captured();
    expect((await fieldsOf(sealed, "esp", ["esp.spi"])).length).toBeGreaterThanOrEqual(6);
    expect(await fieldsOf(sealed, "icmp", ["frame.number"])).toEqual([]);
    const opened = await captured("--decrypt");
    expect((await fieldsOf(opened, "icmp.type == 8", ["ip.dst"])).map(([to]) => to)).toEqual(Array(3).fill(ADDRESSES.sb[0]));
    expect((await fieldsOf(opened, "icmp.type == 0", ["ip.dst"])).map(([to]) => to)).toEqual(Array(3).fill(ADDRESSES.sa[0]));
    expect(await fieldsOf(opened, "esp", ["frame.number"])).toEqual([]);
  });
});

test("new keys under way lose nothing", async () => {
  const index = async (): Promise<number> => (await a.json("cluster", "keys", "ls"))[0].Index;
  const before = await index();
  const pinging = all.sandboxes.sa.pings(ADDRESSES.sb[0], 300, 0.01);
  for (const daemon of [a, b, a, b]) expect(await daemon.must("cluster", "keys", "rotate")).toBe("1 pair has a new key");
  expect(await pinging).toEqual({ sent: 300, received: 300 });
  // The hosts follow each other, and each moves on twice.
  expect(await index()).toBeGreaterThanOrEqual(before + 4);
  expect(await troubles()).toEqual([]);
});

test("the seed, and the keys made of it, are in nothing that anybody else sees, however much is logged", async () => {
  const { api } = a;
  const seed = Buffer.from(all.seed, "base64");
  const capture = await LinkCapture.start(lab, all.hostA, "up0");
  expect(await all.sandboxes.sa.ping(ADDRESSES.sb[0], ["-i", "0.02"])).toBe(3);
  const { Index: index } = (await a.json("cluster", "keys", "ls"))[0];
  const shownKeys = (await a.json("sa")) as ShownAssociation[];
  const keys = keysOf(seed, UNDERLAYS.ipv4, index, shownKeys);
  const sealed = await fieldsOf(await capture.stop(), "esp", ["udp.payload"]);
  // They are the keys: what crossed the wire was sealed by them.
  for (const [hex] of sealed) {
    const bytes = Buffer.from(hex!, "hex");
    expect(keys.some(({ spi, key }) => spi === bytes.readUInt32BE(0) && isSealedBy(bytes, "aes-256-gcm", key))).toBe(true);
  }
  expect(sealed.length).toBeGreaterThanOrEqual(6);

  const answers = await Promise.all([
    ...[api.call("node", "Info", {}), api.call("key", "List", {}), api.call("key", "Associations", { network: "" })],
    ...[api.call("staticPeer", "List", {}), api.call("network", "Inspect", { network: "safe" })],
  ]);
  const commands = [
    ...[["network", "inspect", "safe"], ["sandbox", "inspect", "sa"], ["peer", "ls"], ["sa"], ["cluster", "keys", "ls"]],
    ...[["info"], ["status"], ["vtep", "safe"], ["drops"], ["audit"]],
  ];
  const outputs: string[] = [];
  for (const argv of commands) outputs.push(await a.must(...argv));
  expect(a.log).toContain("peer added");
  const shown = [a.log, b.log, await a.state(), JSON.stringify(answers), ...outputs];
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const lines = processes.map((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1");
    } catch {
      return ""; // it has ended
    }
  });
  const text = [...shown, ...lines].join("\n");
  const secrets = [seed, ...keys.map(({ key }) => key)].flatMap(formsOf);
  expect(secrets.filter((form) => text.includes(form))).toEqual([]);

  const files = readdirSync(a.stateDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith("/netns"))
    .map((entry) => join(entry.parentPath, entry.name));
  const holds = (path: string, forms: readonly string[]): boolean => {
    const content = readFileSync(path, "latin1");
    return forms.some((form) => content.includes(form));
  };
  const withSeed = files.filter((path) => holds(path, formsOf(seed)));
  expect(withSeed.map((path) => path.slice(a.stateDir.length)).sort()).toEqual(["/pair.key", "/store.lmdb"]);
  for (const path of withSeed) expect(statSync(path).mode & 0o777).toBe(0o600);
  const database = files.filter((path) => path.includes("/store.lmdb"));
  expect(database.length).toBeGreaterThanOrEqual(1);
  for (const path of database) expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(a.stateDir).mode & 0o077).toBe(0);
  const derived = keys.flatMap(({ key }) => formsOf(key));
  expect(files.filter((path) => holds(path, derived))).toEqual([]);
});

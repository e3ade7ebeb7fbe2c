// The same across an IPv6 underlay, where ESP has less room and UDP always a checksum; and keyed by hand, without UDP.
import { join } from "node:path";
import { open } from "lmdb";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BLOCK } from "../../src/keys/hand-peer.ts";
import { LMDB_OPTIONS, STORE_FILE } from "../../src/store/lmdb.ts";
import { type Daemon, eventually } from "../support/daemon.ts";
import { ADDRESSES, type EncryptedHosts, encryptedHosts, PLAIN_VNI, UNDERLAYS } from "../support/encrypted-hosts.ts";
import { Lab } from "../support/hosts.ts";
import { fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const lab = new Lab();
let all: EncryptedHosts;

beforeAll(async () => {
  all = await encryptedHosts(lab, "ipv6");
  await Promise.all([servers(lab, all.sandboxes.sa), servers(lab, all.sandboxes.sb)]);
});
afterAll(() => lab.dispose());

test("ping, TCP and UDP both ways, in ESP only and in whole datagrams", async () => {
  const { sa, sb, pa } = all.sandboxes;
  const capture = await LinkCapture.start(lab, all.hostA, "up0");
  for (const address of ADDRESSES.sb) expect(await sa.ping(address, ["-i", "0.05"])).toBe(3);
  for (const address of ADDRESSES.sa) expect(await sb.ping(address, ["-i", "0.05"])).toBe(3);
  expect(await pa.ping(ADDRESSES.pb[1], ["-i", "0.05"])).toBe(3);
  await transfer(sa, ADDRESSES.sb[0], 10);
  await transfer(sb, ADDRESSES.sa[1], 10);
  await datagramSizes(sa, ADDRESSES.sb[0], 1330, 1360);
  const file = await capture.stop();
  expect((await sa.link("eth0")).mtu).toBe(1388);
  const vnis = new Set((await fieldsOf(file, "vxlan", ["vxlan.vni"])).map(([vni]) => vni));
  expect([...vnis]).toEqual([String(PLAIN_VNI)]);
  expect((await fieldsOf(file, "esp and ipv6 and udp.dstport == 4500", ["esp.spi"])).length).toBeGreaterThan(100);
  expect(await fieldsOf(file, "ipv6.nxt == 44", ["frame.number"])).toEqual([]);
  await all.a.law();
  await all.b.law();
});

/** How far the daemon has written down that keys given by hand were used: of those that go out a multiple of BLOCK. */
function storedNumbers({ stateDir }: Daemon): number[] {
  const store = open<string, string>({ path: join(stateDir, STORE_FILE), ...LMDB_OPTIONS, readOnly: true });
  try {
    return [...store.getRange({ start: "esp/hand/", end: "esp/hand0" })].map(({ value }) => Number(/"number":(\d+)/.exec(value)![1]));
  } finally {
    void store.close();
  }
}

test("keyed by hand, ESP without UDP, across a crash of one of them", async () => {
  const { a, b } = all;
  const { sa, sb } = all.sandboxes;
  const direction = (spi: number, digit: string) => ({
    ...{ spi, algorithm: "rfc4106(gcm(aes))", key: digit.repeat(64), salt: digit.repeat(8), esn: true, transport: "raw" },
  });
  const [there, back] = [direction(0x1001, "a"), direction(0x2002, "b")];
  const rekey = async (daemon: Daemon, peer: string, associations: object): Promise<void> => {
    await daemon.must("peer", "rm", peer);
    const added = await daemon.cli(["peer", "add", "--sa-file", "-", peer], { input: JSON.stringify(associations) });
    expect(added).toMatchObject({ code: 0, stderr: "" });
  };
  await rekey(a, UNDERLAYS.ipv6[1], { out: there, in: back });
  await rekey(b, UNDERLAYS.ipv6[0], { out: back, in: there });
  expect(await a.must("peer", "ls")).toContain("by hand, raw");
  expect(await sa.pings(ADDRESSES.sb[1], 7, 0.02)).toEqual({ sent: 7, received: 7 });
  const newest = async (): Promise<number> => (await a.json("sa")).find((one: { Direction: string }) => one.Direction === "in").Sequence;
  const received = await newest();
  await eventually("what was received is stored", () => storedNumbers(a).some((number) => number >= received && number < BLOCK));
  const capture = await LinkCapture.start(lab, all.hostA, "up0");
  await a.kill9();
  await a.start();
  expect(await newest()).toBeGreaterThanOrEqual(received);
  // Numbers go on exactly: the first that either sends is taken.
  await sa.must(["ping", "-n", "-c", "1", "-W", "10", ADDRESSES.sb[1]]);
  await sb.must(["ping", "-n", "-c", "1", "-W", "10", ADDRESSES.sa[0]]);
  // While a was down its kernel may have answered b's ESP by ICMPv6, which quotes it.
  const rows = await fieldsOf(await capture.stop(), "esp and not icmpv6", ["esp.spi", "ipv6.nxt", "udp.dstport"]);
  expect(new Set(rows.map((row) => row.join(" ")))).toEqual(new Set(["0x00001001 50 ", "0x00002002 50 "]));
  const shown = (await a.state()) + a.log + b.log;
  for (const digit of ["a", "b"]) expect(shown).not.toContain(digit.repeat(16));
  for (const daemon of [a, b]) {
    expect(await daemon.drops()).toMatchObject({ "esp-forged": 0, "esp-replayed": 0 });
    await daemon.law();
  }
});

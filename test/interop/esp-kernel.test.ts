// Weft and Debian's kernel as the two ends of one encrypted network: `ip xfrm` and a VXLAN device, in a virtual machine of
// its own, because this machine's kernel may have no ESP. What it sends in ESP we take, and what we send it takes; tshark, which
// has the keys, reads what crossed the link.
//
// Nothing here is ours on the other side: not ESP, not the cipher, not VXLAN, not TCP.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { declared, drops, ESP_VNI, type EspEnd, espEnd, type TestAssociation, testAssociation } from "../support/esp-hosts.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { INNER, kernelEnd, kernelSide, kernelTrouble, OUTER, STREAM, type Way } from "../support/kernel-esp.ts";
import type { KernelGuest } from "../support/kernel-guest.ts";
import { LinkCapture } from "../support/link-capture.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";
import { type EspKey, espFields } from "../support/tshark-esp.ts";

const MTU = 1380;

const WAYS: readonly Way[] = [
  { family: "ipv4", transport: "udp", esn: true, algorithm: "aes-128-gcm", window: 128 },
  { family: "ipv4", transport: "raw", esn: true, algorithm: "aes-256-gcm", window: 4096 },
  { family: "ipv4", transport: "udp", esn: false, algorithm: "aes-256-gcm", window: 32 },
  { family: "ipv4", transport: "raw", esn: false, algorithm: "chacha20-poly1305", window: 32 },
  { family: "ipv6", transport: "raw", esn: true, algorithm: "aes-128-gcm", window: 128 },
  { family: "ipv6", transport: "udp", esn: false, algorithm: "aes-256-gcm", window: 32 },
];

const lab = new Lab();
let underlay: Host;
let guest: KernelGuest;
let weft: EspEnd;

beforeAll(async () => {
  ({ underlay, guest } = await kernelEnd(lab));
  weft = await espEnd(lab, {
    host: underlay,
    name: "w",
    addresses: [OUTER.ipv4[0], OUTER.ipv6[0]],
    peers: [OUTER.ipv4[1], OUTER.ipv6[1]],
    inner: [`${INNER[0]}/24`],
    mac: "02:42:0a:2c:00:02",
    mtuBytes: MTU,
  });
  await servers(lab, weft.sandbox);
});
afterAll(() => lab.dispose());

/** Both sides change their keys. The guest's device is not there meanwhile: its kernel has something to say whenever it is. */
async function key(way: Way, ours: TestAssociation, theirs: TestAssociation): Promise<void> {
  const peer = OUTER[way.family][1];
  await guest.run("ip link delete vx0 2>/dev/null || true");
  // Either side may have something to say at any moment (a router solicitation): nobody sends by a key before both have it.
  await weft.datapath.declare("keys", { associations: [declared(theirs, "in", peer)] });
  const [here, there] = OUTER[way.family];
  await guest.run(kernelSide({ here, there, ours, theirs, window: way.window, vni: ESP_VNI, mtuBytes: MTU, inner: INNER[1] }));
  await weft.datapath.declare("keys", { associations: [declared(ours, "out", peer), declared(theirs, "in", peer)] });
}

describe.each(WAYS)("$algorithm by $transport over $family, ESN $esn", (way) => {
  const serial = WAYS.indexOf(way) * 16;
  const ours = testAssociation(0xc0000001 + serial, way);
  const theirs = testAssociation(0xc0000002 + serial, way);
  const keys: EspKey[] = [ours, theirs];

  beforeAll(async () => {
    await key(way, ours, theirs);
    await weft.sandbox.ip("neigh flush all");
  });

  // Wireshark has no ChaCha20-Poly1305.
  const known = way.algorithm !== "chacha20-poly1305";

  test(`ping both ways${known ? ", and tshark reads all of it with the keys" : ""}`, async () => {
    const capture = await LinkCapture.start(lab, underlay, "up0");
    expect(await weft.sandbox.pings(INNER[1], 3, 0)).toEqual({ sent: 3, received: 3 });
    expect(await guest.run(`ping -n -c 3 -i 0.1 -w 3 ${INNER[0]}`)).toContain(" 3 received");
    const file = await capture.stop();
    if (!known) return;
    const rows = await espFields(file, way.family, keys, "icmp", ["vxlan.vni", "esp.spi", "icmp.type"]);
    const count = (...fields: (string | number)[]): number => rows.filter((row) => row.join() === fields.join()).length;
    const spi = ({ spi }: TestAssociation): string => `0x${spi.toString(16)}`;
    expect(count(ESP_VNI, spi(ours), 8)).toBe(3);
    expect(count(ESP_VNI, spi(theirs), 0)).toBe(3);
    expect(count(ESP_VNI, spi(theirs), 8)).toBe(3);
    expect(count(ESP_VNI, spi(ours), 0)).toBe(3);
  });

  test("UDP of each size, and TCP both ways", async () => {
    await datagramSizes(weft.sandbox, INNER[1], 1, 20);
    await datagramSizes(weft.sandbox, INNER[1], MTU - 48, MTU - 28);
    await transfer(weft.sandbox, INNER[1], 2);
    expect(await guest.run(`${STREAM} send ${INNER[0]} 5001 1000000`)).toContain("equal");
  });

  test("nobody had anything to object to", async () => {
    expect(await kernelTrouble(guest)).toBe("");
    const stats = await weft.datapath.stats();
    expect(stats.lawDifference).toBe(0n);
    expect(Object.keys(await drops(weft.datapath)).filter((name) => name.startsWith("esp-") && name !== "esp-no-sa")).toEqual([]);
    const [inbound] = (await weft.datapath.dumpAssociations()).filter(({ direction }) => direction === "in");
    expect(inbound).toMatchObject({ forged: 0n, replayed: 0n, late: 0n, malformed: 0n });
    expect(inbound!.sequence).toBe(inbound!.packets);
  });
});

test("what the kernel sends without ESP is dropped, and counted", async () => {
  const way = WAYS[0]!;
  const [ours, theirs] = [testAssociation(0xc0000101, way), testAssociation(0xc0000102, way)];
  await key(way, ours, theirs);
  await guest.run(`ping -n -c 1 -w 3 ${INNER[0]}`);
  await guest.run("ip xfrm policy flush");
  expect(await guest.run(`ping -n -c 3 -i 0.1 -w 1 ${INNER[0]} || true`)).toContain(" 0 received");
  expect((await drops(weft.datapath))["esp-plaintext"]).toBeGreaterThan(0n);
});

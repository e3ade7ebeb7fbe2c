// `weft peer add --sa-file` against Debian's kernel: a daemon, its command line and a file on this side, `ip xfrm` and a VXLAN
// device on the other. How ESP itself gets on with it, esp-kernel.test.ts has; here is what an administrator does.
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type TestAssociation, testAssociation } from "../support/esp-hosts.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { INNER, kernelEnd, kernelSide, kernelTrouble, OUTER, STREAM, type Way } from "../support/kernel-esp.ts";
import type { KernelGuest } from "../support/kernel-guest.ts";
import { formsOf } from "../support/key-forms.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const VNI = 4097;

interface FileWay extends Way {
  /** As the file calls it. */
  readonly called: string;
  /** To the guest, and back. */
  readonly icvBytes: readonly [8 | 12 | 16, 8 | 12 | 16];
}

const GCM = "rfc4106(gcm(aes))";
const WAYS: readonly FileWay[] = [
  { family: "ipv4", transport: "udp", esn: true, algorithm: "aes-128-gcm", called: GCM, icvBytes: [16, 16], window: 128 },
  { family: "ipv6", transport: "raw", esn: false, algorithm: "aes-256-gcm", called: "aes-256-gcm", icvBytes: [16, 16], window: 32 },
  { family: "ipv4", transport: "raw", esn: true, algorithm: "aes-256-gcm", called: GCM, icvBytes: [8, 12], window: 128 },
];

const lab = new Lab();
let underlay: Host;
let guest: KernelGuest;
let weft: Daemon;
let sandbox: Host;
let mtuBytes: number;

beforeAll(async () => {
  ({ underlay, guest } = await kernelEnd(lab));
  weft = await Daemon.start(lab, underlay, {
    underlayAddress: OUTER.ipv4[0],
    args: ["--underlay-address", OUTER.ipv6[0], "--log-level", "trace"],
  });
  const vni = `com.docker.network.driver.overlay.vxlanid_list=${VNI}`;
  await weft.must("network", "create", "-d", "overlay", "--opt", "encrypted", "--opt", vni, "--subnet", "10.44.0.0/24", "safe");
  mtuBytes = Number((await weft.json("network", "inspect", "safe"))[0].Options["com.docker.network.driver.mtu"]);
  await weft.must("sandbox", "create", "--network", `safe,ip=${INNER[0]}`, "s");
  sandbox = await weft.enter("s");
  await servers(lab, sandbox);
});
afterEach(() => weft?.law());
afterAll(() => lab.dispose());

/** The file of docs/encryption.md. */
function saFile(way: FileWay, ours: TestAssociation, theirs: TestAssociation): string {
  const entry = ({ spi, esn, icvBytes, transport, key }: TestAssociation) => ({
    spi: `0x${spi.toString(16)}`,
    algorithm: way.called,
    key: Buffer.from(key.subarray(0, -4)).toString("hex"),
    salt: Buffer.from(key.subarray(-4)).toString("hex"),
    ...{ esn, icvBytes, transport },
  });
  const path = join(weft.stateDir, "sa.json");
  writeFileSync(path, JSON.stringify({ out: entry(ours), in: entry(theirs) }));
  chmodSync(path, 0o600);
  return path;
}

const OBJECTIONS = ["esp-forged", "esp-replayed", "esp-late", "esp-malformed", "esp-selector", "esp-plaintext", "esp-unexpected"];

async function expectNoTrouble(): Promise<void> {
  expect(await kernelTrouble(guest)).toBe("");
  const drops = await weft.drops();
  expect(OBJECTIONS.filter((name) => drops[name]! > 0)).toEqual([]);
}

describe.each(WAYS)("$called by $transport over $family, ESN $esn, ICV of $icvBytes", (way) => {
  const [here, there] = OUTER[way.family];
  const serial = WAYS.indexOf(way) * 16;
  const ours = testAssociation(0xc0000001 + serial, { ...way, icvBytes: way.icvBytes[0] });
  const theirs = testAssociation(0xc0000002 + serial, { ...way, icvBytes: way.icvBytes[1] });

  beforeAll(async () => {
    await guest.run(
      `ip link delete vx0 2>/dev/null || true\n${kernelSide({ ...{ here, there, ours, theirs, mtuBytes }, window: way.window, vni: VNI, inner: INNER[1] })}`,
    );
    const added = await weft.cli(["peer", "add", "--sa-file", saFile(way, ours, theirs), there]);
    expect(added).toEqual({ code: 0, stdout: `${there}\n`, stderr: "" });
    await sandbox.ip("neigh flush all");
  });
  afterAll(() => weft.must("peer", "rm", there));

  test("ping, UDP of each size and TCP both ways", async () => {
    expect(await sandbox.ping(INNER[1])).toBe(3);
    expect(await guest.run(`ping -n -c 3 -i 0.1 -w 3 ${INNER[0]}`)).toContain(" 3 received");
    await datagramSizes(sandbox, INNER[1], mtuBytes - 40, mtuBytes - 28);
    await transfer(sandbox, INNER[1], 1);
    expect(await guest.run(`${STREAM} send ${INNER[0]} 5001 500000`)).toContain("equal");
    await expectNoTrouble();
  });

  test("what the commands show", async () => {
    expect(await weft.must("peer", "ls")).toMatch(new RegExp(`${there} +4789 +\\* +by hand, ${way.transport} `));
    const shown = (await weft.json("sa", "safe")) as { Direction: string; Packets: number }[];
    const common = { Peer: there, Algorithm: way.algorithm, Transport: way.transport, Esn: way.esn, Replayed: 0, Late: 0, Forged: 0 };
    expect(shown).toMatchObject([
      { ...common, Direction: "in", Spi: `0x${theirs.spi.toString(16)}`, IcvBytes: way.icvBytes[1] },
      { ...common, Direction: "out", Spi: `0x${ours.spi.toString(16)}`, IcvBytes: way.icvBytes[0], Current: true },
    ]);
    for (const { Packets } of shown) expect(Packets).toBeGreaterThan(100);
    const text = [weft.log, await weft.state(), JSON.stringify(shown), await weft.must("network", "inspect", "safe")].join();
    expect([ours, theirs].flatMap(({ key }) => formsOf(key)).filter((form) => text.includes(form))).toEqual([]);
  });

  if (!way.esn || way.transport === "raw") return;

  test("a daemon that was killed goes on behind all numbers that it has used: the kernel sees no repetition", async () => {
    const before = (await weft.json("sa"))[1].Sequence as number;
    await weft.kill9();
    await weft.start();
    expect(await sandbox.ping(INNER[1])).toBe(3);
    expect((await weft.json("sa"))[1].Sequence).toBeGreaterThan(before);
    expect(await guest.run(`ping -n -c 3 -i 0.1 -w 3 ${INNER[0]}`)).toContain(" 3 received");
    await expectNoTrouble();
  });
});

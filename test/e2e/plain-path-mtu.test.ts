// Path MTU of overlays in the clear on the wire: a router whose second link is narrower, and a forger beside it who knows all
// addresses, ports and the VNI, but not what our datagrams carry; or who does, as somebody on the path would.
//
//   a (10.9.0.1, fd09::1) ── r ── b (10.9.1.1, fd09:1::1)        sandboxes 10.0.0.1 and 10.0.0.2 behind them
//
// Routers of Linux say what is too long, scapy builds what is forged; the test's own numbers are those on ICMP's wire.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../src/paths.ts";
import { eventually } from "../support/daemon.ts";
import { drops, ESP_VNI } from "../support/esp-hosts.ts";
import { Lab } from "../support/hosts.ts";
import { expectInnerMtu, forgetPaths, INNER, NARROW, type NarrowPath, narrowPath, OUTER, pingWhole } from "../support/narrow-path.ts";
import { transfer } from "../support/traffic.ts";

const MTU = 1430; // fits 1500 by IPv6
const FAMILIES = ["ipv4", "ipv6"] as const;
const OVERHEAD = { ipv4: 50, ipv6: 70 } as const; // IP, UDP, VXLAN, Ethernet
const LEAST = { ipv4: 576, ipv6: 1280 } as const;

const lab = new Lab();
let path: NarrowPath;

beforeAll(async () => {
  path = await narrowPath(lab, { mtuBytes: MTU, encrypted: false });
}, 60_000);
afterAll(() => lab.dispose());

const ping = (bytes: number): Promise<number> => pingWhole(path, bytes);
const forget = (): Promise<void> => forgetPaths(path);
const dropped = async (name: string): Promise<bigint> => (await drops(path.ends[0].datapath))[name] ?? 0n;

describe.each(FAMILIES)("by %s", (family) => {
  const [ours, theirs] = OUTER[family];
  const inner = (bytes: number): number => bytes - OVERHEAD[family];

  beforeAll(async () => {
    for (const i of [1, 0]) {
      await path.ends[i]!.datapath.declare("peers", {}); // with the peer goes what was known of its path
      await path.ends[i]!.datapath.declare("peers", { vteps: [{ domain: "n1", address: OUTER[family][1 - i]!, port: 4789 }] });
    }
    await eventually("an answer to pings", async () => (await ping(MTU)) === 3);
  });
  afterEach(async () => {
    const stats = await path.ends[0].datapath.stats();
    expect([stats.lawDifference, await dropped("send-refused")]).toEqual([0n, 0n]);
    await forget();
  });

  /** Sends a an error of the router's about an IP packet; `quoted` is scapy's, `bytes` long with the outer header. */
  async function forge(quoted: string, bytes: number, mtuBytes: number): Promise<void> {
    const [from, to] = [(await path.router.link("ra")).address, (await path.hosts[0].link("up0")).address];
    const packet =
      family === "ipv4"
        ? `IP(src="10.9.0.254",dst="${ours}")/ICMP(type=3,code=4,nexthopmtu=${mtuBytes})/` +
          `IP(src="${ours}",dst="${theirs}",flags="DF",proto=17,len=${bytes})/${quoted}`
        : `IPv6(src="fd09::fe",dst="${ours}")/ICMPv6PacketTooBig(mtu=${mtuBytes})/` +
          `IPv6(src="${ours}",dst="${theirs}",nh=17,plen=${bytes - 40})/${quoted}`;
    await path.forger.send("ra", `Ether(src="${from}",dst="${to}")/${packet}`);
  }

  it("goes on at full length whoever forges errors about it, and the kernel's route cache does not count", async () => {
    const sourcePort = path.ends[0].datapath.info().underlay[0]!.sourcePorts[0]!;
    const [before, learned] = [await dropped("path-mtu-unproven"), await dropped("path-mtu-learned")];
    for (let i = 0; i < 3; i++) {
      const tcp = `Ether(src="02:42:0a:00:00:01",dst="02:42:0a:00:00:02")/IP(src="${INNER[0]}",dst="${INNER[1]}",flags="DF")/TCP(seq=${i})/Raw(bytes(400))`;
      await forge(`UDP(sport=${sourcePort},dport=4789,len=1460)/VXLAN(vni=${ESP_VNI},flags="Instance")/${tcp}`, 1480, LEAST[family]);
    }
    await expect.poll(() => dropped("path-mtu-unproven")).toBe(before + 3n);
    // The kernel has believed it: who asks it for the route is told of the small MTU.
    expect(await path.hosts[0].must(["ip", "route", "get", theirs])).toContain(`mtu ${LEAST[family]}`);
    expect(await ping(MTU)).toBe(3);
    await transfer(path.ends[0].sandbox, INNER[1], 2);
    expect(await dropped("path-mtu-learned")).toBe(learned);
  });

  it("hears of a narrow link of a router, tells the sandbox, and TCP goes on through it", async () => {
    await path.router.ip(`link set rb mtu ${NARROW}`);
    try {
      const before = await dropped("path-mtu-learned");
      await transfer(path.ends[0].sandbox, INNER[1], 8);
      expect(await dropped("path-mtu-learned")).toBe(before + 1n);
      await forget();
      await expectInnerMtu(path, inner(NARROW));
    } finally {
      await path.router.ip("link set rb mtu 1500");
    }
  });
});

it("goes on without CAP_NET_RAW, by what the kernel believes, and says so", () => {
  const underlay = JSON.stringify(join(ROOT, "build/dist/src/ports/underlay.js"));
  const script = `const { openUnderlay } = await import(${underlay});
    const warnings = [];
    const { fds, errorsFd } = await openUnderlay(null, "127.0.0.1", 48_765, 1, (message) => warnings.push(message));
    console.log(JSON.stringify({ sockets: fds.length, hears: errorsFd !== null, warnings }));`;
  const node = [process.execPath, "--input-type=module", "-e", script];
  const run = ([command, ...argv]: readonly string[]) => JSON.parse(spawnSync(command!, argv, { encoding: "utf8" }).stdout);
  expect(run(node)).toEqual({ sockets: 17, hears: true, warnings: [] });
  expect(run(["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", ...node])).toEqual({
    ...{ sockets: 17, hears: false },
    warnings: [expect.stringMatching(/^cannot open a raw socket for ICMP on 127\.0\.0\.1: .*CAP_NET_RAW/)],
  });
});

// Path MTU of encrypted overlays on the wire: a router whose second link is narrower, and a forger beside it who knows all
// addresses and ports but not what is in our datagrams.
//
//   a (10.9.0.1, fd09::1) ── r ── b (10.9.1.1, fd09:1::1)        sandboxes 10.0.0.1 and 10.0.0.2 behind them
//
// Routers of Linux say what is too long, scapy builds what is forged; the test's own numbers are those on ICMP's wire.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/daemon.ts";
import { declared, drops, type TestAssociation, testAssociation } from "../support/esp-hosts.ts";
import { Lab } from "../support/hosts.ts";
import { expectInnerMtu, forgetPaths, INNER, NARROW, type NarrowPath, narrowPath, OUTER, pingWhole } from "../support/narrow-path.ts";
import { transfer } from "../support/traffic.ts";

const MTU = 1388; // fits 1500 by IPv6 and UDP
const WAYS = [
  { family: "ipv4", transport: "udp" },
  { family: "ipv6", transport: "udp" },
  { family: "ipv4", transport: "raw" },
  { family: "ipv6", transport: "raw" },
] as const;

const lab = new Lab();
let path: NarrowPath;
let spi = 0xd0000000;

beforeAll(async () => {
  path = await narrowPath(lab, { mtuBytes: MTU });
}, 60_000);
afterAll(() => lab.dispose());

/** Makes both hosts each other's only peers, with new keys; answers the association from a to b. */
async function key({ family, transport }: (typeof WAYS)[number]): Promise<TestAssociation> {
  const pair = [testAssociation(spi++, { transport }), testAssociation(spi++, { transport })];
  for (const i of [1, 0]) {
    const peer = OUTER[family][1 - i]!;
    const { datapath } = path.ends[i]!;
    await datapath.declare("keys", {}); // with the peer goes what was known of its path
    await datapath.declare("keys", {
      vteps: [{ domain: "n1", address: peer, port: 4789 }],
      associations: [declared(pair[i]!, "out", peer), declared(pair[1 - i]!, "in", peer)],
    });
  }
  return pair[0]!;
}

const outbound = async () => (await path.ends[0].datapath.dumpAssociations()).find(({ direction }) => direction === "out")!;
const known = async (): Promise<number | null> => (await outbound()).pathMtuBytes;

const ping = (bytes: number): Promise<number> => pingWhole(path, bytes);
const forget = (): Promise<void> => forgetPaths(path);

describe.each(WAYS)("by $family, $transport", (way) => {
  const [ours, theirs] = OUTER[way.family];
  const overhead = (way.family === "ipv4" ? 20 : 40) + (way.transport === "udp" ? 8 : 0);
  /** The longest inner packet that fits an outer one of so many bytes. */
  const inner = (bytes: number): number => ((bytes - overhead - 32) & ~3) - 32;

  /** Sends a an error of the router's about ESP with this SPI and number. */
  async function forge(quotedSpi: number, sequence: number, mtuBytes: number): Promise<void> {
    const [from, to] = [(await path.router.link("ra")).address, (await path.hosts[0].link("up0")).address];
    const esp = `Raw(struct.pack("!II", ${quotedSpi}, ${sequence}) + bytes(64))`;
    const l4 = way.transport === "udp" ? `UDP(sport=4500,dport=4500,len=1460)/${esp}` : esp;
    const protocol = way.transport === "udp" ? 17 : 50;
    const packet =
      way.family === "ipv4"
        ? `IP(src="10.9.0.254",dst="${ours}")/ICMP(type=3,code=4,nexthopmtu=${mtuBytes})/` +
          `IP(src="${ours}",dst="${theirs}",flags="DF",proto=${protocol},len=1480)/${l4}`
        : `IPv6(src="fd09::fe",dst="${ours}")/ICMPv6PacketTooBig(mtu=${mtuBytes})/` +
          `IPv6(src="${ours}",dst="${theirs}",nh=${protocol},plen=1440)/${l4}`;
    await path.forger.send("ra", `Ether(src="${from}",dst="${to}")/${packet}`);
  }

  /** The drop of this name that the work makes. */
  async function counted(name: string, work: () => Promise<void>): Promise<void> {
    const before = (await drops(path.ends[0].datapath))[name] ?? 0n;
    await work();
    await expect.poll(async () => (await drops(path.ends[0].datapath))[name] ?? 0n).toBe(before + 1n);
  }

  it("does not believe who quotes no datagram of ours, whatever the kernel believes; and believes who does", async () => {
    const { spi: sent } = await key(way);
    await eventually("an answer to pings", async () => (await ping(MTU)) === 3);
    const { sequence } = await outbound();
    await counted("path-mtu-spi", () => forge(0xdeadbeef, 1, 1280));
    await counted("path-mtu-sequence", () => forge(sent, Number(sequence) + 1000, 1280));
    expect(await known()).toBeNull();
    expect(await ping(MTU)).toBe(3);
    await transfer(path.ends[0].sandbox, INNER[1], 2);
    await counted("path-mtu-learned", () => forge(sent, Number(sequence), 1280));
    expect(await known()).toBe(1280);
    expect(await ping(inner(1280))).toBe(3);
    // The sandbox's kernel has heard of it after the first: the others it does not send.
    expect(await ping(inner(1280) + 1)).toBe(0);
    expect(await path.ends[0].sandbox.must(["ip", "route", "get", INNER[1]])).toContain(`mtu ${inner(1280)}`);
    await transfer(path.ends[0].sandbox, INNER[1], 2);
    const stats = await path.ends[0].datapath.stats();
    expect([stats.lawDifference, (await drops(path.ends[0].datapath))["send-refused"]]).toEqual([0n, undefined]);
    await forget();
  });

  it("finds out how much a narrow link of a router carries, and TCP goes on through it", async () => {
    await key(way);
    await eventually("an answer to pings", async () => (await ping(MTU)) === 3);
    await path.router.ip(`link set rb mtu ${NARROW}`);
    try {
      await transfer(path.ends[0].sandbox, INNER[1], 5);
      expect(await known()).toBe(NARROW);
      await forget();
      await expectInnerMtu(path, inner(NARROW));
    } finally {
      await path.router.ip("link set rb mtu 1500");
    }
    const stats = await path.ends[0].datapath.stats();
    expect([stats.lawDifference, (await drops(path.ends[0].datapath))["send-refused"]]).toEqual([0n, undefined]);
    await forget();
  });
});

// Path MTU of encrypted overlays on the wire: a router whose second link is narrower, and a forger beside it who knows all
// addresses and ports but not what is in our datagrams.
//
//   a (10.9.0.1, fd09::1) ── r ── b (10.9.1.1, fd09:1::1)        sandboxes 10.0.0.1 and 10.0.0.2 behind them
//
// Routers of Linux say what is too long, scapy builds what is forged; the test's own numbers are those on ICMP's wire.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../support/daemon.ts";
import { declared, drops, type EspEnd, espEnd, type TestAssociation, testAssociation } from "../support/esp-hosts.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { Scapy } from "../support/scapy.ts";
import { servers, transfer } from "../support/traffic.ts";

const MTU = 1388; // fits 1500 by IPv6 and UDP
const NARROW = 1400;
const WAYS = [
  { family: "ipv4", transport: "udp" },
  { family: "ipv6", transport: "udp" },
  { family: "ipv4", transport: "raw" },
  { family: "ipv6", transport: "raw" },
] as const;
const OUTER = { ipv4: ["10.9.0.1", "10.9.1.1"], ipv6: ["fd09::1", "fd09:1::1"] } as const;
const INNER = ["10.0.0.1", "10.0.0.2"] as const;

const lab = new Lab();
const ends: EspEnd[] = [];
let hosts: [Host, Host];
let router: Host;
let forger: Scapy;
let spi = 0xd0000000;

beforeAll(async () => {
  const [a, r, b] = [await lab.host("a"), await lab.host("r"), await lab.host("b")];
  hosts = [a, b];
  router = r;
  await lab.wire([a, "up0", "10.9.0.1/24", "fd09::1/64"], [r, "ra", "10.9.0.254/24", "fd09::fe/64"]);
  await lab.wire([b, "up0", "10.9.1.1/24", "fd09:1::1/64"], [r, "rb", "10.9.1.254/24", "fd09:1::fe/64"]);
  await r.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
  await a.ip("route add default via 10.9.0.254\nroute add ::/0 via fd09::fe");
  await b.ip("route add default via 10.9.1.254\nroute add ::/0 via fd09:1::fe");
  for (const [i, host] of hosts.entries()) {
    const addresses = WAYS.slice(0, 2).map(({ family }) => OUTER[family][i]!);
    const mac = `02:42:0a:00:00:0${i + 1}`;
    ends.push(await espEnd(lab, { host, name: `w${i}`, addresses, peers: [], inner: [`${INNER[i]}/24`], mac, mtuBytes: MTU }));
  }
  await servers(lab, ends[1]!.sandbox);
  forger = await Scapy.start(lab, router);
}, 60_000);
afterAll(() => lab.dispose());

/** Makes both hosts each other's only peers, with new keys; answers the association from a to b. */
async function key({ family, transport }: (typeof WAYS)[number]): Promise<TestAssociation> {
  const pair = [testAssociation(spi++, { transport }), testAssociation(spi++, { transport })];
  for (const i of [1, 0]) {
    const peer = OUTER[family][1 - i]!;
    const { datapath } = ends[i]!;
    await datapath.declare("keys", {}); // with the peer goes what was known of its path
    await datapath.declare("keys", {
      vteps: [{ domain: "n1", address: peer, port: 4789 }],
      associations: [declared(pair[i]!, "out", peer), declared(pair[1 - i]!, "in", peer)],
    });
  }
  return pair[0]!;
}

const outbound = async () => (await ends[0]!.datapath.dumpAssociations()).find(({ direction }) => direction === "out")!;
const known = async (): Promise<number | null> => (await outbound()).pathMtuBytes;

/** Pings with packets of so many bytes that may not be fragmented; how many of three were answered. */
const ping = (bytes: number): Promise<number> => ends[0]!.sandbox.ping(INNER[1], ["-M", "do", "-s", String(bytes - 28)]);
/** Forgets what routers said, in a's sandbox and in the host. */
const forget = async (): Promise<void> => {
  for (const host of [hosts[0], hosts[1], ends[0]!.sandbox, ends[1]!.sandbox]) {
    await host.ip("route flush cache");
    await host.must(["ip", "-6", "route", "flush", "cache"]);
  }
};

describe.each(WAYS)("by $family, $transport", (way) => {
  const [ours, theirs] = OUTER[way.family];
  const overhead = (way.family === "ipv4" ? 20 : 40) + (way.transport === "udp" ? 8 : 0);
  /** The longest inner packet that fits an outer one of so many bytes. */
  const inner = (bytes: number): number => ((bytes - overhead - 32) & ~3) - 32;

  /** Sends a an error of the router's about ESP with this SPI and number. */
  async function forge(quotedSpi: number, sequence: number, mtuBytes: number): Promise<void> {
    const [from, to] = [(await router.link("ra")).address, (await hosts[0].link("up0")).address];
    const esp = `Raw(struct.pack("!II", ${quotedSpi}, ${sequence}) + bytes(64))`;
    const l4 = way.transport === "udp" ? `UDP(sport=4500,dport=4500,len=1460)/${esp}` : esp;
    const protocol = way.transport === "udp" ? 17 : 50;
    const packet =
      way.family === "ipv4"
        ? `IP(src="10.9.0.254",dst="${ours}")/ICMP(type=3,code=4,nexthopmtu=${mtuBytes})/` +
          `IP(src="${ours}",dst="${theirs}",flags="DF",proto=${protocol},len=1480)/${l4}`
        : `IPv6(src="fd09::fe",dst="${ours}")/ICMPv6PacketTooBig(mtu=${mtuBytes})/` +
          `IPv6(src="${ours}",dst="${theirs}",nh=${protocol},plen=1440)/${l4}`;
    await forger.send("ra", `Ether(src="${from}",dst="${to}")/${packet}`);
  }

  /** The drop of this name that the work makes. */
  async function counted(name: string, work: () => Promise<void>): Promise<void> {
    const before = (await drops(ends[0]!.datapath))[name] ?? 0n;
    await work();
    await expect.poll(async () => (await drops(ends[0]!.datapath))[name] ?? 0n).toBe(before + 1n);
  }

  it("does not believe who quotes no datagram of ours, whatever the kernel believes; and believes who does", async () => {
    const { spi: sent } = await key(way);
    await eventually("an answer to pings", async () => (await ping(MTU)) === 3);
    const { sequence } = await outbound();
    await counted("path-mtu-spi", () => forge(0xdeadbeef, 1, 1280));
    await counted("path-mtu-sequence", () => forge(sent, Number(sequence) + 1000, 1280));
    expect(await known()).toBeNull();
    expect(await ping(MTU)).toBe(3);
    await transfer(ends[0]!.sandbox, INNER[1], 2);
    await counted("path-mtu-learned", () => forge(sent, Number(sequence), 1280));
    expect(await known()).toBe(1280);
    expect(await ping(inner(1280))).toBe(3);
    // The sandbox's kernel has heard of it after the first: the others it does not send.
    expect(await ping(inner(1280) + 1)).toBe(0);
    expect(await ends[0]!.sandbox.must(["ip", "route", "get", INNER[1]])).toContain(`mtu ${inner(1280)}`);
    await transfer(ends[0]!.sandbox, INNER[1], 2);
    const stats = await ends[0]!.datapath.stats();
    expect([stats.lawDifference, (await drops(ends[0]!.datapath))["send-refused"]]).toEqual([0n, undefined]);
    await forget();
  });

  it("finds out how much a narrow link of a router carries, and TCP goes on through it", async () => {
    await key(way);
    await eventually("an answer to pings", async () => (await ping(MTU)) === 3);
    await router.ip(`link set rb mtu ${NARROW}`);
    try {
      await transfer(ends[0]!.sandbox, INNER[1], 5);
      expect(await known()).toBe(NARROW);
      await forget();
      expect(await ping(inner(NARROW))).toBe(3);
      expect(await ping(inner(NARROW) + 1)).toBe(0);
      expect(await ends[0]!.sandbox.must(["ip", "route", "get", INNER[1]])).toContain(`mtu ${inner(NARROW)}`);
    } finally {
      await router.ip("link set rb mtu 1500");
    }
    const stats = await ends[0]!.datapath.stats();
    expect([stats.lawDifference, (await drops(ends[0]!.datapath))["send-refused"]]).toEqual([0n, undefined]);
    await forget();
  });
});

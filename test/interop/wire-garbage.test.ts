// What a hostile or broken peer may send to the underlay port, and a hostile sandbox into its TAP: each datagram is counted
// under the right reason or delivered, the engine never traps, and afterwards everybody can still be reached.
//
// The frames are scapy's; truncations and mutations are made here from its bytes, by a generator with a fixed seed.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Daemon, eventually } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { Scapy } from "../support/scapy.ts";

const VNI = 1234;
const PORT = 4789;
/** The kernel takes no shorter frame from a raw socket. */
const ETHERNET = 14;
const VXLAN_ETHERNET = 8 + ETHERNET;
const OUR_MAC = "02:00:00:00:42:02";
const PEER_MAC = "02:00:00:00:42:99";

const ours = "10.81.0.1";
const theirs = "10.81.0.2";
const stranger = "10.81.0.3";

const lab = new Lab();
let peerHost: Host;
let sandbox: Host;
let daemon: Daemon;
let peer: Scapy;
let inSandbox: Scapy;

beforeAll(async () => {
  const weftHost = await lab.host("w");
  peerHost = await lab.host("p");
  await lab.wire([weftHost, "up0", `${ours}/24`], [peerHost, "up0", `${theirs}/24`, `${stranger}/24`]);
  // No other stations: what their kernels say of themselves to nobody would be counted among what is dropped here.
  const alone = ["--set", "bridge.enabled=false", "--set", "egress=false"];
  daemon = await Daemon.start(lab, weftHost, { underlayAddress: ours, args: alone });
  await daemon.must(
    ...["network", "create", "-d", "overlay", "--subnet", "10.42.0.0/24", "--ipv6", "--subnet", "fd42::/64"],
    ...["-o", `com.docker.network.driver.overlay.vxlanid_list=${VNI}`, "target"],
  );
  await daemon.must("peer", "add", theirs);
  await daemon.must("sandbox", "create", "--network", `target,ip=10.42.0.2,ip6=fd42::2,mac=${OUR_MAC}`, "victim");
  sandbox = await daemon.enter("victim");
  [peer, inSandbox] = await Promise.all([Scapy.start(lab, peerHost), Scapy.start(lab, sandbox)]);
});
afterEach(async () => {
  await daemon.law();
  expect(await reachable()).toBe(true);
});
afterAll(() => lab.dispose());

/** An echo request in VXLAN is answered: VXLAN, engine, TAP and the sandbox's kernel all work. */
async function reachable(): Promise<boolean> {
  const request = `Ether(src="${PEER_MAC}",dst="${OUR_MAC}")/IP(src="10.42.0.99",dst="10.42.0.2")/ICMP(id=7)/b"alive"`;
  const [inner] = await peer.bytes(`VXLAN(vni=${VNI})/${request}`);
  // The reply needs a neighbour, which the peer has no kernel to answer for: the sandbox is told.
  await sandbox.ip(`neigh replace 10.42.0.99 lladdr ${PEER_MAC} dev eth0`);
  const frames = await peer.during({ interface: "up0", filter: `b"alive" in raw and p[UDP].dport == ${PORT}` }, () =>
    peer.sendDatagrams({ to: ours, port: PORT, source: theirs, payloads: [inner!] }),
  );
  return frames.length === 1;
}

interface Delta {
  readonly rx: bigint;
  /** Only reasons that grew. */
  readonly drops: Readonly<Record<string, number>>;
}

async function underlayRx(): Promise<bigint> {
  return (await daemon.figures()).ports.filter(({ id }) => id.startsWith("underlay/")).reduce((sum, { rx }) => sum + rx, 0n);
}

/** What the daemon counted for datagrams to its port, once all of them have arrived. */
async function counted(payloads: readonly string[], source: string = theirs): Promise<Delta> {
  const before = await daemon.drops();
  const rxBefore = await underlayRx();
  // Fewer at a time than the socket's buffer holds.
  for (let i = 0; i < payloads.length; i += 256) {
    await peer.sendDatagrams({ to: ours, port: PORT, source, payloads: payloads.slice(i, i + 256) });
    const expected = rxBefore + BigInt(Math.min(i + 256, payloads.length));
    await eventually(`all ${payloads.length} datagrams are counted as received`, async () => (await underlayRx()) >= expected);
  }
  const after = await daemon.drops();
  const grown = Object.keys(after).filter((name) => after[name]! > (before[name] ?? 0));
  return {
    rx: (await underlayRx()) - rxBefore,
    drops: Object.fromEntries(grown.map((name) => [name, after[name]! - (before[name] ?? 0)])),
  };
}

/** Datagram payload: VXLAN of our network around a scapy frame. */
async function vxlan(frame: string, header = `VXLAN(vni=${VNI})`): Promise<string> {
  return (await peer.bytes(`${header}/${frame}`))[0]!;
}

const ETHER = `Ether(src="${PEER_MAC}",dst="${OUR_MAC}")`;
const IP4 = `IP(src="10.42.0.99",dst="10.42.0.2")`;
const IP6 = `IPv6(src="fd42::99",dst="fd42::2")`;
const FRAMES: Readonly<Record<string, string>> = {
  "UDP over IPv4": `${ETHER}/${IP4}/UDP(sport=5,dport=6)/(b"u"*40)`,
  "UDP over IPv6": `${ETHER}/${IP6}/UDP(sport=5,dport=6)/(b"u"*40)`,
  "TCP over IPv4, all kinds of options": `${ETHER}/${IP4}/TCP(sport=5,dport=6,flags="S",options=[("MSS",1460),("NOP",None),("WScale",7),("SAckOK",b""),("Timestamp",(1,2))])/(b"t"*20)`,
  "TCP over IPv6": `${ETHER}/${IP6}/TCP(sport=5,dport=6,flags="PA")/(b"t"*40)`,
  "tagged TCP": `${ETHER}/Dot1Q(vlan=9)/${IP4}/TCP(sport=5,dport=6,flags="A")/(b"t"*20)`,
  "ARP request": `Ether(src="${PEER_MAC}",dst="ff:ff:ff:ff:ff:ff")/ARP(hwsrc="${PEER_MAC}",psrc="10.42.0.99",pdst="10.42.0.2")`,
  "neighbour solicitation": `Ether(src="${PEER_MAC}",dst="33:33:ff:00:00:02")/IPv6(src="fd42::99",dst="ff02::1:ff00:2",hlim=255)/ICMPv6ND_NS(tgt="fd42::2")/ICMPv6NDOptSrcLLAddr(lladdr="${PEER_MAC}")`,
};

describe("datagrams that are dropped, each under its reason", () => {
  const udp = FRAMES["UDP over IPv4"]!;
  const cases: Record<string, { frame: string; header?: string; reason: string }> = {
    "no flag at all": { frame: udp, header: `VXLAN(flags=0,vni=${VNI})`, reason: "vxlan-flags" },
    "every flag but the I flag": { frame: udp, header: `VXLAN(flags=0xf7,vni=${VNI})`, reason: "vxlan-flags" },
    "a VNI nobody has": { frame: udp, header: "VXLAN(vni=4321)", reason: "vni-unknown" },
    "VNI 0": { frame: udp, header: "VXLAN(vni=0)", reason: "vni-unknown" },
    "the last VNI": { frame: udp, header: "VXLAN(vni=0xffffff)", reason: "vni-unknown" },
    "inner source is broadcast": { frame: udp.replace(PEER_MAC, "ff:ff:ff:ff:ff:ff"), reason: "source-multicast" },
    "inner source is multicast": { frame: udp.replace(PEER_MAC, "01:00:5e:00:00:01"), reason: "source-multicast" },
    "inner source is zero": { frame: udp.replace(PEER_MAC, "00:00:00:00:00:00"), reason: "source-zero" },
    "spanning tree's address": { frame: udp.replace(OUR_MAC, "01:80:c2:00:00:00"), reason: "reserved-multicast" },
    "LLDP's address": { frame: udp.replace(OUR_MAC, "01:80:c2:00:00:0e"), reason: "reserved-multicast" },
    "VXLAN in VXLAN of the same ends": {
      frame: `${ETHER}/IP(src="${theirs}",dst="${ours}")/UDP(sport=50000,dport=${PORT})/VXLAN(vni=${VNI})/${udp}`,
      reason: "vxlan-nested",
    },
    "VXLAN in VXLAN back to its sender": {
      frame: `${ETHER}/IP(src="${ours}",dst="${theirs}")/UDP(sport=50000,dport=${PORT})/VXLAN(vni=${VNI})/${udp}`,
      reason: "vxlan-nested",
    },
    "to a MAC behind another VTEP": { frame: udp.replace(OUR_MAC, "02:00:00:00:00:77"), reason: "split-horizon" },
  };
  test.each(Object.entries(cases))("%s", async (_, { frame, header, reason }) => {
    if (reason === "split-horizon") {
      // Learn it from the peer first; a frame from the same VTEP to it would have to go back where it came from.
      await counted([await vxlan(udp.replace(PEER_MAC, "02:00:00:00:00:77"))]);
      const { drops } = await counted([await vxlan(frame, header)]);
      expect(Object.keys(drops).every((name) => name === "split-horizon" || name === "hairpin")).toBe(true);
      expect(Object.values(drops)).toEqual([1]);
      return;
    }
    expect(await counted([await vxlan(frame, header)])).toEqual({ rx: 1n, drops: { [reason]: 1 } });
  });

  test("from an address that is no peer", async () => {
    expect(await counted([await vxlan(udp)], stranger)).toEqual({ rx: 1n, drops: { "vtep-unknown": 1 } });
  });

  test("an empty datagram, and every length up to a whole Ethernet header", async () => {
    const whole = await vxlan(udp);
    for (let length = 0; length < VXLAN_ETHERNET; length++) {
      expect(await counted([whole.slice(0, length * 2)]), `${length} bytes`).toEqual({ rx: 1n, drops: { "vxlan-short": 1 } });
    }
  });

  test("rubbish in an unknown network, a thousand times: only counted", async () => {
    const payload = await vxlan(udp, "VXLAN(vni=99)");
    const fdb = await daemon.must("fdb", "target");
    expect(await counted(Array.from({ length: 1000 }, () => payload))).toEqual({ rx: 1000n, drops: { "vni-unknown": 1000 } });
    expect((await daemon.must("fdb", "target")).split("\n").length).toBe(fdb.split("\n").length);
  });
});

describe("what may look odd but passes", () => {
  /** Frames with `mark` in them that reach the sandbox while these datagrams are counted. */
  async function delivered(mark: string, payloads: readonly string[]): Promise<number> {
    const options = { interface: "eth0", filter: `b"${mark}" in raw`, count: payloads.length };
    return (await inSandbox.during(options, () => counted(payloads))).length;
  }

  test("VXLAN between the sandboxes' own addresses: a cluster in an overlay", async () => {
    const inner = `${ETHER}/${IP4}/UDP(sport=5,dport=6)/b"cluster"`;
    const outer = [IP4, IP6].map((ip) => vxlan(`${ETHER}/${ip}/UDP(sport=50000,dport=${PORT})/VXLAN(vni=${VNI})/${inner}`));
    expect(await delivered("cluster", await Promise.all(outer))).toBe(2);
  });

  test("a sandbox's own MAC as the source: delivered, but not learned", async () => {
    expect(await delivered("spoofed", [await vxlan(`Ether(src="${OUR_MAC}",dst="ff:ff:ff:ff:ff:ff")/b"spoofed"`)])).toBe(1);
    expect(await daemon.must("fdb", "target")).toMatch(new RegExp(`${OUR_MAC} +victim/eth0 +static`));
  });

  test("inner frames larger than the network's MTU: the sender's host let them pass", async () => {
    expect(await delivered("ggggg", [await vxlan(`${ETHER}/${IP4}/UDP(sport=5,dport=6)/(b"g"*3000)`)])).toBe(1);
  });
});

test("reserved bits beside the I flag are ignored on receipt (RFC 7348 section 5)", async () => {
  const frame = `${ETHER}/${IP4}/UDP(sport=5,dport=6)/b"reserved"`;
  const payload = await vxlan(frame);
  const reserved = ["88", "0b"].map((flags) => flags + payload.slice(2));
  const rest = [`08ffffff${payload.slice(8)}`, `${payload.slice(0, 14)}ff${payload.slice(16)}`];
  const seen = await inSandbox.during({ interface: "eth0", filter: 'b"reserved" in raw', count: 4 }, () => counted([...reserved, ...rest]));
  expect(seen.length).toBe(4);
});

test.each(Object.entries(FRAMES))("%s, cut off at every byte", async (_, frame) => {
  const whole = await vxlan(frame);
  const lengths = Array.from({ length: whole.length / 2 + 1 }, (_, length) => length);
  const { rx, drops } = await counted(lengths.map((length) => whole.slice(0, length * 2)));
  expect(rx).toBe(BigInt(lengths.length));
  expect(drops["vxlan-short"]).toBe(VXLAN_ETHERNET);
  // Behind a whole Ethernet header a bridge may forward what it likes, or say why not.
  const allowed = ["vxlan-short", "malformed-ip", "truncated", "proxy-consumed", "bad-checksum", "runt"];
  expect(Object.keys(drops).filter((name) => !allowed.includes(name))).toEqual([]);
});

describe("headers that lie", () => {
  const lies: Record<string, string[]> = {
    "IPv4 header lengths": [0, 1, 4, 6, 15].map(
      (ihl) => `${ETHER}/IP(src="10.42.0.99",dst="10.42.0.2",ihl=${ihl})/UDP(sport=5,dport=6)/(b"l"*30)`,
    ),
    "IPv4 total lengths": [0, 1, 19, 20, 27, 59, 65535].map(
      (n) => `${ETHER}/IP(src="10.42.0.99",dst="10.42.0.2",len=${n})/UDP(sport=5,dport=6)/(b"l"*30)`,
    ),
    "IPv6 payload lengths": [0, 1, 7, 39, 65535].map(
      (n) => `${ETHER}/IPv6(src="fd42::99",dst="fd42::2",plen=${n})/UDP(sport=5,dport=6)/(b"l"*30)`,
    ),
    "TCP data offsets": [0, 1, 4, 6, 15].map((n) => `${ETHER}/${IP4}/TCP(sport=5,dport=6,flags="PA",dataofs=${n})/(b"l"*12)`),
    "TCP options": ['b"\\x02\\x00"', 'b"\\x02\\x01"', 'b"\\x02\\xff"', 'b"\\x05\\x02\\x02\\x04"', 'b"\\x01\\x01\\x01\\x02"'].map(
      (options) => `${ETHER}/${IP4}/Raw(bytes(TCP(sport=5,dport=6,flags="S",dataofs=6))[:20] + (${options}+bytes(4))[:4])`,
    ),
    "UDP lengths": [0, 1, 7, 9, 65535].map((n) => `${ETHER}/${IP4}/UDP(sport=5,dport=6,len=${n})/(b"l"*30)`),
    "IP version against EtherType": [
      `${ETHER}/IP(version=6,src="10.42.0.99",dst="10.42.0.2")/UDP()`,
      `Ether(src="${PEER_MAC}",dst="${OUR_MAC}",type=0x86dd)/${IP4}/UDP()`,
    ],
    "towers of tags": [`${ETHER}/${Array.from({ length: 20 }, (_, i) => `Dot1Q(vlan=${i + 1})`).join("/")}/${IP4}/UDP()`],
    "fragments that claim to be first and last": [
      `${ETHER}/IP(src="10.42.0.99",dst="10.42.0.2",flags="MF",frag=0)/UDP(sport=5,dport=6)/(b"l"*24)`,
      `${ETHER}/IP(src="10.42.0.99",dst="10.42.0.2",frag=8191)/(b"l"*24)`,
    ],
    "ARP of odd sizes": [
      `${ETHER.replace(OUR_MAC, "ff:ff:ff:ff:ff:ff")}/ARP(hwlen=255,plen=255)`,
      `${ETHER.replace(OUR_MAC, "ff:ff:ff:ff:ff:ff")}/ARP(hwlen=0,plen=0)`,
    ],
    "neighbour options of length 0": [
      `Ether(src="${PEER_MAC}",dst="33:33:ff:00:00:02")/IPv6(src="fd42::99",dst="ff02::1:ff00:2",hlim=255)/ICMPv6ND_NS(tgt="fd42::2")/Raw(b"\\x01\\x00"+bytes(6))`,
    ],
  };
  test.each(Object.entries(lies))("%s", async (_, frames) => {
    const payloads = await Promise.all(frames.map((frame) => vxlan(frame)));
    const { rx } = await counted(payloads.flatMap((payload) => [payload, payload, payload])); // thrice: a lie may also be merged
    expect(rx).toBe(BigInt(frames.length * 3));
  });
});

describe("mutations", () => {
  /** xorshift32: the same frames in every run. */
  function generator(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return (state >>> 0) % below;
    };
  }

  /** `frame` with one to six bytes from `first` on changed, now and then cut. */
  function mutated(frame: string, random: (below: number) => number, first: number): string {
    const bytes = Buffer.from(frame, "hex");
    for (let n = 1 + random(6); n > 0; n--) bytes[first + random(bytes.length - first)] = random(256);
    return bytes.subarray(0, random(4) === 0 ? Math.max(ETHERNET, first + random(bytes.length - first)) : bytes.length).toString("hex");
  }

  test("4000 from the underlay", async () => {
    const random = generator(0x5eed);
    const whole = await Promise.all(Object.values(FRAMES).map((frame) => vxlan(frame)));
    // Most leave VXLAN and the MACs alone, so that they get deep.
    const payloads = Array.from({ length: 4000 }, (_, i) => mutated(whole[i % whole.length]!, random, i % 5 === 0 ? 0 : 20));
    expect((await counted(payloads)).rx).toBe(4000n);
  });

  test("2000 from a sandbox", async () => {
    const random = generator(0xca11);
    const whole = await Promise.all(
      Object.values(FRAMES).map((frame) =>
        inSandbox.bytes(frame.replaceAll(OUR_MAC, "x").replaceAll(PEER_MAC, OUR_MAC).replaceAll('"x"', `"${PEER_MAC}"`)),
      ),
    );
    const frames = Array.from({ length: 2000 }, (_, i) => mutated(whole[i % whole.length]![0]!, random, i % 5 === 0 ? 0 : 14));
    const rx = async () => (await daemon.figures()).counters.rx!;
    const before = await rx();
    // Fewer at a time than the TAP's queue holds.
    for (let sent = 0; sent < frames.length; sent += 400) {
      await inSandbox.sendFrames("eth0", frames.slice(sent, sent + 400));
      const expected = BigInt(Math.min(sent + 400, frames.length));
      await eventually("all frames were received", async () => (await rx()) - before >= expected);
    }
  });

  test("nothing of it left more than a few entries behind", async () => {
    // Random source MACs are learned as any others; the domain's limit holds.
    const { counters } = await daemon.figures();
    expect(counters["fdb-learned"]!).toBeLessThan(6000n);
    expect(daemon.residentBytes()).toBeLessThan(400e6);
  });
});

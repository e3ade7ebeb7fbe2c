// Weft and the kernel's VXLAN device as the two ends of one network: whatever a Linux host sends, we take, and whatever we
// send, it takes. Two sandboxes on our side, one guest behind a bridge on the other, IPv4 and IPv6 within; everything once
// over an IPv4 underlay and once over an IPv6 one.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { GUEST_DEVICE, type KernelVtepOptions, kernelVtep, replaceVxlanDevice } from "../support/kernel-vxlan.ts";
import { expertWarnings, fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { Scapy } from "../support/scapy.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const VNI = 4242;
const GUEST = "10.40.0.200";
const GUEST6 = "fd40::200";
const GUEST_MAC = "02:00:00:00:40:c8";
const FIRST = "10.40.0.2";
const FIRST6 = "fd40::2";
const FIRST_MAC = "02:00:00:00:40:02";
const SECOND = "10.40.0.3";
/** `checksums`: settings of the kernel's VXLAN device, one after the other. */
const UNDERLAYS = [
  { family: "IPv4", ours: "10.77.0.1", theirs: "10.77.0.2", prefix: 24, mtu: 1450, checksums: ["udpcsum", "noudpcsum"] },
  {
    family: "IPv6",
    ours: "fd77::1",
    theirs: "fd77::2",
    prefix: 64,
    mtu: 1430,
    checksums: ["noudp6zerocsumtx noudp6zerocsumrx", "udp6zerocsumtx udp6zerocsumrx"],
  },
] as const;

const OFFLOADS = { tx: "on", sg: "on", tso: "on", gso: "on", gro: "on" } as const;
const NO_OFFLOADS = { tx: "off", sg: "off", tso: "off", gso: "off", gro: "off" } as const;

/** The link-local address that a kernel makes of a MAC (RFC 4291 appendix A), as it prints it. */
function linkLocal(mac: string): string {
  const bytes = mac.split(":").map((byte) => Number.parseInt(byte, 16));
  const [a, b, c, d, e, f] = bytes as [number, number, number, number, number, number];
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${words.map((word) => word.toString(16)).join(":")}`.replace("::0:", "::");
}

describe.each(UNDERLAYS)("over an $family underlay", ({ ours, theirs, prefix, mtu, checksums }) => {
  const lab = new Lab();
  let weftHost: Host;
  let kernelHost: Host;
  let daemon: Daemon;
  let first: Host;
  let second: Host;
  let guest: Host;
  let inFirst: Scapy;
  let inSecond: Scapy;
  let inGuest: Scapy;
  const far: KernelVtepOptions = {
    vni: VNI,
    local: theirs,
    remote: ours,
    mtuBytes: mtu,
    guestAddresses: [`${GUEST}/24`, `${GUEST6}/64`],
    guestMac: GUEST_MAC,
  };

  beforeAll(async () => {
    [weftHost, kernelHost] = await Promise.all([lab.host("w"), lab.host("k")]);
    await lab.wire([weftHost, "up0", `${ours}/${prefix}`], [kernelHost, "up0", `${theirs}/${prefix}`]);
    guest = await kernelVtep(lab, kernelHost, "g", far);
    daemon = await Daemon.start(lab, weftHost, { underlayAddress: ours, nodeName: "w" });
    await daemon.must(
      ...["network", "create", "-d", "overlay", "--subnet", "10.40.0.0/24", "--ipv6", "--subnet", "fd40::/64"],
      ...["-o", `com.docker.network.driver.overlay.vxlanid_list=${VNI}`, "wire"],
    );
    await daemon.must("peer", "add", "--network", "wire", theirs);
    await daemon.must("sandbox", "create", "--network", `wire,ip=${FIRST},ip6=${FIRST6},mac=${FIRST_MAC}`, "first");
    await daemon.must("sandbox", "create", "--network", `wire,ip=${SECOND},ip6=fd40::3`, "second");
    [first, second] = (await daemon.enterAll("first", "second")) as [Host, Host];
    [inFirst, inSecond, inGuest] = await Promise.all([Scapy.start(lab, first), Scapy.start(lab, second), Scapy.start(lab, guest)]);
    await Promise.all([servers(lab, first), servers(lab, guest)]);
  });
  afterEach(() => daemon?.law());
  afterAll(() => lab.dispose());

  test("the network's MTU leaves room for the underlay's headers", async () => {
    expect((await first.link("eth0")).mtu).toBe(mtu);
  });

  test("ping, IPv4 and IPv6, both ways", async () => {
    expect(await first.ping(GUEST)).toBe(3);
    expect(await first.ping(GUEST6)).toBe(3);
    expect(await guest.ping(FIRST)).toBe(3);
    expect(await guest.ping(FIRST6)).toBe(3);
    expect(await guest.ping(SECOND)).toBe(3);
    expect(await second.ping(GUEST)).toBe(3);
  });

  test("ARP and neighbour discovery resolve across the tunnel, both ways", async () => {
    await first.ip("neigh flush all");
    await guest.ip("neigh flush all");
    await guest.ping(FIRST);
    await guest.ping(FIRST6);
    await first.ping(GUEST);
    await first.ping(GUEST6);
    const neighbors = async (host: Host) => await host.must(["ip", "neigh"]);
    expect(await neighbors(guest)).toContain(`${FIRST} dev eth0 lladdr ${FIRST_MAC}`);
    expect(await neighbors(guest)).toContain(`${FIRST6} dev eth0 lladdr ${FIRST_MAC}`);
    expect(await neighbors(first)).toContain(`${GUEST} dev eth0 lladdr ${GUEST_MAC}`);
    expect(await neighbors(first)).toContain(`${GUEST6} dev eth0 lladdr ${GUEST_MAC}`);
  });

  test.each([
    ["with", OFFLOADS],
    ["without", NO_OFFLOADS],
  ])("TCP both ways, %s the kernel's offloads", async (_, offloads) => {
    // On the guest and on the underlay link: super-frames and unfinished checksums come and go on both, or on neither.
    await guest.ethtool(GUEST_DEVICE, offloads);
    await kernelHost.ethtool("up0", offloads);
    await kernelHost.ethtool("guest", offloads);
    try {
      await transfer(first, GUEST, 200);
      await transfer(guest, FIRST, 200);
      await transfer(first, GUEST6, 100);
      await transfer(guest, FIRST6, 100);
    } finally {
      await guest.ethtool(GUEST_DEVICE, OFFLOADS);
      await kernelHost.ethtool("up0", OFFLOADS);
      await kernelHost.ethtool("guest", OFFLOADS);
    }
  });

  test("four TCP streams at once, both ways", async () => {
    const streams = [transfer(first, GUEST, 50), transfer(guest, FIRST, 50), transfer(second, GUEST6, 50), transfer(guest, SECOND, 0)];
    // The last one has no server to talk to: a refused connection must not disturb the rest.
    const outcomes = await Promise.allSettled(streams);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled", "rejected"]);
  });

  test("UDP datagrams of every size up to the full MTU", async () => {
    await datagramSizes(first, GUEST, 1, mtu - 28);
    await datagramSizes(guest, FIRST6, 1, mtu - 48);
  });

  test("UDP larger than the MTU: fragments, IPv4 and IPv6, both ways", async () => {
    await datagramSizes(first, GUEST, 4000, 4040);
    await datagramSizes(guest, FIRST6, 4000, 4040);
    expect(await first.ping(GUEST, ["-s", "4000"])).toBe(3);
    expect(await first.ping(GUEST6, ["-s", "4000"])).toBe(3);
    expect(await guest.ping(FIRST, ["-s", "9000"])).toBe(3);
    expect(await guest.ping(FIRST6, ["-s", "9000"])).toBe(3);
  });

  test("frames of exactly the MTU that must not be fragmented", async () => {
    expect(await first.ping(GUEST, ["-M", "do", "-s", String(mtu - 28)])).toBe(3);
    expect(await guest.ping(FIRST6, ["-M", "do", "-s", String(mtu - 48)])).toBe(3);
  });

  test("the underlay's checksum, there or 0", async () => {
    for (const setting of checksums) {
      await replaceVxlanDevice(kernelHost, { ...far, checksums: setting.split(" ") });
      expect(await first.ping(GUEST), setting).toBe(3);
      await transfer(guest, FIRST, 20);
      await transfer(first, GUEST6, 20);
    }
    await replaceVxlanDevice(kernelHost, far);
  });

  describe("802.1Q tags cross untouched", () => {
    const tagged = (source: string, destination: string, size: number) =>
      `Ether(src="${source}",dst="${destination}")/Dot1Q(vlan=77,prio=5)/IP(src="10.99.0.1",dst="10.99.0.2")/UDP(sport=7,dport=9)/Raw(bytes(range(256))*8)`.replace(
        "Raw(bytes(range(256))*8)",
        `Raw((bytes(range(256))*8)[:${size}])`,
      );
    const filter = "p.haslayer(Dot1Q) and p[Dot1Q].vlan == 77";

    test.each([
      ["64 bytes", 18],
      ["the full MTU", mtu - 28 - 4],
    ])("to the kernel, %s", async (_, size) => {
      const frame = tagged(FIRST_MAC, GUEST_MAC, size);
      const seen = await inGuest.during({ interface: GUEST_DEVICE, filter }, () => inFirst.send("eth0", frame));
      expect(seen).toEqual(await inFirst.bytes(frame));
    });

    test.each([
      ["64 bytes", 18],
      ["the full MTU", mtu - 28 - 4],
    ])("from the kernel, %s", async (_, size) => {
      const frame = tagged(GUEST_MAC, FIRST_MAC, size);
      const seen = await inFirst.during({ interface: "eth0", filter }, () => inGuest.send(GUEST_DEVICE, frame));
      expect(seen).toEqual(await inGuest.bytes(frame));
    });

    test("priority tags and two tags", async () => {
      const frames = [
        `Ether(src="${FIRST_MAC}",dst="${GUEST_MAC}")/Dot1Q(vlan=0,prio=7)/IP(src="10.99.0.1",dst="10.99.0.2")/UDP(sport=7,dport=9)/b"priority"`,
        `Ether(src="${FIRST_MAC}",dst="${GUEST_MAC}",type=0x88a8)/Dot1Q(vlan=5)/Dot1Q(vlan=6)/IP(src="10.99.0.1",dst="10.99.0.2")/UDP(sport=7,dport=9)/b"double"`,
      ];
      const seen = await inGuest.during({ interface: GUEST_DEVICE, filter: 'b"priority" in raw or b"double" in raw', count: 2 }, () =>
        inFirst.send("eth0", ...frames),
      );
      expect(seen).toEqual([...(await inFirst.bytes(frames[0]!)), ...(await inFirst.bytes(frames[1]!))]);
    });
  });

  describe("floods", () => {
    const flood = (source: string, destination: string) =>
      `Ether(src="${source}",dst="${destination}")/IP(src="10.40.0.77",dst="10.40.0.255")/UDP(sport=7,dport=9)/b"flooded"`;
    const filter = 'b"flooded" in raw';

    test.each([
      ["broadcast", "ff:ff:ff:ff:ff:ff"],
      ["IPv4 multicast", "01:00:5e:01:02:03"],
      ["IPv6 multicast", "33:33:00:00:12:34"],
      ["unknown unicast", "02:ee:ee:ee:ee:ee"],
    ])("%s from a sandbox reaches the other sandbox and the tunnel, each once", async (_, destination) => {
      const frame = flood(FIRST_MAC, destination);
      const options = { interface: "eth0", filter, count: 2, seconds: 0.3 };
      let here: string[] = [];
      const there = await inGuest.during(options, async () => {
        here = await inSecond.during(options, () => inFirst.send("eth0", frame));
      });
      const sent = await inFirst.bytes(frame);
      expect(here).toEqual(sent);
      expect(there).toEqual(sent);
    });

    test("broadcast from the tunnel reaches both sandboxes and does not come back", async () => {
      const frame = flood(GUEST_MAC, "ff:ff:ff:ff:ff:ff");
      const options = { interface: "eth0", filter, count: 2, seconds: 0.3 };
      let back: string[] = [];
      let other: string[] = [];
      const here = await inFirst.during(options, async () => {
        other = await inSecond.during(options, async () => {
          back = await inGuest.during(options, () => inGuest.send(GUEST_DEVICE, frame));
        });
      });
      const sent = await inGuest.bytes(frame);
      expect(here).toEqual(sent);
      expect(other).toEqual(sent);
      expect(back).toEqual([]);
    });

    test("ping of all nodes (ff02::1) is answered from across the tunnel", async () => {
      const answers = await guest.must(["ping", "-6", "-n", "-c", "2", "-i", "0.1", "-I", GUEST_DEVICE, "ff02::1"]);
      for (const { address } of [await first.link("eth0"), await second.link("eth0")]) expect(answers).toContain(linkLocal(address));
    });
  });

  describe("packets larger than the network's MTU", () => {
    beforeAll(async () => {
      // What a user may do by hand inside a sandbox, against which PMTU discovery has to defend.
      await first.ip("link set eth0 mtu 9000");
    });
    afterAll(() => first.ip(`link set eth0 mtu ${mtu}`));

    test("IPv4 with DF: ICMP fragmentation needed, with the MTU", async () => {
      const frame = `Ether(src="${FIRST_MAC}",dst="${GUEST_MAC}")/IP(src="${FIRST}",dst="${GUEST}",flags="DF",id=77)/UDP(sport=4000,dport=4001)/(b"x"*1472)`;
      const [reply] = await inFirst.during({ interface: "eth0", filter: "p.haslayer(ICMP) and p[ICMP].type == 3" }, () =>
        inFirst.send("eth0", frame),
      );
      const told = "[p[ICMP].type, p[ICMP].code, p[ICMP].nexthopmtu, p[IP].dst, p.dst, bytes(p[ICMP].payload)[:28].hex()]";
      const original = (await inFirst.bytes(frame))[0]!.slice(28, 28 + 56);
      expect(await inFirst.eval(reply!, told)).toEqual([3, 4, mtu, FIRST, FIRST_MAC, original]);
    });

    test("IPv6: packet too big, with the MTU", async () => {
      const frame = `Ether(src="${FIRST_MAC}",dst="${GUEST_MAC}")/IPv6(src="${FIRST6}",dst="${GUEST6}")/UDP(sport=4000,dport=4001)/(b"x"*1452)`;
      const [reply] = await inFirst.during({ interface: "eth0", filter: "p.haslayer(ICMPv6PacketTooBig)" }, () =>
        inFirst.send("eth0", frame),
      );
      const told =
        "[p[ICMPv6PacketTooBig].type, p[ICMPv6PacketTooBig].code, p[ICMPv6PacketTooBig].mtu, p[IPv6].dst, bytes(p[ICMPv6PacketTooBig].payload)[:48].hex()]";
      const original = (await inFirst.bytes(frame))[0]!.slice(28, 28 + 96);
      expect(await inFirst.eval(reply!, told)).toEqual([2, 0, mtu, FIRST6, original]);
    });

    test("the kernel believes both, and path MTU discovery works", async () => {
      for (const destination of [GUEST, GUEST6]) {
        await first.execute(["ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", "3000", destination]);
        expect(await first.must(["ip", "route", "get", destination])).toMatch(new RegExp(`mtu ${mtu}\\b`));
        expect(await first.ping(destination, ["-s", "3000"])).toBe(3);
      }
    });

    test("ICMP and the clamp carry a TCP transfer across", async () => {
      await transfer(first, GUEST, 20);
      await transfer(first, GUEST6, 20);
    });

    test("the MSS of SYNs is clamped, both ways", async () => {
      const mss = 'dict((o[0], o[1]) for o in p[TCP].options)["MSS"]';
      const syn = { filter: "p.haslayer(TCP) and p[TCP].flags & 2", count: 1, seconds: 3 };
      const [out] = await inGuest.during({ interface: GUEST_DEVICE, ...syn }, () => transfer(first, GUEST, 1));
      expect(await inGuest.eval(out!, mss)).toBe(mtu - 40);
      const [out6] = await inGuest.during({ interface: GUEST_DEVICE, ...syn }, () => transfer(first, GUEST6, 1));
      expect(await inGuest.eval(out6!, mss)).toBe(mtu - 60);
      await guest.ip(`link set ${GUEST_DEVICE} mtu 9000`);
      const [back] = await inFirst.during({ interface: "eth0", ...syn }, () => transfer(guest, FIRST, 1));
      expect(await inFirst.eval(back!, mss)).toBe(mtu - 40);
      await guest.ip(`link set ${GUEST_DEVICE} mtu ${mtu}`);
    });
  });

  test("what is on the wire decodes without an expert's warning and carries entropy in its source ports", async () => {
    // Segmentation and checksums on the link itself off: the capture then shows what a real wire would carry.
    await weftHost.ethtool("up0", { tx: "off", tso: "off", gso: "off", "tx-udp-segmentation": "off" });
    await kernelHost.ethtool("up0", NO_OFFLOADS);
    const capture = await LinkCapture.start(lab, kernelHost, "up0", "udp");
    await Promise.all([transfer(first, GUEST, 10), transfer(second, GUEST6, 10), transfer(guest, FIRST6, 10)]);
    await datagramSizes(first, GUEST, 1, 200);
    for (const destination of [GUEST, GUEST6]) await first.ping(destination, ["-s", "4000"]);
    for (let port = 1; port <= 32; port++) {
      await inFirst.send(
        "eth0",
        `Ether(src="${FIRST_MAC}",dst="${GUEST_MAC}")/IP(src="${FIRST}",dst="${GUEST}")/UDP(sport=${port},dport=9)/b"flow"`,
      );
    }
    await first.ip("neigh flush all");
    await first.ping(GUEST);
    const file = await capture.stop();

    const ofOurs = ours.includes(":") ? `ipv6.src == ${ours}` : `ip.src == ${ours}`;
    // Linux writes 0xffff for a TCP checksum of 0 where it completes one (skb_checksum_help): one segment in 65,536.
    expect(await expertWarnings(file, `tcp.checksum == 0xffff and not (${ofOurs})`)).toEqual([]);
    const rows = await fieldsOf(file, `vxlan and ${ofOurs}`, ["udp.srcport", "vxlan.vni", "vxlan.flags", "frame.len"]);
    expect(rows.length).toBeGreaterThan(14_000);
    expect(new Set(rows.map(([, vni]) => vni))).toEqual(new Set([String(VNI)]));
    expect(new Set(rows.map(([, , flags]) => flags))).toEqual(new Set(["0x0800"]));
    expect(Math.max(...rows.map(([, , , length]) => Number(length)))).toBe(1514); // full, and never more
    const outerPorts = new Set(rows.map(([ports]) => Number(ports!.split(",")[0])));
    expect(Math.min(...outerPorts)).toBeGreaterThanOrEqual(49152);
    expect(outerPorts.size).toBeGreaterThan(4);
    expect(outerPorts.size).toBeLessThanOrEqual(16);
  });

  test("frames of one flow keep one source port", async () => {
    const capture = await LinkCapture.start(lab, kernelHost, "up0", "udp");
    await transfer(first, GUEST, 5);
    const file = await capture.stop();
    const ofOurs = ours.includes(":") ? `ipv6.src == ${ours}` : `ip.src == ${ours}`;
    const rows = await fieldsOf(file, `vxlan and ${ofOurs} and tcp`, ["udp.srcport", "tcp.srcport"]);
    expect(new Set(rows.map((row) => row.join(" "))).size).toBe(1);
  });
});

// The product's main job as a user meets it: two daemons, one overlay, every command that shows what goes on.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Daemon, eventually } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { expertWarnings, fieldsOf } from "../support/link-capture.ts";
import { Scapy } from "../support/scapy.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";
import { ADDRESSES, NETWORK, OVERLAY_VNI, overlay, twoHosts, UNDERLAY } from "../support/two-hosts.ts";

const lab = new Lab();
const folder = mkdtempSync(join(tmpdir(), "weft-captures-"));
let a: Daemon;
let b: Daemon;
let sandboxes: Readonly<Record<string, Host>>;

beforeAll(async () => {
  ({ a, b, sandboxes } = await twoHosts(lab));
  await Promise.all(["a2", "b1"].map((name) => servers(lab, sandboxes[name]!)));
});
afterEach(async () => {
  await a?.law();
  await b?.law();
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await lab.dispose();
});

const PAIRS = Object.keys(ADDRESSES).flatMap((from) =>
  Object.keys(ADDRESSES)
    .filter((to) => to !== from)
    .map((to) => [from, to] as const),
);

test.each(PAIRS)("%s reaches %s by IPv4 and IPv6", async (from, to) => {
  const [ipv4, ipv6] = ADDRESSES[to]!;
  expect(await sandboxes[from]!.ping(ipv4)).toBe(3);
  expect(await sandboxes[from]!.ping(ipv6)).toBe(3);
});

test("TCP and UDP arrive byte for byte, on the host and across", async () => {
  for (const address of ADDRESSES.b1!) await transfer(sandboxes.a1!, address, 200);
  for (const address of ADDRESSES.a2!) await transfer(sandboxes.b2!, address, 100);
  for (const address of ADDRESSES.a2!) await transfer(sandboxes.a1!, address, 200);
  await datagramSizes(sandboxes.a1!, ADDRESSES.b1![0], 1, 1422);
  await datagramSizes(sandboxes.b2!, ADDRESSES.a2![1], 1, 1402);
  await datagramSizes(sandboxes.a1!, ADDRESSES.a2![0], 1, 1422);
});

test("streams in all directions at once", async () => {
  const pairs = [
    ["a1", "b1"],
    ["a2", "b1"],
    ["b1", "a2"],
    ["b2", "a2"],
    ["b2", "b1"],
    ["a1", "a2"],
  ] as const;
  await Promise.all(pairs.map(([from, to], i) => transfer(sandboxes[from]!, ADDRESSES[to]![i % 2]!, 40)));
});

test("commands run in a sandbox", async () => {
  const outcome = await a.cli(["sandbox", "exec", "-i", "a1", "--", "sh", "-c", "ip -4 -brief address show eth0; cat; exit 7"], {
    input: "stdin",
  });
  expect(outcome.stdout).toContain(ADDRESSES.a1![0]);
  expect(outcome.stdout).toContain("stdin");
  expect(outcome.code).toBe(7);
  const run = await a.cli(["run", "--rm", "--network", NETWORK, "--", "ping", "-n", "-c", "1", "-W", "2", ADDRESSES.b1![0]]);
  expect(run.stdout).toContain("1 received");
  expect(run.code).toBe(0);
  expect((await a.api.call("sandbox", "List", {})).sandboxes.map(({ name }) => name)).toEqual(["a1", "a2"]);
});

describe("what the commands show", () => {
  test("network inspect: Docker's fields", async () => {
    const [network] = await a.json("network", "inspect", NETWORK);
    expect(network).toMatchObject({
      Name: NETWORK,
      Driver: "overlay",
      EnableIPv6: true,
      Internal: false,
      Options: { "com.docker.network.driver.overlay.vxlanid_list": String(OVERLAY_VNI) },
    });
    expect(network.Id).toMatch(/^[0-9a-f]{64}$/);
    expect(network.IPAM.Config.map(({ Subnet }: { Subnet: string }) => Subnet)).toEqual(["10.50.0.0/24", "fd50::/64"]);
    const containers = Object.values(network.Containers) as {
      Name: string;
      IPv4Address: string;
      IPv6Address: string;
      MacAddress: string;
    }[];
    const ours = containers.find(({ Name }) => Name === "a1")!;
    expect(ours.IPv4Address).toBe(`${ADDRESSES.a1![0]}/24`);
    expect(ours.IPv6Address).toBe(`${ADDRESSES.a1![1]}/64`);
    expect(ours.MacAddress).toBe((await sandboxes.a1!.link("eth0")).address);
  });

  test("fdb: sandboxes by name, remote ones by VTEP", async () => {
    await sandboxes.a1!.ping(ADDRESSES.b2![0]);
    const text = await a.must("fdb", NETWORK);
    const line = (mac: string) => text.split("\n").find((one) => one.includes(mac)) ?? `no line for ${mac} in\n${text}`;
    expect(line((await sandboxes.a1!.link("eth0")).address)).toContain("a1");
    expect(line((await sandboxes.b2!.link("eth0")).address)).toContain(UNDERLAY.b);
  });

  test("neigh: addresses and MACs of this host's sandboxes", async () => {
    const text = await a.must("neigh", NETWORK);
    const { address } = await sandboxes.a1!.link("eth0");
    for (const ours of ADDRESSES.a1!) expect(text).toMatch(new RegExp(`${ours}\\s+${address}`));
  });

  test("vtep: the peer, its port and the VNI", async () => {
    expect(await a.must("vtep", NETWORK)).toMatch(new RegExp(`${UNDERLAY.b}\\s.*4789.*${OVERLAY_VNI}|${UNDERLAY.b}.*${OVERLAY_VNI}.*4789`));
    expect(await a.must("peer", "ls")).toContain(UNDERLAY.b);
  });

  test("stats: counters and ports", async () => {
    const text = await a.must("stats");
    for (const word of ["rx", "tx", "a1", "a2", "underlay"]) expect(text).toContain(word);
  });

  test("trace: the way of an echo request through the graph", async () => {
    const text = await a.must("trace", "a1", ADDRESSES.b1![0]);
    const nodes = ["ethernet-input", "l2-forward", "vxlan-encap", "underlay-output"];
    const places = nodes.map((node) => text.indexOf(node));
    expect(
      places.every((place) => place >= 0),
      text,
    ).toBe(true);
    expect(places).toEqual([...places].sort((x, y) => x - y));
    expect(text).toContain(UNDERLAY.b);
  });

  test("status, version, info", async () => {
    expect((await a.cli(["status"])).code).toBe(0);
    expect(await a.must("version")).toMatch(/\d+\.\d+\.\d+/);
    expect(await a.must("info")).toContain(UNDERLAY.a);
  });

  test("-q and templates", async () => {
    expect(await a.must("sandbox", "ls", "-q")).toMatch(/^[0-9a-f]{12,64}\n[0-9a-f]{12,64}$/);
    expect(await a.must("network", "ls", "--format", "{{.Name}}/{{.Driver}}")).toContain(`${NETWORK}/overlay`);
  });
});

describe("capture", () => {
  /** Captures while `work` runs; answers the file. */
  async function captured(target: string, work: () => Promise<unknown>): Promise<string> {
    const file = join(folder, `${target}.pcapng`);
    const before = (await a.figures()).counters.captured!;
    const capture = lab.background(a.host, [...a.argv().slice(0, 1), "--socket", a.socket, "capture", "-w", file, target]);
    await capture.until(/capturing/);
    await work();
    const after = (await a.figures()).counters.captured!;
    // A file that is still being written may end within a packet, which tshark calls a failure.
    const packets = () => fieldsOf(file, "frame", ["frame.number"]).catch(() => []);
    await eventually("all of it is in the file", async () => BigInt((await packets()).length) >= after - before);
    expect(await capture.end("SIGINT")).toBe(0);
    return file;
  }

  test.each(["a1", NETWORK])("of %s: inner frames, as tshark reads them", async (target) => {
    const file = await captured(target, async () => {
      await sandboxes.a1!.ping(ADDRESSES.b1![0], ["-s", "777"], 5);
      await sandboxes.a1!.ping(ADDRESSES.b1![1], ["-s", "777"], 5);
    });
    expect(await expertWarnings(file)).toEqual([]);
    const requests = await fieldsOf(file, "icmp.type == 8 and frame.len == 819", ["ip.src", "ip.dst"]);
    expect(requests.slice(0, 1)).toEqual([[ADDRESSES.a1![0], ADDRESSES.b1![0]]]);
    expect((await fieldsOf(file, "icmp.type == 0 and frame.len == 819", ["ip.src"])).length).toBeGreaterThanOrEqual(5);
    expect((await fieldsOf(file, "icmpv6.type == 129 and frame.len == 839", ["ipv6.src"])).length).toBeGreaterThanOrEqual(5);
  });

  test("of the underlay: VXLAN as it is on the wire", async () => {
    const file = await captured("underlay", () => sandboxes.a1!.ping(ADDRESSES.b1![0], ["-s", "777"], 5));
    expect(await expertWarnings(file)).toEqual([]);
    const rows = await fieldsOf(file, "vxlan and icmp and ip.len == 855", ["vxlan.vni", "ip.src", "ip.dst"]);
    const there = [String(OVERLAY_VNI), `${UNDERLAY.a},${ADDRESSES.a1![0]}`, `${UNDERLAY.b},${ADDRESSES.b1![0]}`];
    const back = [String(OVERLAY_VNI), `${UNDERLAY.b},${ADDRESSES.b1![0]}`, `${UNDERLAY.a},${ADDRESSES.a1![0]}`];
    expect(rows).toEqual([there, back, there, back, there, back, there, back, there, back]);
  });

  test("to standard output", async () => {
    const command = `"$0" "$@" | tshark -n -r -`;
    const weft = ["--socket", a.socket, "capture", "--duration", "2s", "a1"];
    const decoded = a.host.must(["sh", "-c", command, a.argv()[0]!, ...weft]);
    const traffic = sandboxes.a1!.execute(["ping", "-n", "-i", "0.05", "-c", "40", ADDRESSES.b1![0]]);
    expect(await decoded).toMatch(/Echo \(ping\) reply/);
    await traffic;
  });
});

describe("where there is no way", () => {
  test("a network that the other host does not have: dropped there as an unknown VNI", async () => {
    await a.must("network", "create", ...overlay("lonely", 6060, 60));
    await a.must("sandbox", "create", "--network", "lonely,ip=10.60.0.5", "alone");
    const alone = await a.enter("alone");
    const before = (await b.drops())["vni-unknown"]!;
    expect(await alone.ping("10.60.0.9", ["-W", "0.3"], 1)).toBe(0);
    await eventually("the other host counted an unknown VNI", async () => (await b.drops())["vni-unknown"]! > before);
    expect(await b.must("drops")).toMatch(/vni-unknown.*\d/);
    await a.must("sandbox", "rm", "alone");
    await a.must("network", "rm", "lonely");
  });

  test("a network without a peer: a flood with nobody in it", async () => {
    await a.must("peer", "rm", UNDERLAY.b);
    await a.must("network", "create", ...overlay("lonely", 6060, 60));
    await a.must("sandbox", "create", "--network", "lonely,ip=10.60.0.5", "alone");
    const alone = await a.enter("alone");
    const before = (await a.drops())["no-members"]!;
    expect(await alone.ping("10.60.0.9", ["-W", "0.3"], 1)).toBe(0);
    await eventually("the flood was dropped", async () => (await a.drops())["no-members"]! > before);
    await a.must("sandbox", "rm", "alone");
    await a.must("network", "rm", "lonely");
    await a.must("peer", "add", UNDERLAY.b);
    expect(await sandboxes.a1!.ping(ADDRESSES.b1![0])).toBe(3);
  });

  test("peer rm stops the traffic both ways and counts it; peer add mends it", async () => {
    await sandboxes.a1!.ping(ADDRESSES.b1![0]);
    await a.must("peer", "rm", UNDERLAY.b);
    expect(await a.must("vtep", NETWORK)).not.toContain(UNDERLAY.b);
    expect(await a.must("fdb", NETWORK)).not.toContain(UNDERLAY.b); // what was learned from it went with it
    const before = (await a.drops())["vtep-unknown"]!;
    expect(await sandboxes.a1!.ping(ADDRESSES.b1![0], ["-W", "0.3"], 2)).toBe(0);
    expect(await sandboxes.b1!.ping(ADDRESSES.a1![0], ["-W", "0.3"], 2)).toBe(0);
    await eventually("frames of a stranger were dropped", async () => (await a.drops())["vtep-unknown"]! > before);
    expect(await sandboxes.a1!.ping(ADDRESSES.a2![0])).toBe(3);
    await a.must("peer", "add", UNDERLAY.b);
    expect(await sandboxes.a1!.ping(ADDRESSES.b1![0])).toBe(3);
    expect(await sandboxes.b1!.ping(ADDRESSES.a1![1])).toBe(3);
  });

  test("disconnect takes the interface, connect brings another", async () => {
    await a.must("network", "disconnect", NETWORK, "a2");
    expect((await sandboxes.a2!.links()).map(({ ifname }) => ifname)).toEqual(["lo"]);
    expect(await sandboxes.b1!.ping(ADDRESSES.a2![0], ["-W", "0.3"], 1)).toBe(0);
    await a.must("network", "connect", "--ip", ADDRESSES.a2![0], "--ip6", ADDRESSES.a2![1], NETWORK, "a2");
    expect(await sandboxes.b1!.ping(ADDRESSES.a2![0])).toBe(3);
    expect(await sandboxes.b1!.ping(ADDRESSES.a2![1])).toBe(3);
  });
});

test("networks do not see each other", async () => {
  await a.must("network", "create", ...overlay("other", 7070, 70));
  await b.must("network", "create", ...overlay("other", 7070, 70));
  await a.must("sandbox", "create", "--network", "other,ip=10.70.0.5", "oa");
  await b.must("sandbox", "create", "--network", "other,ip=10.70.0.6", "ob");
  const oa = await a.enter("oa");
  expect(await oa.ping("10.70.0.6")).toBe(3);
  // A sandbox of the other network that knows address and MAC of ours gets nothing through.
  const listener = await Scapy.start(lab, sandboxes.b1!);
  const sender = await Scapy.start(lab, oa);
  const target = (await sandboxes.b1!.link("eth0")).address;
  const frames = await listener.during({ interface: "eth0", filter: 'b"intruder" in raw', seconds: 0.3 }, () =>
    sender.send(
      "eth0",
      `Ether(src="02:00:00:00:00:99",dst="${target}")/b"intruder"`,
      `Ether(src="02:00:00:00:00:99",dst="ff:ff:ff:ff:ff:ff")/b"intruder"`,
    ),
  );
  expect(frames).toEqual([]);
  await a.must("sandbox", "rm", "oa");
  await b.must("sandbox", "rm", "ob");
  for (const daemon of [a, b]) await daemon.must("network", "rm", "other");
});

test("the engine's tables are as declared after all this: the audit had nothing to mend", async () => {
  for (const daemon of [a, b]) {
    expect((await daemon.api.call("diagnostics", "Audit", {})).mended).toBe(0);
    expect((await daemon.figures()).mended).toBe(0);
  }
});

// The macvlan driver on one host whose parent is a trunk: sandboxes on VLAN 100, VLAN 200 and without a tag side by side, against
// plain kernel peers at the far end (vlan-peer.py writes and strips the peers' tags), tags proved by tshark on the parent.
//
//   sandboxes ── engine ── packet socket on eth0 ── veth ── trunk0: vlan-peer.py ── v0, v100, v200: the peers' interfaces
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon, eventually } from "../support/daemon.ts";
import { type Background, type Host, Lab } from "../support/hosts.ts";
import { expertWarnings, fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const VLAN_PEER = fileURLToPath(new URL("../support/vlan-peer.py", import.meta.url));
const PEERS = [
  { tap: "v0", vid: 0, parent: "eth0", net: "plain", octet: 70 },
  { tap: "v100", vid: 100, parent: "eth0.100", net: "red", octet: 71 },
  { tap: "v200", vid: 200, parent: "eth0.200", net: "blue", octet: 72 },
] as const;

const RED = ["--subnet", "10.71.0.0/24", "--gateway", "10.71.0.1", "--ipv6", "--subnet", "fd71::/64", "--gateway", "fd71::1"];

const lab = new Lab();
let host: Host;
let wire: Host;
let daemon: Daemon;
let peers: Background;
const inside = new Map<string, Host>();

/** The trunk and the peers behind it. */
async function plugIn(): Promise<void> {
  await lab.wire([host, "eth0", "10.70.0.9/24", "fd70::9/64"], [wire, "trunk0"]);
  peers = lab.background(wire, ["/usr/bin/python3", VLAN_PEER, "trunk0", ...PEERS.map(({ tap, vid }) => `${tap}=${vid}`)]);
  await peers.until(/ready/);
  await wire.ip(
    // The MAC that the sandboxes know them by, also after a return.
    PEERS.flatMap(({ tap, octet }) => [
      `link set ${tap} address 02:00:00:00:00:${octet}`,
      `address add 10.${octet}.0.1/24 dev ${tap}`,
      `address add fd${octet}::1/64 dev ${tap} nodad`,
      `link set ${tap} up`,
    ]).join("\n"),
  );
}

async function createNetwork(name: string, octet: number, options: Record<string, string>): Promise<void> {
  const ipam = [
    { subnet: `10.${octet}.0.0/24`, gateway: `10.${octet}.0.1` },
    { subnet: `fd${octet}::/64`, gateway: `fd${octet}::1` },
  ];
  await daemon.api.call("network", "Create", { name, driver: "macvlan", ipam, options });
}

async function createSandbox(network: string, name: string, octet: number, host: number): Promise<Host> {
  const attachments = [{ network, ipv4: `10.${octet}.0.${host}`, ipv6: `fd${octet}::${host}` }];
  await daemon.api.call("sandbox", "Create", { name, attachments });
  return await daemon.enter(name);
}

async function remove(network: string, ...sandboxes: readonly string[]): Promise<void> {
  for (const sandbox of sandboxes) await daemon.api.call("sandbox", "Remove", { sandbox });
  await daemon.api.call("network", "Remove", { network });
}

beforeAll(async () => {
  [host, wire] = [await lab.host("h"), await lab.host("p")];
  await plugIn();
  daemon = await Daemon.start(lab, host);
  for (const { net, parent, octet } of PEERS) {
    if (net !== "red") await createNetwork(net, octet, { parent });
    else await daemon.must("network", "create", "-d", "macvlan", ...RED, "-o", `parent=${parent}`, net);
    inside.set(net, await createSandbox(net, `${net}1`, octet, 5));
  }
  await servers(lab, wire);
  await servers(lab, inside.get("red")!);
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

/** But the network `bridge`'s. */
const hostLinks = async (): Promise<string[]> =>
  (await host.links())
    .map(({ ifname }) => ifname)
    .filter((name) => name !== "weft0")
    .sort();
const promiscuity = async (name: string): Promise<number> =>
  (JSON.parse(await host.must(["ip", "-json", "-details", "link", "show", "dev", name])) as { promiscuity: number }[])[0]!.promiscuity;
const logged = (pattern: RegExp): number => [...daemon.log.matchAll(new RegExp(pattern, "g"))].length;

test.each(PEERS)("$net ($parent) reaches its peer, and the peer it", async ({ net, octet }) => {
  const sandbox = inside.get(net)!;
  for (const [own, peer] of [
    [`10.${octet}.0.5`, `10.${octet}.0.1`],
    [`fd${octet}::5`, `fd${octet}::1`],
  ] as const) {
    expect(await sandbox.ping(peer)).toBe(3);
    expect(await wire.ping(own)).toBe(3);
    await transfer(sandbox, peer, 30);
    // 1500 bytes of payload fit behind a tag, for the parent's MTU does not count it.
    await datagramSizes(sandbox, peer, 1440, peer.includes(":") ? 1452 : 1472);
  }
});

test("tags are on the wire, each network's own, and every frame is sound", async () => {
  await transfer(wire, "10.71.0.5", 20);
  const capture = await LinkCapture.start(lab, host, "eth0");
  await inside.get("plain")!.ping("10.70.0.1");
  await inside.get("red")!.ping("10.71.0.1");
  await inside.get("red")!.ping("fd71::1", ["-s", "4000"]);
  await inside.get("blue")!.ping("10.72.0.1", ["-s", "1472", "-M", "do"]);
  await transfer(inside.get("blue")!, "10.72.0.1", 1);
  const file = await capture.stop();
  const rows = await fieldsOf(file, "ip.addr==10.70.0.0/15 or ip.addr==10.72.0.0/24 or ipv6.addr==fd71::5", [
    "vlan.id",
    "ip.dst",
    "ipv6.dst",
  ]);
  const vids = new Map<string, Set<string>>();
  for (const [vid, ipv4, ipv6] of rows) {
    const net = (ipv4 || ipv6!)
      .split(/[.:]+/)
      .slice(0, ipv4 ? 2 : 1)
      .join(".");
    vids.set(net, (vids.get(net) ?? new Set()).add(vid!));
  }
  expect(Object.fromEntries([...vids].map(([net, set]) => [net, [...set]]))).toEqual({
    "10.70": [""],
    "10.71": ["100"],
    "10.72": ["200"],
    fd71: ["100"],
  });
  // A veth carries super-frames and leaves checksums to a card that is not there: what tshark objects to is theirs.
  const objections = await expertWarnings(file);
  expect(objections.filter((text) => !/[Cc]hecksum/.test(text))).toEqual([]);
});

test("networks on other VLANs of the parent hear nothing of each other", async () => {
  await inside.get("red")!.ip("address add 10.72.0.66/24 dev eth0");
  expect(await inside.get("red")!.ping("10.72.0.5", ["-I", "10.72.0.66", "-w", "1"], 1)).toBe(0);
  await inside.get("red")!.ip("address del 10.72.0.66/24 dev eth0");
});

/** How many echo requests of one to each address are answered; none is expected, and all are waited for at the same time. */
const answered = async (from: Host, ...addresses: readonly string[]): Promise<number> =>
  (await Promise.all(addresses.map((address) => from.ping(address, ["-w", "1"], 1)))).reduce((sum, count) => sum + count, 0);

test("the host and its sandboxes are strangers, both ways", async () => {
  const plain = inside.get("plain")!;
  expect(await Promise.all([answered(host, "10.70.0.5", "fd70::5"), answered(plain, "10.70.0.9", "fd70::9")])).toEqual([0, 0]);
  for (const own of ["10.70.0.9", "fd70::9"]) expect(await wire.ping(own)).toBe(3);
  // Nor when they know each other's MAC.
  await host.ip(`neigh replace 10.70.0.5 lladdr ${(await plain.link("eth0")).address} dev eth0`);
  await plain.ip(`neigh replace 10.70.0.9 lladdr ${(await host.link("eth0")).address} dev eth0`);
  expect(await Promise.all([answered(host, "10.70.0.5"), answered(plain, "10.70.0.9")])).toEqual([0, 0]);
});

test("bridge: sandboxes on one VLAN reach each other, also of another network; private: nobody but the world", async () => {
  await createNetwork("more", 73, { parent: "eth0.100" });
  const more = await createSandbox("more", "more1", 73, 6);
  const red = await createSandbox("red", "red2", 71, 6);
  await more.ip("route add 10.71.0.0/24 dev eth0");
  await red.ip("route add 10.73.0.0/24 dev eth0");
  expect(await red.ping("10.71.0.5")).toBe(3);
  expect(await more.ping("10.71.0.6")).toBe(3);
  await transfer(red, "10.71.0.5", 30);
  expect(await daemon.must("fdb", "red")).toContain((await more.link("eth0")).address);
  await daemon.api.call("sandbox", "Remove", { sandbox: "red2" });
  await remove("more", "more1");

  await createNetwork("quiet", 74, { parent: "eth0.200", macvlan_mode: "private" });
  const one = await createSandbox("quiet", "quiet1", 74, 6);
  const two = await createSandbox("quiet", "quiet2", 74, 7);
  await wire.ip("address add 10.74.0.1/24 dev v200");
  expect(await one.ping("10.74.0.1")).toBe(3);
  expect(await answered(one, "10.74.0.7", "fd74::7")).toBe(0);
  await two.ip(`neigh replace 10.74.0.6 lladdr ${(await one.link("eth0")).address} dev eth0`);
  expect(await answered(two, "10.74.0.6")).toBe(0);
  await wire.ip("address del 10.74.0.1/24 dev v200");
  await remove("quiet", "quiet1", "quiet2");
});

test("without a parent: an isolated network", async () => {
  await createNetwork("alone", 75, { parent: "" });
  const one = await createSandbox("alone", "alone1", 75, 6);
  await createSandbox("alone", "alone2", 75, 7);
  expect(await one.ping("10.75.0.7")).toBe(3);
  expect(await one.must(["ip", "route"])).not.toContain("default");
  expect(await hostLinks()).toEqual(["eth0", "lo"]);
  await remove("alone", "alone1", "alone2");
});

test("after a kill -9 the next daemon goes on, and the kernel takes back what the parent was asked for", async () => {
  // A veth filters by no MAC, so the kernel makes it promiscuous while it has any to listen to.
  expect(await promiscuity("eth0")).toBeGreaterThan(0);
  await daemon.kill9();
  expect(await promiscuity("eth0")).toBe(0);
  await daemon.start();
  expect(await promiscuity("eth0")).toBeGreaterThan(0);
  for (const { net, octet } of PEERS) expect(await inside.get(net)!.ping(`fd${octet}::1`)).toBe(3);
  await transfer(inside.get("red")!, "10.71.0.1", 30);
});

test("a parent that vanishes and comes back is told of, and its figures go on", async () => {
  const uplink = async () => (await daemon.figures()).ports.find(({ id }) => id === "parent/eth0.100")!;
  const before = await uplink();
  await host.ip("link del eth0");
  await peers.end();
  await eventually("the loss is logged", () => logged(/stays without its interface/) === 1);
  expect(await answered(inside.get("red")!, "10.71.0.1")).toBe(0);
  expect(await daemon.must("status")).toContain("parent interface eth0 is missing");
  expect((await uplink()).rx).toBeGreaterThanOrEqual(before.rx);
  await plugIn();
  await eventually("the return is logged", () => logged(/a parent interface is there again/) === 1);
  for (const { net, octet } of PEERS) {
    expect(await inside.get(net)!.ping(`10.${octet}.0.1`)).toBe(3);
    expect(await wire.ping(`fd${octet}::5`)).toBe(3);
  }
  expect((await uplink()).rx).toBeGreaterThan(before.rx);
});

test("a daemon whose parent is not there yet starts, and waits for it", async () => {
  await daemon.sigterm();
  await host.ip("link del eth0");
  await peers.end();
  await daemon.start();
  await plugIn();
  await eventually("the return is logged", () => logged(/a parent interface is there again/) === 1);
  for (const { net, octet } of PEERS) expect(await inside.get(net)!.ping(`10.${octet}.0.1`)).toBe(3);
});

test("passthru: one sandbox has the parent's MAC and all of its frames; then the parent is as it was", async () => {
  for (const { net } of PEERS) {
    await remove(net, `${net}1`);
  }
  await eventually("the parent is let go", async () => (await promiscuity("eth0")) === 0);
  await host.ip("address flush dev eth0");
  await createNetwork("all", 70, { parent: "eth0", macvlan_mode: "passthru" });
  const all = await createSandbox("all", "all1", 70, 5);
  expect((await all.link("eth0")).address).toBe((await host.link("eth0")).address);
  expect(await all.ping("10.70.0.1")).toBe(3);
  await transfer(all, "10.70.0.1", 30);
  expect(await promiscuity("eth0")).toBeGreaterThan(0);
  await expect(createSandbox("all", "all2", 70, 6)).rejects.toThrow("in mode passthru");
  await remove("all", "all1");
  await eventually("the parent is let go", async () => (await promiscuity("eth0")) === 0);
  expect(await hostLinks()).toEqual(["eth0", "lo"]);
});

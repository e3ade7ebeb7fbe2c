// The controller on the real kernel: namespaces, interfaces, addresses and routes as `ip` shows them, the store in a file, the
// data plane running. What the tables of test/unit/controller*.test.ts say of the twins must hold here.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type CnmController, openController } from "../../src/controller/controller.ts";
import type { RestoreReport } from "../../src/controller/upkeep/restore.ts";
import { WeftDatapath } from "../../src/datapath/datapath.ts";
import { EmbeddedDns } from "../../src/dns/dns.ts";
import { builtinDrivers, DriverRegistry } from "../../src/drivers/registry.ts";
import { EmbeddedIpam } from "../../src/ipam/embedded.ts";
import { IpamRegistry } from "../../src/ipam/registry.ts";
import { NativeNamespaces } from "../../src/netns/native-namespaces.ts";
import { native } from "../../src/ports/native.ts";
import { openLmdbStore } from "../../src/store/lmdb.ts";
import { countingBytes } from "../support/controller.ts";
import { testNamespaces } from "../support/namespaces.ts";

const run = promisify(execFile);
const foreign = testNamespaces();
const NAME = "com.docker.network.bridge.name";
/** Prefix of this process's interfaces in the host's namespace. */
const BRIDGE = `weft-t${process.pid}`;

interface Running {
  readonly controller: CnmController;
  readonly report: RestoreReport;
  stop(keepInterfaces: boolean): Promise<void>;
}

let stateDir: string;
let running: Running;

async function start(): Promise<Running> {
  const store = await openLmdbStore(join(stateDir, "store.lmdb"));
  const datapath = new WeftDatapath();
  await datapath.start({ stateDir, auditIntervalS: 0 });
  const names = new EmbeddedDns({ native: native(), stateDir, resolvConfPath: "/etc/resolv.conf", clock: systemClock });
  const controller = await openController({
    store,
    datapath,
    namespaces: new NativeNamespaces(native()),
    names,
    drivers: new DriverRegistry(builtinDrivers()),
    ipam: new IpamRegistry([new EmbeddedIpam()]),
    underlay: { addresses: ["192.0.2.1"], mtuBytes: 1500, vxlanPort: 4789 },
    stateDir,
    clock: systemClock,
    randomBytes: countingBytes(),
    log: () => {},
  });
  names.follow(controller.nameRecords);
  const report = await controller.restore();
  return {
    controller,
    report,
    stop: async (keepInterfaces) => {
      names.stop();
      await datapath.stop({ keepInterfaces });
      await store.close();
    },
  };
}

beforeEach(async () => {
  stateDir = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
  running = await start();
});

afterEach(async () => {
  const { controller } = running;
  for (const { sandbox } of controller.listSandboxes()) await controller.removeSandbox(sandbox.id, true);
  for (const { id } of controller.listNetworks()) await controller.removeNetwork(id);
  await running.stop(false);
  await foreign.removeAll();
  if (existsSync(join(stateDir, "netns"))) expect(readdirSync(join(stateDir, "netns"))).toEqual([]);
  expect((await hostLinks()).filter((name) => name.startsWith(BRIDGE))).toEqual([]);
  rmSync(stateDir, { recursive: true });
});

const hostLinks = async (): Promise<string[]> => (await native().links(null)).map(({ name }) => name);

/** Runs a command in a namespace; its standard output. */
const inside = async (path: string, ...argv: string[]): Promise<string> => (await run("nsenter", [`--net=${path}`, ...argv])).stdout;

async function addresses(path: string | null): Promise<string[]> {
  const all = await native().addresses(path);
  return all
    .filter(({ interfaceName, address }) => interfaceName !== "lo" && !address.startsWith("fe80"))
    .map(({ interfaceName, address, prefixLength }) => `${interfaceName} ${address}/${prefixLength}`)
    .sort();
}

async function defaultRoutes(path: string): Promise<string[]> {
  const [routes, links] = await Promise.all([native().routes(path), native().links(path)]);
  return routes
    .filter(({ destination }) => destination === "0.0.0.0/0" || destination === "::/0")
    .map(({ gateway, interfaceIndex }) => `${gateway} ${links.find(({ index }) => index === interfaceIndex)?.name}`);
}

describe("a bridge network", () => {
  it("joins a namespace of ours to the host, over IPv4 and IPv6", async () => {
    const { controller } = running;
    const ipam = [{ subnet: "10.241.1.0/24" }, { subnet: "fd41:1::/64" }];
    await controller.createNetwork({ name: "web", ipam, options: { [NAME]: BRIDGE } });
    const { sandbox } = await controller.createSandbox({ name: "a", networks: [{ network: "web" }] });
    const path = sandbox.namespacePath;
    expect(native().namespaceInode(path)).not.toBeNull();
    expect(await addresses(path)).toEqual(["eth0 10.241.1.2/24", "eth0 fd41:1::2/64"]);
    expect((await defaultRoutes(path)).sort()).toEqual(["10.241.1.1 eth0", "fd41:1::1 eth0"]);
    expect((await addresses(null)).filter((line) => line.startsWith(BRIDGE))).toEqual([
      `${BRIDGE} 10.241.1.1/24`,
      `${BRIDGE} fd41:1::1/64`,
    ]);
    await inside(path, "ping", "-c1", "-W5", "10.241.1.1");
    await inside(path, "ping", "-c1", "-W5", "fd41:1::1");
    await run("ping", ["-c1", "-W5", "10.241.1.2"]);
    expect(await inside(path, "ping", "-c1", "-W5", "127.0.0.1")).toContain("1 received");
  });

  it("keeps an IPv4 sandbox quiet on IPv6", async () => {
    const { controller } = running;
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.241.2.0/24" }], options: { [NAME]: BRIDGE } });
    const { sandbox } = await controller.createSandbox({ networks: [{ network: "web" }] });
    expect(await inside(sandbox.namespacePath, "ip", "-6", "address", "show", "dev", "eth0")).toBe("");
  });

  it("moves the default route to the endpoint that should have it", async () => {
    const { controller } = running;
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.241.3.0/24" }], options: { [NAME]: `${BRIDGE}a` } });
    await controller.createNetwork({ name: "app", ipam: [{ subnet: "10.241.4.0/24" }], options: { [NAME]: `${BRIDGE}b` } });
    await controller.createNetwork({ name: "far", driver: "overlay", ipam: [{ subnet: "10.241.5.0/24" }, { subnet: "fd41:5::/64" }] });
    const { sandbox } = await controller.createSandbox({ name: "a", networks: [{ network: "far" }, { network: "web" }] });
    const path = sandbox.namespacePath;
    expect(await defaultRoutes(path)).toEqual(["10.241.3.1 eth1"]);
    await controller.connect("a", { network: "app" });
    expect(await defaultRoutes(path)).toEqual(["10.241.4.1 eth2"]);
    await controller.disconnect("a", "app", false);
    expect(await defaultRoutes(path)).toEqual(["10.241.3.1 eth1"]);
    expect(await addresses(path)).toEqual(["eth0 10.241.5.2/24", "eth0 fd41:5::2/64", "eth1 10.241.3.2/24"]);
  });
});

describe("an overlay network", () => {
  it("joins two sandboxes of one host, with its MTU, and answers for neighbours", async () => {
    const { controller } = running;
    await controller.createNetwork({ name: "far", driver: "overlay", ipam: [{ subnet: "10.241.6.0/24" }, { subnet: "fd41:6::/64" }] });
    const [a] = await Promise.all(["a", "b"].map((name) => controller.createSandbox({ name, networks: [{ network: "far" }] })));
    const [first, second] = ["a", "b"].map((name) => controller.inspectSandbox(name).endpoints[0]!.endpoint);
    const path = a!.sandbox.namespacePath;
    expect((await native().links(path)).find(({ name }) => name === "eth0")).toMatchObject({ mac: first!.mac, mtuBytes: 1450, up: true });
    for (const address of [second!.ipv4, second!.ipv6]) await inside(path, "ping", "-c1", "-W5", address!.split("/")[0]!);
    expect(await inside(path, "ip", "neigh", "show", second!.ipv4!.split("/")[0]!)).toContain(second!.mac);
  });
});

describe("a restart", () => {
  it("finds namespaces, interfaces and what was added to them, and frames pass again", async () => {
    const { controller } = running;
    await controller.createNetwork({
      name: "web",
      ipam: [{ subnet: "10.241.7.0/24" }, { subnet: "fd41:7::/64" }],
      options: { [NAME]: BRIDGE },
    });
    const { sandbox } = await controller.createSandbox({ name: "a", networks: [{ network: "web" }] });
    const path = sandbox.namespacePath;
    const inode = native().namespaceInode(path);
    await inside(path, "ip", "address", "add", "10.241.7.77/24", "dev", "eth0");
    await running.stop(true);
    running = await start();
    expect(running.report).toMatchObject({ networks: 1, sandboxes: 1, endpoints: 1, recreated: [], lost: [], failures: [] });
    expect(native().namespaceInode(path)).toBe(inode);
    expect(await addresses(path)).toEqual(["eth0 10.241.7.2/24", "eth0 10.241.7.77/24", "eth0 fd41:7::2/64"]);
    await inside(path, "ping", "-c1", "-W5", "10.241.7.1");
    const next = await running.controller.createSandbox({ name: "b", networks: [{ network: "web" }] });
    expect(next.endpoints[0]!.endpoint.ipv4).toBe("10.241.7.3/24");
  });

  it("makes anew what a boot took away, and sweeps what is nobody's", async () => {
    const { controller } = running;
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.241.8.0/24" }], options: { [NAME]: BRIDGE } });
    const { sandbox } = await controller.createSandbox({ name: "a", networks: [{ network: "web" }] });
    const guest = await foreign.create("guest");
    await controller.createSandbox({ name: "guest", namespacePath: guest, networks: [{ network: "web" }] });
    await running.stop(false);
    await native().deleteNamespace(sandbox.namespacePath);
    await native().deleteNamespace(guest);
    const stray = join(stateDir, "netns", "0123456789ab");
    await native().createNamespace(stray);
    running = await start();
    expect(running.report).toMatchObject({ recreated: ["a"], lost: ["guest"], deletedNamespaces: [stray], failures: [] });
    expect(existsSync(stray)).toBe(false);
    expect(await addresses(sandbox.namespacePath)).toEqual(["eth0 10.241.8.2/24"]);
    await inside(sandbox.namespacePath, "ping", "-c1", "-W5", "10.241.8.1");
  });
});

describe("namespaces of the user's", () => {
  it("get an interface beside their own, and lose it again", async () => {
    const { controller } = running;
    const path = await foreign.create("mine");
    await inside(path, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0");
    await controller.createNetwork({ name: "far", driver: "overlay", ipam: [{ subnet: "10.241.9.0/24" }, { subnet: "fd41:9::/64" }] });
    await controller.createSandbox({ name: "a", namespacePath: path, networks: [{ network: "far" }] });
    expect(await addresses(path)).toEqual(["eth1 10.241.9.2/24", "eth1 fd41:9::2/64"]);
    await controller.removeSandbox("a", false);
    expect((await native().links(path)).map(({ name }) => name).sort()).toEqual(["eth0", "lo", "peer0"]);
    expect(native().namespaceInode(path)).not.toBeNull();
  });

  it.each(["/etc/passwd", "/nonexistent", "/tmp", "/proc/self/ns/mnt", "/proc/self/ns/net"])("are not %s", async (namespacePath) => {
    await expect(running.controller.createSandbox({ namespacePath })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(namespacePath),
    });
    expect(running.controller.listSandboxes()).toEqual([]);
  });
});

describe("the host's routes", () => {
  it("are avoided by default pools and refused as subnets", async () => {
    const { controller } = running;
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.241.10.0/24" }], options: { [NAME]: BRIDGE } });
    const onLink = (await native().routes(null)).find(
      ({ destination, gateway }) => destination.includes(".") && gateway === null && !destination.startsWith("10.241"),
    );
    if (onLink !== undefined) {
      await expect(controller.createNetwork({ name: "x", ipam: [{ subnet: onLink.destination }] })).rejects.toMatchObject({
        code: "ADDRESS_IN_USE",
      });
    }
    const { ipam } = await controller.createNetwork({ name: "any", options: { [NAME]: `${BRIDGE}b` } });
    expect(ipam[0]!.subnet).toMatch(/^(172\.(1[7-9]|2\d|3[01])\.0\.0\/16|192\.168\.\d+\.0\/20)$/);
  });
});

describe("many", () => {
  it("100 sandboxes come at once and leave no namespace, link or descriptor", async () => {
    const { controller } = running;
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.241.11.0/24" }], options: { [NAME]: BRIDGE } });
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const names = Array.from({ length: 100 }, (_, index) => `box${index}`);
    await controller.createSandbox({ name: "warm", networks: [{ network: "web" }] });
    const before = descriptors();
    await Promise.all(names.map((name) => controller.createSandbox({ name, networks: [{ network: "web" }] })));
    expect(readdirSync(join(stateDir, "netns"))).toHaveLength(101);
    await Promise.all(names.map((name) => controller.removeSandbox(name, false)));
    expect(readdirSync(join(stateDir, "netns"))).toHaveLength(1);
    expect(descriptors()).toBe(before);
  });
});

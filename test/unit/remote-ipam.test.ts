// Addresses from a plugin: what Weft asks is held against what dockerd asked (test/fixtures/docker-ipam-requests.jsonl, recorded)
// and judged by a plugin in Python that knows the protocol from its document; what is left behind is looked up in its books.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { EmbeddedIpam } from "../../src/ipam/embedded.ts";
import { LEASE_PREFIX } from "../../src/ipam/leases.ts";
import { NullIpam } from "../../src/ipam/null.ts";
import { IpamRegistry } from "../../src/ipam/registry.ts";
import { PluginIpams } from "../../src/ipam/remote/plugins.ts";
import { ROOT } from "../../src/paths.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import type { Store, Transaction } from "../../src/store/store.ts";
import { type Bench, startController } from "../support/controller.ts";
import { IpamPluginFolder, type PluginRequest, type TestIpamPlugin } from "../support/ipam-plugin.ts";

interface Recorded extends PluginRequest {
  readonly response: unknown;
}

const RECORDED = readFileSync(join(ROOT, "test/fixtures/docker-ipam-requests.jsonl"), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Recorded);

const plugins = new IpamPluginFolder();
let plugin: TestIpamPlugin;
beforeAll(async () => {
  plugin = await plugins.start("books");
});
afterAll(() => plugins.close());
beforeEach(() => {
  plugin.requests = [];
});
afterEach(async () => expect(await plugin.takeBooks()).toEqual({}));

type World = Bench & { readonly ipams: PluginIpams; readonly leases: () => Promise<string[]> };

async function world(parts: { store?: Store; from?: Bench; retryMs?: number } = {}): Promise<World> {
  const store = parts.store ?? parts.from?.store ?? new MemoryStore();
  const logged: string[] = [];
  const log = (level: string, message: string, fields?: object) => void logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  const ipams = new PluginIpams({ store, host: plugins.host(parts.retryMs), log });
  const ipam = new IpamRegistry([new EmbeddedIpam(), new NullIpam()], ipams);
  const bench = await startController({ store, ...(parts.from ? { namespaces: parts.from.namespaces } : {}), options: { ipam } });
  const leases = async () => (await store.list(LEASE_PREFIX)).map(({ key }) => key.slice(LEASE_PREFIX.length + 65));
  return { ...bench, logged: [...bench.logged, ...logged], ipams, leases };
}

/** Names and kinds of fields. */
function shape(value: unknown): unknown {
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  return Object.fromEntries(
    Object.entries(value)
      .sort()
      .map(([key, inner]) => [key, shape(inner)]),
  );
}

describe("what a plugin is asked", () => {
  it("is what dockerd asked, request for request", async () => {
    const { controller } = await world();
    const wish = { subnet: "10.61.0.0/24", ipRange: "10.61.0.128/25", auxAddresses: { other: "10.61.0.200" } };
    await controller.createNetwork({ name: "net", ipamDriver: "books", ipamOptions: { io: "1" }, ipam: [wish] });
    const { endpoints } = await controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
    expect(endpoints[0]!.endpoint.ipv4).toBe("10.61.0.130/24");
    await controller.removeSandbox("box", false);
    await controller.removeNetwork("net");

    // The plugin tells of its requests by a pipe, which may be read after the answer has come.
    await vi.waitFor(() => expect(plugin.bodies("ReleasePool")).toHaveLength(1), 5000);
    const order = plugin.requests.map(({ path }) => path.replace(/^\/(IpamDriver\.)?/, ""));
    expect(order).toEqual([
      ...["Plugin.Activate", "GetCapabilities", "GetDefaultAddressSpaces"],
      ...["RequestPool", "RequestAddress", "RequestAddress"],
      ...["RequestAddress", "ReleaseAddress"],
      ...["ReleaseAddress", "ReleaseAddress", "ReleasePool"],
    ]);
    const asked = (one: PluginRequest) => `${one.path} ${JSON.stringify(shape(one.body))}`;
    const known = new Set(RECORDED.map(asked));
    const byDocker = plugin.requests.filter(({ body }) => !(body?.Address === "" && body.Options === null));
    expect(byDocker.map(asked).filter((one) => !known.has(one))).toEqual([]);
    for (const { http, headers } of plugin.requests) {
      expect([http, headers.Accept, headers.Host]).toEqual(["HTTP/1.1", RECORDED[0]!.headers.Accept, RECORDED[0]!.headers.Host]);
    }
    expect(plugin.bodies("RequestPool")).toEqual([
      { AddressSpace: "plocal", Pool: "10.61.0.0/24", SubPool: "10.61.0.128/25", Options: { io: "1" }, V6: false },
    ]);
    expect(plugin.bodies("RequestAddress")[0].Options).toEqual({ RequestAddressType: "com.docker.network.gateway" });
  });

  it("has both families, the global space for networks that span hosts, and a gateway that came with the pool", async () => {
    const { controller } = await world();
    const network = await controller.createNetwork({ name: "net", driver: "overlay", ipamDriver: "books", enableIpv6: true });
    expect(network.ipam.map(({ subnet, gateway, poolId }) => [subnet, gateway, poolId])).toEqual([
      ["10.77.0.0/24", "10.77.0.1", "pglobal/10.77.0.0/24"],
      ["fd77::/64", "fd77::1", "pglobal/fd77::/64"],
    ]);
    const { endpoints } = await controller.createSandbox({ name: "box", networks: [{ network: "net", ipv6: "fd77::99" }] });
    expect(endpoints[0]!.endpoint).toMatchObject({ ipv4: "10.77.0.2/24", ipv6: "fd77::99/64" });
    await controller.removeSandbox("box", false);
    await controller.removeNetwork("net");
    const given = await controller.createNetwork({ name: "g", ipamDriver: "books", ipamOptions: { gateway: "10.77.0.254/24" } });
    expect(given.ipam[0]!.gateway).toBe("10.77.0.254");
    await controller.removeNetwork("g");
  });

  it("has the endpoint's MAC address where the plugin wants it, and the endpoint has that", async () => {
    const wanting = await plugins.start("macs", "--mac");
    const { controller } = await world();
    await controller.createNetwork({ name: "net", ipamDriver: "macs" });
    const { endpoints } = await controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
    const [{ endpoint }] = endpoints as [(typeof endpoints)[0]];
    await vi.waitFor(() => expect(wanting.bodies("RequestAddress")).toHaveLength(2), 5000);
    expect(wanting.bodies("RequestAddress").at(-1).Options).toEqual({ "com.docker.network.endpoint.macaddress": endpoint.mac });
    const asked = await controller.createSandbox({ networks: [{ network: "net", mac: "02:00:00:00:00:07" }] });
    expect(asked.endpoints[0]!.endpoint.mac).toBe("02:00:00:00:00:07");
    await controller.removeSandbox("box", false);
    await controller.removeSandbox(asked.sandbox.id, false);
    await controller.removeNetwork("net");
    expect(await wanting.books()).toEqual({});
  });

  it("goes on where the host has a route: a pool that overlaps one is held until another is found", async () => {
    const { controller, namespaces, leases } = await world();
    namespaces.routes = [{ destination: "10.77.0.0/24", gateway: "192.0.2.9", interfaceIndex: 2, metric: 0 }];
    const network = await controller.createNetwork({ name: "net", ipamDriver: "books" });
    expect(network.ipam[0]!.subnet).toBe("10.77.1.0/24");
    expect(Object.keys(await plugin.books())).toEqual(["plocal/10.77.1.0/24"]);
    expect(await leases()).toEqual([]);
    await controller.removeNetwork("net");
  });

  it("lets an older plugin be without capabilities", async () => {
    await plugins.start("old", "--old");
    const { controller } = await world();
    await controller.createNetwork({ name: "net", ipamDriver: "old" });
    await controller.removeNetwork("net");
  });
});

describe("what goes wrong", () => {
  it.each([
    ["RequestPool", "Pool overlaps with other one on this address space", "ADDRESS_IN_USE", "remote: Pool overlaps with other one"],
    ["RequestPool", "no", "FORBIDDEN", "remote: no"],
    ["RequestAddress", "no available addresses on this pool", "RESOURCE_EXHAUSTED", "failed to allocate gateway (): remote: no available"],
    ["RequestPool", "drop", "UNAVAILABLE", "plugin books does not answer IpamDriver.RequestPool"],
    ["RequestPool", "garbage", "UNAVAILABLE", "something that is no JSON"],
    ["RequestAddress", "huge", "UNAVAILABLE", "an answer of more than 1048576 bytes"],
    [
      "RequestPool",
      '{"PoolID":"p","Pool":"127.0.0.0/24"}',
      "UNAVAILABLE",
      "gives a pool that no network can have: invalid subnet 127.0.0.0/24",
    ],
    ["RequestPool", '{"PoolID":"p","Pool":7}', "UNAVAILABLE", "what can't be used: Pool: Invalid input: expected string"],
    ["RequestAddress", '{"Address":"10.78.0.1/24"}', "UNAVAILABLE", "gives address 10.78.0.1, which is not in its pool 10.77.0.0/24"],
  ])("%s: %s", async (method, how, code, message) => {
    const { controller, store } = await world();
    await plugin.fail(method, how);
    const made = controller.createNetwork({ name: "net", ipamDriver: "books" });
    await expect(made).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(await store.list("")).toEqual([]);
  });

  it.each([
    ['{"PoolID":"p","Pool":"10.0.0.0/99"}', "an IPv4 pool was asked for, and the answer is"],
    ['{"PoolID":"p","Pool":"fd00::/64"}', "an IPv4 pool was asked for, and the answer is"],
    ['{"PoolID":"p","Pool":7}', "expected string"],
    ['{"PoolID":"p","Pool":"10.0.0.0/24","Data":{"com.docker.network.gateway":"none"}}', "failed to parse gateway address (none)"],
  ])("a pool that can't be read is given back: %s", async (how, message) => {
    const { controller, store } = await world();
    await plugin.fail("RequestPool", how);
    await expect(controller.createNetwork({ name: "net", ipamDriver: "books" })).rejects.toThrow(message);
    const released = () => plugin.requests.filter(({ path }) => path === "/IpamDriver.ReleasePool").map(({ body }) => body);
    await vi.waitFor(() => expect(released()).toEqual([{ PoolID: "p" }]));
    expect(await store.list("")).toEqual([]);
  });

  it("a driver that fails behind it gives all back", async () => {
    const { controller, store } = await world();
    const made = controller.createNetwork({ name: "net", ipamDriver: "books", options: { nosuch: "1" } });
    await expect(made).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await store.list("")).toEqual([]);
    await controller.createNetwork({ name: "net", ipamDriver: "books" });
    const boxed = controller.createSandbox({ networks: [{ network: "net" }, { network: "net", ipv4: "10.99.0.1" }] });
    await expect(boxed).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const outside = controller.createSandbox({ networks: [{ network: "net", ipv4: "10.99.0.1" }] });
    await expect(outside).rejects.toThrow("requested address is out of range: 10.99.0.1, it must be in 10.77.0.0/24");
    const taken = controller.createSandbox({ networks: [{ network: "net", ipv4: "10.77.0.1" }] });
    await expect(taken).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
      message: expect.stringContaining("remote: Address already in use"),
    });
    expect((await plugin.books())["plocal/10.77.0.0/24"]!.addresses).toEqual(["10.77.0.1"]);
    await controller.removeNetwork("net");
  });

  it("an address that is not the one asked for, or that somebody has", async () => {
    const { controller, leases } = await world();
    const other = { method: "RequestAddress", how: '{"Address":"10.79.0.7/24"}' };
    await plugin.fail(other.method, other.how);
    const gateway = controller.createNetwork({
      name: "net",
      ipamDriver: "books",
      ipam: [{ subnet: "10.79.0.0/24", gateway: "10.79.0.1" }],
    });
    await expect(gateway).rejects.toThrow("plugin books gives address 10.79.0.7 where 10.79.0.1 was asked for");
    expect(await plugin.books()).toEqual({});
    const wish = { subnet: "10.79.0.0/24", gateway: "10.79.0.1", auxAddresses: { printer: "10.79.0.9" } };
    await controller.createNetwork({ name: "net", ipamDriver: "books", ipam: [wish] });
    await controller.createSandbox({ name: "has", networks: [{ network: "net", ipv4: "10.79.0.8" }] });
    const books = await plugin.books();
    for (const [how, asked, message] of [
      [other.how, "10.79.0.5", "plugin books gives address 10.79.0.7 where 10.79.0.5 was asked for"],
      ['{"Address":"10.79.0.1/24"}', null, "plugin books gives 10.79.0.1 twice: the gateway of network net has it"],
      ['{"Address":"10.79.0.9/24"}', null, "plugin books gives 10.79.0.9 twice: an auxiliary address of network net has it"],
      ['{"Address":"10.79.0.8/24"}', null, "plugin books gives 10.79.0.8 twice: an endpoint of network net has it"],
    ] as const) {
      await plugin.fail("RequestAddress", how);
      const made = controller.createSandbox({ networks: [{ network: "net", ...(asked === null ? {} : { ipv4: asked }) }] });
      await expect(made).rejects.toMatchObject({ code: "UNAVAILABLE", message });
    }
    // What others have it was not told to take back.
    expect(await plugin.books()).toEqual(books);
    expect(await leases()).toEqual([]);
    await controller.removeSandbox("has", false);
    await controller.removeNetwork("net");
  });

  it("a plugin that is no IPAM driver, or that nobody runs", async () => {
    await plugins.start("volumes", "--implements", "VolumeDriver");
    const { controller } = await world();
    const wrong = controller.createNetwork({ name: "net", ipamDriver: "volumes" });
    await expect(wrong).rejects.toThrow("plugin volumes does not implement the requested driver: it is no IpamDriver but VolumeDriver");
    const nobody = controller.createNetwork({ name: "net", ipamDriver: "../books" });
    await expect(nobody).rejects.toMatchObject({ code: "NOT_FOUND", message: expect.stringContaining('plugin "../books" not found') });
  });

  it("a plugin that is down is waited for, and then named with its address", async () => {
    const slow = await plugins.start("slow");
    const { controller } = await world({ retryMs: 5000 });
    await controller.createNetwork({ name: "net", ipamDriver: "slow" });
    await slow.stop();
    const boxed = controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
    const again = await plugins.start("slow"); // its books are empty, as a plugin's without a disk
    await expect(boxed).rejects.toThrow("remote: unknown pool plocal/10.77.0.0/24");
    await again.stop();
    const { controller: impatient } = await world({ retryMs: 0 });
    writeFileSync(join(plugins.folder, "gone.spec"), `unix://${plugins.folder}/nowhere.sock\n`);
    const down = impatient.createNetwork({ name: "x", ipamDriver: "gone" });
    await expect(down).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringMatching(/^plugin gone does not answer Plugin.Activate: .*nowhere\.sock.*; start it/),
    });
  });
});

/** Dies at the n-th write, as a process does: nothing comes after. */
class DyingStore extends MemoryStore {
  left: number;

  constructor(left: number) {
    super();
    this.left = left;
  }

  override commit(transaction: Transaction): ReturnType<Store["commit"]> {
    if (this.left-- <= 0) return new Promise(() => {});
    return super.commit(transaction);
  }
}

describe("across a crash", () => {
  // Not the third: between the answer of a plugin that chooses an address and our writing it down nothing can be known.
  it.each([1, 2, 4, 5, 6, 7, 8])("that comes at write %i of a network's and a sandbox's life, nothing is lost or kept", async (writes) => {
    const store = new DyingStore(writes);
    const first = await world({ store });
    const life = async (): Promise<void> => {
      await first.controller.createNetwork({ name: "net", ipamDriver: "books" });
      await first.controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
      await first.controller.removeSandbox("box", false);
      await first.controller.removeNetwork("net");
    };
    // Stopped where the store hangs: what it hears of next is its own removal.
    const outcome = await Promise.race([life().then(() => "done"), new Promise((done) => setTimeout(done, 150, "crashed"))]);
    expect(outcome).toBe("crashed");
    store.left = Number.POSITIVE_INFINITY;

    const second = await world({ store, from: first });
    await second.controller.restore();
    await second.ipams.reconcile();
    expect(await second.leases()).toEqual([]);
    const accounted = second.controller.listNetworks().flatMap(({ id, ipam }) => {
      const { endpoints } = second.controller.inspectNetwork(id);
      return ipam.map(({ gateway }) => [gateway, ...endpoints.map(({ endpoint }) => endpoint.ipv4!.split("/")[0])]);
    });
    expect(Object.values(await plugin.books()).map(({ addresses }) => addresses)).toEqual(accounted);
    for (const { sandbox } of second.controller.listSandboxes()) await second.controller.removeSandbox(sandbox.id, false);
    for (const { id } of second.controller.listNetworks()) await second.controller.removeNetwork(id);
    expect((await store.list("")).map(({ key }) => key)).toEqual([]);
  });

  it("or while the plugin is down, what was removed is given back when it is there again", async () => {
    const books = join(plugins.folder, "down.json");
    const down = await plugins.start("down", "--state", books);
    const { controller, leases, ipams } = await world({ retryMs: 0 });
    await controller.createNetwork({ name: "net", ipamDriver: "down" });
    await controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
    await down.stop();
    await controller.removeSandbox("box", false);
    await controller.removeNetwork("net");
    expect(await leases()).toEqual(["10.77.0.1", "10.77.0.2", "pool/10.77.0.0/24"]);
    expect(await ipams.reconcile()).toEqual({ released: 0, waiting: 3 });
    await down.start();
    expect(await ipams.reconcile()).toEqual({ released: 3, waiting: 0 });
    expect([await leases(), await down.books()]).toEqual([[], {}]);
  });

  it("tells a plugin that asks for it what networks have, before anything else", async () => {
    const forgetful = await plugins.start("forgetful", "--replay");
    const first = await world();
    await first.controller.createNetwork({ name: "net", ipamDriver: "forgetful", ipam: [{ subnet: "10.88.0.0/24" }] });
    await first.controller.createSandbox({ name: "a", networks: [{ network: "net" }] });
    const before = await forgetful.books();
    await forgetful.stop();
    await forgetful.start();
    const second = await world({ from: first });
    await second.controller.restore();
    const { endpoints } = await second.controller.createSandbox({ name: "b", networks: [{ network: "net" }] });
    expect(endpoints[0]!.endpoint.ipv4).toBe("10.88.0.3/24");
    await second.controller.removeSandbox("b", false);
    expect(await forgetful.books()).toEqual(before);
    await second.controller.removeSandbox("a", false);
    await second.controller.removeNetwork("net");
    expect(await forgetful.books()).toEqual({});
  });
});

describe("a plugin elsewhere", () => {
  it("is spoken to over TCP as over a socket", async () => {
    const tcp = await plugins.startTcp();
    writeFileSync(join(plugins.folder, "remote.spec"), `tcp://127.0.0.1:${tcp.port}`);
    const { controller } = await world();
    await controller.createNetwork({ name: "net", ipamDriver: "remote" });
    await controller.removeNetwork("net");
    expect(await tcp.books()).toEqual({});
    await tcp.stop();
  });
});

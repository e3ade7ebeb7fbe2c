// The rules of `network create`, of what a sandbox may be on together, and of pruning, as tables: a request, and the words in
// which Docker refuses it.
import { beforeEach, describe, expect, it } from "vitest";
import type { AttachRequest, CreateNetworkRequest, CreateSandboxRequest } from "../../src/controller/types.ts";
import { parseExposed, parsePortSpec } from "../../src/net/port-spec.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { type Bench, startController } from "../support/controller.ts";

let bench: Bench;
const on = (...networks: (string | AttachRequest)[]): CreateSandboxRequest => ({
  networks: networks.map((network) => (typeof network === "string" ? { network } : network)),
});

async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  throw new Error("it was not refused");
}

/** Everything stored and declared. */
const state = async (): Promise<string> =>
  JSON.stringify([await bench.store.list(""), [...bench.datapath.declared.keys()].sort(), bench.namespaces.paths]);

beforeEach(async () => {
  bench = await startController();
  const { controller } = bench;
  await controller.ensurePredefined();
  await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
  await controller.createNetwork({ name: "back", ipam: [{ subnet: "10.2.0.0/24" }] });
  await controller.createNetwork({
    name: "settings",
    configOnly: true,
    ipam: [
      { subnet: "10.3.0.0/24", auxAddresses: { router: "10.3.0.9" } },
      { subnet: "fd03::/64", gateway: "fd03::99" },
    ],
    options: { "com.docker.network.driver.mtu": "1400" },
    labels: { team: "a" },
  });
  await controller.createSandbox({ name: "a", ...on("web") });
  await controller.createSandbox({ name: "onhost", ...on("host") });
  await controller.createSandbox({ name: "alone", ...on("none") });
});

const OPERATOR_FIELDS =
  "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.";
const OWN_SETTINGS = "user-specified configurations are not supported if the network depends on a configuration network";
const MIXED = "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
const SHARED = "container sharing network namespace with another container or host cannot be connected to any other network";
const HOST = "container cannot be disconnected from host network or connected to host network";
const PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode";
const ADDRESS = "user specified IP address is supported on user defined networks only";
const ALIAS = "network-scoped alias is supported only for containers in user defined networks";
const MAC = "conflicting options: mac-address and the network mode";

describe("a network is refused", () => {
  const REFUSED: readonly [Partial<CreateNetworkRequest>, string, string][] = [
    [{ name: "host" }, "FORBIDDEN", "operation is not permitted on predefined host network"],
    [{ name: "none" }, "FORBIDDEN", "operation is not permitted on predefined none network"],
    [{ name: "bridge" }, "FORBIDDEN", "operation is not permitted on predefined bridge network"],
    [{ driver: "host" }, "FORBIDDEN", 'only one instance of "host" network is allowed'],
    [{ driver: "null" }, "FORBIDDEN", 'only one instance of "null" network is allowed'],
    [{ driver: "none" }, "FORBIDDEN", 'only one instance of "null" network is allowed'],
    [{ configOnly: true, ingress: true }, "FORBIDDEN", OPERATOR_FIELDS],
    [{ configOnly: true, internal: true }, "FORBIDDEN", OPERATOR_FIELDS],
    [{ configOnly: true, attachable: true }, "FORBIDDEN", OPERATOR_FIELDS],
    [{ configOnly: true, scope: "local" }, "FORBIDDEN", OPERATOR_FIELDS],
    [{ configOnly: true, configFrom: "settings" }, "FORBIDDEN", "a configuration network cannot depend on another configuration network"],
    [{ configOnly: true, ipam: [{ subnet: "10.9.0.0" }] }, "INVALID_ARGUMENT", "10.9.0.0"],
    [{ configOnly: true, ipam: [{ subnet: "10.9.0.0/24", gateway: "10.8.0.1" }] }, "INVALID_ARGUMENT", "doesn't contain this address"],
    [{ configOnly: true, enableIpv4: false, enableIpv6: true, ipam: [{ subnet: "10.9.0.0/24" }] }, "INVALID_ARGUMENT", "IPv4 is disabled"],
    [{ configOnly: true, enableIpv6: false, ipam: [{ subnet: "fd09::/64" }] }, "INVALID_ARGUMENT", "IPv6 is not enabled"],
    [{ configOnly: true, enableIpv4: false }, "INVALID_ARGUMENT", "IPv4 and IPv6 are both disabled"],
    [{ configOnly: true, ipam: [{ gateway: "10.8.0.1" }] }, "INVALID_ARGUMENT", "must have a corresponding subnet"],
    [{ configFrom: "nosuch" }, "NOT_FOUND", 'configuration network "nosuch" does not exist'],
    [{ configFrom: "web" }, "NOT_FOUND", 'configuration network "web" does not exist'],
    [{ configFrom: "settings", enableIpv6: true }, "FORBIDDEN", OWN_SETTINGS],
    [{ configFrom: "settings", enableIpv4: false }, "FORBIDDEN", OWN_SETTINGS],
    [{ configFrom: "settings", ipamDriver: "other" }, "FORBIDDEN", OWN_SETTINGS],
    [{ configFrom: "settings", ipamOptions: { a: "b" } }, "FORBIDDEN", OWN_SETTINGS],
    [{ configFrom: "settings", ipam: [{ subnet: "10.9.0.0/24" }] }, "FORBIDDEN", OWN_SETTINGS],
    [{ configFrom: "settings", labels: { a: "b" } }, "FORBIDDEN", OWN_SETTINGS],
    [
      { configFrom: "settings", options: { a: "b" } },
      "FORBIDDEN",
      "network driver options are not supported if the network depends on a configuration network",
    ],
    [{ ingress: true, attachable: true, driver: "overlay" }, "INVALID_ARGUMENT", "ingress network cannot be attachable"],
    [{ ingress: true }, "FORBIDDEN", "Ingress network can only be global scope network"],
    [{ scope: "local", driver: "overlay" }, "FORBIDDEN", "cannot downgrade network scope for overlay networks"],
    [{ scope: "swarm" }, "INVALID_ARGUMENT", "networks of driver bridge have scope local"],
  ];
  it.each(REFUSED)("%j: %s", async (request, code, message) => {
    const before = await state();
    const failure = await refusal(bench.controller.createNetwork({ name: "new", ...request }));
    expect(failure.message).toContain(message);
    expect(failure.code).toBe(code);
    expect(await state()).toBe(before);
  });
});

describe("predefined networks", () => {
  it("are there once, with their own ids after a restart", async () => {
    const [host, none] = ["host", "none"].map((name) => bench.controller.inspectNetwork(name).network);
    expect(host).toMatchObject({ driver: "host", scope: "local", ipam: [], options: {}, enableIpv4: true, enableIpv6: false });
    expect(none).toMatchObject({ driver: "null", scope: "local", ipam: [] });
    const next = await startController({ store: bench.store, namespaces: bench.namespaces });
    await next.controller.restore();
    await next.controller.ensurePredefined();
    expect(["host", "none"].map((name) => next.controller.inspectNetwork(name).network)).toEqual([host, none]);
  });

  it("can't be removed, by name or by id", async () => {
    for (const name of ["host", "none"]) {
      const { id } = bench.controller.inspectNetwork(name).network;
      for (const reference of [name, id, id.slice(0, 12)]) {
        expect(await refusal(bench.controller.removeNetwork(reference))).toEqual({
          code: "FORBIDDEN",
          message: `${name} is a pre-defined network and cannot be removed`,
        });
      }
    }
  });
});

describe("a configuration network", () => {
  it("is stored as it was asked, takes no address and hosts nobody", async () => {
    const { network, subnets } = bench.controller.inspectNetwork("settings");
    expect(network).toMatchObject({ configOnly: true, driver: "null", scope: "local", enableIpv4: true, enableIpv6: true });
    expect(network.ipam).toEqual([
      { subnet: "10.3.0.0/24", ipRange: null, gateway: null, auxAddresses: { router: "10.3.0.9" } },
      { subnet: "fd03::/64", ipRange: null, gateway: "fd03::99", auxAddresses: {} },
    ]);
    expect(subnets).toEqual({});
    const refused = {
      code: "FORBIDDEN",
      message: expect.stringContaining("cannot create endpoint on configuration-only network: settings"),
    };
    expect(await refusal(bench.controller.createSandbox(on("settings")))).toMatchObject(refused);
    expect(await refusal(bench.controller.connect("a", { network: "settings" }))).toMatchObject(refused);
    // Others may overlap it, before a network is made from it.
    await bench.controller.createNetwork({ name: "same", ipam: [{ subnet: "10.3.0.0/24" }] });
  });

  it("of one family leaves the other's subnet to the network that is made from it", async () => {
    const { controller } = bench;
    await controller.createNetwork({ name: "six", configOnly: true, ipam: [{ subnet: "fd06::/64" }] });
    expect(controller.inspectNetwork("six").network.ipam.map(({ subnet }) => subnet)).toEqual(["fd06::/64"]);
    const made = await controller.createNetwork({ name: "from", driver: "overlay", configFrom: "six" });
    expect(made.ipam.map(({ subnet }) => subnet)).toEqual(["10.0.0.0/24", "fd06::/64"]);
  });

  it("gives its settings to networks that are made from it, and stays while they do", async () => {
    const { controller, store } = bench;
    const made = await controller.createNetwork({ name: "from", configFrom: "settings" });
    expect(made).toMatchObject({
      driver: "bridge",
      configFrom: "settings",
      configOnly: false,
      enableIpv6: true,
      labels: { team: "a" },
      options: { "com.docker.network.driver.mtu": "1400" },
      ipam: [
        { subnet: "10.3.0.0/24", gateway: "10.3.0.1", auxAddresses: { router: "10.3.0.9" } },
        { subnet: "fd03::/64", gateway: "fd03::99" },
      ],
    });
    expect(await refusal(controller.createNetwork({ name: "again", configFrom: "settings" }))).toMatchObject({ code: "ADDRESS_IN_USE" });
    expect(await refusal(controller.removeNetwork("settings"))).toEqual({
      code: "FORBIDDEN",
      message: 'configuration network "settings" is in use: by from; remove them first',
    });
    const next = await startController({ store, namespaces: bench.namespaces });
    await next.controller.restore();
    const { endpoints } = await next.controller.createSandbox(on("from"));
    expect(endpoints[0]!.endpoint).toMatchObject({ ipv4: "10.3.0.2/24", ipv6: "fd03::1/64" });
    await next.controller.removeSandbox(endpoints[0]!.endpoint.sandboxId!, false);
    await next.controller.removeNetwork("from");
    await next.controller.removeNetwork("settings");
  });
});

describe("the ingress network", () => {
  it("is one, and nobody attaches to it by hand", async () => {
    const { controller } = bench;
    expect(await controller.createNetwork({ name: "in", driver: "overlay", ingress: true })).toMatchObject({ ingress: true });
    expect(await refusal(controller.createNetwork({ name: "in2", driver: "overlay", ingress: true }))).toMatchObject({
      code: "ALREADY_EXISTS",
      message: expect.stringContaining("ingress network (in) is already present"),
    });
    for (const attempt of [controller.connect("a", { network: "in" }), controller.createSandbox(on("in"))]) {
      expect((await refusal(attempt)).message).toContain("network in not manually attachable");
    }
    await controller.removeNetwork("in");
    await controller.createNetwork({ name: "in2", driver: "overlay", ingress: true });
  });
});

describe("a sandbox is refused", () => {
  const REFUSED: readonly [CreateSandboxRequest, string, string][] = [
    [on("host", "web"), "INVALID_ARGUMENT", MIXED],
    [on("web", "none"), "INVALID_ARGUMENT", MIXED],
    [on("sandbox:a", "web"), "INVALID_ARGUMENT", MIXED],
    [on("web", "container:a"), "INVALID_ARGUMENT", MIXED],
    [on("host", "none"), "FORBIDDEN", SHARED],
    [on("web", "web"), "INVALID_ARGUMENT", 'network "web" is specified multiple times'],
    [on({ network: "host", ipv4: "10.1.0.9" }), "INVALID_ARGUMENT", ADDRESS],
    [on({ network: "none", ipv6: "fd00::9" }), "INVALID_ARGUMENT", ADDRESS],
    [on({ network: "sandbox:a", ipv4: "10.1.0.9" }), "INVALID_ARGUMENT", ADDRESS],
    [on({ network: "host", aliases: ["x"] }), "INVALID_ARGUMENT", ALIAS],
    [on({ network: "none", aliases: ["x"] }), "INVALID_ARGUMENT", ALIAS],
    [on({ network: "sandbox:a", aliases: ["x"] }), "INVALID_ARGUMENT", ALIAS],
    [on({ network: "host", mac: "02:00:00:00:00:01" }), "INVALID_ARGUMENT", MAC],
    [on({ network: "none", mac: "02:00:00:00:00:01" }), "INVALID_ARGUMENT", MAC],
    [on({ network: "container:a", mac: "02:00:00:00:00:01" }), "INVALID_ARGUMENT", MAC],
    [{ ...on("sandbox:a"), hostname: "x" }, "INVALID_ARGUMENT", "conflicting options: hostname and the network mode"],
    [
      { ...on("sandbox:a"), publish: [parsePortSpec("8080:80")] },
      "INVALID_ARGUMENT",
      "conflicting options: port publishing and the container type",
    ],
    [{ ...on("sandbox:a"), publishAll: true }, "INVALID_ARGUMENT", "conflicting options: port publishing and the container type"],
    [{ ...on("sandbox:a"), expose: [parseExposed("80")] }, "INVALID_ARGUMENT", "conflicting options: port exposing and the container type"],
    [{ ...on("sandbox:a"), namespacePath: "/run/netns/x" }, "INVALID_ARGUMENT", "conflicting options: namespace path"],
    [{ ...on("host"), namespacePath: "/run/netns/x" }, "INVALID_ARGUMENT", "conflicting options: namespace path"],
    [on("sandbox:nosuch"), "NOT_FOUND", "sandbox nosuch not found"],
  ];
  it.each(REFUSED)("%j: %s", async (request, code, message) => {
    const before = await state();
    const failure = await refusal(bench.controller.createSandbox({ name: "new", ...request }));
    expect(failure.message).toContain(message);
    expect(failure.code).toBe(code);
    expect(await state()).toBe(before);
  });
});

describe("connecting is refused", () => {
  const REFUSED: readonly [sandbox: string, network: string, message: string][] = [
    ["a", "host", HOST],
    ["onhost", "web", SHARED],
    ["onhost", "none", SHARED],
    ["joined", "back", SHARED],
    ["a", "none", PRIVATE],
    ["alone", "web", PRIVATE],
  ];
  it.each(REFUSED)("%s to %s", async (sandbox, network, message) => {
    await bench.controller.createSandbox({ name: "joined", ...on("sandbox:a") });
    expect(await refusal(bench.controller.connect(sandbox, { network }))).toEqual({ code: "FORBIDDEN", message });
  });

  it("and disconnecting from the host's stack, but not from none", async () => {
    const { controller } = bench;
    expect(await refusal(controller.disconnect("onhost", "host", true))).toEqual({ code: "FORBIDDEN", message: HOST });
    await controller.disconnect("alone", "none", false);
    expect((await controller.connect("alone", { network: "web" })).interfaceName).toBe("eth0");
  });
});

describe("a shared stack", () => {
  it("is the owner's: its namespace, its hostname, nothing of one's own", async () => {
    const { controller } = bench;
    const owner = controller.inspectSandbox("a").sandbox;
    for (const reference of ["sandbox:a", "container:a", `container:${owner.id.slice(0, 12)}`]) {
      const { sandbox, endpoints } = await controller.createSandbox(on(reference));
      expect(sandbox).toMatchObject({
        joinedTo: owner.id,
        namespacePath: owner.namespacePath,
        ownsNamespace: false,
        hostname: owner.hostname,
      });
      expect(endpoints).toEqual([]);
      const third = await controller.createSandbox(on(`sandbox:${sandbox.name}`));
      expect(third.sandbox.joinedTo).toBe(owner.id);
      await controller.removeSandbox(sandbox.id, false);
      await controller.removeSandbox(third.sandbox.id, false);
    }
    expect(bench.namespaces.link(owner.namespacePath, "eth0").addresses).toEqual(["10.1.0.2/24"]);
  });

  it("outlives whoever joined it, and goes with its owner, as Docker's does", async () => {
    const { controller } = bench;
    await controller.createSandbox({ name: "joined", ...on("sandbox:a") });
    await controller.removeSandbox("a", false);
    expect(bench.logged.at(-1)).toContain('"sandboxes":["joined"]');
    const { sandbox } = controller.inspectSandbox("joined");
    expect(bench.namespaces.inode(sandbox.namespacePath)).toBeNull();
    expect(await refusal(controller.createSandbox(on("sandbox:joined")))).toMatchObject({ code: "FORBIDDEN" });
    const next = await startController({ store: bench.store, namespaces: bench.namespaces });
    expect(await next.controller.restore()).toMatchObject({ lost: ["joined"], failures: [] });
    await next.controller.removeSandbox("joined", false);
  });

  it("is made anew with its owner's after a boot", async () => {
    const { controller } = bench;
    await controller.createSandbox({ name: "joined", ...on("sandbox:a") });
    const { namespacePath } = controller.inspectSandbox("a").sandbox;
    bench.namespaces.byPath.delete(namespacePath);
    const next = await startController({ store: bench.store, namespaces: bench.namespaces });
    expect(await next.controller.restore()).toMatchObject({ lost: [], failures: [], recreated: ["a"] });
  });

  it("is whole or not there when its owner goes at the same instant", async () => {
    const { controller } = bench;
    const [removed, joined] = await Promise.allSettled([
      controller.removeSandbox("a", false),
      controller.createSandbox({ name: "joined", ...on("sandbox:a") }),
    ]);
    expect([removed.status, joined.status]).toEqual(["fulfilled", "rejected"]);
    expect((joined as PromiseRejectedResult).reason).toMatchObject({ code: "NOT_FOUND" });
    expect(controller.listSandboxes().map(({ sandbox }) => sandbox.name)).toEqual(["alone", "onhost"]);
  });

  it("of the host is the daemon's own, and stays when the sandbox goes", async () => {
    const { controller, namespaces } = bench;
    const { sandbox, endpoints } = controller.inspectSandbox("onhost");
    expect(sandbox).toMatchObject({ namespacePath: "/proc/self/ns/net", ownsNamespace: false, joinedTo: null });
    expect(endpoints.map(({ endpoint, network }) => [network.name, endpoint.mac, endpoint.ipv4, endpoint.interfaceName])).toEqual([
      ["host", null, null, null],
    ]);
    const { sandbox: joined } = await controller.createSandbox(on("sandbox:onhost"));
    expect(joined).toMatchObject({ namespacePath: "/proc/self/ns/net", joinedTo: sandbox.id });
    await controller.removeSandbox(joined.id, false);
    await controller.removeSandbox("onhost", false);
    expect(namespaces.byPath.has("/proc/self/ns/net")).toBe(true);
  });

  it("of none is a namespace of its own without interfaces", async () => {
    const { sandbox } = bench.controller.inspectSandbox("alone");
    expect(sandbox.ownsNamespace).toBe(true);
    expect([...bench.namespaces.at(sandbox.namespacePath).links.keys()]).toEqual(["lo"]);
  });
});

describe("the default route", () => {
  const routes = (): [string, string][] => [...bench.namespaces.at(bench.controller.inspectSandbox("r").sandbox.namespacePath).routes];

  it("goes by the highest priority, then by name, for each family", async () => {
    const { controller } = bench;
    await controller.createNetwork({ name: "six", enableIpv4: false, ipam: [{ subnet: "fd06::/64" }] });
    await controller.createNetwork({ name: "both", ipam: [{ subnet: "10.5.0.0/24" }, { subnet: "fd05::/64" }] });
    await controller.createSandbox({ name: "r", ...on("web", "back") });
    expect(routes()).toEqual([["0.0.0.0/0", "10.2.0.1"]]);
    await controller.connect("r", { network: "six", gwPriority: 5 });
    await controller.connect("r", { network: "both", gwPriority: 1 });
    expect(Object.fromEntries(routes())).toEqual({ "0.0.0.0/0": "10.5.0.1", "::/0": "fd06::1" });
    await controller.disconnect("r", "six", false);
    expect(Object.fromEntries(routes())).toEqual({ "0.0.0.0/0": "10.5.0.1", "::/0": "fd05::1" });
    await controller.disconnect("r", "web", false);
    await controller.connect("r", { network: "web", gwPriority: 1 });
    expect(Object.fromEntries(routes())["0.0.0.0/0"]).toBe("10.5.0.1"); // "both" sorts before "web"
    await controller.disconnect("r", "back", false);
    await controller.connect("r", { network: "back", gwPriority: 2 });
    expect(Object.fromEntries(routes())["0.0.0.0/0"]).toBe("10.2.0.1");
  });

  it("avoids a network of negative priority, and is the same after a restart", async () => {
    const { controller } = bench;
    await controller.createSandbox({ name: "r", ...on({ network: "back", gwPriority: -1 }, "web") });
    expect(routes()).toEqual([["0.0.0.0/0", "10.1.0.1"]]);
    const { namespacePath } = controller.inspectSandbox("r").sandbox;
    bench.namespaces.byPath.delete(namespacePath);
    const next = await startController({ store: bench.store, namespaces: bench.namespaces });
    await next.controller.restore();
    expect([...bench.namespaces.at(namespacePath).routes]).toEqual([["0.0.0.0/0", "10.1.0.1"]]);
  });
});

describe("prune", () => {
  it("removes what nobody is on: never predefined, configuration and ingress networks", async () => {
    const { controller } = bench;
    await controller.createNetwork({ name: "in", driver: "overlay", ingress: true });
    await controller.createNetwork({ name: "old", labels: { keep: "no" } });
    expect((await controller.pruneNetworks(({ labels }) => labels.keep === "no")).map(({ name }) => name)).toEqual(["old"]);
    expect((await controller.pruneNetworks(() => true)).map(({ name }) => name)).toEqual(["back"]);
    expect(controller.listNetworks().map(({ name }) => name)).toEqual(["host", "in", "none", "settings", "web"]);
  });

  it.each(["first", "last"])("takes a network or leaves it to a sandbox that connects %s, never half", async (order) => {
    const { controller } = bench;
    const prune = () => controller.pruneNetworks(() => true);
    const connect = () =>
      controller.connect("a", { network: "back" }).then(
        () => true,
        () => false,
      );
    const [pruned, connected] =
      order === "first"
        ? await Promise.all([connect(), prune()]).then(([b, a]) => [a, b] as const)
        : await Promise.all([prune(), connect()]);
    expect(pruned.map(({ name }) => name)).toEqual(connected ? [] : ["back"]);
    expect(controller.listNetworks().some(({ name }) => name === "back")).toBe(connected);
    expect(connected).toBe(order === "first");
  });
});

describe("what an earlier version stored", () => {
  it("is read as that version meant it", async () => {
    const later = ["ingress", "configOnly", "configFrom", "gwPriority", "driverOptions", "joinedTo"];
    const store = new MemoryStore();
    for (const { key, value } of await bench.store.list("")) {
      if ((value as { configOnly?: boolean }).configOnly === true) continue;
      const fields = typeof value === "object" ? Object.entries(value as object).filter(([name]) => !later.includes(name)) : null;
      await store.commit({ puts: [{ key, value: fields === null ? value : Object.fromEntries(fields) }] });
    }
    const { controller } = await startController({ store, namespaces: bench.namespaces });
    await controller.restore();
    expect(controller.inspectNetwork("web").network).toEqual(bench.controller.inspectNetwork("web").network);
    expect(controller.inspectSandbox("a")).toEqual(bench.controller.inspectSandbox("a"));
  });
});

// The daemon may die at any instant. Each operation is stopped before its n-th step towards store, data plane or kernel, for
// each n there is; nothing that it does afterwards counts, as if the process were gone. A new controller on the same store and
// kernel must then find the state of before or of after, and store, data plane and kernel must agree to the last interface.
import { describe, expect, it } from "vitest";
import type { CnmController } from "../../src/controller/controller.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import type { PeerSecret } from "../../src/keys/key-service.ts";
import { parsePortSpec } from "../../src/net/port-spec.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import type { Store } from "../../src/store/store.ts";
import { type Bench, STATE_DIR, startController } from "../support/controller.ts";
import { MemoryKeys } from "../support/memory-keys.ts";
import { MemoryNamespaces } from "../support/memory-namespaces.ts";
import { MemoryNat } from "../support/memory-nat.ts";

const FOREIGN = "/run/netns/mine";

/** What users see. */
function described(controller: CnmController): string {
  const networks = controller.listNetworks().map(({ id, name }) => ({ name, subnets: controller.inspectNetwork(id).subnets }));
  const sandboxes = controller.listSandboxes().map(({ sandbox, endpoints }) => ({
    name: sandbox.name,
    ports: sandbox.ports.map(({ hostPort, port }) => [hostPort, port]),
    endpoints: endpoints.map(({ endpoint, network }) => [network.name, endpoint.interfaceName, endpoint.ipv4, endpoint.ipv6]),
  }));
  const peers = controller.listPeers().map(({ address, port, keyed }) => [address, port, keyed !== null]);
  return JSON.stringify({ networks, sandboxes, peers });
}

/** That what is declared and what the kernel has are what the store says: no more, no less. */
function expectAgreement({ controller, datapath, namespaces, names, keys }: Bench): void {
  const expectedLinks = new Map<string, string[]>();
  const links = (path: string): string[] => expectedLinks.get(path) ?? expectedLinks.set(path, ["lo"]).get(path)!;
  expectedLinks.set("host", ["eth0", "lo"]);
  for (const { driver, driverState } of controller.listNetworks())
    if (driver === "bridge") links("host").push(driverState.interfaceName as string);
  if (namespaces.byPath.has(FOREIGN)) links(FOREIGN);
  for (const { sandbox, endpoints } of controller.listSandboxes()) {
    // The stack is another's, who is looked at for himself.
    if (sandbox.joinedTo !== null || endpoints.some(({ network }) => network.driver === "host")) continue;
    links(sandbox.namespacePath).push(...endpoints.map(({ endpoint }) => endpoint.interfaceName!));
    for (const { endpoint } of endpoints) {
      expect(namespaces.link(sandbox.namespacePath, endpoint.interfaceName!)).toMatchObject({
        addresses: [endpoint.ipv4, endpoint.ipv6].filter((text) => text !== null),
        up: true,
      });
    }
    expect(Object.fromEntries(namespaces.at(sandbox.namespacePath).sysctls)).toEqual(sandbox.sysctls);
    expect([...(names.served.get(sandbox.name) ?? [])].sort()).toEqual(endpoints.map(({ network }) => network.name).sort());
    const gateway = endpoints
      .filter(({ gatewayIpv4 }) => gatewayIpv4 !== null)
      .sort((a, b) => b.endpoint.gwPriority - a.endpoint.gwPriority || (a.network.name < b.network.name ? -1 : 1))[0];
    expect([...namespaces.at(sandbox.namespacePath).routes]).toEqual(gateway === undefined ? [] : [["0.0.0.0/0", gateway.gatewayIpv4]]);
  }
  const sorted = (map: Map<string, string[]>) =>
    Object.fromEntries([...map].map(([path, names]) => [path, [...names].sort()] as const).sort());
  const found = new Map([
    ["host", [...namespaces.at(null).links.keys()]],
    ...namespaces.paths.map((path) => [path, [...namespaces.at(path).links.keys()]] as const),
  ] as [string, string[]][]);
  expect(sorted(found)).toEqual(sorted(expectedLinks));
  const owners = [
    ...controller.listNetworks().map(({ id }) => `network/${id}`),
    ...controller.listSandboxes().flatMap(({ endpoints }) => endpoints.map(({ endpoint }) => `endpoint/${endpoint.id}`)),
  ];
  expect([...datapath.declared.keys()].sort()).toEqual(owners.sort());
  // A secret is some peer's, and every VTEP of an encrypted network has one.
  const addresses = controller.listPeers().map(({ address }) => address);
  expect([...keys.stored.keys()].filter((address) => !addresses.includes(address))).toEqual([]);
  const encrypted = new Set(datapath.all("domains").flatMap((domain) => (domain.encrypted ? [domain.id] : [])));
  const members = datapath.all("vteps").filter(({ domain }) => encrypted.has(domain));
  expect(members.map(({ address }) => address).sort()).toEqual([...keys.stored.keys()].sort());
}

class Dead extends Error {}

/** Counts the steps that leave the process; from the `fatal`-th on, none happens. */
class Fate {
  steps = 0;
  readonly #fatal: number;

  constructor(fatal: number) {
    this.#fatal = fatal;
  }

  step(): void {
    if (this.steps++ >= this.#fatal) throw new Dead("the process is gone");
  }
}

function mortal(store: Store, fate: Fate): Store {
  return {
    description: store.description,
    get: (key) => store.get(key),
    list: (prefix) => store.list(prefix),
    watch: (prefix, listener) => store.watch(prefix, listener),
    close: () => store.close(),
    commit: async (transaction) => {
      fate.step();
      return store.commit(transaction);
    },
  };
}

interface World {
  readonly store: MemoryStore;
  readonly namespaces: MemoryNamespaces;
  readonly keys: MemoryKeys;
}

/** A host with a bridge, an overlay, a sandbox on both and a foreign namespace. */
async function populate(): Promise<World> {
  const world = { store: new MemoryStore(), namespaces: new MemoryNamespaces(), keys: new MemoryKeys() };
  world.namespaces.addForeign(FOREIGN);
  const { controller } = await startController({ ...world, options: { nat: new MemoryNat() } });
  await controller.ensurePredefined();
  await controller.createNetwork({ name: "settings", configOnly: true, ipam: [{ subnet: "10.5.0.0/24" }] });
  await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
  await controller.createNetwork({ name: "app", ipam: [{ subnet: "10.2.0.0/24" }] });
  await controller.createNetwork({
    name: "far",
    driver: "overlay",
    enableIpv6: true,
    ipam: [{ subnet: "10.9.0.0/24" }, { subnet: "fd09::/64" }],
  });
  await controller.createSandbox({ name: "box", networks: [{ network: "web" }, { network: "far" }] });
  await controller.createSandbox({ name: "served", networks: [{ network: "web" }], publish: [parsePortSpec("9000:80")] });
  await controller.addPeer("192.0.2.2", undefined, undefined);
  return world;
}

const secret = (): PeerSecret => ({
  kind: "seed",
  seed: new KeyMaterial(new Uint8Array(32)),
  transport: "udp",
  localId: null,
  peerId: null,
});

const OPERATIONS: readonly [string, (controller: CnmController) => Promise<unknown>][] = [
  ["create a bridge network", (c) => c.createNetwork({ name: "new", ipam: [{ subnet: "10.3.0.0/24" }] })],
  ["create an overlay network", (c) => c.createNetwork({ name: "new", driver: "overlay", enableIpv6: true })],
  ["create a sandbox", (c) => c.createSandbox({ name: "new", networks: [{ network: "web" }, { network: "app" }, { network: "far" }] })],
  [
    "create a sandbox with kernel settings",
    (c) => c.createSandbox({ name: "new", networks: [{ network: "web" }], sysctls: { "net.core.somaxconn": "77" } }),
  ],
  [
    "create a sandbox in the user's namespace",
    (c) => c.createSandbox({ name: "new", namespacePath: FOREIGN, networks: [{ network: "web" }] }),
  ],
  ["create a sandbox on the host's stack", (c) => c.createSandbox({ name: "new", networks: [{ network: "host" }] })],
  ["create a sandbox that shares a stack", (c) => c.createSandbox({ name: "new", networks: [{ network: "sandbox:box" }] })],
  ["create a configuration network", (c) => c.createNetwork({ name: "new", configOnly: true, ipam: [{ subnet: "10.1.0.0/24" }] })],
  ["create a network from a configuration", (c) => c.createNetwork({ name: "new", configFrom: "settings" })],
  ["prune networks", (c) => c.pruneNetworks(() => true)],
  ["connect by a priority", (c) => c.connect("box", { network: "app", gwPriority: -1 })],
  ["connect, which moves the default route", (c) => c.connect("box", { network: "app" })],
  ["connect a sandbox with ports", (c) => c.connect("served", { network: "app" })],
  ["disconnect, which takes it away", (c) => c.disconnect("box", "web", false)],
  ["remove a sandbox", (c) => c.removeSandbox("box", false)],
  ["remove a network", (c) => c.removeNetwork("app")],
  ["publish", (c) => c.createSandbox({ name: "new", networks: [{ network: "web" }], publish: [parsePortSpec("8080:80")] })],
  [
    "publish and unpublish ports of a sandbox that is there",
    (c) => c.updateSandbox("served", { publishAdd: [parsePortSpec("9001:81")], publishRemove: [parsePortSpec("80")] }),
  ],
  ["rename", (c) => c.renameSandbox("box", "crate")],
  ["remove a sandbox with ports", (c) => c.removeSandbox("served", false)],
  ["add a peer", (c) => c.addPeer("192.0.2.3", undefined, "far")],
  ["remove a peer", (c) => c.removePeer("192.0.2.2", undefined)],
];

/** With an encrypted network and a peer of it. */
async function populateEncrypted(): Promise<World> {
  const world = await populate();
  const { controller } = await startController({ ...world, options: { nat: new MemoryNat() } });
  await controller.restore();
  await controller.createNetwork({ name: "safe", driver: "overlay", ipam: [{ subnet: "10.8.0.0/24" }], options: { encrypted: "" } });
  await controller.addPeer("192.0.2.4", undefined, "safe", secret());
  return world;
}

const KEY_OPERATIONS: typeof OPERATIONS = [
  ["add a peer with keys", (c) => c.addPeer("192.0.2.3", undefined, "safe", secret())],
  ["remove a peer with keys", (c) => c.removePeer("192.0.2.4", "safe")],
  ["remove the network of a peer with keys", (c) => c.removeNetwork("safe")],
];

const SCENES = [
  ...OPERATIONS.map(([what, operation]) => [what, operation, populate] as const),
  ...KEY_OPERATIONS.map(([what, operation]) => [what, operation, populateEncrypted] as const),
];

/** Random ids differ from run to run: what is compared has none. */
const anonymous = (text: string): string => text.replaceAll(/fd[0-9a-f:]+\/64/g, "ULA");

async function stopped(operation: (controller: CnmController) => Promise<unknown>, fatal: number, make: () => Promise<World>) {
  const world = await make();
  const fate = new Fate(Number.POSITIVE_INFINITY);
  const doomed = new Fate(fatal);
  let current = fate;
  const nat = new MemoryNat();
  const store = mortal(world.store, { step: () => current.step() } as Fate);
  const bench = await startController({ ...world, store, options: { nat } });
  await bench.controller.restore();
  const before = anonymous(described(bench.controller));
  current = doomed;
  bench.datapath.onChange = () => current.step();
  nat.onApply = () => current.step();
  world.namespaces.onChange = () => current.step();
  world.keys.onChange = () => current.step();
  const outcome = await operation(bench.controller).then(
    () => "done",
    () => "failed",
  );
  world.namespaces.onChange = () => {};
  world.keys.onChange = () => {};
  const nextNat = new MemoryNat();
  const next = await startController({ ...world, options: { nat: nextNat } });
  const report = await next.controller.restore();
  expect(report.failures).toEqual([]);
  // What the host is told is what is stored, and nothing else.
  const ports = next.controller.listSandboxes().flatMap(({ sandbox }) => sandbox.ports.map(({ hostPort }) => hostPort));
  expect(nextNat.plan.publications.map(({ hostPort }) => hostPort).sort()).toEqual(ports.sort());
  return { before, outcome, steps: doomed.steps, next, after: anonymous(described(next.controller)) };
}

describe.each(SCENES)("%s", (_what, operation, make) => {
  it("leaves before or after, wherever it is stopped", async () => {
    const { before, after: done, outcome, steps, next } = await stopped(operation, Number.POSITIVE_INFINITY, make);
    expect(outcome).toBe("done");
    expect(done).not.toBe(before);
    expectAgreement(next);
    for (let fatal = 0; fatal < steps; fatal++) {
      const run = await stopped(operation, fatal, make);
      expect([before, done], `stopped before step ${fatal} of ${steps}`).toContain(run.after);
      expectAgreement(run.next);
    }
  });

  it("leaves before when a single step fails, and says why", async () => {
    const { steps } = await stopped(operation, Number.POSITIVE_INFINITY, make);
    for (let failing = 0; failing < steps; failing++) {
      const world = await make();
      let count = -1;
      let armed = false;
      const step = (): void => {
        if (armed && ++count === failing) throw new Error("a step failed");
      };
      const nat = new MemoryNat();
      const store = mortal(world.store, { step } as Fate);
      const bench = await startController({ ...world, store, options: { nat } });
      await bench.controller.restore();
      const before = described(bench.controller);
      bench.datapath.onChange = step;
      nat.onApply = step;
      world.namespaces.onChange = step;
      world.keys.onChange = step;
      armed = true;
      const failure = await operation(bench.controller).then(
        () => null,
        (error) => error as Error,
      );
      armed = false;
      if (failure === null) {
        // A step whose failure is no reason to refuse: what it left undone is logged.
        expect(bench.logged.some((line) => line.startsWith("error"))).toBe(true);
        continue;
      }
      expect(failure.message).toContain("a step failed");
      expect(described(bench.controller), `step ${failing} of ${steps}`).toBe(before);
      expectAgreement(bench);
    }
  });
});

describe("restore", () => {
  it("deletes namespaces of nobody from its folder, and touches no others", async () => {
    const world = await populate();
    world.namespaces.addForeign(`${STATE_DIR}/netns/000000000000`);
    const next = await startController(world);
    const report = await next.controller.restore();
    expect(report.deletedNamespaces).toEqual([`${STATE_DIR}/netns/000000000000`]);
    expectAgreement(next);
  });

  it("makes everything anew after a boot, and reports foreign namespaces that are gone", async () => {
    const world = await populate();
    const { controller } = await startController(world);
    await controller.restore();
    await controller.createSandbox({ name: "guest", namespacePath: FOREIGN, networks: [{ network: "web" }] });
    const booted = { store: world.store, namespaces: new MemoryNamespaces() };
    const next = await startController(booted);
    const report = await next.controller.restore();
    expect(report).toMatchObject({
      networks: 6,
      sandboxes: 3,
      endpoints: 4,
      recreated: expect.arrayContaining(["box", "served"]),
      lost: ["guest"],
      failures: [],
    });
    expect(next.logged.some((line) => line.startsWith("warn") && line.includes(FOREIGN))).toBe(true);
    await expect(next.controller.connect("guest", { network: "far" })).rejects.toMatchObject({ code: "FORBIDDEN" });
    await next.controller.removeSandbox("guest", false);
    expectAgreement(next);
  });

  it("attaches nothing to a stranger's namespace that has the path now", async () => {
    const world = await populate();
    const { controller } = await startController(world);
    await controller.restore();
    await controller.createSandbox({ name: "guest", namespacePath: FOREIGN, networks: [{ network: "web" }] });
    const booted = { store: world.store, namespaces: new MemoryNamespaces() };
    const host = booted.namespaces.at(null);
    booted.namespaces.byPath.set(FOREIGN, host);
    const next = await startController(booted);
    expect(await next.controller.restore()).toMatchObject({ lost: ["guest"], failures: [] });
    expect(host.links.get("eth0")!.addresses).toEqual([]);
    await expect(next.controller.connect("guest", { network: "far" })).rejects.toMatchObject({ code: "FORBIDDEN" });
  });

  it("keeps what an interface's owner added while the daemon was away, and mends what is missing", async () => {
    const world = await populate();
    const box = (await startController(world)).controller.inspectSandbox("box").sandbox.namespacePath;
    world.namespaces.link(box, "eth0").addresses.push("10.1.0.77/24");
    world.namespaces.link(box, "eth1").addresses.length = 0;
    world.namespaces.at(box).routes.clear();
    const next = await startController(world);
    await next.controller.restore();
    expect(world.namespaces.link(box, "eth0").addresses).toEqual(["10.1.0.2/24", "10.1.0.77/24"]);
    expect(world.namespaces.link(box, "eth1").addresses).toEqual(["10.9.0.2/24", "fd09::2/64"]);
    expect([...world.namespaces.at(box).routes]).toEqual([["0.0.0.0/0", "10.1.0.1"]]);
  });

  it("goes on beside what fails", async () => {
    const world = await populate();
    const next = await startController(world);
    const { id } = next.controller.inspectNetwork("app").network;
    next.datapath.onChange = (what) => {
      if (what.includes(id)) throw new Error("no such luck");
    };
    const report = await next.controller.restore();
    expect(report.failures.map(({ what }) => what)).toEqual(["network app"]);
    expect(next.datapath.declared.size).toBe(8);
  });

  it("configures a sandbox's other interfaces where one can't be", async () => {
    const { controller, store, namespaces } = await startController();
    for (const name of ["a", "b"]) await controller.createNetwork({ name });
    const { sandbox } = await controller.createSandbox({ name: "box", networks: [{ network: "a" }, { network: "b" }] });
    namespaces.byPath.delete(sandbox.namespacePath);
    const next = await startController({ store, namespaces });
    namespaces.onChange = (what) => {
      if (what === `configure eth0 in ${sandbox.namespacePath}`) throw new Error("no buffer space");
    };
    const report = await next.controller.restore();
    expect(report.failures).toEqual([{ what: "sandbox box", error: new Error("no buffer space") }]);
    expect(namespaces.link(sandbox.namespacePath, "eth1")).toMatchObject({ addresses: ["172.18.0.2/16"], up: true });
  });

  it("refuses a store that is not whole", async () => {
    const world = await populate();
    const [endpoint] = await world.store.list("endpoint/");
    const damage = async (key: string, value: object | null) => {
      const copy = new MemoryStore();
      await copy.commit({ puts: (await world.store.list("")).map((entry) => ({ key: entry.key, value: entry.value })) });
      await copy.commit(value === null ? { deletes: [key] } : { puts: [{ key, value: value as never }] });
      return startController({ store: copy }).then(
        () => "taken",
        (error) => `${error.code} ${error.message}`,
      );
    };
    const { id: sandboxId } = (await startController(world)).controller.inspectSandbox("box").sandbox;
    expect(await damage(endpoint!.key, { ...(endpoint!.value as object), mac: "nonsense" })).toMatch(
      /^DATA_LOSS the store memory is corrupt: the record endpoint\/[0-9a-f]{64} is not valid \(mac: .*restore it from a backup/,
    );
    expect(await damage(`sandbox/${sandboxId}`, null)).toMatch(/^DATA_LOSS .*its sandbox [0-9a-f]{64} is not there/);
    expect(await damage("network/abc", { id: "abc" })).toMatch(/^DATA_LOSS .*network\/abc/);
  });
});

describe("at once", () => {
  it("200 sandboxes come and go and leave nothing", async () => {
    const bench = await startController();
    const { controller, store, datapath, namespaces } = bench;
    // Each step takes a turn or two of the event loop, so that operations interleave.
    datapath.onChange = () => new Promise((resolve) => setImmediate(resolve));
    await Promise.all([
      controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/16" }] }),
      controller.createNetwork({ name: "far", driver: "overlay", ipam: [{ subnet: "10.9.0.0/16" }] }),
    ]);
    const names = Array.from({ length: 200 }, (_, index) => `box${index}`);
    await Promise.all(names.map((name) => controller.createSandbox({ name, networks: [{ network: "web" }] })));
    expectAgreement(bench);
    const addresses = controller.listSandboxes().map(({ endpoints }) => endpoints[0]!.endpoint.ipv4);
    expect(new Set(addresses).size).toBe(200);
    await Promise.all(names.map((name) => controller.connect(name, { network: "far" })));
    expectAgreement(bench);
    const mixed = names.flatMap((name, index) => [
      index % 2 ? controller.disconnect(name, "web", false) : controller.removeSandbox(name, false),
      index % 3 ? Promise.resolve() : controller.createSandbox({ name: `other${index}`, networks: [{ network: "web" }] }),
    ]);
    await Promise.all(mixed);
    expectAgreement(bench);
    await Promise.all(controller.listSandboxes().map(({ sandbox }) => controller.removeSandbox(sandbox.id, false)));
    await Promise.all([controller.removeNetwork("web"), controller.removeNetwork("far")]);
    expectAgreement(bench);
    expect(await store.list("")).toEqual([]);
    expect(datapath.declared.size).toBe(0);
    expect(namespaces.paths).toEqual([]);
  });

  it("one of many that want the same name, address, MAC or network wins", async () => {
    const { controller } = await startController();
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
    const race = async (attempts: Promise<unknown>[]) => {
      const results = await Promise.allSettled(attempts);
      const codes = results.flatMap((result) => (result.status === "rejected" ? [result.reason.code] : []));
      expect(codes).toHaveLength(attempts.length - 1);
      return new Set(codes);
    };
    const eight = Array.from({ length: 8 }, (_, index) => index);
    expect(await race(eight.map(() => controller.createSandbox({ name: "same" })))).toEqual(new Set(["ALREADY_EXISTS"]));
    expect(await race(eight.map(() => controller.createSandbox({ networks: [{ network: "web", ipv4: "10.1.0.9" }] })))).toEqual(
      new Set(["ADDRESS_IN_USE"]),
    );
    const mac = "02:00:00:00:00:01";
    expect(await race(eight.map(() => controller.createSandbox({ networks: [{ network: "web", mac }] })))).toEqual(
      new Set(["ADDRESS_IN_USE"]),
    );
    expect(await race(eight.map(() => controller.createNetwork({ name: "again" })))).toEqual(new Set(["ALREADY_EXISTS"]));
    expect(await race(eight.map(() => controller.connect("same", { network: "web" })))).toEqual(new Set(["FORBIDDEN"]));
    expect(await race(eight.map(() => controller.removeSandbox("same", false)))).toEqual(new Set(["NOT_FOUND"]));
  });

  it("a network that is removed and joined at once is gone or in use, never both", async () => {
    for (let round = 0; round < 20; round++) {
      const bench = await startController();
      const { controller } = bench;
      await controller.createNetwork({ name: "web" });
      await controller.createSandbox({ name: "box" });
      const both = [controller.connect("box", { network: "web" }), controller.removeNetwork("web")];
      const [joined, removed] = await Promise.allSettled(round % 2 ? both : [both[0]!, both[1]!]);
      expect([joined!.status, removed!.status].sort()).toEqual(["fulfilled", "rejected"]);
      expectAgreement(bench);
    }
  });
});

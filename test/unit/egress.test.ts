// The way out for sandboxes on overlays only: who is on weft_gwbridge, when, with which routes, and what a crash leaves.
import { describe, expect, it } from "vitest";
import { parsePortSpec } from "../../src/net/port-spec.ts";
import { type Bench, startController } from "../support/controller.ts";
import { MemoryNat } from "../support/memory-nat.ts";

const GATE = "weft_gwbridge";

interface World extends Bench {
  readonly nat: MemoryNat;
}

async function start(before?: Bench, egress = true): Promise<World> {
  const nat = new MemoryNat();
  const bench = await startController({ ...(before && { store: before.store, namespaces: before.namespaces }), options: { nat, egress } });
  await bench.controller.restore();
  return { ...bench, nat };
}

async function world(): Promise<World> {
  const made = await start();
  const { controller } = made;
  await controller.createNetwork({ name: "far", driver: "overlay", ipam: [{ subnet: "10.9.0.0/24" }] });
  await controller.createNetwork({ name: "further", driver: "overlay", ipam: [{ subnet: "10.8.0.0/24" }] });
  await controller.createNetwork({ name: "closed", driver: "overlay", internal: true, ipam: [{ subnet: "10.7.0.0/24" }] });
  await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
  await controller.createNetwork({ name: "shut", internal: true, ipam: [{ subnet: "10.2.0.0/24" }] });
  return made;
}

/** "far eth0, weft_gwbridge eth1" and the gateways of the default routes. */
function seen({ controller, namespaces }: Bench, name: string): [string, string[]] {
  const { sandbox, endpoints } = controller.inspectSandbox(name);
  const links = endpoints.map(({ network, endpoint }) => `${network.name} ${endpoint.interfaceName}`);
  for (const { endpoint } of endpoints) namespaces.link(sandbox.namespacePath, endpoint.interfaceName!);
  expect([...namespaces.at(sandbox.namespacePath).links.keys()].length).toBe(endpoints.length + 1);
  return [links.join(", "), [...namespaces.at(sandbox.namespacePath).routes.values()]];
}

const on = (...networks: string[]) => networks.map((network) => ({ network }));
const gateways = ({ controller }: Bench): string[] => controller.inspectNetwork(GATE).network.ipam.map(({ gateway }) => gateway!);

describe("the network", () => {
  it("is made again for who asked for it while a refusal took it away", async () => {
    const bench = await world();
    const { controller, namespaces, datapath, logged } = bench;
    namespaces.onChange = (what) => {
      if (!what.startsWith("create")) return;
      namespaces.onChange = () => {};
      throw new Error("no room");
    };
    let second: Promise<unknown> = Promise.resolve();
    datapath.onChange = async (what) => {
      if (!what.startsWith("withdraw network/")) return;
      datapath.onChange = () => {};
      second = controller.createSandbox({ name: "b", networks: on("far") });
      await new Promise((done) => setImmediate(done));
    };
    await expect(controller.createSandbox({ name: "a", networks: on("far") })).rejects.toThrow("no room");
    await second;
    expect(seen(bench, "b")).toEqual([`far eth0, ${GATE} eth1`, gateways(bench)]);
    expect(logged.filter((line) => line.startsWith("error"))).toEqual([]);
  });

  it("and for who disconnects from where the way out was", async () => {
    const bench = await world();
    const { controller, namespaces, datapath, logged } = bench;
    await controller.createSandbox({ name: "b", networks: on("far", "web") });
    namespaces.onChange = (what) => {
      if (!what.startsWith("create")) return;
      namespaces.onChange = () => {};
      throw new Error("no room");
    };
    let second: Promise<unknown> = Promise.resolve();
    datapath.onChange = async (what) => {
      if (!what.startsWith("withdraw network/")) return;
      datapath.onChange = () => {};
      second = controller.disconnect("b", "web", false);
      await new Promise((done) => setImmediate(done));
    };
    await expect(controller.createSandbox({ name: "a", networks: on("far") })).rejects.toThrow("no room");
    await second;
    expect(seen(bench, "b")).toEqual([`far eth0, ${GATE} eth1`, gateways(bench)]);
    expect(logged.filter((line) => line.startsWith("error"))).toEqual([]);
  });

  it("is made with the first sandbox that needs it, closed between sandboxes, for both families", async () => {
    const bench = await world();
    const { controller, namespaces, datapath } = bench;
    expect(controller.listNetworks().map(({ name }) => name)).not.toContain(GATE);
    await controller.createSandbox({ name: "a", networks: on("far") });
    const { network, endpoints } = controller.inspectNetwork(GATE);
    expect(network).toMatchObject({
      driver: "bridge",
      internal: false,
      enableIpv6: true,
      options: {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.name": GATE,
      },
    });
    expect(namespaces.link(null, GATE).up).toBe(true);
    const [one] = endpoints;
    expect(one?.endpoint.name).toBe(`gateway_${one?.sandbox?.id.slice(0, 12)}`);
    expect(datapath.declared.get(`endpoint/${one?.endpoint.id}`)?.ports?.[0]).toMatchObject({ isolated: true });
    // Nobody can disconnect a sandbox here, so that is not what is proposed.
    const removing = controller.removeNetwork(GATE);
    await expect(removing).rejects.toThrow(
      /^network weft_gwbridge has active endpoints \(name:"gateway_[0-9a-f]{12}" id:.*\); sandboxes leave it by themselves: /,
    );
    await expect(removing).rejects.toThrow(/remove them, disconnect them from their overlays, or connect each to a bridge/);
    await controller.removeSandbox("a", false);
    expect(controller.inspectNetwork(GATE).endpoints).toEqual([]);
    expect(await controller.pruneNetworks(({ name }) => name === GATE)).toEqual([]);
    await controller.removeNetwork(GATE);
  });

  it("is as its user made it before", async () => {
    const bench = await world();
    const name = { "com.docker.network.bridge.name": "out0" };
    await bench.controller.createNetwork({ name: GATE, ipam: [{ subnet: "10.66.0.0/24" }], options: name });
    await bench.controller.createSandbox({ name: "a", networks: on("far") });
    expect(seen(bench, "a")).toEqual(["far eth0, weft_gwbridge eth1", ["10.66.0.1"]]);
    for (const wrong of [{ driver: "overlay" }, { internal: true }, { configOnly: true }]) {
      await expect(bench.controller.createNetwork({ name: GATE, ...wrong })).rejects.toThrow("must be a bridge, and not internal");
    }
  });

  it("is joined and left by nobody's hand, and has no names", async () => {
    const { controller, names } = await world();
    const { sandbox } = await controller.createSandbox({ name: "a", networks: on("far") });
    const refused = "sandboxes join and leave network weft_gwbridge by themselves";
    await expect(controller.createSandbox({ name: "b", networks: on(GATE) })).rejects.toThrow(refused);
    await expect(controller.connect("a", { network: GATE })).rejects.toThrow(refused);
    await expect(controller.disconnect("a", GATE, true)).rejects.toThrow(refused);
    expect(names.records!.attachments(sandbox.id).map(({ network }) => network.name)).toEqual(["far"]);
  });

  it("is missed where the host can't have it, which is said", async () => {
    const { controller, namespaces } = await world();
    namespaces.onChange = (what) => {
      if (what.includes(GATE)) throw new Error("no more");
    };
    expect((await controller.createSandbox({ name: "a", networks: on("far") })).endpoints.length).toBe(1);
    expect(controller.warnings()).toEqual([
      expect.stringContaining("sandboxes on overlay networks have no way out: network weft_gwbridge"),
    ]);
    namespaces.onChange = () => {};
    expect((await controller.createSandbox({ name: "b", networks: on("far") })).endpoints.length).toBe(2);
    expect(controller.warnings()).toEqual([]);
  });

  it("is not made twice by sandboxes that come at once", async () => {
    const { controller } = await world();
    const names = ["a", "b", "c", "d"];
    await Promise.all(names.map((name) => controller.createSandbox({ name, networks: on("far") })));
    expect(
      controller
        .inspectNetwork(GATE)
        .endpoints.map(({ sandbox }) => sandbox?.name)
        .sort(),
    ).toEqual(names);
  });
});

describe("a sandbox", () => {
  it.each<[string[], string]>([
    [["far"], "far eth0, weft_gwbridge eth1"],
    [["further", "far"], "far eth1, further eth0, weft_gwbridge eth2"],
    [["far", "closed"], "closed eth1, far eth0, weft_gwbridge eth2"],
    [["far", "shut"], "far eth0, shut eth1, weft_gwbridge eth2"],
    [["closed"], "closed eth0"],
    [["closed", "shut"], "closed eth0, shut eth1"],
    [["far", "web"], "far eth0, web eth1"],
    [["web"], "web eth0"],
    [["shut"], "shut eth0"],
    [[], ""],
  ])("on %j has %s", async (networks, links) => {
    const bench = await world();
    await bench.controller.createSandbox({ name: "a", networks: on(...networks) });
    const [found, routes] = seen(bench, "a");
    expect(found).toBe(links);
    expect(routes).toEqual(links.includes(GATE) ? gateways(bench) : links.includes("web") ? ["10.1.0.1"] : []);
  });

  it("joins and leaves with the connects and disconnects that make the difference", async () => {
    const bench = await world();
    const { controller } = bench;
    await controller.createSandbox({ name: "a", networks: on("closed") });
    await controller.connect("a", { network: "far" });
    expect(seen(bench, "a")).toEqual(["closed eth0, far eth1, weft_gwbridge eth2", gateways(bench)]);
    await controller.connect("a", { network: "further" });
    expect(seen(bench, "a")[0]).toBe("closed eth0, far eth1, further eth3, weft_gwbridge eth2");
    await controller.connect("a", { network: "web", gwPriority: -5 });
    expect(seen(bench, "a")).toEqual(["closed eth0, far eth1, further eth3, web eth4", ["10.1.0.1"]]);
    expect(controller.inspectNetwork(GATE).endpoints).toEqual([]);
    await controller.disconnect("a", "web", false);
    expect(seen(bench, "a")).toEqual(["closed eth0, far eth1, further eth3, weft_gwbridge eth2", gateways(bench)]);
    await controller.disconnect("a", "further", false);
    await controller.disconnect("a", "far", false);
    expect(seen(bench, "a")).toEqual(["closed eth0", []]);
    expect(controller.inspectNetwork(GATE).subnets[controller.inspectNetwork(GATE).network.ipam[0]!.subnet]?.ipsInUse).toBe(3);
  });

  it("is published by it, and by the network that takes its place", async () => {
    const bench = await world();
    const { controller, nat } = bench;
    const publish = [parsePortSpec("8080:80")];
    const { endpoints } = await controller.createSandbox({ name: "a", networks: on("far"), publish });
    const { ipv4, ipv6 } = endpoints.find(({ network }) => network.name === GATE)!.endpoint;
    const bare = (address: string | null) => address!.split("/")[0];
    expect(nat.published).toEqual([`tcp 0.0.0.0:8080+1 -> ${bare(ipv4)}:80`, `tcp :::8080+1 -> ${bare(ipv6)}:80`]);
    await controller.connect("a", { network: "web" });
    expect(nat.published).toEqual(["tcp 0.0.0.0:8080+1 -> 10.1.0.2:80"]);
    await controller.disconnect("a", "web", false);
    expect(nat.published.length).toBe(2);
  });

  it("leaves nothing of a create or connect that fails", async () => {
    const { controller, store, namespaces } = await world();
    await controller.createSandbox({ name: "first", networks: on("far") });
    await controller.createSandbox({ name: "b", networks: on("closed") });
    // Which address was given last, is remembered.
    const stored = async () => JSON.stringify((await store.list("")).filter(({ key }) => !key.startsWith("ipam/")));
    const before = await stored();
    namespaces.onChange = (what) => {
      if (/^(configure eth1|write files)/.test(what)) throw new Error("no more");
    };
    await expect(controller.createSandbox({ name: "a", networks: on("far") })).rejects.toThrow("no more");
    await expect(controller.connect("b", { network: "far" })).rejects.toThrow("no more");
    namespaces.onChange = () => {};
    expect(await stored()).toBe(before);
    expect(controller.inspectNetwork(GATE).endpoints.length).toBe(1);
  });
});

describe("a restart", () => {
  it("finds endpoints as they were", async () => {
    const bench = await world();
    await bench.controller.createSandbox({ name: "a", networks: on("far") });
    const next = await start(bench);
    expect(next.controller.inspectSandbox("a")).toEqual(bench.controller.inspectSandbox("a"));
    expect(seen(next, "a")).toEqual(seen(bench, "a"));
  });

  it("gives what a former version didn't, and takes it where it is switched off", async () => {
    const former = await start(await world(), false);
    await former.controller.createSandbox({ name: "a", networks: on("far") });
    expect(seen(former, "a")).toEqual(["far eth0", []]);
    const next = await start(former);
    expect(seen(next, "a")).toEqual(["far eth0, weft_gwbridge eth1", gateways(next)]);
    const off = await start(next, false);
    expect(seen(off, "a")).toEqual(["far eth0", []]);
  });

  it("ends an endpoint that a crash left beside a better way", async () => {
    const bench = await world();
    await bench.controller.createSandbox({ name: "a", networks: on("far") });
    let dead = false;
    const dying = await startController({
      store: {
        ...bench.store,
        description: "dying",
        list: (prefix) => bench.store.list(prefix),
        get: (key) => bench.store.get(key),
        watch: (prefix, listener) => bench.store.watch(prefix, listener),
        close: () => bench.store.close(),
        commit: (transaction) => {
          if (transaction.deletes?.some((key) => key.startsWith("endpoint/"))) dead = true;
          return dead ? Promise.reject(new Error("the process is gone")) : bench.store.commit(transaction);
        },
      },
      namespaces: bench.namespaces,
      options: { egress: true },
    });
    await dying.controller.restore();
    await dying.controller.connect("a", { network: "web" });
    expect(dead).toBe(true);
    const next = await start(bench);
    expect(seen(next, "a")).toEqual(["far eth0, web eth2", ["10.1.0.1"]]);
    expect(next.controller.inspectNetwork(GATE).endpoints).toEqual([]);
  });
});

// The life cycle of networks, sandboxes and endpoints on twins: what is stored, declared and configured after each step.
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { CnmController } from "../../src/controller/controller.ts";
import { unavailable } from "../../src/errors.ts";
import { startController } from "../support/controller.ts";
import { MemoryNat } from "../support/memory-nat.ts";

describe("a bridge network", () => {
  it("declares a domain and its gateway, and gives the gateway's interface its address", async () => {
    const { controller, datapath, namespaces } = await startController();
    const network = await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
    expect(network).toMatchObject({
      name: "web",
      driver: "bridge",
      scope: "local",
      enableIpv4: true,
      enableIpv6: false,
      ipam: [{ subnet: "10.1.0.0/24", ipRange: null, gateway: "10.1.0.1", auxAddresses: {} }],
    });
    const name = `br-${network.id.slice(0, 12)}`;
    expect(datapath.all("domains")).toEqual([
      expect.objectContaining({ id: network.id, vni: null, mtuBytes: 1500, proxyNeighbors: false }),
    ]);
    expect(datapath.all("ports")).toEqual([
      expect.objectContaining({ id: `${network.id}/gateway`, namespacePath: null, interfaceName: name, isolated: false }),
    ]);
    expect(namespaces.link(null, name)).toMatchObject({ addresses: ["10.1.0.1/24"], up: true });
    expect(controller.listNetworks()).toEqual([network]);
  });

  it("opens its gateway to programs of the host once the interface is up: a route of one that is down is refused", async () => {
    const nat = new MemoryNat();
    const { controller, namespaces } = await startController({ options: { nat } });
    const configure = namespaces.configure.bind(namespaces);
    namespaces.configure = async (...request) => {
      await setImmediate();
      return configure(...request);
    };
    const up: boolean[] = [];
    nat.interfaceMade = async (name) => void up.push(namespaces.link(null, name).up);
    await controller.createNetwork({ name: "net", enableIpv6: true });
    expect(up).toEqual([true]);
  });

  it("is unmade if the engine refuses it, once what was begun with its interface meanwhile has come to an end", async () => {
    const { controller, datapath, namespaces, store } = await startController();
    const before = await store.list("");
    const order: string[] = [];
    const [declare, withdraw, configure] = [
      datapath.declare.bind(datapath),
      datapath.withdraw.bind(datapath),
      namespaces.configure.bind(namespaces),
    ];
    datapath.declare = async (...request) => {
      await declare(...request);
      throw unavailable("the table is full");
    };
    namespaces.configure = async (...request) => {
      for (let turn = 0; turn < 5; turn++) await setImmediate();
      await configure(...request);
      order.push("configured");
    };
    datapath.withdraw = async (owner) => {
      order.push("withdrawn");
      await withdraw(owner);
    };
    await expect(controller.createNetwork({ name: "web" })).rejects.toThrow("the table is full");
    expect(order).toEqual(["configured", "withdrawn"]);
    expect([controller.listNetworks(), [...datapath.declared], await store.list("")]).toEqual([[], [], before]);
  });

  it("joins sandboxes in namespaces of ours: addresses in turn, eth0, default route by the gateway", async () => {
    const { controller, datapath, namespaces } = await startController();
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
    const { sandbox, endpoints } = await controller.createSandbox({ name: "a", networks: [{ network: "web" }] });
    expect(sandbox).toMatchObject({ namespacePath: `/var/lib/weft/netns/${sandbox.id.slice(0, 12)}`, ownsNamespace: true });
    expect(endpoints).toEqual([
      expect.objectContaining({
        endpoint: expect.objectContaining({ name: "a", ipv4: "10.1.0.2/24", ipv6: null, interfaceName: "eth0" }),
        gatewayIpv4: "10.1.0.1",
      }),
    ]);
    const { endpoint, network } = endpoints[0]!;
    expect(endpoint.mac).toMatch(/^02:42:/);
    expect(namespaces.link(sandbox.namespacePath, "eth0")).toEqual({ addresses: ["10.1.0.2/24"], up: true, ipv6: false });
    expect([...namespaces.at(sandbox.namespacePath).routes]).toEqual([["0.0.0.0/0", "10.1.0.1"]]);
    expect(datapath.declared.get(`endpoint/${endpoint.id}`)).toEqual({
      ports: [
        {
          kind: "tap",
          id: endpoint.id,
          domain: network.id,
          namespacePath: sandbox.namespacePath,
          interfaceName: "eth0",
          mac: endpoint.mac,
          mtuBytes: 1500,
          isolated: false,
        },
      ],
      fdb: [{ domain: network.id, mac: endpoint.mac, to: { port: endpoint.id } }],
      neighbors: [{ domain: network.id, address: "10.1.0.2", mac: endpoint.mac }],
    });
    const second = await controller.createSandbox({ name: "b", networks: [{ network: "web" }] });
    expect(second.endpoints[0]!.endpoint.ipv4).toBe("10.1.0.3/24");
  });

  it("leaves nothing behind when all is removed", async () => {
    const { controller, datapath, namespaces, store } = await startController();
    await controller.createNetwork({ name: "web" });
    await controller.createSandbox({ name: "a", networks: [{ network: "web" }] });
    await controller.removeSandbox("a", false);
    await controller.removeNetwork("web");
    expect(datapath.declared.size).toBe(0);
    expect(namespaces.paths).toEqual([]);
    expect([...namespaces.at(null).links.keys()]).toEqual(["lo", "eth0"]);
    expect(await store.list("")).toEqual([]);
  });
});

describe("sandboxes", () => {
  const twoNetworks = async () => {
    const bench = await startController();
    await bench.controller.createNetwork({ name: "zebra", ipam: [{ subnet: "10.1.0.0/24" }] });
    await bench.controller.createNetwork({ name: "apple", ipam: [{ subnet: "10.2.0.0/24" }] });
    await bench.controller.createNetwork({ name: "aaa", driver: "overlay", ipam: [{ subnet: "10.3.0.0/24" }] });
    return bench;
  };

  it("route by the endpoint whose network's name sorts first of those with a gateway, whatever the order", async () => {
    const { controller, namespaces } = await twoNetworks();
    const { sandbox } = await controller.createSandbox({ name: "a", networks: [{ network: "zebra" }, { network: "aaa" }] });
    const { routes, links } = namespaces.at(sandbox.namespacePath);
    expect([...routes]).toEqual([["0.0.0.0/0", "10.1.0.1"]]);
    await controller.connect("a", { network: "apple" });
    expect([...links.keys()]).toEqual(["lo", "eth0", "eth1", "eth2"]);
    expect([...routes]).toEqual([["0.0.0.0/0", "10.2.0.1"]]);
    await controller.disconnect("a", "apple", false);
    expect([...links.keys()]).toEqual(["lo", "eth0", "eth1"]);
    expect([...routes]).toEqual([["0.0.0.0/0", "10.1.0.1"]]);
    await controller.disconnect("a", "zebra", false);
    expect([...routes]).toEqual([]);
    expect((await controller.connect("a", { network: "zebra" })).interfaceName).toBe("eth0");
  });

  it("leave alone what their owner added to an interface when another network is joined", async () => {
    const { controller, namespaces } = await twoNetworks();
    const { sandbox } = await controller.createSandbox({ name: "a", networks: [{ network: "zebra" }] });
    const link = namespaces.link(sandbox.namespacePath, "eth0");
    link.addresses.push("10.1.0.200/24");
    await controller.connect("a", { network: "apple" });
    await controller.disconnect("a", "apple", false);
    expect(link.addresses).toEqual(["10.1.0.2/24", "10.1.0.200/24"]);
  });

  it("live in a namespace of the user's beside its interfaces, and leave it as it was", async () => {
    const { controller, namespaces } = await twoNetworks();
    namespaces.addForeign("/run/netns/mine").links.set("eth0", { addresses: ["198.51.100.1/24"], up: true, ipv6: true });
    const { sandbox, endpoints } = await controller.createSandbox({
      name: "a",
      namespacePath: "/run/netns/mine",
      networks: [{ network: "apple" }],
    });
    expect(sandbox.ownsNamespace).toBe(false);
    expect(endpoints[0]!.endpoint.interfaceName).toBe("eth1");
    await controller.removeSandbox("a", false);
    expect([...namespaces.at("/run/netns/mine").links.keys()]).toEqual(["lo", "eth0"]);
  });

  it("are found by name, id and the beginning of an id", async () => {
    const { controller } = await twoNetworks();
    const { sandbox } = await controller.createSandbox({});
    expect(sandbox.name).toBe(`sandbox-${sandbox.id.slice(0, 12)}`);
    expect(sandbox.hostname).toBe(sandbox.id.slice(0, 12));
    for (const reference of [sandbox.name, sandbox.id, sandbox.id.slice(0, 12)]) {
      expect(controller.inspectSandbox(reference).sandbox).toEqual(sandbox);
    }
  });

  it("say so when nothing is named", async () => {
    const { controller } = await startController();
    expect(() => controller.inspectNetwork("")).toThrow("invalid network name or ID: value is empty");
    expect(() => controller.inspectSandbox("")).toThrow("invalid sandbox name or ID: value is empty");
  });

  it("say so when an abbreviated id means several", async () => {
    let draws = 0;
    const { controller } = await startController({
      options: { randomBytes: (count) => new Uint8Array(count).map((_, index) => (index < 4 ? 0xab : ++draws)) },
    });
    await controller.createSandbox({});
    await controller.createSandbox({});
    expect(() => controller.inspectSandbox("abab")).toThrow("sandbox abab is ambiguous (2 matches found based on ID prefix)");
  });

  it("of run --rm go when the daemon does", async () => {
    const { controller } = await twoNetworks();
    await controller.createSandbox({ name: "stays", networks: [{ network: "apple" }] });
    await controller.createSandbox({ name: "goes", networks: [{ network: "apple" }], removeOnExit: true });
    await controller.removeTransient();
    expect(controller.listSandboxes().map(({ sandbox }) => sandbox.name)).toEqual(["stays"]);
  });
});

describe("refusals change nothing", () => {
  const REFUSED: readonly [string, (controller: CnmController) => unknown, string, string | RegExp][] = [
    ["a network's name that is taken", (c) => c.createNetwork({ name: "web" }), "ALREADY_EXISTS", "network with name web already exists"],
    ["a predefined name", (c) => c.createNetwork({ name: "host" }), "FORBIDDEN", "operation is not permitted on predefined host network"],
    [
      "removing a predefined network",
      (c) => c.removeNetwork("bridge"),
      "FORBIDDEN",
      "bridge is a pre-defined network and cannot be removed",
    ],
    [
      "a name with a slash",
      (c) => c.createNetwork({ name: "a/b" }),
      "INVALID_ARGUMENT",
      'invalid network name "a/b": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed',
    ],
    ["a name that starts with a dash", (c) => c.createNetwork({ name: "-a" }), "INVALID_ARGUMENT", "invalid network name"],
    ["no name", (c) => c.createNetwork({ name: "" }), "INVALID_ARGUMENT", "invalid network name"],
    ["a name without end", (c) => c.createNetwork({ name: "n".repeat(300) }), "INVALID_ARGUMENT", "300 characters, at most 128"],
    [
      "a subnet that is taken",
      (c) => c.createNetwork({ name: "x", ipam: [{ subnet: "10.1.0.0/16" }] }),
      "ADDRESS_IN_USE",
      "Pool overlaps with other one on this address space",
    ],
    ["an unknown network", (c) => c.removeNetwork("nosuch"), "NOT_FOUND", "network nosuch not found"],
    ["looking at an unknown network", (c) => c.inspectNetwork("nosuch"), "NOT_FOUND", "network nosuch not found"],
    [
      "removing a network in use",
      (c) => c.removeNetwork("web"),
      "FORBIDDEN",
      /^network web has active endpoints \(name:"box" id:"[0-9a-f]{12}"\)/,
    ],
    [
      "a sandbox's name that is taken",
      (c) => c.createSandbox({ name: "box" }),
      "ALREADY_EXISTS",
      /^Conflict\. The sandbox name "box" is already in use by sandbox "[0-9a-f]{12}"/,
    ],
    ["a sandbox's name with a space", (c) => c.createSandbox({ name: "a b" }), "INVALID_ARGUMENT", "invalid sandbox name"],
    ["a bad hostname", (c) => c.createSandbox({ hostname: "a_b" }), "INVALID_ARGUMENT", 'invalid hostname "a_b"'],
    [
      "an unknown network for a sandbox",
      (c) => c.createSandbox({ networks: [{ network: "nosuch" }] }),
      "NOT_FOUND",
      "network nosuch not found",
    ],
    [
      "one network twice",
      (c) => c.createSandbox({ networks: [{ network: "web" }, { network: "web" }] }),
      "INVALID_ARGUMENT",
      'network "web" is specified multiple times',
    ],
    [
      "an address in use",
      (c) => c.createSandbox({ networks: [{ network: "web", ipv4: "10.1.0.2" }] }),
      "ADDRESS_IN_USE",
      "Address already in use: 10.1.0.2",
    ],
    [
      "the gateway's address",
      (c) => c.createSandbox({ networks: [{ network: "web", ipv4: "10.1.0.1" }] }),
      "ADDRESS_IN_USE",
      "Address already in use: 10.1.0.1",
    ],
    [
      "an address outside",
      (c) => c.createSandbox({ networks: [{ network: "web", ipv4: "10.2.0.1" }] }),
      "INVALID_ARGUMENT",
      "requested address is out of range: 10.2.0.1",
    ],
    ["an address that is none", (c) => c.createSandbox({ networks: [{ network: "web", ipv4: "ten" }] }), "INVALID_ARGUMENT", '"ten"'],
    [
      "an IPv6 address as IPv4",
      (c) => c.createSandbox({ networks: [{ network: "web", ipv4: "fd00::1" }] }),
      "INVALID_ARGUMENT",
      "invalid IPv4 address: fd00::1: it is IPv6, give it as such (--ip6)",
    ],
    [
      "an IPv6 address without IPv6",
      (c) => c.createSandbox({ networks: [{ network: "web", ipv6: "fd00::1" }] }),
      "INVALID_ARGUMENT",
      "network web has no IPv6 subnet",
    ],
    ["a MAC that is none", (c) => c.createSandbox({ networks: [{ network: "web", mac: "02:00" }] }), "INVALID_ARGUMENT", '"02:00"'],
    [
      "a group MAC",
      (c) => c.createSandbox({ networks: [{ network: "web", mac: "01:00:5e:00:00:01" }] }),
      "INVALID_ARGUMENT",
      "group address",
    ],
    [
      "a MAC in use",
      (c) => c.createSandbox({ networks: [{ network: "far", mac: "02:42:0a:09:00:02" }] }),
      "ADDRESS_IN_USE",
      "MAC address 02:42:0a:09:00:02 is already used on network far",
    ],
    [
      "an alias that is none",
      (c) => c.createSandbox({ networks: [{ network: "web", aliases: ["a b"] }] }),
      "INVALID_ARGUMENT",
      'invalid alias "a b"',
    ],
    [
      "the second of two networks",
      (c) => c.createSandbox({ networks: [{ network: "far" }, { network: "web", ipv4: "10.2.0.1" }] }),
      "INVALID_ARGUMENT",
      "10.2.0.1",
    ],
    [
      "a path that is none",
      (c) => c.createSandbox({ namespacePath: "/etc/passwd" }),
      "INVALID_ARGUMENT",
      "/etc/passwd is not a network namespace",
    ],
    ["a relative path", (c) => c.createSandbox({ namespacePath: "netns" }), "INVALID_ARGUMENT", "give an absolute one"],
    ["the daemon's own namespace", (c) => c.createSandbox({ namespacePath: "/proc/self/ns/net" }), "INVALID_ARGUMENT", "daemon's own"],
    [
      "a namespace that another sandbox has",
      (c) => c.createSandbox({ namespacePath: "/run/netns/mine" }),
      "ADDRESS_IN_USE",
      "already used by sandbox foreign",
    ],
    ["an unknown sandbox", (c) => c.removeSandbox("nosuch", false), "NOT_FOUND", "sandbox nosuch not found"],
    ["connecting twice", (c) => c.connect("box", { network: "web" }), "FORBIDDEN", "endpoint with name box already exists in network web"],
    ["connecting to nothing", (c) => c.connect("box", { network: "nosuch" }), "NOT_FOUND", "network nosuch not found"],
    ["connecting nobody", (c) => c.connect("nosuch", { network: "web" }), "NOT_FOUND", "sandbox nosuch not found"],
    [
      "disconnecting what is not",
      (c) => c.disconnect("foreign", "web", false),
      "NOT_FOUND",
      "sandbox foreign is not connected to network web",
    ],
    [
      "a full network",
      (c) => c.createSandbox({ networks: [{ network: "tiny" }] }),
      "RESOURCE_EXHAUSTED",
      "no available addresses on this pool",
    ],
    [
      "a peer twice",
      (c) => c.addPeer("192.0.2.2", undefined, undefined),
      "ALREADY_EXISTS",
      "peer 192.0.2.2 of all networks already exists: to change its port or keys remove it first",
    ],
    [
      "a peer that is ourselves",
      (c) => c.addPeer("192.0.2.1", undefined, undefined),
      "INVALID_ARGUMENT",
      "this host's own underlay address",
    ],
    ["a peer that is no address", (c) => c.addPeer("nonsense", undefined, undefined), "INVALID_ARGUMENT", '"nonsense"'],
    ["a peer that is a group", (c) => c.addPeer("224.0.0.1", undefined, undefined), "INVALID_ARGUMENT", "multicast"],
    ["a peer that is nobody", (c) => c.addPeer("0.0.0.0", undefined, undefined), "INVALID_ARGUMENT", "unspecified"],
    [
      "a peer of a family without underlay",
      (c) => c.addPeer("2001:db8::2", undefined, undefined),
      "INVALID_ARGUMENT",
      "no IPv6 underlay address",
    ],
    ["a peer's port", (c) => c.addPeer("192.0.2.3", 70000, undefined), "INVALID_ARGUMENT", "invalid port 70000"],
    ["a peer of an unknown network", (c) => c.addPeer("192.0.2.3", undefined, "nosuch"), "NOT_FOUND", "network nosuch not found"],
    [
      "a peer of a bridge",
      (c) => c.addPeer("192.0.2.3", undefined, "web"),
      "INVALID_ARGUMENT",
      "network web has driver bridge, which has no peers",
    ],
    ["removing an unknown peer", (c) => c.removePeer("192.0.2.9", undefined), "NOT_FOUND", "peer 192.0.2.9 of all networks not found"],
  ];

  it.each(REFUSED)("%s", async (_what, attempt, code, message) => {
    const { controller, store, datapath, namespaces } = await startController();
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
    await controller.createNetwork({ name: "far", driver: "overlay", ipam: [{ subnet: "10.9.0.0/24" }] });
    await controller.createNetwork({ name: "tiny", ipam: [{ subnet: "10.8.0.0/31" }] });
    await controller.createSandbox({ name: "box", networks: [{ network: "web" }, { network: "far" }, { network: "tiny" }] });
    namespaces.addForeign("/run/netns/mine");
    await controller.createSandbox({ name: "foreign", namespacePath: "/run/netns/mine" });
    await controller.addPeer("192.0.2.2", undefined, undefined);
    const everything = async () =>
      JSON.stringify([
        await store.list(""),
        [...datapath.declared],
        controller.listNetworks().map(({ id }) => controller.inspectNetwork(id)),
        namespaces.paths,
      ]);
    const before = await everything();
    const failure = await (async () => attempt(controller))().then(
      () => ({ message: "not refused", code: "none" }),
      (error) => error,
    );
    expect(failure.message).toMatch(message);
    expect(failure.code).toBe(code);
    expect(await everything()).toBe(before);
  });
});

describe("peers", () => {
  it("of all overlay networks and of one, the latter's port first", async () => {
    const { controller, datapath } = await startController();
    const a = await controller.createNetwork({ name: "a", driver: "overlay" });
    await controller.createNetwork({ name: "bridged" });
    await controller.addPeer("192.0.2.2", undefined, undefined);
    await controller.addPeer("192.0.2.2", 8472, "a");
    await controller.addPeer("192.0.2.3", undefined, "a");
    const b = await controller.createNetwork({ name: "b", driver: "overlay" });
    const vteps = () =>
      datapath
        .all("vteps")
        .map(({ domain, address, port }) => `${domain === a.id ? "a" : domain === b.id ? "b" : "?"} ${address} ${port}`)
        .sort();
    expect(vteps()).toEqual(["a 192.0.2.2 8472", "a 192.0.2.3 4789", "b 192.0.2.2 4789"]);
    expect(controller.inspectNetwork("b").peers.map(({ address }) => address)).toEqual(["192.0.2.2"]);
    await controller.removePeer("192.0.2.2", undefined);
    expect(vteps()).toEqual(["a 192.0.2.2 8472", "a 192.0.2.3 4789"]);
    await controller.removeNetwork("a");
    expect(controller.listPeers()).toEqual([]);
  });

  it("that the data plane refuses are not kept", async () => {
    const { controller, datapath } = await startController();
    await controller.createNetwork({ name: "a", driver: "overlay" });
    let calls = 0;
    datapath.onChange = () => {
      if (++calls === 1) throw new Error("table full");
    };
    await expect(controller.addPeer("192.0.2.2", undefined, undefined)).rejects.toThrow("table full");
    expect(controller.listPeers()).toEqual([]);
    expect(datapath.all("vteps")).toEqual([]);
  });
});

describe("inspection", () => {
  it("of a network tells its endpoints and how full it is", async () => {
    const { controller } = await startController();
    await controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }], enableIpv6: true });
    const { sandbox } = await controller.createSandbox({ name: "a", networks: [{ network: "web", aliases: ["db"] }] });
    const view = controller.inspectNetwork("web");
    expect(view.endpoints).toEqual([{ endpoint: expect.objectContaining({ aliases: ["db"], name: "a" }), sandbox }]);
    const [v4, v6] = view.network.ipam.map(({ subnet }) => subnet);
    expect(v6).toMatch(/^fd[0-9a-f:]+\/64$/);
    expect(view.subnets).toEqual({
      [v4!]: { ipsInUse: 4, dynamicIpsAvailable: 252 },
      [v6!]: { ipsInUse: 3, dynamicIpsAvailable: Number.MAX_SAFE_INTEGER },
    });
  });
});

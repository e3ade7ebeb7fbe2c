// Drivers: options and what they refuse, and declarations as functions of records.
import { describe, expect, it } from "vitest";
import type { CreateNetworkRequest } from "../../src/controller/types.ts";
import { overlayMtu } from "../../src/drivers/overlay/overlay.ts";
import { startController } from "../support/controller.ts";

const MTU = "com.docker.network.driver.mtu";
const NAME = "com.docker.network.bridge.name";
const VNIS = "com.docker.network.driver.overlay.vxlanid_list";

async function refusal(
  request: Omit<CreateNetworkRequest, "name">,
  before: CreateNetworkRequest[] = [],
): Promise<{ code: string; message: string }> {
  const { controller, store, datapath, namespaces } = await startController();
  for (const one of before) await controller.createNetwork(one);
  const stored = JSON.stringify(await store.list(""));
  const declared = JSON.stringify([...datapath.declared]);
  const links = [...namespaces.at(null).links.keys()].join();
  const failure = await controller.createNetwork({ name: "x", ...request }).then(
    () => ({ code: "none", message: "" }),
    (error) => error,
  );
  expect(JSON.stringify(await store.list(""))).toBe(stored);
  expect(JSON.stringify([...datapath.declared])).toBe(declared);
  expect([...namespaces.at(null).links.keys()].join()).toBe(links);
  return failure;
}

const bridge = (key: string, value: string) => ({ options: { [key]: value } });
const overlay = (key: string, value: string) => ({ driver: "overlay", options: { [key]: value } });
const macvlan = (key: string, value: string, parent?: string) => ({
  driver: "macvlan",
  options: { ...(parent === undefined ? {} : { parent }), [key]: value },
});

describe("options are refused and nothing is changed", () => {
  const REFUSED: readonly [Omit<CreateNetworkRequest, "name">, string, string][] = [
    [
      { driver: "nosuch" },
      "INVALID_ARGUMENT",
      'unknown network driver "nosuch": this version of Weft has bridge, host, macvlan, null, overlay',
    ],
    [
      macvlan("macvlan_mode", "tap"),
      "INVALID_ARGUMENT",
      "requested macvlan mode 'tap' is not valid, 'bridge' mode is the macvlan driver default",
    ],
    [macvlan("parent", "lo"), "INVALID_ARGUMENT", "loopback interface is not a valid macvlan parent link"],
    [macvlan("parent", "lo.5"), "INVALID_ARGUMENT", "-o parent interface was not found on the host: lo"],
    [macvlan("parent", "eth7"), "INVALID_ARGUMENT", "-o parent interface was not found on the host: eth7; give one of eth0"],
    [macvlan("parent", "eth7.5"), "INVALID_ARGUMENT", "-o parent interface was not found on the host: eth7; give one of eth0"],
    [macvlan("parent", "eth0."), "INVALID_ARGUMENT", "unable to parse a valid vlan id from: "],
    [macvlan("parent", "eth0.a"), "INVALID_ARGUMENT", "unable to parse a valid vlan id from: a (ex. eth0.10 for vlan 10)"],
    [macvlan("parent", "eth0.-1"), "INVALID_ARGUMENT", "unable to parse a valid vlan id from: -1"],
    [macvlan("parent", "eth0.1.2"), "INVALID_ARGUMENT", "required interface name format is: name.vlan_id"],
    [macvlan("parent", "eth0.0"), "INVALID_ARGUMENT", "vlan id must be between 1-4094, received: 0"],
    [macvlan("parent", "eth0.4095"), "INVALID_ARGUMENT", "vlan id must be between 1-4094, received: 4095"],
    [macvlan("macvlan_mode", "passthru"), "INVALID_ARGUMENT", "give -o parent="],
    [macvlan("com.docker.network.driver.mtu", "1501", "eth0"), "INVALID_ARGUMENT", "parent interface eth0 has 1500"],
    [
      bridge("com.example.nosuch", "1"),
      "INVALID_ARGUMENT",
      'unknown option "com.example.nosuch" for driver bridge; known options: com.docker.network.bridge.default_bridge,',
    ],
    [bridge(VNIS, "77"), "INVALID_ARGUMENT", `unknown option "${VNIS}" for driver bridge`],
    [bridge("constructor", "x"), "INVALID_ARGUMENT", 'unknown option "constructor" for driver bridge'],
    [overlay(NAME, "a"), "INVALID_ARGUMENT", `unknown option "${NAME}" for driver overlay`],
    [bridge(MTU, "many"), "INVALID_ARGUMENT", `invalid value "many" for ${MTU}: give a number from 68 to 65521`],
    [bridge(MTU, "67"), "INVALID_ARGUMENT", "from 68 to 65521"],
    [bridge(MTU, "65522"), "INVALID_ARGUMENT", "from 68 to 65521"],
    [bridge(MTU, "1500.5"), "INVALID_ARGUMENT", "give a number"],
    [bridge(MTU, ""), "INVALID_ARGUMENT", 'invalid value ""'],
    [{ ...bridge(MTU, "1279"), enableIpv6: true }, "INVALID_ARGUMENT", "MTU 1279 is too small: IPv6 needs at least 1280"],
    [{ ...overlay(MTU, "1000"), enableIpv6: true }, "INVALID_ARGUMENT", "IPv6 needs at least 1280"],
    [overlay(MTU, "1451"), "INVALID_ARGUMENT", "MTU 1451 is too large: the underlay's is 1500, which leaves 1450"],
    [
      bridge(NAME, "a-name-of-more-than-15"),
      "INVALID_ARGUMENT",
      `"a-name-of-more-than-15" for ${NAME}: 22 bytes, an interface's name has at most 15`,
    ],
    [bridge(NAME, "a/b"), "INVALID_ARGUMENT", 'invalid value "a/b"'],
    [bridge(NAME, ".."), "INVALID_ARGUMENT", 'invalid value ".."'],
    [bridge(NAME, "a b"), "INVALID_ARGUMENT", 'invalid value "a b"'],
    [bridge(NAME, "eth0"), "ADDRESS_IN_USE", "interface eth0 already exists on this host"],
    [
      bridge("com.docker.network.container_iface_prefix", "twelve-bytes"),
      "INVALID_ARGUMENT",
      "12 bytes, an interface prefix has at most 11",
    ],
    [bridge("com.docker.network.container_iface_prefix", "a.b"), "INVALID_ARGUMENT", "has no dot"],
    [bridge("com.docker.network.bridge.enable_icc", "maybe"), "INVALID_ARGUMENT", "give true or false"],
    [bridge("com.docker.network.bridge.trusted_host_interfaces", "eth0"), "INVALID_ARGUMENT", "not available in this version of Weft"],
    [bridge("com.docker.network.bridge.gateway_mode_ipv4", "isolated"), "INVALID_ARGUMENT", "only be used for an internal network"],
    [bridge("com.docker.network.bridge.gateway_mode_ipv6", "bridged"), "INVALID_ARGUMENT", "unknown gateway mode"],
    [bridge("com.docker.network.bridge.host_binding_ipv4", "::1"), "INVALID_ARGUMENT", "give an IPv4 address"],
    [overlay("encrypted", "ipsec"), "INVALID_ARGUMENT", 'invalid value "ipsec" for encrypted: give true or false'],
    [overlay(VNIS, "0"), "INVALID_ARGUMENT", 'invalid VXLAN network identifier "0"'],
    [overlay(VNIS, "16777216"), "INVALID_ARGUMENT", "give numbers from 1 to 16777215"],
    [overlay(VNIS, "-1"), "INVALID_ARGUMENT", '"-1"'],
    [overlay(VNIS, "abc"), "INVALID_ARGUMENT", '"abc"'],
    [overlay(VNIS, ""), "INVALID_ARGUMENT", '""'],
    [overlay(VNIS, "1,1"), "INVALID_ARGUMENT", "is in it twice"],
    [overlay(VNIS, "1,2"), "INVALID_ARGUMENT", "names 2 VXLAN network identifiers, but the network has 1 subnets"],
    [overlay("weft.fdb.age", "0"), "INVALID_ARGUMENT", "from 1 to 65000"],
    [
      { ipam: [{ subnet: "10.1.0.0/24" }, { subnet: "10.2.0.0/24" }] },
      "INVALID_ARGUMENT",
      "bridge driver doesn't support multiple subnets",
    ],
    [{ scope: "nosuch" }, "INVALID_ARGUMENT", 'invalid scope "nosuch"'],
    [{ scope: "swarm" }, "INVALID_ARGUMENT", "networks of driver bridge have scope local"],
    [{ ipamDriver: "nosuch" }, "NOT_FOUND", 'plugin "nosuch" not found'],
    [{ ipamOptions: { a: "b" } }, "INVALID_ARGUMENT", 'unknown IPAM option "a=b"'],
    [{ enableIpv4: false }, "INVALID_ARGUMENT", "IPv4 and IPv6 are both disabled"],
  ];
  it.each(REFUSED)("%j: %s", async (request, code, message) => {
    const failure = await refusal(request);
    expect(failure.message).toContain(message);
    expect(failure.code).toBe(code);
  });

  it("a VNI or a bridge name that another network has", async () => {
    const taken: CreateNetworkRequest[] = [
      { name: "a", driver: "overlay", options: { [VNIS]: "5000" } },
      { name: "b", options: { [NAME]: "br0" } },
    ];
    expect(await refusal(overlay(VNIS, "5000"), taken)).toMatchObject({
      code: "ADDRESS_IN_USE",
      message: expect.stringContaining("VXLAN network identifier 5000 is already used by network a"),
    });
    expect(await refusal(bridge(NAME, "br0"), taken)).toMatchObject({
      code: "ADDRESS_IN_USE",
      message: expect.stringContaining("bridge name br0 is already used by network b"),
    });
  });

  it("an overlay on a host without an underlay address", async () => {
    const { controller } = await startController({ options: { underlay: { addresses: [], mtuBytes: 1500, vxlanPort: 4789 } } });
    await expect(controller.createNetwork({ name: "x", driver: "overlay" })).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("--underlay-address"),
    });
  });
});

describe("bridge", () => {
  it("keeps sandboxes apart with enable_icc=false, but not from the gateway", async () => {
    const { controller, datapath } = await startController();
    await controller.createNetwork({ name: "web", options: { "com.docker.network.bridge.enable_icc": "false" } });
    await controller.createSandbox({ name: "a", networks: [{ network: "web" }] });
    expect(datapath.taps.map(({ id, isolated }) => [id.endsWith("/gateway"), isolated])).toEqual([
      [true, false],
      [false, true],
    ]);
  });

  it("takes name, MTU, prefix and FDB settings from options", async () => {
    const { controller, datapath, namespaces } = await startController();
    const options = {
      [NAME]: "br-web",
      [MTU]: "9000",
      "com.docker.network.container_iface_prefix": "web",
      "weft.fdb.age": "60",
      "weft.fdb.limit": "100",
    };
    const network = await controller.createNetwork({ name: "web", options });
    expect(network.options).toEqual(options);
    const { sandbox } = await controller.createSandbox({ networks: [{ network: "web" }] });
    expect(datapath.all("domains")).toEqual([expect.objectContaining({ mtuBytes: 9000, fdbAgeS: 60, fdbLimit: 100 })]);
    expect(datapath.taps.map(({ interfaceName, mtuBytes }) => [interfaceName, mtuBytes])).toEqual([
      ["br-web", 9000],
      ["web0", 9000],
    ]);
    expect(namespaces.link(sandbox.namespacePath, "web0").addresses).toEqual(["172.17.0.2/16"]);
  });

  it("takes what Docker takes for not given: an empty name or prefix, an MTU of 0", async () => {
    const { controller, datapath } = await startController();
    const options = { [NAME]: "", [MTU]: "0", "com.docker.network.container_iface_prefix": "" };
    const { id } = await controller.createNetwork({ name: "web", options });
    await controller.createSandbox({ networks: [{ network: "web" }] });
    expect(datapath.taps.map(({ interfaceName, mtuBytes }) => [interfaceName, mtuBytes])).toEqual([
      [`br-${id.slice(0, 12)}`, 1500],
      ["eth0", 1500],
    ]);
  });

  it("gives an internal network's gateway an address, but sandboxes no route", async () => {
    const { controller, namespaces } = await startController();
    const network = await controller.createNetwork({ name: "web", internal: true });
    const { sandbox, endpoints } = await controller.createSandbox({ networks: [{ network: "web" }] });
    expect(namespaces.link(null, `br-${network.id.slice(0, 12)}`).addresses).toEqual(["172.17.0.1/16"]);
    expect(endpoints[0]).toMatchObject({ gatewayIpv4: null });
    expect(namespaces.at(sandbox.namespacePath).routes.size).toBe(0);
  });

  it("has no address at all where it is isolated, for what families it has", async () => {
    const { controller, namespaces } = await startController();
    const modes = (...families: number[]) =>
      Object.fromEntries(families.map((family) => [`com.docker.network.bridge.gateway_mode_ipv${family}`, "isolated"]));
    const without: string[] = [];
    namespaces.enableIpv6 = async (path, name, enabled) => {
      if (path === null && !enabled) without.push(name);
    };
    const create = (name: string, options: Record<string, string>, enableIpv6: boolean) =>
      controller.createNetwork({ name, enableIpv6, internal: true, options: { [NAME]: name, ...options } });
    await create("dual", modes(4, 6), true);
    await create("ipv4", modes(4), false);
    await create("half", modes(4), true);
    await create("usual", {}, true);
    expect(without).toEqual(["dual", "ipv4"]);
    expect(namespaces.link(null, "dual").addresses).toEqual([]);
  });

  it("keeps no address for a gateway that nobody would have, unless one is given", async () => {
    const { controller, store } = await startController();
    const [v4, v6, inhibit] = ["gateway_mode_ipv4", "gateway_mode_ipv6", "inhibit_ipv4"].map((key) => `com.docker.network.bridge.${key}`);
    const gateways = async (name: string, options: Record<string, string>, internal = true, gateway = {}) => {
      const ipam = [{ subnet: "10.1.0.0/24", ...gateway }, { subnet: "fd01::/64" }];
      const network = await controller.createNetwork({ name, internal, enableIpv6: true, ipam, options });
      const { endpoints } = await controller.createSandbox({ name, networks: [{ network: name }] });
      const found = [...network.ipam.map((one) => one.gateway), endpoints[0]!.endpoint.ipv4, endpoints[0]!.endpoint.ipv6];
      await (await startController({ store })).controller.restore();
      await controller.removeSandbox(name, false);
      await controller.removeNetwork(name);
      return found;
    };
    expect(await gateways("both", { [v4!]: "isolated", [v6!]: "isolated" })).toEqual([null, null, "10.1.0.1/24", "fd01::1/64"]);
    expect(await gateways("half", { [v6!]: "isolated" })).toEqual(["10.1.0.1", null, "10.1.0.2/24", "fd01::1/64"]);
    expect(await gateways("inhibited", { [inhibit!]: "true" })).toEqual([null, "fd01::1", "10.1.0.1/24", "fd01::2/64"]);
    expect(await gateways("out", { [inhibit!]: "true" }, false)).toEqual(["10.1.0.1", "fd01::1", "10.1.0.2/24", "fd01::2/64"]);
    expect(await gateways("given", { [v4!]: "isolated" }, true, { gateway: "10.1.0.9" })).toEqual([
      "10.1.0.9",
      "fd01::1",
      "10.1.0.1/24",
      "fd01::2/64",
    ]);
  });

  it("leaves the gateway's IPv4 address out with inhibit_ipv4", async () => {
    const { controller, namespaces } = await startController();
    const options = { "com.docker.network.bridge.inhibit_ipv4": "true", [NAME]: "br0" };
    await controller.createNetwork({ name: "web", enableIpv6: true, ipam: [{ subnet: "10.1.0.0/24" }, { subnet: "fd01::/64" }], options });
    expect(namespaces.link(null, "br0").addresses).toEqual(["fd01::1/64"]);
  });

  it("runs both families, and IPv6 alone", async () => {
    const { controller, namespaces } = await startController();
    await controller.createNetwork({ name: "both", ipam: [{ subnet: "10.1.0.0/24" }, { subnet: "fd01::/64" }] });
    await controller.createNetwork({ name: "six", enableIpv4: false, enableIpv6: true, ipam: [{ subnet: "fd02::/64" }] });
    const { sandbox, endpoints } = await controller.createSandbox({ networks: [{ network: "both" }, { network: "six" }] });
    expect(endpoints.map(({ endpoint: { ipv4, ipv6 } }) => [ipv4, ipv6])).toEqual([
      ["10.1.0.2/24", "fd01::2/64"],
      [null, "fd02::2/64"],
    ]);
    expect(namespaces.link(sandbox.namespacePath, "eth0")).toEqual({ addresses: ["10.1.0.2/24", "fd01::2/64"], up: true, ipv6: true });
    expect([...namespaces.at(sandbox.namespacePath).routes]).toEqual([
      ["0.0.0.0/0", "10.1.0.1"],
      ["::/0", "fd01::1"],
    ]);
  });
});

describe("overlay", () => {
  it("is a domain with a VNI that learns, answers for neighbours and clamps", async () => {
    const { controller, datapath, namespaces } = await startController();
    const network = await controller.createNetwork({ name: "far", driver: "overlay", ipam: [{ subnet: "10.9.0.0/24" }] });
    expect(network).toMatchObject({ scope: "global", driverState: { vnis: [4096], mtuBytes: 1450 } });
    const { sandbox, endpoints } = await controller.createSandbox({ networks: [{ network: "far" }] });
    expect(datapath.all("domains")).toEqual([
      {
        id: network.id,
        vni: 4096,
        mtuBytes: 1450,
        learning: true,
        proxyNeighbors: true,
        clampMss: true,
        fdbLimit: expect.any(Number),
        fdbAgeS: 300,
      },
    ]);
    expect(endpoints[0]!.endpoint).toMatchObject({ ipv4: "10.9.0.2/24", mac: "02:42:0a:09:00:02" });
    expect(datapath.all("neighbors")).toEqual([{ domain: network.id, address: "10.9.0.2", mac: "02:42:0a:09:00:02" }]);
    expect([...namespaces.at(null).links.keys()]).toEqual(["lo", "eth0"]);
    expect(namespaces.at(sandbox.namespacePath).routes.size).toBe(0);
  });

  it("takes its subnets from the global pools, whatever the host routes", async () => {
    const { controller, namespaces } = await startController();
    namespaces.routes = [{ destination: "10.0.0.0/8", gateway: null, interfaceIndex: 2, metric: null }];
    const network = await controller.createNetwork({ name: "far", driver: "overlay" });
    expect(network.ipam[0]!.subnet).toBe("10.0.0.0/24");
  });

  it("takes VNIs that are given, and the lowest free ones otherwise", async () => {
    const { controller } = await startController();
    const vnis = async (name: string, options: Record<string, string>, subnets: string[]) =>
      (await controller.createNetwork({ name, driver: "overlay", options, ipam: subnets.map((subnet) => ({ subnet })) })).driverState.vnis;
    expect(await vnis("a", { [VNIS]: "4097" }, [])).toEqual([4097]);
    expect(await vnis("b", {}, ["10.1.0.0/24", "10.2.0.0/24", "fd01::/64"])).toEqual([4096, 4098]);
    expect(await vnis("c", { [VNIS]: "1,16777215" }, ["10.3.0.0/24", "10.4.0.0/24"])).toEqual([1, 16777215]);
  });

  it("keeps a link for each pair of subnets", async () => {
    const { controller, datapath } = await startController();
    const ipam = ["10.1.0.0/24", "10.2.0.0/24", "fd01::/64", "fd02::/64"].map((subnet) => ({ subnet }));
    const network = await controller.createNetwork({ name: "far", driver: "overlay", ipam });
    const { endpoints } = await controller.createSandbox({ networks: [{ network: "far", ipv4: "10.2.0.9" }] });
    expect(endpoints[0]!.endpoint).toMatchObject({ ipv4: "10.2.0.9/24", ipv6: "fd02::2/64" });
    expect(datapath.all("domains").map(({ id, vni }) => [id, vni])).toEqual([
      [`${network.id}/0`, 4096],
      [`${network.id}/1`, 4097],
    ]);
    expect(datapath.taps[0]!.domain).toBe(`${network.id}/1`);
    await controller.addPeer("192.0.2.9", undefined, undefined);
    expect(datapath.all("vteps").map(({ domain }) => domain)).toEqual([`${network.id}/0`, `${network.id}/1`]);
  });

  it("makes a MAC of the IPv6 address where there is no other", async () => {
    const { controller } = await startController();
    await controller.createNetwork({ name: "far", driver: "overlay", enableIpv4: false, ipam: [{ subnet: "fd01::/64" }] });
    const first = await controller.createSandbox({ networks: [{ network: "far", ipv6: "fd01::1:2" }] });
    expect(first.endpoints[0]!.endpoint.mac).toBe("02:42:00:01:00:02");
    const same = await controller.createSandbox({ networks: [{ network: "far", ipv6: "fd01::5:1:2" }] });
    expect(same.endpoints[0]!.endpoint.mac).not.toBe("02:42:00:01:00:02");
  });

  it.each([
    [["192.0.2.1"], 1500, 1450],
    [["2001:db8::1"], 1500, 1430],
    [["192.0.2.1", "2001:db8::1"], 9000, 8930],
  ])("leaves %j with MTU %d an MTU of %d", (addresses, mtuBytes, expected) =>
    expect(overlayMtu({ addresses, mtuBytes, vxlanPort: 4789 })).toBe(expected),
  );
});

describe("macvlan", () => {
  const parentOf = (parent: string, mode = "bridge") => ({ driver: "macvlan", options: { parent, macvlan_mode: mode } });

  it("is one link with the other networks on its VLAN of its parent, and none with those on others", async () => {
    const { controller, datapath } = await startController();
    for (const [name, parent] of [
      ["a", "eth0"],
      ["b", "eth0.100"],
      ["c", "eth0.100"],
      ["d", ""],
    ] as const) {
      const network = await controller.createNetwork({ name, ...parentOf(parent) });
      await controller.createSandbox({ networks: [{ network: name }] });
      expect(datapath.taps.at(-1)).toMatchObject({
        domain: parent === "" ? network.id : `parent/${parent}`,
        macvlan: "bridge",
        mtuBytes: 1500,
      });
    }
    const uplinks = datapath.all("ports").filter(({ kind }) => kind === "uplink");
    const red = { kind: "uplink", id: "parent/eth0.100", domain: "parent/eth0.100", parent: "parent/eth0", vid: 100, passthru: false };
    expect(uplinks).toEqual([{ ...red, id: "parent/eth0.0", domain: "parent/eth0", vid: 0 }, red, red]);
  });

  it("shares a link with networks on its VLAN: MACs and link-local addresses are one station's", async () => {
    const { controller } = await startController();
    for (const [name, parent] of Object.entries({ one: "eth0.7", two: "eth0.7", other: "eth0.8" })) {
      await controller.createNetwork({ name, driver: "macvlan", options: { parent } });
    }
    const wish = { mac: "02:00:00:00:00:09", linkLocalIps: ["169.254.7.1"] };
    await controller.createSandbox({ name: "a", networks: [{ network: "one", ...wish }] });
    const join = (network: string, what: object) => controller.createSandbox({ networks: [{ network, ...what }] });
    await expect(join("two", { mac: wish.mac })).rejects.toThrow("already used on network two or another on its parent");
    await expect(join("two", { linkLocalIps: wish.linkLocalIps })).rejects.toThrow("is the link-local address of a");
    await join("other", wish);
    expect(controller.listSandboxes()).toHaveLength(2);
  });

  it("gives no sandbox the MAC of an interface of the host", async () => {
    const { controller, namespaces } = await startController();
    await controller.createNetwork({ name: "lan", driver: "macvlan", options: { parent: "eth0" } });
    const [, { mac } = { mac: "" }] = await namespaces.hostLinks();
    const join = controller.createSandbox({ networks: [{ network: "lan", mac }] });
    await expect(join).rejects.toThrow(`MAC address ${mac} is that of an interface of this host`);
    expect(controller.listSandboxes()).toEqual([]);
  });

  it("has routers out there: none but the one it is given", async () => {
    const { controller, namespaces } = await startController();
    const ipam = [
      { subnet: "10.1.0.0/24", gateway: "10.1.0.254" },
      { subnet: "10.2.0.0/24", gateway: "10.2.0.254" },
    ];
    await controller.createNetwork({ name: "a", ...parentOf("eth0"), ipam });
    const links = [...namespaces.at(null).links.keys()];
    const { sandbox } = await controller.createSandbox({ networks: [{ network: "a", ipv4: "10.2.0.7" }] });
    expect(Object.fromEntries(namespaces.at(sandbox.namespacePath).routes)).toEqual({ "0.0.0.0/0": "10.2.0.254" });
    expect([...namespaces.at(null).links.keys()]).toEqual(links);
    for (const [name, request] of [
      ["inner", { internal: true, ...parentOf("eth0") }],
      ["alone", parentOf("")],
    ] as const) {
      await controller.createNetwork({ name, ...request });
      const lone = await controller.createSandbox({ networks: [{ network: name }] });
      expect([...namespaces.at(lone.sandbox.namespacePath).routes]).toEqual([]);
    }
  });

  it("in passthru has the parent alone, and its one sandbox the parent's MAC", async () => {
    const { controller } = await startController();
    await controller.createNetwork({ name: "all", ...parentOf("eth0", "passthru") });
    const used = { code: "ADDRESS_IN_USE", message: "macvlan network all is already using parent interface eth0 in mode passthru" };
    await expect(controller.createNetwork({ name: "more", ...parentOf("eth0") })).rejects.toMatchObject(used);
    await controller.createNetwork({ name: "red", ...parentOf("eth0.100") });
    await expect(controller.createNetwork({ name: "more", ...parentOf("eth0.100", "passthru") })).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
      message: "cannot use mode passthru, macvlan network red is already using parent interface eth0.100",
    });
    const { endpoints } = await controller.createSandbox({ name: "one", networks: [{ network: "all" }] });
    expect(endpoints[0]!.endpoint.mac).toBe("02:00:00:00:ff:01");
    const second = controller.createSandbox({ name: "two", networks: [{ network: "all" }] });
    await expect(second).rejects.toMatchObject({ code: "FORBIDDEN", message: expect.stringContaining("mode passthru") });
    await controller.removeSandbox("one", false);
    const other = controller.createSandbox({ name: "two", networks: [{ network: "all", mac: "02:00:00:00:00:01" }] });
    await expect(other).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringContaining("02:00:00:00:ff:01") });
  });
});

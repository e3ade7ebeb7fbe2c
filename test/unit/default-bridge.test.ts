// The predefined network `bridge`: what it is like, who is on it, what is refused there, and hosts that can't have it.
import { describe, expect, it } from "vitest";
import { schema } from "../../src/config/schema.ts";
import type { DefaultBridgeSettings } from "../../src/controller/context.ts";
import type { CreateSandboxRequest } from "../../src/controller/types.ts";
import { type Bench, startController } from "../support/controller.ts";

const DEFAULTS: DefaultBridgeSettings = schema.parse({}).bridge;

/** `before`: the bench of the daemon's former life. */
async function start(settings: Partial<DefaultBridgeSettings> = {}, before?: Bench, prepare?: (bench: Bench) => void): Promise<Bench> {
  const defaultBridge = { ...DEFAULTS, ...settings };
  const bench = await startController({
    ...(before && { store: before.store, namespaces: before.namespaces }),
    options: { defaultBridge },
  });
  prepare?.(bench);
  await bench.controller.restore();
  await bench.controller.ensurePredefined();
  return bench;
}

const bridgeOf = ({ controller }: Bench) => controller.inspectNetwork("bridge").network;
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => ({ code: "none", message: "not refused" }),
    ({ code, message }: { code: string; message: string }) => ({ code, message }),
  );

describe("the network", () => {
  it("is there from the start, with Docker's options, and its gateway on the host", async () => {
    const bench = await start();
    expect(bridgeOf(bench)).toMatchObject({
      driver: "bridge",
      scope: "local",
      enableIpv6: false,
      ipam: [{ subnet: "172.17.0.0/16", gateway: "172.17.0.1" }],
      options: {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": "weft0",
        "com.docker.network.driver.mtu": "1500",
      },
    });
    expect(bench.namespaces.link(null, "weft0")).toMatchObject({ addresses: ["172.17.0.1/16"], up: true });
    expect(bench.controller.warnings()).toEqual([]);
  });

  it("is what the settings say", async () => {
    const bench = await start({
      ...{ interfaceName: "docker9", ipv4: "10.9.0.7/24", ipv6: "fd09::7/64", icc: false, masquerade: false, mtuBytes: 1400 },
    });
    expect(bridgeOf(bench).ipam).toMatchObject([
      { subnet: "10.9.0.0/24", gateway: "10.9.0.7" },
      { subnet: "fd09::/64", gateway: "fd09::7" },
    ]);
    expect(bench.namespaces.link(null, "docker9").addresses).toEqual(["10.9.0.7/24", "fd09::7/64"]);
    const [port] = bench.datapath.declared.get(`network/${bridgeOf(bench).id}`)!.ports!;
    expect(port).toMatchObject({ interfaceName: "docker9", mtuBytes: 1400 });
  });

  it("takes a name and a pool that the host has not, and keeps them", async () => {
    const first = await start({}, undefined, ({ namespaces }) => {
      namespaces.addLink(null, "weft0");
      namespaces.routes = [{ destination: "172.17.0.0/16", gateway: null, interfaceIndex: 2 } as never];
    });
    const network = bridgeOf(first);
    expect([network.options["com.docker.network.bridge.name"], network.ipam[0]?.subnet]).toEqual(["weft1", "172.18.0.0/16"]);
    expect(bridgeOf(await start({}, first))).toEqual(network);
  });

  it("follows changed settings when no sandbox is on it, and says so where it can't", async () => {
    const first = await start();
    const changed = await start({ mtuBytes: 1400 }, first);
    expect(bridgeOf(changed).options).toMatchObject({ "com.docker.network.driver.mtu": "1400", "com.docker.network.bridge.name": "weft0" });
    await changed.controller.createSandbox({ name: "a" });
    const used = await start({ mtuBytes: 1300 }, changed);
    expect(bridgeOf(used)).toEqual(bridgeOf(changed));
    expect(used.controller.warnings()).toEqual([expect.stringContaining("network bridge stays as it was: sandboxes are on it")]);
    await used.controller.removeSandbox("a", false);
    const off = await start({ enabled: false }, used);
    expect(off.controller.listNetworks().map(({ name }) => name)).toEqual(["host", "none"]);
    expect(off.namespaces.at(null).links.has("weft0")).toBe(false);
  });

  it("can neither be made nor removed nor pruned", async () => {
    const { controller } = await start();
    expect(await refusal(controller.createNetwork({ name: "bridge" }))).toMatchObject({
      code: "FORBIDDEN",
      message: "operation is not permitted on predefined bridge network",
    });
    expect(await refusal(controller.removeNetwork("bridge"))).toEqual({
      code: "FORBIDDEN",
      message: "bridge is a pre-defined network and cannot be removed",
    });
    expect(await controller.pruneNetworks(() => true)).toEqual([]);
    const mark = { "com.docker.network.bridge.default_bridge": "true" };
    expect(await refusal(controller.createNetwork({ name: "mine", options: mark }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("a host that can't have it", () => {
  it("has a daemon all the same, which says so, and has the network when it can", async () => {
    const bench = await start({ ipv4: "10.9.0.1/16" }, undefined, ({ namespaces }) => {
      namespaces.routes = [{ destination: "10.9.0.0/16", gateway: null, interfaceIndex: 2 } as never];
    });
    const { controller, namespaces } = bench;
    expect(controller.listNetworks().map(({ name }) => name)).toEqual(["host", "none"]);
    expect(controller.warnings()).toEqual([expect.stringMatching(/^network bridge could not be made: .*10\.9\.0\.0\/16/)]);
    expect(await refusal(controller.createSandbox({ name: "a" }))).toEqual({
      code: "UNAVAILABLE",
      message: expect.stringMatching(/^network bridge could not be made: .*; name another network \(--network\), or none$/),
    });
    expect(controller.listSandboxes()).toEqual([]);
    await controller.createSandbox({ name: "b", networks: [{ network: "none" }] });
    namespaces.routes = [];
    await Promise.all([controller.createSandbox({ name: "a" }), controller.createSandbox({ name: "c" })]);
    expect(controller.inspectNetwork("bridge").endpoints.map(({ sandbox }) => sandbox?.name)).toEqual(["a", "c"]);
    expect(controller.warnings()).toEqual([]);
  });

  it("gives no network to who names none where it is switched off", async () => {
    const { controller } = await start({ enabled: false });
    expect((await controller.createSandbox({ name: "a" })).endpoints).toEqual([]);
  });
});

describe("a sandbox", () => {
  it("is on it if it names no network, and by Docker's other name", async () => {
    const { controller, namespaces } = await start();
    const { sandbox, endpoints } = await controller.createSandbox({ name: "a" });
    expect(endpoints.map(({ network, gatewayIpv4 }) => [network.name, gatewayIpv4])).toEqual([["bridge", "172.17.0.1"]]);
    expect(namespaces.link(sandbox.namespacePath, "eth0").addresses).toEqual(["172.17.0.2/16"]);
    expect(namespaces.at(sandbox.namespacePath).routes.get("0.0.0.0/0")).toBe("172.17.0.1");
    const { endpoints: named } = await controller.createSandbox({ name: "b", networks: [{ network: "default" }] });
    expect(named.map(({ network }) => network.name)).toEqual(["bridge"]);
    expect((await controller.createSandbox({ name: "c", networks: [] })).endpoints).toEqual([]);
  });

  const ADDRESS = "user specified IP address is supported on user defined networks only";
  const ALIAS = "network-scoped alias is supported only for containers in user defined networks";
  const MIXED = "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
  const REFUSED: readonly [CreateSandboxRequest, string][] = [
    [{ networks: [{ network: "bridge", ipv4: "172.17.0.9" }] }, ADDRESS],
    [{ networks: [{ network: "bridge", ipv6: "fd00::9" }] }, ADDRESS],
    [{ networks: [{ network: "bridge", aliases: ["db"] }] }, ALIAS],
    [{ networks: [{ network: "bridge" }, { network: "web" }] }, MIXED],
    [{ networks: [{ network: "bridge" }, { network: "host" }] }, "container sharing network namespace with another container or host"],
    [{ networks: [{ network: "none" }, { network: "bridge" }] }, "one of the networks in private (none) mode"],
  ];
  it.each(REFUSED)("is refused with %j", async (request, message) => {
    const bench = await start();
    await bench.controller.createNetwork({ name: "web" });
    const before = JSON.stringify(await bench.store.list(""));
    expect((await refusal(bench.controller.createSandbox(request))).message).toContain(message);
    expect(JSON.stringify(await bench.store.list(""))).toBe(before);
  });

  it("may be connected to further networks, and to it, without choosing an address", async () => {
    const { controller } = await start();
    await controller.createNetwork({ name: "web" });
    await controller.createSandbox({ name: "a" });
    await controller.createSandbox({ name: "b", networks: [{ network: "web" }] });
    await controller.connect("a", { network: "web", ipv4: "172.18.0.9", aliases: ["db"] });
    expect((await refusal(controller.connect("b", { network: "bridge", aliases: ["db"] }))).message).toBe(ALIAS);
    expect((await refusal(controller.connect("b", { network: "bridge", ipv4: "172.17.0.77" }))).message).toBe(ADDRESS);
    await controller.connect("b", { network: "bridge", mac: "02:00:00:00:00:77" });
  });

  it("has no names on it, and those of its other networks", async () => {
    const { controller, names } = await start();
    await controller.createNetwork({ name: "web" });
    const { sandbox } = await controller.createSandbox({ name: "a" });
    const named = () => names.records!.attachments(sandbox.id).map(({ network, named: is }) => [network.name, is]);
    expect(named()).toEqual([["bridge", false]]);
    await controller.connect("a", { network: "web" });
    expect(named()).toEqual([
      ["bridge", false],
      ["web", true],
    ]);
  });
});

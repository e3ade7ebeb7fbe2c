// The life cycle of networks, sandboxes and endpoints on twins: what is stored, declared and configured after each step.
import { describe, expect, it } from "vitest";
import { startController } from "../support/controller.ts";

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

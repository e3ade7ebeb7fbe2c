// IPAM drivers by name, and networks without address management.
import { describe, expect, it } from "vitest";
import { startController } from "../support/controller.ts";

const NULL_IPAM = { ipamDriver: "null" } as const;

describe("--ipam-driver", () => {
  it.each([
    ["nosuch", {}, "NOT_FOUND", 'plugin "nosuch" not found'],
    ["default", { color: "red" }, "INVALID_ARGUMENT", 'unknown IPAM option "color=red"'],
    ["null", { color: "red" }, "INVALID_ARGUMENT", 'unknown IPAM option "color=red"'],
  ])("%s with options %j: %s", async (ipamDriver, ipamOptions, code, message) => {
    const { controller, store } = await startController();
    const request = { name: "net", driver: "overlay", ipamDriver, ipamOptions };
    await expect(controller.createNetwork(request)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
    expect(await store.list("")).toEqual([]);
  });

  it("is kept by a configuration network and taken from it", async () => {
    const { controller } = await startController();
    await controller.createNetwork({ name: "settings", configOnly: true, ...NULL_IPAM });
    const made = await controller.createNetwork({ name: "net", driver: "overlay", configFrom: "settings" });
    expect(made).toMatchObject({ ipamDriver: "null", ipam: [{ subnet: "0.0.0.0/0", gateway: null }] });
  });
});

describe("the null IPAM driver", () => {
  it("gives pools that hold everything and addresses to nobody", async () => {
    const { controller, store, namespaces } = await startController();
    const before = await store.list("");
    const network = await controller.createNetwork({ name: "net", driver: "overlay", enableIpv6: true, ...NULL_IPAM });
    expect(network.ipam.map(({ subnet }) => subnet)).toEqual(["0.0.0.0/0", "::/0"]);
    const { endpoints, sandbox } = await controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
    expect(endpoints[0]!.endpoint).toMatchObject({ ipv4: null, ipv6: null, interfaceName: "eth0", mac: expect.stringMatching(/^02:42:/) });
    expect(namespaces.at(sandbox.namespacePath).links.get("eth0")).toMatchObject({ up: true, addresses: [] });
    await controller.removeSandbox("box", false);
    await controller.removeNetwork("net");
    expect(await store.list("")).toEqual(before);
  });

  it("overlaps nothing, and nothing overlaps it", async () => {
    const { controller } = await startController();
    for (const name of ["a", "b"]) await controller.createNetwork({ name, driver: "overlay", ...NULL_IPAM });
    const web = await controller.createNetwork({ name: "web" });
    expect(web.ipam[0]!.subnet).toBe("172.17.0.0/16");
  });

  it.each([
    [{ ipam: [{ subnet: "10.1.0.0/24" }] }, "null ipam driver does not handle specific address pool requests"],
    [{ ipam: [{ ipRange: "10.1.0.0/24" }] }, "null ipam driver does not handle specific address subpool requests"],
    [{ ipam: [{ gateway: "10.1.0.1" }] }, "null ipam driver does not handle specific address requests"],
    [{ driver: "bridge" }, "ipv4 pool is empty"],
    [{ driver: "bridge", enableIpv4: false, enableIpv6: true }, "ipv6 pool is empty"],
  ])("refuses %j: %s", async (wish, message) => {
    const { controller, store } = await startController();
    const made = controller.createNetwork({ name: "net", driver: "overlay", ...NULL_IPAM, ...wish });
    await expect(made).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) });
    expect(await store.list("")).toEqual([]);
  });

  it("refuses an address asked for by value", async () => {
    const { controller } = await startController();
    await controller.createNetwork({ name: "net", driver: "overlay", ...NULL_IPAM });
    const made = controller.createSandbox({ name: "box", networks: [{ network: "net", ipv4: "10.1.0.2" }] });
    await expect(made).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringContaining("specific address requests") });
    expect(controller.listSandboxes()).toEqual([]);
  });
});

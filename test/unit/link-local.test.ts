// `--link-local-ip`: addresses of an interface that no pool gave; and what a user asked for, told from what was chosen.
import { describe, expect, it } from "vitest";
import { attachment } from "../../src/cli/values.ts";
import { schema } from "../../src/config/schema.ts";
import { startController } from "../support/controller.ts";

const REFUSED: [given: string[], message: string][] = [
  [["10.1.0.9"], "invalid link-local IP address: 10.1.0.9"],
  [["fd00::1"], "invalid link-local IP address: fd00::1"],
  [["0.0.0.0"], "invalid link-local IP address: 0.0.0.0"],
  [["fe80::1%eth0"], "invalid link-local IP address: fe80::1%eth0"],
  [[""], "invalid link-local IP address: "],
  [["fe80::1", "FE80:0::1"], "fe80::1: it is given twice"],
  [["169.254.7.1"], "Address already in use: 169.254.7.1 is the link-local address of a on network web"],
];

const setUp = async () => {
  const bench = await startController({ options: { defaultBridge: schema.parse({}).bridge } });
  await bench.controller.ensurePredefined();
  await bench.controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }] });
  const wish = { network: "web", linkLocalIps: ["169.254.7.1", "FE80:0::A1"] };
  const { sandbox } = await bench.controller.createSandbox({ name: "a", networks: [wish] });
  return { ...bench, sandbox };
};

describe("link-local addresses", () => {
  it("stand on the interface behind its own, with the length of the link, and again after a restart and a boot", async () => {
    const { controller, store, namespaces, sandbox } = await setUp();
    const addresses = async () => (await namespaces.addresses(sandbox.namespacePath)).map(({ address }) => address);
    const all = ["10.1.0.2/24", "169.254.7.1/16", "fe80::a1/64"];
    expect((await addresses()).filter((text) => !text.startsWith("127."))).toEqual(all);
    expect(controller.inspectSandbox("a").endpoints[0]!.endpoint.requested).toEqual({
      ipv4: null,
      ipv6: null,
      linkLocal: ["169.254.7.1", "fe80::a1"],
    });
    namespaces.byPath.delete(sandbox.namespacePath);
    const second = await startController({ store, namespaces });
    await second.controller.restore();
    expect((await addresses()).filter((text) => !text.startsWith("127."))).toEqual(all);
  });

  it.each(REFUSED)("%j: %s", async (linkLocalIps, message) => {
    const { controller } = await setUp();
    await expect(controller.createSandbox({ name: "b", networks: [{ network: "web", linkLocalIps }] })).rejects.toThrow(message);
    expect(controller.listSandboxes()).toHaveLength(1);
    await controller.createSandbox({ name: "b", networks: [{ network: "web" }] });
  });

  it("go to one of two that want it at once, and are free when it has gone", async () => {
    const { controller } = await setUp();
    const wish = { network: "web", linkLocalIps: ["169.254.7.2"] };
    const both = await Promise.allSettled(["b", "c"].map((name) => controller.createSandbox({ name, networks: [wish] })));
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    await controller.removeSandbox(controller.listSandboxes().find(({ sandbox }) => sandbox.name !== "a")!.sandbox.name, false);
    await controller.createSandbox({ name: "d", networks: [wish] });
  });

  it("are the bridge's too, but not of who has no interface", async () => {
    const { controller } = await setUp();
    await controller.createSandbox({ name: "b", networks: [{ network: "bridge", linkLocalIps: ["169.254.7.1"] }] });
    for (const network of ["none", "host", "sandbox:a"]) {
      await expect(controller.createSandbox({ networks: [{ network, linkLocalIps: ["169.254.7.3"] }] })).rejects.toThrow(
        "conflicting options: link-local-ip and the network mode",
      );
    }
  });

  it("are written in --network as often as there are", () => {
    expect(attachment("web,link-local-ip=169.254.7.1,link-local-ip=fe80::a1")).toMatchObject({
      linkLocalIps: ["169.254.7.1", "fe80::a1"],
    });
  });
});

describe("addresses that were asked for", () => {
  it("are told from those that were chosen, also from those that a sandbox has again", async () => {
    const { controller } = await setUp();
    const none = { ipv4: null, ipv6: null, linkLocal: [] };
    await controller.createNetwork({ name: "dual", enableIpv6: true, ipam: [{ subnet: "10.2.0.0/24" }, { subnet: "fd02::/64" }] });
    const asked = { network: "dual", ipv4: "10.2.0.9", ipv6: "FD02:0::9" };
    expect((await controller.connect("a", asked)).requested).toEqual({ ...none, ipv4: "10.2.0.9", ipv6: "fd02::9" });
    await controller.disconnect("a", "dual", false);
    expect(await controller.connect("a", { network: "dual" })).toMatchObject({ ipv4: "10.2.0.9/24", requested: none });
  });
});

// Interfaces that somebody deleted and the datapath made again: they get back what the controller had given them.
import { describe, expect, it } from "vitest";
import { type Bench, startController } from "../support/controller.ts";

async function bench(): Promise<Bench> {
  const made = await startController();
  await made.controller.createNetwork({ name: "web", ipam: [{ subnet: "10.1.0.0/24" }, { subnet: "fd01::/64" }], enableIpv6: true });
  await made.controller.createSandbox({ name: "a", networks: [{ network: "web" }] });
  return made;
}

/** As the datapath does it. */
function recreate({ namespaces }: Bench, path: string | null, name: string): void {
  namespaces.deleteLink(path, name);
  namespaces.addLink(path, name);
}

describe("an interface that was made again", () => {
  it("in a sandbox gets its addresses and routes", async () => {
    const made = await bench();
    const { sandbox, endpoints } = made.controller.inspectSandbox("a");
    const before = structuredClone(made.namespaces.at(sandbox.namespacePath));
    recreate(made, sandbox.namespacePath, "eth0");
    expect(made.namespaces.at(sandbox.namespacePath)).not.toEqual(before);
    await made.controller.interfaceRecreated(endpoints[0]!.endpoint.id);
    expect(made.namespaces.at(sandbox.namespacePath)).toEqual(before);
  });

  it("on the host gets the gateway's addresses", async () => {
    const made = await bench();
    const [gateway] = made.datapath.taps.filter(({ namespacePath }) => namespacePath === null);
    const before = structuredClone(made.namespaces.link(null, gateway!.interfaceName));
    expect(before.addresses).toEqual(["10.1.0.1/24", "fd01::1/64"]);
    recreate(made, null, gateway!.interfaceName);
    await made.controller.interfaceRecreated(gateway!.id);
    expect(made.namespaces.link(null, gateway!.interfaceName)).toEqual(before);
  });

  it("and whose owner has gone meanwhile is nobody's business", async () => {
    const made = await bench();
    const { endpoints } = made.controller.inspectSandbox("a");
    await made.controller.removeSandbox("a", true);
    await made.controller.interfaceRecreated(endpoints[0]!.endpoint.id);
    await made.controller.interfaceRecreated("nobody/gateway");
    expect(made.logged.filter((line) => line.startsWith("error"))).toEqual([]);
  });

  it("but can't be configured is told", async () => {
    const made = await bench();
    const { sandbox, endpoints } = made.controller.inspectSandbox("a");
    made.namespaces.deleteLink(sandbox.namespacePath, "eth0");
    await made.controller.interfaceRecreated(endpoints[0]!.endpoint.id);
    expect(made.logged.at(-1)).toMatch(/^error configuring the interface of [0-9a-f]+ again failed/);
  });
});

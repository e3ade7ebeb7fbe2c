// What the controller tells the name service, and when: whom to serve, and the records that names are computed from.
import { describe, expect, it } from "vitest";
import { startController } from "../support/controller.ts";

describe("the name service", () => {
  it("serves sandboxes that have files of their own, and knows their networks", async () => {
    const { controller, names } = await startController();
    await controller.ensurePredefined();
    for (const name of ["a", "b"]) await controller.createNetwork({ name });
    await controller.createSandbox({ name: "one", networks: [{ network: "a" }] });
    await controller.createSandbox({ name: "bare" });
    await controller.createSandbox({ name: "guest", networks: [{ network: "sandbox:one" }] });
    await controller.createSandbox({ name: "onhost", networks: [{ network: "host" }] });
    expect([...names.served]).toEqual([
      ["one", ["a"]],
      ["bare", []],
      ["onhost", ["host"]],
    ]);
    await controller.connect("one", { network: "b" });
    expect(names.served.get("one")).toEqual(["a", "b"]);
    await controller.disconnect("one", "a", false);
    expect(names.served.get("one")).toEqual(["b"]);
    for (const name of ["guest", "onhost", "one", "bare"]) await controller.removeSandbox(name, false);
    expect(names.served.size).toBe(0);
  });

  it.each(["serve names", "write files"])("that fails at '%s' leaves everything as it was", async (step) => {
    const { controller, names, namespaces } = await startController();
    await controller.createNetwork({ name: "a" });
    await controller.createSandbox({ name: "one" });
    namespaces.onChange = (what) => {
      if (what.startsWith(step)) throw new Error("no");
    };
    if (step === "serve names") await expect(controller.createSandbox({ name: "two" })).rejects.toThrow("no");
    else await expect(controller.connect("one", { network: "a" })).rejects.toThrow("no");
    namespaces.onChange = () => {};
    expect(controller.listSandboxes().map(({ sandbox, endpoints }) => [sandbox.name, endpoints.length])).toEqual([["one", 0]]);
    expect([...names.served.keys()]).toEqual(["one"]);
    expect(namespaces.paths).toHaveLength(1);
  });

  it("serves again what a restart finds", async () => {
    const first = await startController();
    await first.controller.createNetwork({ name: "a" });
    await first.controller.createSandbox({ name: "one", networks: [{ network: "a" }], dns: { servers: ["10.0.0.1"] } });
    const second = await startController({ store: first.store, namespaces: first.namespaces });
    await second.controller.restore();
    expect([...second.names.served]).toEqual([["one", ["a"]]]);
    expect(second.controller.inspectSandbox("one").sandbox.dns).toEqual({ servers: ["10.0.0.1"], search: [], options: [] });
  });

  it("refuses settings where there is no resolver of the sandbox's own", async () => {
    const { controller } = await startController();
    await controller.ensurePredefined();
    await controller.createSandbox({ name: "one" });
    const request = { name: "two", networks: [{ network: "sandbox:one" }] };
    for (const [settings, message] of [
      [{ dns: { search: ["a"] } }, "conflicting options: dns and the network mode"],
      [{ extraHosts: [{ name: "db", address: "192.0.2.7" }] }, "conflicting options: custom host-to-IP mapping and the network mode"],
      [{ domainname: "example.org" }, "conflicting options: domainname and the network mode"],
    ] as const) {
      await expect(controller.createSandbox({ ...request, ...structuredClone(settings) } as never)).rejects.toThrow(message);
    }
  });

  it("are taken on the host's stack, where they are files of the sandbox's own, written by the next daemon too", async () => {
    const first = await startController();
    await first.controller.ensurePredefined();
    const networks = [{ network: "host" }];
    await first.controller.createSandbox({ name: "plain", networks });
    await first.controller.createSandbox({ name: "dns", networks, dns: { search: ["a"] } });
    await first.controller.createSandbox({ name: "hosts", networks, extraHosts: [{ name: "db", address: "192.0.2.7" }] });
    expect([...first.names.served.keys()].sort()).toEqual(["dns", "hosts", "plain"]);
    const second = await startController({ store: first.store, namespaces: first.namespaces });
    await second.controller.restore();
    expect([...second.names.served.keys()].sort()).toEqual(["dns", "hosts", "plain"]);
    for (const name of ["plain", "dns", "hosts"]) await second.controller.removeSandbox(name, false);
    expect([...second.names.served.keys()]).toEqual([]);
  });
});

describe("the records for names", () => {
  it("leave out what is not true yet, but tell a sandbox of itself; their generation says when to look again", async () => {
    const { controller, names, namespaces } = await startController();
    const network = await controller.createNetwork({ name: "a" });
    const { records } = names;
    const seen: string[] = [];
    namespaces.onChange = (what) => {
      if (what.startsWith("serve names")) seen.push(`${records!.members(network.id).length} ${[...names.served.keys()].join()}`);
    };
    const before = records!.generation;
    const { sandbox } = await controller.createSandbox({ name: "one", networks: [{ network: "a" }] });
    expect(seen).toEqual(["0 "]);
    expect(names.served.get("one")).toEqual(["a"]);
    expect(records!.generation).toBeGreaterThan(before);
    expect(records!.members(network.id).map(({ endpoint }) => endpoint.name)).toEqual(["one"]);
    const during = records!.generation;
    await controller.removeSandbox("one", false);
    expect(records!.generation).toBeGreaterThan(during);
    expect([records!.members(network.id), records!.attachments(sandbox.id), records!.sandbox(sandbox.id)]).toEqual([[], [], undefined]);
  });

  it("put the network of the highest gateway priority first", async () => {
    const { controller, names } = await startController();
    for (const name of ["a", "b", "c"]) await controller.createNetwork({ name });
    const networks = [{ network: "a" }, { network: "b", gwPriority: 5 }, { network: "c" }];
    const { sandbox } = await controller.createSandbox({ name: "one", networks });
    expect(names.records!.attachments(sandbox.id).map(({ network }) => network.name)).toEqual(["b", "a", "c"]);
  });
});

// What waits for an object that goes meanwhile does not turn to another that took its name: that one it doesn't hold.
import { setImmediate as turn } from "node:timers/promises";
import { expect, it } from "vitest";
import { startController } from "../support/controller.ts";
import { MemoryNat } from "../support/memory-nat.ts";

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const turns = async (): Promise<void> => {
  for (let n = 0; n < 20; n++) await turn();
};

it("a second removal of a sandbox leaves the next one of its name, which is being made, alone", async () => {
  const nat = new MemoryNat();
  const { controller, namespaces, datapath } = await startController({ options: { nat } });
  await controller.createNetwork({ name: "net" });
  const request = { name: "web", networks: [{ network: "net" }] };
  await controller.createSandbox(request);
  const [flows, interfaces] = [gate(), gate()];
  nat.forget = () => flows.opened;
  const first = controller.removeSandbox("web", true);
  const second = controller.removeSandbox("web", true).catch((error: Error) => error.message);
  await turns();
  const configure = namespaces.configure.bind(namespaces);
  namespaces.configure = (...config) => interfaces.opened.then(() => configure(...config));
  const created = controller.createSandbox(request);
  await turns();
  flows.open();
  await first;
  await turns();
  interfaces.open();
  expect(await second).toBe("sandbox web not found");
  const { sandbox, endpoints } = await created;
  expect(controller.inspectSandbox("web").sandbox.id).toBe(sandbox.id);
  expect(namespaces.inode(sandbox.namespacePath)).not.toBeNull();
  expect(datapath.declared.has(`endpoint/${endpoints[0]!.endpoint.id}`)).toBe(true);
});

it("a connect to a network that goes does not attach to the next one of its name, which may go as well meanwhile", async () => {
  const { controller, namespaces, store } = await startController();
  for (const name of ["net", "other"]) await controller.createNetwork({ name });
  await controller.createSandbox({ name: "web", networks: [] });
  const withdrawal = gate();
  const configure = namespaces.configure.bind(namespaces);
  namespaces.configure = (...config) => withdrawal.opened.then(() => configure(...config));
  const busy = controller.connect("web", { network: "other" });
  await turns();
  // Holds the network, waits for the sandbox.
  const removal = controller.removeNetwork("net");
  const waiting = controller.connect("web", { network: "net" }).catch((error: Error) => error.message);
  await turns();
  await removal;
  const again = controller.createNetwork({ name: "net" });
  withdrawal.open();
  await Promise.all([again, busy]);
  expect(await waiting).toBe("network net not found");
  await controller.removeNetwork("net");
  await startController({ store, namespaces });
});

// A sandbox that leaves a network and comes back.
import { expect, it } from "vitest";
import { startController } from "../support/controller.ts";

const setUp = async () => {
  const { controller } = await startController();
  await controller.createNetwork({ name: "net", enableIpv6: true, ipam: [{ subnet: "10.1.0.0/29" }, { subnet: "fd01::/64" }] });
  for (const name of ["a", "b"]) await controller.createSandbox({ name, networks: [{ network: "net" }] });
  return controller;
};

it("has its addresses again", async () => {
  const controller = await setUp();
  await controller.disconnect("a", "net", false);
  expect(await controller.connect("a", { network: "net" })).toMatchObject({ ipv4: "10.1.0.2/29", ipv6: "fd01::2/64" });
});

it("has others where somebody else got them meanwhile, or where it asks for others", async () => {
  const controller = await setUp();
  await controller.disconnect("a", "net", false);
  await controller.createSandbox({ name: "c", networks: [{ network: "net", ipv4: "10.1.0.2" }] });
  expect((await controller.connect("a", { network: "net" })).ipv4).toBe("10.1.0.4/29");
  await controller.disconnect("b", "net", false);
  expect((await controller.connect("b", { network: "net", ipv4: "10.1.0.6" })).ipv4).toBe("10.1.0.6/29");
});

it("keeps none from others: the pool gives them when it has no more", async () => {
  const controller = await setUp();
  await controller.disconnect("a", "net", false);
  for (const name of ["c", "d", "e"]) await controller.createSandbox({ name, networks: [{ network: "net" }] });
  const { endpoints } = await controller.createSandbox({ name: "f", networks: [{ network: "net" }] });
  expect(endpoints[0]!.endpoint.ipv4).toBe("10.1.0.2/29");
});

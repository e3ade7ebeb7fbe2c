// Two hundred sandboxes come and go by many clients at the same time. Nothing of them is left over: no link, rule, address,
// namespace, file or descriptor; and no two ever had the same address.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiClient } from "../../src/api/client.ts";
import { eventually } from "../support/daemon.ts";
import { namespaceMounts } from "../support/hosts.ts";
import { dual, type RoutedHost, routedHost } from "../support/routed-host.ts";

const CLIENTS = 20;
const EACH = 10;

let world: RoutedHost;
const clients: ApiClient[] = [];

beforeAll(async () => {
  world = await routedHost();
  for (const n of [1, 2]) await world.daemon.must("network", "create", ...dual(n), `n${n}`);
  for (let i = 0; i < CLIENTS; i++) clients.push(new ApiClient(world.daemon.socket));
  // One of each first, so that what is opened once for the life of the daemon is open.
  await Promise.all(clients.map((client) => client.call("sandbox", "List", {})));
  await world.daemon.must("run", "--rm", "--network", "n1", "--", "true");
});
afterAll(async () => {
  for (const client of clients) client.close();
  await world.lab.dispose();
});

const stored = (folder: string): string[] => {
  try {
    return readdirSync(join(world.daemon.stateDir, folder)).sort();
  } catch {
    return [];
  }
};

async function inventory() {
  const { daemon, host, rules } = world;
  const { networks } = await daemon.api.call("network", "List", { filters: ["type=custom"] });
  const usage = await Promise.all(networks.map(({ id }) => daemon.api.call("network", "Inspect", { network: id })));
  return {
    links: (await host.links()).map(({ ifname }) => ifname).sort(),
    routes: (await host.must(["ip", "route"])).trim().split("\n").sort(),
    rules: await rules(),
    mounts: namespaceMounts(daemon.stateDir),
    files: [stored("netns"), stored("sandboxes")],
    usage: usage.map(({ endpoints, subnets }) => [endpoints.length, subnets]),
    sandboxes: (await daemon.api.call("sandbox", "List", {})).sandboxes.map(({ name }) => name),
  };
}

test("two hundred creates and removes from many clients leave nothing behind", async () => {
  const { daemon } = world;
  const before = await inventory();
  const descriptors = daemon.openFds();
  const create = (client: ApiClient, name: string, published: number) =>
    client.call("sandbox", "Create", {
      ...{ name, attachments: [{ network: "n1" }, { network: "n2" }] },
      publish: published === 0 ? [] : [{ protocol: "tcp", portFirst: 80, portLast: 80, hostPortFirst: published, hostPortLast: published }],
    });
  const all = clients.flatMap((client, i) => Array.from({ length: EACH }, (_, n) => ({ client, name: `c${i}-${n}`, n, i })));
  await Promise.all(all.map(({ client, name, n, i }) => create(client, name, n === 0 ? 20_000 + i : 0)));
  const { sandboxes } = await daemon.api.call("sandbox", "List", {});
  expect(sandboxes).toHaveLength(CLIENTS * EACH);
  const addresses = sandboxes.flatMap(({ endpoints }) => endpoints.flatMap(({ endpoint }) => [endpoint!.ipv4, endpoint!.ipv6]));
  expect(new Set(addresses).size).toBe(CLIENTS * EACH * 4);
  expect(namespaceMounts(daemon.stateDir)).toHaveLength(CLIENTS * EACH);

  // Half of them go while others come in their places and a third are taken from a network.
  await Promise.all(
    all.map(async ({ client, name, n, i }) => {
      if (n % 3 === 0) await client.call("endpoint", "Disconnect", { sandbox: name, network: "n2" });
      if (n % 2 === 1) return;
      await client.call("sandbox", "Remove", { sandbox: name });
      await create(clients[(i + 1) % CLIENTS]!, name, 0);
    }),
  );
  expect((await daemon.api.call("sandbox", "List", {})).sandboxes).toHaveLength(CLIENTS * EACH);
  expect((await daemon.api.call("diagnostics", "Audit", {})).mended).toBe(0);

  await Promise.all(all.map(({ client, name }) => client.call("sandbox", "Remove", { sandbox: name })));
  expect(await inventory()).toEqual(before);
  await eventually("descriptors are closed", () => daemon.openFds() <= descriptors);
  expect((await daemon.api.call("diagnostics", "Audit", {})).mended).toBe(0);
  await daemon.law();
});

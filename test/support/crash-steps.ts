// The daemon is killed before each call by which it makes and unmakes sandboxes, endpoints and networks in the real kernel. The
// next one finds the state of before or of after, whole: links, addresses, routes, namespaces, rules and what IPAM has given
// away. Ports have a file of their own (publish-crash.test.ts); failing steps are in unit/controller-crash.test.ts.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Fate } from "./fate.ts";
import { Host, namespaceMounts } from "./hosts.ts";
import { dual, type RoutedHost, routedHost } from "./routed-host.ts";

const fate = new Fate();
/** They change what is there. */
const STEPS = new Set([
  ...["createNamespace", "openTap", "configureInterface", "openLoopbackService", "runNftables", "writeSysctls"],
  ...["deleteRoutes", "deleteLink", "deleteNamespace"],
]);

type Operation = "create a sandbox" | "connect" | "disconnect" | "remove a sandbox" | "create a network" | "remove a network";

let world: RoutedHost;

async function begin(): Promise<void> {
  world = await routedHost({ env: fate.env });
  await world.daemon.must("network", "create", ...dual(1), "web");
  await world.daemon.must("network", "create", ...dual(2), "app");
}

async function end(): Promise<void> {
  fate.revoke();
  await world?.lab.dispose();
  fate.dispose();
}

async function interfacesOf(host: Host): Promise<unknown> {
  const [links, routes4, routes6] = await Promise.all([
    host.must(["ip", "-json", "address"]),
    host.must(["ip", "route"]),
    host.must(["ip", "-6", "route"]),
  ]);
  const found = JSON.parse(links) as { ifname: string; mtu: number; addr_info: { local: string; prefixlen: number; scope: string }[] }[];
  const named = found.map(({ ifname, mtu, addr_info }) => {
    const own = addr_info.filter(({ scope }) => scope !== "link");
    return [ifname, mtu, own.map(({ local, prefixlen }) => `${local}/${prefixlen}`)];
  });
  const routes = `${routes4}${routes6}`.split("\n").map((line) => line.replaceAll(/ (linkdown|pref medium)/g, "").trim());
  return { named, routes: routes.filter((line) => line !== "" && !line.startsWith("fe80::")).sort() };
}

/** What is stored, without ids, and what the kernel has: of two that are equal nothing is left over in one. */
async function inventory(): Promise<string> {
  const { daemon, host, rules } = world;
  const { networks } = await daemon.api.call("network", "List", { filters: ["type=custom"] });
  const views = await Promise.all(networks.map(({ id }) => daemon.api.call("network", "Inspect", { network: id })));
  const { sandboxes } = await daemon.api.call("sandbox", "List", {});
  const insides = await Promise.all(sandboxes.map(({ namespacePath }) => interfacesOf(new Host(namespacePath))));
  const anonymous = (text: string): string =>
    networks.reduce((rest, { id, name }) => rest.replaceAll(id.slice(0, 12), `<${name}>`).replaceAll(id, `<${name}>`), text);
  return anonymous(
    JSON.stringify(
      {
        networks: views.map(({ network, endpoints, subnets }) => [network!.name, endpoints.length, subnets]),
        sandboxes: sandboxes.map(({ name, endpoints }) => [name, endpoints.map(({ endpoint }) => [endpoint!.ipv4, endpoint!.ipv6])]),
        insides,
        outside: await interfacesOf(host),
        rules: await rules(),
        mounts: namespaceMounts(daemon.stateDir).length,
      },
      null,
      1,
    ),
  );
}

type Calls = [name: Operation, prepare: () => Promise<unknown>, operation: () => Promise<unknown>];

function operations(): Calls[] {
  const { daemon } = world;
  const call = daemon.api.call.bind(daemon.api) as RoutedHost["daemon"]["api"]["call"];
  const attachment = (n: number) => ({ network: n === 1 ? "web" : "app", ipv4: `10.80.${n}.9`, ipv6: `fd00:80:${n}::9` });
  const create = () => call("sandbox", "Create", { name: "a", attachments: [attachment(1)] });
  const connect = () => call("endpoint", "Connect", { sandbox: "a", attachment: attachment(2) });
  const disconnect = () => call("endpoint", "Disconnect", { sandbox: "a", network: "app" });
  const remove = () => call("sandbox", "Remove", { sandbox: "a" });
  const ipam = [{ subnet: "10.80.3.0/24" }];
  const name = "com.docker.network.bridge.name";
  const createNetwork = () => call("network", "Create", { name: "new", driver: "bridge", ipam, options: { [name]: "new0" } });
  const removeNetwork = () => call("network", "Remove", { network: "new" });
  const gone = (undo: () => Promise<unknown>) => undo().catch(() => undefined);
  const fresh = (undo: () => Promise<unknown>, make: () => Promise<unknown>) => async () => {
    await gone(undo);
    await make();
  };
  return [
    ["create a sandbox", () => gone(remove), create],
    ["connect", fresh(remove, create), connect],
    ["disconnect", fresh(remove, () => create().then(connect)), disconnect],
    ["remove a sandbox", fresh(remove, create), remove],
    ["create a network", () => gone(removeNetwork), createNetwork],
    ["remove a network", fresh(removeNetwork, createNetwork), removeNetwork],
  ];
}

/** For a test file of its own, which stays short: each kill is a start of the daemon. */
export function beforeOrAfter(...wanted: Operation[]): void {
  beforeAll(begin);
  afterAll(end);
  test.each(wanted)("%s: before or after, wherever the daemon is killed", killedAtEachStep);
}

async function killedAtEachStep(wanted: Operation): Promise<void> {
  const { daemon } = world;
  const find = (): Calls => operations().find(([name]) => name === wanted)!;
  await find()[1]();
  const before = await inventory();
  const calls = await fate.calls(find()[2]);
  const after = await inventory();
  expect(after).not.toBe(before);
  const named = [...calls.keys()].filter((n) => STEPS.has(calls[n]!) && calls.indexOf(calls[n]!) === n);
  expect(named.length, `calls: ${calls}`).toBeGreaterThan(1);
  for (const fatal of named) {
    await find()[1]();
    const acknowledged = await fate.strike(daemon, fatal, find()[2]);
    const found = await inventory();
    const where = `killed before ${calls[fatal]}, call ${fatal} of ${calls}`;
    if (acknowledged) expect(found, where).toBe(after);
    else expect([before, after], where).toContain(found);
  }
}

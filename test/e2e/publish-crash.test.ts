// The daemon is killed before the calls by which it publishes, moves and unpublishes a port on the real kernel. The next
// one finds the state of before or of after, and rules, switches and interfaces of the host are those of that state.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Fate } from "../support/fate.ts";
import { namespaceMounts } from "../support/hosts.ts";
import { dual, HOST4, type RoutedHost, routedHost } from "../support/routed-host.ts";

const fate = new Fate();
/** All others are looked at in unit/controller-crash.test.ts, where a restart costs nothing. */
const NAMED = new Set(["runNftables", "routeLoopbackIpv6", "forgetFlows"]);
const SYSCTLS = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.eth0.accept_ra"];

let world: RoutedHost;

beforeAll(async () => {
  world = await routedHost({ env: fate.env });
});
afterAll(async () => {
  fate.revoke();
  await world.lab.dispose();
  fate.dispose();
});

const port = (hostPort: number, portFirst: number) => ({
  ...{ protocol: "tcp", portFirst, portLast: portFirst, hostPortFirst: hostPort, hostPortLast: hostPort },
});
const publish = [port(8080, 80), { ...port(9000, 9000), hostPortLast: 9999, portLast: 9999, protocol: "udp" }];
const attachments = [{ network: "web", ipv4: "10.80.1.9", ipv6: "fd00:80:1::9" }];

/** What the host's kernel has of us, and what it has of others. */
async function kernel(): Promise<string> {
  const { host, daemon, rules } = world;
  const links = JSON.parse(await host.must(["ip", "-json", "address"])) as {
    ifname: string;
    addr_info: { local: string; scope: string }[];
  }[];
  const named = links.map(({ ifname, addr_info }) => [ifname, addr_info.filter(({ scope }) => scope !== "link").map(({ local }) => local)]);
  const sysctls = await host.must(["sysctl", ...SYSCTLS]);
  const listening = await host.must(["ss", "-Hltun"]);
  const held = listening.split("\n").map((line) => line.split(/\s+/).slice(0, 5).join(" "));
  return JSON.stringify([await rules(), named, sysctls, held.sort(), namespaceMounts(daemon.stateDir).length], null, 1);
}

test("publish, move, unpublish: before or after, wherever the daemon is killed", async () => {
  const { daemon, host, rules, before } = world;
  const clean = await host.must(["sysctl", ...SYSCTLS]);
  await daemon.must("network", "create", ...dual(1), "web");
  const create = () => daemon.api.call("sandbox", "Create", { name: "a", attachments, publish });
  const move = () => daemon.api.call("sandbox", "Update", { sandbox: "a", publishAdd: [port(8080, 81)], publishRemove: [port(0, 80)] });
  const remove = () => daemon.api.call("sandbox", "Remove", { sandbox: "a" });
  const isThere = async (): Promise<boolean> => (await daemon.api.call("sandbox", "List", {})).sandboxes.length > 0;
  const gone = async (): Promise<void> => {
    if (await isThere()) await remove();
  };
  const fresh = async (): Promise<void> => {
    await gone();
    await create();
  };
  const found = new Set<string>();
  for (const [name, prepare, operation] of [
    ["publish", gone, create],
    ["move", fresh, move],
    ["unpublish", fresh, remove],
  ] as const) {
    await prepare();
    const then = await kernel();
    const steps = await fate.calls(operation);
    const now = await kernel();
    expect(now).not.toBe(then);
    expect(steps, name).toContain("runNftables");
    const named = [...steps.keys()].filter((n) => n === 0 || (NAMED.has(steps[n]!) && steps[n] !== steps[n - 1]));
    for (const fatal of named) {
      await prepare();
      const acknowledged = await fate.strike(daemon, fatal, operation);
      const after = await kernel();
      expect([then, now], `${name}: killed before ${steps[fatal]}, call ${fatal} of ${steps}`).toContain(after);
      if (acknowledged) expect(after).toBe(now);
      found.add(`${after === then ? "before" : "after"} of ${name}`);
    }
  }
  // What is made is stored first, once its ports are held; what is unmade is stored last.
  expect([...found].sort()).toEqual([
    "after of move",
    "after of publish",
    "after of unpublish",
    "before of publish",
    "before of unpublish",
  ]);
  await gone();
  await daemon.must("network", "rm", "web");
  expect(await rules()).toBe(before);
  expect(await host.must(["sysctl", ...SYSCTLS])).toBe(clean);
});

test("what it held is free once nothing is published", async () => {
  const { host, outside, lab } = world;
  const server = lab.background(host, [
    "python3",
    "-c",
    "import socket; s = socket.create_server(('', 8080)); print('up', flush=True); s.accept()",
  ]);
  await server.until(/up/);
  expect((await outside.execute(["bash", "-c", `exec 3<>/dev/tcp/${HOST4}/8080`])).code).toBe(0);
});

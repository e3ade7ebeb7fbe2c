// The bridge driver on one host: sandboxes reach each other and the host by its gateway, byte for byte; what is internal or
// isolated stays so; namespaces of the user's own are taken and given back.
import { existsSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab, namespaceMounts } from "../support/hosts.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;
let one: Host;
let two: Host;

beforeAll(async () => {
  host = await lab.host("h");
  daemon = await Daemon.start(lab, host);
  await daemon.must("network", "create", "--subnet", "10.61.0.0/24", "--ipv6", "--subnet", "fd61::/64", "web");
  await daemon.must("sandbox", "create", "--network", "web", "one");
  await daemon.must("sandbox", "create", "--network", "web", "two");
  [one, two] = (await daemon.enterAll("one", "two")) as [Host, Host];
  await Promise.all([servers(lab, host), servers(lab, two)]);
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

/** The first addresses of `name`, without prefix lengths. */
async function addressesOf(name: string): Promise<{ ipv4: string; ipv6: string }> {
  const { endpoint } = (await daemon.sandbox(name)).endpoints[0]!;
  return { ipv4: endpoint!.ipv4.split("/")[0]!, ipv6: endpoint!.ipv6.split("/")[0]! };
}

test("sandboxes reach each other, IPv4 and IPv6, byte for byte", async () => {
  const { ipv4, ipv6 } = await addressesOf("two");
  expect(await one.ping(ipv4)).toBe(3);
  expect(await one.ping(ipv6)).toBe(3);
  await transfer(one, ipv4, 300);
  await transfer(one, ipv6, 300);
  await datagramSizes(one, ipv4, 1, 1472);
  expect(await one.ping(ipv6, ["-s", "20000"])).toBe(3);
});

test("the host reaches sandboxes by its gateway, and they reach it", async () => {
  const { ipv4, ipv6 } = await addressesOf("two");
  expect(await host.ping(ipv4)).toBe(3);
  expect(await host.ping(ipv6)).toBe(3);
  await transfer(host, ipv4, 200);
  await transfer(host, ipv6, 200);
  for (const gateway of ["10.61.0.1", "fd61::1"]) {
    expect(await one.ping(gateway)).toBe(3);
    await transfer(one, gateway, 200);
  }
  expect(await one.must(["ip", "route"])).toContain("default via 10.61.0.1 dev eth0");
  expect(await one.must(["ip", "-6", "route"])).toContain("default via fd61::1 dev eth0");
});

test("without a subnet: one of Docker's default pools", async () => {
  await daemon.must("network", "create", "plain");
  const [network] = await daemon.json("network", "inspect", "plain");
  expect(network.IPAM.Config[0].Subnet).toMatch(/^(172\.(1[7-9]|2\d|3[01])\.0\.0\/16|192\.168\.\d+\.0\/20)$/);
  expect(await daemon.must("run", "--rm", "--network", "plain", "--", "ping", "-n", "-c", "1", network.IPAM.Config[0].Gateway)).toContain(
    "1 received",
  );
  await daemon.must("network", "rm", "plain");
});

test("two networks in one sandbox, and none between them", async () => {
  await daemon.must("network", "create", "--subnet", "10.62.0.0/24", "back");
  await daemon.must("sandbox", "create", "--network", "back", "hidden");
  await daemon.must("network", "connect", "back", "two");
  const hidden = await addressesOf("hidden");
  expect((await two.links()).map(({ ifname }) => ifname).sort()).toEqual(["eth0", "eth1", "lo"]);
  expect(await two.ping(hidden.ipv4)).toBe(3);
  await daemon.must("network", "disconnect", "back", "two");
  expect((await two.links()).map(({ ifname }) => ifname).sort()).toEqual(["eth0", "lo"]);
  await daemon.must("sandbox", "rm", "hidden");
  await daemon.must("network", "rm", "back");
});

test("--link-local-ip: further addresses, by which neighbours reach it, shown as Docker does", async () => {
  await daemon.must("sandbox", "create", "--network", "web", "--link-local-ip", "169.254.7.1", "--link-local-ip", "fe80::a1", "near");
  await daemon.must("network", "create", "--subnet", "10.62.0.0/24", "back");
  await daemon.must("network", "connect", "--link-local-ip", "169.254.8.1,fe80::b1", "back", "near");
  await daemon.must("run", "-d", "--name", "asks", "--network", "web,ip=10.61.0.99,link-local-ip=169.254.7.2", "--", "sleep", "60");
  const near = await daemon.enter("near");
  expect(await near.ping("169.254.7.2", ["-I", "eth0"])).toBe(3);
  expect(await one.ping("fe80::a1%eth0")).toBe(3);
  expect(await near.must(["ip", "addr", "show", "eth1"])).toMatch(/169\.254\.8\.1\/16[\s\S]*fe80::b1\/64/);
  const settings = async (name: string) => (await daemon.json("sandbox", "inspect", name))[0].NetworkSettings.Networks;
  expect((await settings("near")).back.IPAMConfig).toEqual({ LinkLocalIPs: ["169.254.8.1", "fe80::b1"] });
  expect((await settings("asks")).web.IPAMConfig).toEqual({ IPv4Address: "10.61.0.99", LinkLocalIPs: ["169.254.7.2"] });
  expect((await settings("one")).web.IPAMConfig).toBeNull();
  await daemon.must("sandbox", "rm", "-f", "near", "asks");
  await daemon.must("network", "rm", "back");
});

test("an internal network has no default route", async () => {
  await daemon.must("network", "create", "--internal", "--subnet", "10.63.0.0/24", "inner");
  for (const name of ["i1", "i2"]) await daemon.must("sandbox", "create", "--network", "inner", name);
  const [i1] = (await daemon.enterAll("i1")) as [Host];
  expect(await i1.must(["ip", "route"])).not.toContain("default");
  expect(await i1.ping((await addressesOf("i2")).ipv4)).toBe(3);
  await daemon.must("sandbox", "rm", "i1", "i2");
  await daemon.must("network", "rm", "inner");
});

test("enable_icc=false: sandboxes see the gateway and not each other", async () => {
  await daemon.must("network", "create", "--subnet", "10.64.0.0/24", "-o", "com.docker.network.bridge.enable_icc=false", "quiet");
  for (const name of ["q1", "q2"]) await daemon.must("sandbox", "create", "--network", "quiet", name);
  const [q1] = (await daemon.enterAll("q1")) as [Host];
  expect(await q1.ping("10.64.0.1")).toBe(3);
  const before = (await daemon.drops()).isolated!;
  expect(await q1.ping((await addressesOf("q2")).ipv4, ["-W", "0.3"], 1)).toBe(0);
  // Only the ARP request was flooded, and the gateway's copy of it is no drop: asked by its MAC, the neighbour is refused.
  const { mac } = (await daemon.sandbox("q2")).endpoints[0]!.endpoint!;
  await q1.ip(`neigh replace ${(await addressesOf("q2")).ipv4} lladdr ${mac} dev eth0`);
  expect(await q1.ping((await addressesOf("q2")).ipv4, ["-W", "0.3"], 1)).toBe(0);
  expect((await daemon.drops()).isolated!).toBeGreaterThan(before);
  await daemon.must("sandbox", "rm", "q1", "q2");
  await daemon.must("network", "rm", "quiet");
});

describe("namespaces of the user's own", () => {
  test("are taken, keep what they had, and stay when the sandbox goes", async () => {
    const mine = await lab.host("mine");
    await mine.ip("link add keep type bridge\nlink set keep up");
    await daemon.must("sandbox", "create", "--netns", mine.path, "--network", "web", "guest");
    expect(await mine.ping("10.61.0.1")).toBe(3);
    expect((await mine.links()).map(({ ifname }) => ifname).sort()).toEqual(["eth0", "keep", "lo"]);
    await daemon.must("sandbox", "rm", "guest");
    expect(existsSync(mine.path)).toBe(true);
    expect((await mine.links()).map(({ ifname }) => ifname).sort()).toEqual(["keep", "lo"]);
  });

  test("that vanish do not keep their sandbox from being removed", async () => {
    await daemon.must("sandbox", "create", "--network", "web", "gone");
    const { namespacePath } = await daemon.sandbox("gone");
    await lab.umount(namespacePath);
    expect((await daemon.cli(["sandbox", "rm", "-f", "gone"])).code).toBe(0);
    expect(await one.ping("10.61.0.1")).toBe(3);
  });
});

describe("run", () => {
  test.each([
    ["the program's own", ["sh", "-c", "exit 42"], 42],
    ["127 where there is no such program", ["/nonexistent"], 127],
    ["126 where it is no program", ["/etc/passwd"], 126],
    ["128 + n where a signal ended it", ["sh", "-c", "kill -KILL $$"], 137],
  ])("exit code: %s", async (_, command, code) => {
    const outcome = await daemon.cli(["run", "--rm", "--network", "web", "--", ...command]);
    expect(outcome.code).toBe(code);
    const { sandboxes } = await daemon.api.call("sandbox", "List", {});
    expect(sandboxes.map(({ name }) => name)).toEqual(["one", "two"]);
  });

  test("stdin, stdout and stderr are the program's", async () => {
    const command = ["run", "-i", "--rm", "--network", "web", "--", "sh", "-c", "cat; echo loud >&2"];
    const outcome = await daemon.cli(command, { input: "from outside\n" });
    expect(outcome.stdout).toBe("from outside\n");
    expect(outcome.stderr).toContain("loud");
  });

  test("-d returns at once, and --rm removes it when the program ends", async () => {
    const id = await daemon.must("run", "-d", "--rm", "--name", "later", "--network", "web", "--", "sleep", "0.3");
    expect(id).toMatch(/^[0-9a-f]{64}/);
    const names = async () => (await daemon.api.call("sandbox", "List", {})).sandboxes.map(({ name }) => name);
    await expect.poll(names, { timeout: 5000 }).toEqual(["one", "two"]);
  });

  test("a signal reaches the program", async () => {
    const run = lab.background(host, [
      daemon.argv()[0]!,
      ...[
        "--socket",
        daemon.socket,
        "run",
        "--rm",
        "--network",
        "web",
        "--",
        "sh",
        "-c",
        "trap 'echo caught; exit 3' TERM; echo up; while :; do sleep 0.05; done",
      ],
    ]);
    await run.until(/up/);
    expect(await run.end("SIGTERM")).toBe(3);
    expect(run.stdout).toContain("caught");
  });
});

test("a hundred times made and removed: nothing grows", async () => {
  const one = async (name: string) => {
    const { sandbox } = await daemon.api.call("sandbox", "Create", { name, attachments: [{ network: "web" }] });
    await daemon.api.call("sandbox", "Remove", { sandbox: sandbox!.id });
  };
  // Ten at a time: what each waits for, others use.
  const cycle = () => Promise.all(Array.from({ length: 10 }, (_, i) => one(`brief${i}`)));
  await cycle();
  const before = { fds: daemon.openFds(), mounts: namespaceMounts(daemon.stateDir).length };
  for (let i = 0; i < 10; i++) await cycle();
  await expect.poll(() => daemon.openFds(), { timeout: 3000 }).toBeLessThanOrEqual(before.fds);
  expect(namespaceMounts(daemon.stateDir).length).toBe(before.mounts);
});

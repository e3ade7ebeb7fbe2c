// The predefined network `bridge` on the real kernel: a host that has a docker0 and a resolver on its loopback, an outside host,
// and sandboxes that name no network.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let outside: Host;
let daemon: Daemon;
let resolvConf: string;

const OUTSIDE = "192.0.2.2";
const run = (...argv: string[]): Promise<string> => daemon.must("run", "--rm", ...argv);
const inside = (name: string, ...argv: string[]): Promise<string> => daemon.must("sandbox", "exec", name, "--", ...argv);
/** What several commands print there, by one program: each start of the command line costs more than they do. */
const each = async (name: string, ...commands: string[]): Promise<string[]> =>
  (await inside(name, "sh", "-c", commands.map((one) => `${one} || true`).join("; echo ---; "))).split(/---\n?/);

beforeAll(async () => {
  [host, outside] = [await lab.host("weft"), await lab.host("out")];
  // Nobody serves at .53, and it says so at once: names that are not known are not waited for.
  await lab.wire([host, "eth0", "192.0.2.1/24"], [outside, "eth0", `${OUTSIDE}/24`, "192.0.2.53/24"]);
  // Another program's, which the daemon has to keep clear of; and an interface of our default name.
  await host.ip("link add docker0 type veth peer name weft0");
  await host.ip("address add 172.17.0.1/16 dev docker0");
  await host.ip("link set docker0 up");
  await host.ip("link set weft0 up");
  const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-bridge-`));
  lab.defer(() => rmSync(folder, { recursive: true }));
  resolvConf = join(folder, "resolv.conf");
  writeFileSync(resolvConf, "nameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch host.example\noptions timeout:1\n");
  daemon = await Daemon.start(lab, host, { args: ["--set", `resolvConf=${resolvConf}`] });
});
afterEach(() => daemon.law());
afterAll(() => lab.dispose());

test("is there from the start, beside a docker0, under a name that is free", async () => {
  const [network] = await daemon.json("network", "inspect", "bridge");
  expect(network).toMatchObject({
    Name: "bridge",
    Driver: "bridge",
    IPAM: { Config: [{ Subnet: "172.18.0.0/16", Gateway: "172.18.0.1" }] },
    Options: { "com.docker.network.bridge.default_bridge": "true", "com.docker.network.bridge.name": "weft1" },
  });
  expect(await host.must(["ip", "-o", "address", "show", "weft1"])).toContain("172.18.0.1/16");
  expect(JSON.parse(await daemon.must("status", "--format", "json")).Warnings).toEqual([]);
});

test("is where a sandbox goes that names no network, with a way out and to its neighbours", async () => {
  await daemon.must("sandbox", "create", "a");
  await daemon.must("sandbox", "create", "--network", "default", "b");
  const [a, b] = (await daemon.enterAll("a", "b")) as [Host, Host];
  expect(await a.must(["ip", "-o", "address", "show", "eth0"])).toContain("172.18.0.2/16");
  expect(await a.ping("172.18.0.3")).toBe(3);
  expect(await b.ping(OUTSIDE)).toBe(3);
  expect(await host.ping("172.18.0.2")).toBe(3);
});

test("answers no names: whoever resolves is the host's server, without the one on its loopback", async () => {
  const [servers, hosts] = await each("a", "cat /etc/resolv.conf", "cat /etc/hosts");
  expect(servers).toBe("nameserver 192.0.2.53\nsearch host.example\noptions timeout:1\n");
  expect(hosts).toMatch(/^172\.18\.0\.2\t[0-9a-f]{12}$/m);
  const a = await daemon.enter("a");
  // Nobody is at 127.0.0.11, and nothing is in its way.
  expect(await a.must(["ss", "-Hlnut"])).toBe("");
  expect(await a.must(["nft", "list", "ruleset"])).toBe("");
});

test("gets names with its first user-defined network, and loses them with the last", async () => {
  await daemon.must("network", "create", "--subnet", "10.90.1.0/24", "web");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.90.1.9", "db");
  await daemon.must("network", "connect", "web", "a");
  // Of its neighbours on the bridge no name is told there either.
  const [servers, db, b] = await each("a", "cat /etc/resolv.conf", "getent ahostsv4 db", "getent ahostsv4 b");
  expect(servers).toContain("nameserver 127.0.0.11\n");
  expect(db).toMatch(/^10\.90\.1\.9 /);
  expect(b).toBe("");
  await daemon.must("network", "disconnect", "web", "a");
  expect(await inside("a", "cat", "/etc/resolv.conf")).toContain("nameserver 192.0.2.53\n");
  const a = await daemon.enter("a");
  expect(await a.must(["nft", "list", "ruleset"])).toBe("");
});

test("tells a sandbox of those it is linked to, in hosts and in variables, and where they are now", async () => {
  await daemon.must("sandbox", "create", "--expose", "6379", "redis");
  const { id } = await daemon.sandbox("redis");
  await daemon.must("sandbox", "create", "--link", "redis:db", "app");
  const [hosts, db, env] = await each("app", "cat /etc/hosts", "getent hosts db", "env");
  const first = /^(\S+)\tdb /m.exec(hosts!)![1]!;
  expect(hosts).toContain(`${first}\tdb ${id.slice(0, 12)} redis\n`);
  expect(db).toContain(first);
  expect(
    env!
      .split("\n")
      .filter((line) => line.startsWith("DB_"))
      .sort(),
  ).toEqual([
    "DB_NAME=/app/db",
    `DB_PORT=tcp://${first}:6379`,
    `DB_PORT_6379_TCP=tcp://${first}:6379`,
    `DB_PORT_6379_TCP_ADDR=${first}`,
    "DB_PORT_6379_TCP_PORT=6379",
    "DB_PORT_6379_TCP_PROTO=tcp",
  ]);
  const [{ HostConfig }] = await daemon.json("sandbox", "inspect", "app");
  expect(HostConfig.Links).toEqual(["/redis:/app/db"]);
  await daemon.must("network", "disconnect", "bridge", "redis");
  await daemon.must("network", "connect", "bridge", "redis");
  const [{ NetworkSettings }] = await daemon.json("sandbox", "inspect", "redis");
  expect(await inside("app", "getent", "hosts", "db")).toContain(NetworkSettings.Networks.bridge.IPAddress);
  await daemon.must("sandbox", "rm", "redis", "app");
  // On a network with names it is a name for this sandbox alone.
  await daemon.must("sandbox", "create", "--network", "web", "--link", "db:store", "asker");
  expect(await inside("asker", "getent", "ahostsv4", "store")).toMatch(/^10\.90\.1\.9 /);
  expect((await daemon.cli(["sandbox", "exec", "db", "--", "getent", "ahostsv4", "store"])).code).not.toBe(0);
  await daemon.must("sandbox", "rm", "asker");
});

test("refuses in Docker's words what is for user-defined networks", async () => {
  const refused = async (...args: string[]): Promise<string> => {
    const outcome = await daemon.cli(args);
    expect(outcome.code).toBe(1);
    return outcome.stderr.trim();
  };
  expect(await refused("sandbox", "create", "--network", "bridge,ip=172.18.0.9", "x")).toBe(
    "weft: user specified IP address is supported on user defined networks only",
  );
  expect(await refused("sandbox", "create", "--network", "bridge", "--network-alias", "y", "x")).toBe(
    "weft: network-scoped alias is supported only for containers in user defined networks",
  );
  expect(await refused("network", "rm", "bridge")).toBe("weft: bridge is a pre-defined network and cannot be removed");
});

test("is what it was after kill -9", async () => {
  const before = await daemon.state();
  const a = await daemon.enter("a");
  await daemon.kill9();
  await daemon.start();
  expect(await daemon.state()).toBe(before);
  expect(await a.ping(OUTSIDE)).toBe(3);
  expect(await inside("a", "cat", "/etc/resolv.conf")).toContain("nameserver 192.0.2.53\n");
});

test("is as the settings say, or not at all, and a sandbox then has a loopback", async () => {
  await daemon.must("sandbox", "rm", "a", "b", "db");
  await daemon.sigterm();
  const other = async (...settings: string[]): Promise<void> => {
    await daemon.start(settings.flatMap((one) => ["--set", one]));
  };
  await other("bridge.ipv4=10.91.0.1/24", "bridge.ipv6=fd91::1/64", "bridge.mtuBytes=1400", "bridge.interfaceName=mine0");
  // One program prints both: the interface with its MTU, and its addresses.
  expect(await run("--", "ip", "address", "show", "eth0")).toMatch(/ mtu 1400 [\s\S]*10\.91\.0\.2\/24[\s\S]*fd91::2\/64/);
  const links = await host.must(["ip", "-o", "link"]);
  expect([links.includes("mine0"), links.includes("weft1")]).toEqual([true, false]);
  await daemon.sigterm();
  await other("bridge.enabled=false");
  expect(await run("--", "ip", "-o", "link")).toMatch(/^1: lo[^\n]*$/);
  await daemon.sigterm();
  await host.ip("address add 10.92.0.1/24 dev docker0");
  await other("bridge.ipv4=10.92.0.1/24");
  expect(await daemon.must("status")).toContain("network bridge could not be made");
  const refused = await daemon.cli(["sandbox", "create", "x"]);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("network bridge could not be made") });
});

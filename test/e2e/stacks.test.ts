// Whose network stack a sandbox has: its own, the host's (network host), none but a loopback (network none), or another
// sandbox's (sandbox:NAME). And which way it leaves where it is on several networks. By the command line, on a real kernel; the
// CLI runs outside of the daemon's namespace, as it would beside a host made of a namespace.
import { readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;

beforeAll(async () => {
  host = await lab.host("h");
  daemon = await Daemon.start(lab, host);
  await host.must(["ip", "address", "add", "198.51.100.7/32", "dev", "lo"]);
  await daemon.must("network", "create", "--subnet", "10.63.0.0/24", "--ipv6", "--subnet", "fd63::/64", "web");
  await daemon.must("network", "create", "--subnet", "10.64.0.0/24", "--ipv6", "--subnet", "fd64::/64", "back");
  await daemon.must("sandbox", "create", "--network", "web", "a");
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

/** What `program` prints in the sandbox, without the last newline. */
const inside = (sandbox: string, ...program: string[]): Promise<string> => daemon.must("sandbox", "exec", sandbox, "--", ...program);
const namespaceOf = (sandbox: string): Promise<string> => inside(sandbox, "readlink", "/proc/self/ns/net");
const links = async (sandbox: string): Promise<string[]> =>
  (await inside(sandbox, "ip", "-o", "link")).split("\n").map((line) => line.split(": ")[1]!.split("@")[0]!);

async function refused(...args: string[]): Promise<string> {
  const outcome = await daemon.cli(args);
  expect(outcome).toMatchObject({ code: 1, stdout: "" });
  return outcome.stderr;
}

describe("the networks that are always there", () => {
  test("are listed, and told from the user's", async () => {
    const names = async (...filters: string[]) =>
      (
        await daemon.must("network", "ls", "--format", "{{.Name}}/{{.Driver}}/{{.Scope}}", ...filters.flatMap((one) => ["--filter", one]))
      ).split("\n");
    expect(await names()).toEqual(["back/bridge/local", "bridge/bridge/local", "host/host/local", "none/null/local", "web/bridge/local"]);
    expect(await names("type=builtin")).toEqual(["bridge/bridge/local", "host/host/local", "none/null/local"]);
    expect(await names("type=custom")).toEqual(["back/bridge/local", "web/bridge/local"]);
    expect(await names("driver=null", "driver=host")).toEqual(["host/host/local", "none/null/local"]);
    expect(await names("dangling=true")).toEqual(["back/bridge/local"]);
    expect(await names("name=e", "scope=local", "type=custom")).toEqual(["web/bridge/local"]);
    const [web] = await daemon.json("network", "inspect", "web");
    expect(await names(`id=${web.Id.slice(3, 20)}`)).toEqual(["web/bridge/local"]);
  });

  test("can't be removed or made", async () => {
    for (const name of ["bridge", "host", "none"]) {
      const [{ Id }] = await daemon.json("network", "inspect", name);
      expect(await refused("network", "rm", name)).toContain(`${name} is a pre-defined network and cannot be removed`);
      expect(await refused("network", "rm", Id)).toContain(`${name} is a pre-defined network and cannot be removed`);
      expect(await refused("network", "create", name)).toContain(`operation is not permitted on predefined ${name} network`);
    }
    expect(await refused("network", "create", "-d", "host", "x")).toContain('only one instance of "host" network is allowed');
  });
});

describe("the host's stack", () => {
  test("is the daemon's own: programs see its addresses", async () => {
    expect(await daemon.must("run", "--rm", "--network", "host", "--", "ip", "-o", "address")).toContain("198.51.100.7/32");
    await daemon.must("sandbox", "create", "--network", "host", "onhost");
    expect(await namespaceOf("onhost")).toBe(readlinkSync(`/proc/${daemon.pid}/ns/net`));
    expect(readlinkSync(`/proc/${daemon.pid}/ns/net`)).not.toBe(readlinkSync("/proc/self/ns/net"));
    const [{ Containers }] = await daemon.json("network", "inspect", "host");
    expect(Object.values(Containers)).toEqual([
      expect.objectContaining({ Name: "onhost", MacAddress: "", IPv4Address: "", IPv6Address: "" }),
    ]);
    const [sandbox] = await daemon.json("sandbox", "inspect", "onhost");
    expect(sandbox.HostConfig.NetworkMode).toBe("host");
    expect(await inside("onhost", "ping", "-n", "-c", "1", "10.63.0.2")).toContain("1 received"); // by the gateway of web
  });

  test("leaves its programs a hostname of their own, where one is asked for", async () => {
    expect(await daemon.must("run", "--rm", "--network", "host", "--hostname", "other", "--", "hostname")).toBe("other");
    expect(await daemon.must("run", "--rm", "--network", "host", "--", "hostname")).toBe(hostname());
  });

  test("has no ports to publish: -p is discarded, and whoever gave it is told so", async () => {
    const { code, stdout, stderr } = await daemon.cli(["run", "--rm", "--network", "host", "-p", "8080:80", "--", "echo", "ran"]);
    expect([code, stdout, stderr]).toEqual([0, "ran\n", "weft: warning: Published ports are discarded when using host network mode\n"]);
    expect(await daemon.cli(["sandbox", "create", "--network", "host", "--expose", "80", "-P", "all"])).toMatchObject({ stderr: "" });
    expect(await daemon.must("port", "all")).toBe("");
    await daemon.must("sandbox", "rm", "all");
  });

  test("is found again by the next daemon, and left alone by removal", async () => {
    await daemon.kill9();
    await daemon.start();
    expect(await namespaceOf("onhost")).toBe(readlinkSync(`/proc/${daemon.pid}/ns/net`));
    const before = await host.must(["ip", "-o", "address"]);
    expect(await refused("network", "disconnect", "-f", "host", "onhost")).toContain("container cannot be disconnected from host network");
    expect(await refused("network", "connect", "web", "onhost")).toContain("cannot be connected to any other network");
    await daemon.must("sandbox", "rm", "onhost");
    expect(await host.must(["ip", "-o", "address"])).toBe(before);
  });

  test("has nothing to trace or capture", async () => {
    await daemon.must("sandbox", "create", "--network", "host", "onhost");
    expect(await refused("trace", "onhost", "10.63.0.2")).toContain("is on no network: there is nothing to trace");
    expect(await refused("capture", "-w", `${daemon.stateDir}/x.pcapng`, "onhost")).toContain("there is nothing to capture");
    await daemon.must("sandbox", "rm", "onhost");
  });
});

test("network none leaves a loopback that works, and nothing else", async () => {
  await daemon.must("sandbox", "create", "--network", "none", "alone");
  expect(await links("alone")).toEqual(["lo"]);
  expect(await inside("alone", "ping", "-n", "-c", "1", "127.0.0.1")).toContain("1 received");
  expect(await inside("alone", "ip", "route")).toBe("");
  expect(await refused("network", "connect", "web", "alone")).toContain("one of the networks in private (none) mode");
  await daemon.must("network", "disconnect", "none", "alone");
  await daemon.must("network", "connect", "web", "alone");
  expect(await inside("alone", "ping", "-n", "-c", "1", "10.63.0.1")).toContain("1 received");
  await daemon.must("sandbox", "rm", "alone");
});

describe("another sandbox's stack", () => {
  test("is one: interfaces, addresses, loopback; and outlives whoever joined it", async () => {
    await daemon.must("sandbox", "create", "--network", "sandbox:a", "side");
    expect(await namespaceOf("side")).toBe(await namespaceOf("a"));
    expect(await inside("side", "ip", "-o", "address", "show", "eth0")).toContain("10.63.0.2/24");
    expect(await daemon.must("trace", "side", "10.63.0.1")).toContain("tap-input");
    // A connection made later is everybody's.
    await daemon.must("network", "connect", "back", "a");
    expect(await links("side")).toEqual(["lo", "eth0", "eth1"]);
    await daemon.must("network", "disconnect", "back", "a");
    const [sandbox] = await daemon.json("sandbox", "inspect", "side");
    expect(sandbox.HostConfig.NetworkMode).toBe(`container:${(await daemon.sandbox("a")).id}`);
    expect(await daemon.must("run", "--rm", "--network", "container:a", "--", "ip", "-o", "address", "show", "eth0")).toContain(
      "10.63.0.2/24",
    );
    await daemon.must("sandbox", "rm", "side");
    expect(await inside("a", "ping", "-n", "-c", "1", "10.63.0.1")).toContain("1 received");
  });

  test("goes with its owner; who is left is told so", async () => {
    await daemon.must("sandbox", "create", "--network", "web", "owner");
    await daemon.must("sandbox", "create", "--network", "sandbox:owner", "side");
    await daemon.must("sandbox", "rm", "owner");
    expect(await refused("sandbox", "exec", "side", "--", "true")).toContain("the sandbox whose network stack it shares was removed");
    await daemon.kill9();
    await daemon.start();
    expect(await refused("network", "connect", "web", "side")).toContain("cannot be connected to any other network");
    await daemon.must("sandbox", "rm", "side");
  });

  test("can't be changed by who joins it", async () => {
    const words = async (...args: string[]) => refused("sandbox", "create", ...args, "x");
    expect(await words("--network", "sandbox:a", "--hostname", "h")).toContain("conflicting options: hostname and the network mode");
    expect(await words("--network", "sandbox:a", "--network", "web")).toContain("conflicting options: cannot attach both");
    expect(await words("--network", "sandbox:a,mac=02:00:00:00:00:01")).toContain("conflicting options: mac-address and the network mode");
    expect(await words("--network", "host,ip=10.0.0.1")).toContain("supported on user defined networks only");
    expect(await words("--network", "sandbox:nosuch")).toContain("sandbox nosuch not found");
  });
});

describe("the default route", () => {
  const gateway = async (sandbox: string, family: string) => /default via (\S+)/.exec(await inside(sandbox, "ip", family, "route"))?.[1];

  test("follows the priority, then the name, and comes back after a crash", async () => {
    await daemon.must("sandbox", "create", "--network", "web", "--network", "name=back,gw-priority=-1", "r");
    expect([await gateway("r", "-4"), await gateway("r", "-6")]).toEqual(["10.63.0.1", "fd63::1"]);
    await daemon.must("network", "disconnect", "back", "r");
    await daemon.must("network", "connect", "--gw-priority", "1", "--alias", "store", "back", "r");
    expect([await gateway("r", "-4"), await gateway("r", "-6")]).toEqual(["10.64.0.1", "fd64::1"]);
    const [network] = await daemon.json("network", "inspect", "--verbose", "back");
    expect(Object.values(network.Containers)).toEqual([expect.objectContaining({ Name: "r", Aliases: ["store"], GwPriority: 1 })]);
    const r = await daemon.enter("r");
    await daemon.kill9();
    await r.must(["ip", "route", "del", "default"]);
    await daemon.start();
    expect(await gateway("r", "-4")).toBe("10.64.0.1");
    await daemon.must("network", "disconnect", "-f", "back", "r");
    expect([await gateway("r", "-4"), await gateway("r", "-6")]).toEqual(["10.63.0.1", "fd63::1"]);
    await daemon.must("sandbox", "rm", "r");
  });
});

test("a network is made from a configuration, which stays while it does", async () => {
  await daemon.must(
    ...["network", "create", "--config-only", "--subnet", "10.65.0.0/24", "--aux-address", "router=10.65.0.2"],
    ...["-o", "com.docker.network.driver.mtu=1400", "--label", "team=a", "settings"],
  );
  await daemon.must("network", "create", "--config-from", "settings", "made");
  const [made] = await daemon.json("network", "inspect", "made");
  expect(made).toMatchObject({
    ConfigFrom: { Network: "settings" },
    Labels: { team: "a" },
    IPAM: { Config: [{ Subnet: "10.65.0.0/24", Gateway: "10.65.0.1", AuxiliaryAddresses: { router: "10.65.0.2" } }] },
  });
  await daemon.must("sandbox", "create", "--network", "made", "m");
  expect(await inside("m", "ip", "-o", "address", "show", "eth0")).toContain("10.65.0.3/24");
  expect(await inside("m", "ip", "link", "show", "eth0")).toContain("mtu 1400");
  expect(await refused("network", "rm", "settings")).toContain('configuration network "settings" is in use');
  expect(await refused("sandbox", "create", "--network", "settings", "x")).toContain(
    "cannot create endpoint on configuration-only network",
  );
  await daemon.must("sandbox", "rm", "m");
  await daemon.must("network", "rm", "made");
  await daemon.must("network", "rm", "settings");
});

test("prune asks, then takes the networks that nobody is on, and their interfaces", async () => {
  await daemon.must("network", "create", "--label", "keep=1", "-o", "com.docker.network.bridge.name=br-keep", "kept");
  await daemon.must("network", "create", "-o", "com.docker.network.bridge.name=br-gone", "gone");
  const no = await daemon.cli(["network", "prune"], { input: "n\n" });
  expect(no).toMatchObject({ code: 1, stderr: "weft: network prune has been cancelled\n" });
  const yes = await daemon.cli(["network", "prune", "--filter", "label!=keep"], { input: "y\n" });
  expect(yes.stdout).toContain("Deleted Networks:\nback\ngone\n");
  expect(await host.must(["ip", "-o", "link"])).not.toContain("br-gone");
  expect(await host.must(["ip", "-o", "link"])).toContain("br-keep");
  expect(await daemon.must("network", "prune", "-f", "--filter", "until=1h")).toBe("");
  expect(await daemon.must("network", "prune", "-f")).toContain("kept");
  expect((await daemon.must("network", "ls", "--format", "{{.Name}}")).split("\n")).toEqual(["bridge", "host", "none", "web"]);
});

test("a namespace that the user made: its addresses are usable at once; when it is gone, that is said with what to do", async () => {
  const mine = await lab.host("mine");
  // As a kernel has it, where nobody thought of it.
  await mine.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/accept_dad"]);
  await daemon.must("network", "create", "--ipv6", "--subnet", "fd00:63::/64", "dual");
  await daemon.must("sandbox", "create", "--netns", mine.path, "--network", "dual", "given");
  // Neither the one of IPAM nor the link-local one that came with IPv6 is looked for first.
  expect(await mine.must(["ip", "-6", "address", "show", "dev", "eth0", "tentative"])).toBe("");
  expect(await mine.must(["ip", "-6", "address", "show", "dev", "eth0"])).toMatch(/fd00:63::2\/64.*\n.*\n.*fe80::/);
  const process = lab.background(host, ["unshare", "--net", "sh", "-c", "echo up; exec sleep 600"]);
  await process.until(/up/);
  const path = `/proc/${process.pid}/ns/net`;
  await daemon.must("sandbox", "create", "--netns", path, "--network", "dual", "vanishing");
  expect(await daemon.must("sandbox", "exec", "vanishing", "--", "cat", "/etc/hostname")).toMatch(/^[0-9a-f]{12}$/);
  await process.end("SIGKILL");
  for (const argv of [
    ["sandbox", "exec", "vanishing", "--", "true"],
    ["network", "connect", "web", "vanishing"],
  ]) {
    expect(await refused(...argv)).toMatch(/gone.*remove the sandbox and create it anew/);
  }
  await daemon.must("sandbox", "rm", "vanishing", "given");
  expect((await mine.links()).map(({ ifname }) => ifname)).toEqual(["lo"]);
});

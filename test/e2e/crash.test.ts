// The daemon dies under traffic and comes back: what was made is there, on the same interfaces with the same addresses, and
// connections go on as after a cable was unplugged and plugged in again.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Daemon, eventually } from "../support/daemon.ts";
import { type Host, Lab, namespaceMounts } from "../support/hosts.ts";
import { sequence, servers, transfer } from "../support/traffic.ts";
import { ADDRESSES, NETWORK, twoHosts } from "../support/two-hosts.ts";

const lab = new Lab();
let a: Daemon;
let b: Daemon;
let sandboxes: Readonly<Record<string, Host>>;

beforeAll(async () => {
  ({ a, b, sandboxes } = await twoHosts(lab));
  await Promise.all(["a2", "b1"].map((name) => servers(lab, sandboxes[name]!)));
  await a.must("network", "create", "--subnet", "10.51.0.0/24", "local");
  await a.must("network", "connect", "local", "a1");
});
afterAll(() => lab.dispose());

/** What a sandbox's user sees of its interfaces; the flags that tell of the carrier are left out. */
async function interfaces(host: Host): Promise<unknown> {
  const links = JSON.parse(await host.must(["ip", "-json", "address"])) as {
    ifindex: number;
    ifname: string;
    mtu: number;
    address: string;
    addr_info: { family: string; local: string; prefixlen: number; scope: string }[];
  }[];
  return links.map(({ ifindex, ifname, mtu, address, addr_info }) => {
    const own = addr_info.filter(({ scope }) => scope !== "link");
    return { ifindex, ifname, mtu, address, addresses: own.map(({ local, prefixlen }) => `${local}/${prefixlen}`) };
  });
}

async function routes(host: Host): Promise<string[]> {
  const text = (await host.must(["ip", "route"])) + (await host.must(["ip", "-6", "route"]));
  return text
    .split("\n")
    .map((line) => line.replaceAll(/ (linkdown|pref medium)/g, "").trim())
    .filter((line) => line !== "" && !line.startsWith("fe80::"))
    .sort();
}

/** All that may not change by a crash, and all that might leak by one. */
async function snapshot(): Promise<unknown> {
  const names = ["a1", "a2"];
  return {
    state: await a.state(),
    interfaces: await Promise.all(names.map((name) => interfaces(sandboxes[name]!))),
    routes: await Promise.all(names.map((name) => routes(sandboxes[name]!))),
    hostInterfaces: await interfaces(a.host),
    namespaces: namespaceMounts(a.stateDir).sort(),
    files: readdirSync(a.stateDir).sort(),
  };
}

test("kill -9 under traffic: everything is there again and flows go on", async () => {
  await sandboxes.a1!.ping(ADDRESSES.b1![0]);
  const before = await snapshot();
  const numbers = sequence(lab, sandboxes.a1!, ADDRESSES.b1![0], 2);
  const highest = () => Number(numbers.stdout.trimEnd().split("\n").at(-1));
  await eventually("the stream of datagrams flows", () => highest() > 50);
  // 600 MB take longer than the daemon lives.
  const stream = transfer(sandboxes.a1!, ADDRESSES.b1![1], 600);
  const local = transfer(sandboxes.a1!, ADDRESSES.a2![0], 600);
  let over = 0;
  for (const one of [stream, local]) {
    one.then(
      () => over++,
      () => over++,
    );
  }
  const sent = await a.figures();
  await eventually("the streams flow", async () => (await a.figures()).counters.rx! > sent.counters.rx! + 500n);

  await a.kill9();
  const atDeath = highest();
  expect(over, "streams that ended before the daemon").toBe(0);
  expect((await interfaces(sandboxes.a1!)) as object).toEqual((before as { interfaces: unknown[] }).interfaces[0]);
  await a.start();

  await eventually("datagrams come through again", () => highest() > atDeath + 50);
  await stream;
  await local;
  await numbers.end("SIGKILL");
  expect(await snapshot()).toEqual(before);
  for (const address of [...ADDRESSES.b1!, ...ADDRESSES.a2!]) expect(await sandboxes.a1!.ping(address)).toBe(3);
  expect(await sandboxes.b2!.ping(ADDRESSES.a1![1])).toBe(3);
  expect((await a.api.call("diagnostics", "Audit", {})).mended).toBe(0);
  await a.law();
  await b.law();
});

// More of this, against a model: acknowledged.test.ts; at each step: cnm-crash.test.ts.
test("kill -9 again and again, in the middle of changes: each is done or not, nothing is half there", async () => {
  const before = await snapshot();
  for (const afterMs of [0, 5, 20]) {
    const name = `torn-${afterMs}`;
    const change = a.api
      .call("network", "Create", { name, driver: "bridge" })
      .then(() => a.api.call("sandbox", "Create", { name, attachments: [{ network: name }] }))
      .catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, afterMs)); // a moment within the change, whichever it is
    await a.kill9();
    await change;
    await a.start();
    const { sandboxes: found } = await a.api.call("sandbox", "List", {});
    for (const sandbox of found.filter(({ name: one }) => one === name)) {
      // What is listed works: its namespace is there and the gateway of its network answers.
      for (const { gatewayIpv4, endpoint } of sandbox.endpoints) {
        expect(endpoint?.ipv4).not.toBe("");
        if (gatewayIpv4 !== "") expect(await (await a.enter(name)).ping(gatewayIpv4)).toBe(3);
      }
      await a.api.call("sandbox", "Remove", { sandbox: sandbox.id });
    }
    const { networks } = await a.api.call("network", "List", {});
    for (const network of networks.filter(({ name: one }) => one === name)) await a.api.call("network", "Remove", { network: network.id });
  }
  expect(await snapshot()).toEqual(before);
  expect(await sandboxes.a1!.ping(ADDRESSES.b1![0])).toBe(3);
  await a.law();
});

test("a sandbox that vanished while the daemon was away does not keep it from starting", async () => {
  await a.must("sandbox", "create", "--network", "local", "doomed");
  const { namespacePath } = await a.sandbox("doomed");
  await a.kill9();
  await lab.umount(namespacePath);
  await a.start();
  expect(await sandboxes.a1!.ping(ADDRESSES.b1![0])).toBe(3);
  await a.must("sandbox", "rm", "-f", "doomed");
  expect((await a.api.call("sandbox", "List", {})).sandboxes.map(({ name }) => name)).toEqual(["a1", "a2"]);
});

describe("SIGTERM", () => {
  test("leaves sandboxes as they are; of run --rm those go that nothing runs in", async () => {
    const before = await snapshot();
    const run = lab.background(a.host, [
      a.argv()[0]!,
      ...["--socket", a.socket, "run", "--rm", "--name", "passing", "--network", "local", "--", "sh", "-c", "echo up; exec sleep 600"],
    ]);
    await run.until(/up/);
    const { namespacePath } = await a.sandbox("passing");
    expect(existsSync(namespacePath)).toBe(true);

    expect(await a.sigterm()).toBe(0);
    expect(namespaceMounts(a.stateDir)).toContain(namespacePath);
    expect((await interfaces(sandboxes.a1!)) as object).toEqual((before as { interfaces: unknown[] }).interfaces[0]);
    expect(existsSync(a.socket)).toBe(false);
    await run.end("SIGKILL");

    await a.start();
    await eventually("it is gone with its program", () => !namespaceMounts(a.stateDir).includes(namespacePath));
    expect(await snapshot()).toEqual(before);
    expect(await sandboxes.a1!.ping(ADDRESSES.b1![0])).toBe(3);
  });

  test("a client that streams is told, and the daemon does not wait for it", async () => {
    const capture = lab.background(a.host, [a.argv()[0]!, "--socket", a.socket, "capture", "-w", join(a.stateDir, "x.pcapng"), "a1"]);
    const watch = lab.background(a.host, [a.argv()[0]!, "--socket", a.socket, "stats", "--watch"]);
    await watch.until(/RX/);
    const began = Date.now();
    expect(await a.sigterm()).toBe(0);
    expect(Date.now() - began).toBeLessThan(5000);
    await Promise.all([capture.end(), watch.end()]);
    await a.start();
  });
});

test("a second daemon on one state directory is refused and the first is undisturbed", async () => {
  const state = await a.state();
  const socket = join(a.stateDir, "second.sock");
  const { code, stderr } = await a.host.execute([
    a.argv()[0]!,
    "daemon",
    "--state-dir",
    a.stateDir,
    "--socket",
    socket,
    "--vxlan-port",
    "4790",
  ]);
  expect(code).toBe(1);
  expect(stderr).toContain(a.stateDir);
  expect(stderr).toMatch(/in use|another|already|locked/i);
  expect(await a.state()).toBe(state);
  expect(await sandboxes.a1!.ping(ADDRESSES.b1![0])).toBe(3);
});

test("an engine that trapped is rebuilt from the declarations, and traffic goes on", async () => {
  const numbers = sequence(lab, sandboxes.a1!, ADDRESSES.b1![0], 2);
  const highest = () => Number(numbers.stdout.trimEnd().split("\n").at(-1));
  await eventually("the stream of datagrams flows", () => highest() > 50);
  const entries = async (): Promise<{ Mac: string; Kind: string }[]> => await a.json("fdb", NETWORK);
  const pinned = async () => (await entries()).flatMap(({ Mac, Kind }) => (Kind === "static" ? [Mac] : [])).sort();
  const before = await pinned();
  expect(before.length).toBeGreaterThan(0);
  const answering = (await sandboxes.b1!.link("eth0")).address;
  await a.trap();
  const atTrap = highest();
  await eventually("the engine was rebuilt", async () => (await a.figures()).rebuilds === 1);
  await eventually("datagrams come through again", () => highest() > atTrap + 50);
  await eventually("pinned stations are there", async () => `${await pinned()}` === `${before}`);
  // What was learned went with the memory: it is learned anew of who speaks.
  await sandboxes.a1!.ping(ADDRESSES.b1![0]);
  await eventually("the other host's is learned", async () => (await entries()).some(({ Mac }) => Mac === answering));
  await numbers.end("SIGKILL");
  await a.law(1);
});

test("after removal nothing is left", async () => {
  const paths = (await a.api.call("sandbox", "List", {})).sandboxes.map(({ namespacePath }) => namespacePath);
  await a.must("sandbox", "rm", "a1", "a2");
  await a.must("network", "rm", "local", NETWORK, "weft_gwbridge");
  for (const path of paths) expect(namespaceMounts(a.stateDir)).not.toContain(path);
  expect((await a.host.links()).map(({ ifname }) => ifname).sort()).toEqual(["lo", "up0", "weft0"]); // that of the predefined network
});

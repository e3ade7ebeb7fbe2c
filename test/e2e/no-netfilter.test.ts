// A kernel without nf_tables, by a filter on system calls: no process of the daemon's gets a netfilter socket, as where the
// kernel is built without. What needs no rules works, what does is refused with the reason, and each is told once.
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../src/paths.ts";
import { Daemon, WEFT } from "../support/daemon.ts";
import { execute, type Host, Lab, must } from "../support/hosts.ts";

const NETLINK_NETFILTER = "12";
const WITHOUT = ["/usr/bin/python3", "-IS", join(ROOT, "test/support/without-netlink.py"), NETLINK_NETFILTER];
const UNDERLAY = "192.0.2.1";
const REASON = /nftables can't be reached: .*NETLINK_NETFILTER.*EPROTONOSUPPORT.* \(`modprobe nf_tables`\)/;

const lab = new Lab();
let host: Host;
let daemon: Daemon;

beforeAll(async () => {
  host = await lab.host("weft");
  await host.ip(`address add ${UNDERLAY}/32 dev lo`);
  daemon = await Daemon.start(lab, host, { by: WITHOUT, underlayAddress: UNDERLAY });
});
afterAll(() => lab.dispose());

/** How often the daemon's log has it. */
const said = (text: RegExp): number => daemon.log.match(new RegExp(text, "g"))?.length ?? 0;

test("the helper takes netfilter from a program, and nothing else", async () => {
  expect((await execute([...WITHOUT, "nft", "list", "ruleset"])).stderr).toContain("Protocol not supported");
  await must([...WITHOUT, "ip", "link"]);
});

test("the daemon serves, says it once, and shows it", async () => {
  for (const name of ["web", "db"]) await daemon.must("network", "create", name);
  expect(said(/no rules can be set/)).toBe(1);
  const warnings = (await daemon.json("info")).Warnings as string[];
  expect(warnings.filter((one) => REASON.test(one))).toEqual([
    expect.stringMatching(/^no rules can be set: networks don't reach out of this host/),
  ]);
  expect(await daemon.must("info")).toMatch(/warning +no rules can be set/);
  expect((await daemon.json("status")).Warnings).toEqual(warnings);
});

test("sandboxes of every driver reach each other by name, IPv4 and IPv6", async () => {
  await daemon.must("network", "create", "--ipv6", "dual");
  await daemon.must("network", "create", "--internal", "inner");
  await daemon.must("network", "create", "-d", "overlay", "over");
  await daemon.must("network", "create", "-d", "macvlan", "mac");
  for (const network of ["dual", "inner", "over", "mac"]) {
    for (const name of ["a", "b"]) await daemon.must("sandbox", "create", "--network", network, `${network}-${name}`);
    const from = await daemon.enter(`${network}-a`);
    const ask = (type: string) => from.must(["dig", "@127.0.0.11", "+short", `${network}-b`, type]);
    const addresses = `${await ask("A")}${await ask("AAAA")}`.split("\n").filter((line) => line !== "");
    expect(addresses).toHaveLength(network === "dual" ? 2 : 1);
    for (const address of addresses) expect(await from.ping(address, ["-W", "1"], 1)).toBe(1);
  }
  await daemon.must("sandbox", "create", "plain");
  await daemon.must("sandbox", "create", "--network", "none", "lone");
  await daemon.law();
});

test("what names lose is named: port 53 of all addresses, or names where somebody has it", async () => {
  const [{ Warnings }] = await daemon.json("sandbox", "inspect", "dual-a");
  expect(Warnings).toEqual(["this kernel has no nf_tables: no program in the sandbox can bind port 53 of all addresses"]);
  expect(said(/no program in the sandbox can bind port 53/)).toBe(9); // each sandbox but plain
  const taken = await lab.host("taken");
  const server = lab.background(taken, [
    ...["/usr/bin/python3", "-IS", "-c"],
    'import socket, signal; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 53)); print("bound", flush=True); signal.pause()',
  ]);
  await server.until(/bound/);
  await daemon.must("sandbox", "create", "--netns", taken.path, "--network", "web", "deaf");
  const [deaf] = await daemon.json("sandbox", "inspect", "deaf");
  expect(deaf.Warnings).toEqual([
    expect.stringMatching(/^this kernel has no nf_tables and port 53 is taken \(.*\): names are not answered here$/),
  ]);
  expect(await daemon.must("sandbox", "exec", "deaf", "--", "cat", "/etc/resolv.conf")).not.toContain("127.0.0.11");
  await daemon.must("sandbox", "rm", "deaf");
  await daemon.must("sandbox", "create", "--netns", taken.path, "--network", "web", "deaf");
});

test("ports are refused with the reason, and nothing is left", async () => {
  const before = await daemon.state();
  for (const flags of [
    ["-p", "8080:80"],
    ["-P", "--expose", "80"],
  ]) {
    const refused = await daemon.cli(["sandbox", "create", "--network", "web", ...flags, "c"]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/ports can't be published on this host: /)]);
    expect(refused.stderr).toMatch(REASON);
  }
  const updated = await daemon.cli(["sandbox", "update", "--publish-add", "8080:80", "dual-a"]);
  expect([updated.code, updated.stderr]).toEqual([1, expect.stringMatching(REASON)]);
  expect(await daemon.state()).toBe(before);
});

test("it goes on so after a crash, and a purge leaves nothing", async () => {
  const before = await daemon.state();
  await daemon.kill9();
  await daemon.start();
  expect(await daemon.state()).toBe(before);
  expect(said(/no rules can be set/)).toBe(1);
  expect(await daemon.must("sandbox", "exec", "dual-a", "--", "getent", "hosts", "dual-b")).toMatch(/dual-b/);
  await daemon.kill9();
  const purged = await host.execute([
    ...WITHOUT,
    WEFT,
    "daemon",
    "--purge",
    "-y",
    "--state-dir",
    daemon.stateDir,
    "--socket",
    daemon.socket,
  ]);
  expect([purged.code, purged.stderr]).toEqual([0, ""]);
  expect(await host.must(["ip", "-br", "link"])).toMatch(/^lo [^\n]*\n$/);
});

// Interfaces that somebody deletes under a running daemon: they come back, configured, and traffic goes on.
import { afterAll, beforeAll, expect, test } from "vitest";
import { Daemon, eventually } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let daemon: Daemon;
let one: Host;
let other: Host;

beforeAll(async () => {
  daemon = await Daemon.start(lab, await lab.host("h"));
  await daemon.must("network", "create", "--subnet", "10.81.0.0/24", "--ipv6", "--subnet", "fd81::/64", "net");
  for (const name of ["one", "other"]) await daemon.must("sandbox", "create", "--network", "net", name);
  [one, other] = (await daemon.enterAll("one", "other")) as [Host, Host];
});
afterAll(() => lab.dispose());

/** Without what the kernel numbers anew. */
async function addresses(host: Host): Promise<unknown> {
  const links = JSON.parse(await host.must(["ip", "-json", "address"])) as {
    ifname: string;
    mtu: number;
    address: string;
    addr_info: { local: string; prefixlen: number; scope: string }[];
  }[];
  return links.map(({ ifname, mtu, address, addr_info }) => ({
    ifname,
    mtu,
    address,
    addresses: addr_info.filter(({ scope }) => scope !== "link").map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  }));
}

const routes = async (host: Host): Promise<string> => (await host.must(["ip", "route"])).replaceAll(/ linkdown/g, "").trim();

test("a sandbox's interface comes back with its addresses and default route", async () => {
  expect(await one.ping("10.81.0.3")).toBe(3);
  const before = { addresses: await addresses(one), routes: await routes(one) };
  await one.must(["ip", "link", "delete", "eth0"]);
  await eventually("the sandbox has its interface and route again", async () => (await routes(one)) === before.routes);
  expect({ addresses: await addresses(one), routes: await routes(one) }).toEqual(before);
  expect(await one.ping("10.81.0.3")).toBe(3);
  expect(await other.ping("fd81::2")).toBe(3);
  expect(daemon.log).toContain("an interface was gone and is made again");
  expect((await daemon.api.call("diagnostics", "Audit", {})).mended).toBe(0);
});

test("the host's gateway comes back with its addresses", async () => {
  expect(await one.ping("10.81.0.1")).toBe(3);
  const before = await addresses(daemon.host);
  const [{ ifname }] = JSON.parse(await daemon.host.must(["ip", "-json", "address", "show", "to", "10.81.0.1"])) as [{ ifname: string }];
  await daemon.host.must(["ip", "link", "delete", ifname]);
  await eventually("the gateway answers again", async () => (await one.ping("10.81.0.1", ["-W", "0.3"], 1)) === 1);
  expect(await addresses(daemon.host)).toEqual(before);
  expect(await other.ping("fd81::1")).toBe(3);
  await daemon.law();
});

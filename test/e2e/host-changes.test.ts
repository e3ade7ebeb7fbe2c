// Somebody else changes what is ours on the host: programs that manage its network, an administrator in a hurry. The audit gives it
// back and says so; sandboxes, whose way out it is, have it again without a restart.
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Daemon, eventually } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let daemon: Daemon;
let one: Host;
let name = "";

beforeAll(async () => {
  daemon = await Daemon.start(lab, await lab.host("h"), { args: ["--set", "datapath.auditIntervalS=1"] });
  await daemon.must("network", "create", "--subnet", "10.85.0.0/24", "--subnet", "fd85::/64", "net");
  await daemon.must("sandbox", "create", "--network", "net", "one");
  one = await daemon.enter("one");
  name = (await daemon.host.links()).find(({ ifname }) => ifname.startsWith("br-"))!.ifname;
});
afterAll(() => lab.dispose());

/** Interfaces, addresses, routes and forwarding of the host. */
async function picture(): Promise<string> {
  const look = [
    "ip -o link | sed 's/^[0-9]*: //; s/state [A-Z]*//'",
    "ip -o address | sed 's/^[0-9]*: //; s/valid_lft.*//' | grep -v fe80 | sort",
    "(ip route; ip -6 route | grep -v fe80) | sed 's/ pref medium//' | sort",
    `sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv4.conf.${name}.route_localnet 2>&1 || true`,
  ].join("; ");
  return (await daemon.host.must(["sh", "-c", look])).replaceAll(/[ \t]+/g, " ");
}

let before = "";
beforeEach(async () => {
  before = await picture();
});

async function mended(said: RegExp, from: number): Promise<void> {
  await eventually("the host is as it was", async () => (await picture()) === before).catch(async (error: Error) => {
    expect(await picture(), error.message).toBe(before);
  });
  for (const gateway of ["10.85.0.1", "fd85::1"]) expect(await one.ping(gateway, [], 1)).toBe(1);
  expect(daemon.log.slice(from)).toMatch(said);
  await daemon.law();
}

test.each([
  ["addresses flushed", () => `ip address flush dev ${name}`, /changed the interface of a network/],
  ["switched off", () => `ip link set ${name} down`, /changed the interface of a network/],
  ["deleted", () => `ip link delete ${name}`, /an interface was gone and is made again/],
  ["renamed", () => `ip link set ${name} down; ip link set ${name} name mine0; ip link set mine0 up`, /renamed the interface of a network/],
  ["forwarding switched off", () => "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0", /switched forwarding off/],
])("%s", async (_what, command, said) => {
  const from = daemon.log.length;
  await daemon.host.must(["sh", "-c", command()]);
  await mended(said, from);
});

test("renamed while no daemon was there", async () => {
  await daemon.kill9();
  await daemon.host.must(["sh", "-c", `ip link set ${name} down; ip link set ${name} name mine0; ip link set mine0 up`]);
  await daemon.start();
  await mended(/renamed the interface of a network/, 0);
});

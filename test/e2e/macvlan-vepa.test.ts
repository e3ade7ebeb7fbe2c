// macvlan in mode vepa on real links: the parent's switch is a kernel bridge, whose port sends frames back where they came from
// (hairpin) or doesn't. And what -p does on a macvlan: nothing, as with Docker.
//
//   a, b ── engine ── packet socket on eth0 ── veth ── sw0 (hairpin on | off) ── br0: 10.76.0.1
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { servers, transfer } from "../support/traffic.ts";

const lab = new Lab();
let host: Host;
let wire: Host;
let daemon: Daemon;
let a: Host;
let b: Host;

const hairpin = (on: boolean): Promise<string> => wire.must(["bridge", "link", "set", "dev", "sw0", "hairpin", on ? "on" : "off"]);

beforeAll(async () => {
  [host, wire] = [await lab.host("h"), await lab.host("p")];
  await lab.wire([host, "eth0"], [wire, "sw0"]);
  await wire.ip(
    ["link add br0 type bridge forward_delay 0", "link set sw0 master br0", "address add 10.76.0.1/24 dev br0", "link set br0 up"].join(
      "\n",
    ),
  );
  await wire.ip("address add fd76::1/64 dev br0 nodad");
  daemon = await Daemon.start(lab, host);
  const subnets = ["--subnet", "10.76.0.0/24", "--gateway", "10.76.0.1", "--ipv6", "--subnet", "fd76::/64", "--gateway", "fd76::1"];
  await daemon.must("network", "create", "-d", "macvlan", ...subnets, "-o", "parent=eth0", "-o", "macvlan_mode=vepa", "lan");
  await daemon.must("sandbox", "create", "--network", "lan,ip=10.76.0.5,ip6=fd76::5", "a");
  await daemon.must("sandbox", "create", "--network", "lan,ip=10.76.0.6,ip6=fd76::6", "b");
  [a, b] = (await daemon.enterAll("a", "b")) as [Host, Host];
  await servers(lab, b);
});
afterEach(() => daemon.law());
afterAll(() => lab.dispose());

test("reaches the world, and neighbours by way of a switch that reflects", async () => {
  await hairpin(true);
  const capture = await LinkCapture.start(lab, host, "eth0");
  for (const [peer, neighbour] of [
    ["10.76.0.1", "10.76.0.6"],
    ["fd76::1", "fd76::6"],
  ] as const) {
    expect(await a.ping(peer)).toBe(3);
    expect(await wire.ping(neighbour)).toBe(3);
    expect(await a.pings(neighbour, 3, 0)).toEqual({ sent: 3, received: 3 });
    await transfer(a, neighbour, 5);
  }
  // Each of the three requests was on the wire twice: sent there, and sent back.
  const requests = await fieldsOf(await capture.stop(), "icmp.type==8 and ip.dst==10.76.0.6 and ip.src==10.76.0.5", ["icmp.seq"]);
  expect(requests).toHaveLength(6);
});

test("does not reach neighbours where the switch doesn't reflect, whatever they know of each other", async () => {
  await hairpin(false);
  await a.ip(`neigh replace 10.76.0.6 lladdr ${(await b.link("eth0")).address} dev eth0`);
  expect(await a.ping("10.76.0.6", ["-w", "1"], 1)).toBe(0);
  expect(await a.ping("10.76.0.1")).toBe(3);
});

test("takes -p and publishes nothing: no port of the host is kept, and none is shown", async () => {
  await daemon.must("sandbox", "create", "--network", "lan", "-p", "8080:80", "-p", "8081:81/udp", "c");
  expect(await daemon.must("port", "c")).toBe("");
  expect(await daemon.must("sandbox", "ls", "--filter", "name=c", "--format", "{{.Ports}}")).toBe("");
  const program = `
import socket
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    socket.create_server((address, 8080), family=family, dualstack_ipv6=False).close()
print("free")`;
  expect(await host.must(["python3", "-c", program])).toBe("free\n");
  await daemon.must("sandbox", "rm", "c");
});

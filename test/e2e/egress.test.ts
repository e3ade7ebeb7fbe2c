// The way out for sandboxes on overlays only, on the real kernel: two Weft hosts with one overlay, an outside host beside the
// first. Packets go out by weft_gwbridge, published ports come in by it, and the overlay goes on as it was.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon, eventually } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { overlay } from "../support/two-hosts.ts";

const lab = new Lab();
let host: Host;
let outside: Host;
let daemon: Daemon;
let peer: Daemon;
let a: Host;

const [HOST4, OUTSIDE4, HOST6, OUTSIDE6] = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];
const inside = (name: string, ...argv: string[]): Promise<string> => daemon.must("sandbox", "exec", name, "--", ...argv);
const routes = async (where: Host, family: "-4" | "-6"): Promise<string> =>
  (await where.must(["ip", family, "route", "show", "default"])).trim();

/** A server that tells each client its address. */
async function echo(where: Host, port: number): Promise<void> {
  const program = `
import socketserver, socket
class H(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(self.client_address[0].removeprefix("::ffff:").encode())
class S(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6; allow_reuse_address = True; daemon_threads = True
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); super().server_bind()
s = S(("::", ${port}), H); print("serving", flush=True); s.serve_forever()`;
  await lab.background(where, ["python3", "-c", program]).until(/serving/);
}

/** What the server said; "" if it was not reached. */
async function ask(from: Host, address: string, port: number): Promise<string> {
  const program = `
import socket, sys
try: print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5).recv(99).decode())
except OSError: pass`;
  return (await from.must(["python3", "-c", program, address, String(port)])).trim();
}

beforeAll(async () => {
  const other = await lab.host("b");
  [host, outside] = [await lab.host("a"), await lab.host("out")];
  await lab.wire([host, "eth0", `${HOST4}/24`, `${HOST6}/64`], [outside, "eth0", `${OUTSIDE4}/24`, `${OUTSIDE6}/64`]);
  await lab.wire([host, "up0", "10.78.0.1/24"], [other, "up0", "10.78.0.2/24"]);
  [daemon, peer] = await Promise.all([
    Daemon.start(lab, host, { underlayAddress: "10.78.0.1" }),
    Daemon.start(lab, other, { underlayAddress: "10.78.0.2" }),
  ]);
  for (const [one, to] of [
    [daemon, "10.78.0.2"],
    [peer, "10.78.0.1"],
  ] as const) {
    await one.must("network", "create", ...overlay("net", 5150, 51));
    await one.must("peer", "add", to);
  }
  await daemon.must("sandbox", "create", "--network", "net,ip=10.51.0.2,ip6=fd51::2", "-p", "8080:80", "a");
  await peer.must("sandbox", "create", "--network", "net,ip=10.51.0.9,ip6=fd51::9", "b");
  a = await daemon.enter("a");
  await echo(outside, 7000);
  await echo(a, 80);
});
afterEach(() => daemon.law());
afterAll(() => lab.dispose());

test("a sandbox on an overlay reaches the outside by its last interface, as the host, IPv4 and IPv6", async () => {
  expect(await routes(a, "-4")).toMatch(/^default via 172\.\d+\.0\.1 dev eth1/);
  expect(await routes(a, "-6")).toMatch(/^default via fd[0-9a-f:]+::1 dev eth1/);
  expect([await ask(a, OUTSIDE4, 7000), await ask(a, OUTSIDE6, 7000)]).toEqual([HOST4, HOST6]);
  expect(await a.ping("10.51.0.9")).toBe(3);
  expect(await a.ping("fd51::9")).toBe(3);
});

test("its published ports are reached from outside, which sees who asks", async () => {
  expect([await ask(outside, HOST4, 8080), await ask(outside, HOST6, 8080)]).toEqual([OUTSIDE4, OUTSIDE6]);
  expect(await daemon.must("port", "a")).toContain("80/tcp -> 0.0.0.0:8080");
});

test("it is shown as Docker shows it: with the network, not with the sandbox, and in no names", async () => {
  const { id } = await daemon.sandbox("a");
  const [network] = await daemon.json("network", "inspect", "weft_gwbridge");
  expect(network).toMatchObject({ Driver: "bridge", Scope: "local", Internal: false });
  expect(network.Containers[id].Name).toBe(`gateway_${id.slice(0, 12)}`);
  expect(await daemon.must("network", "ls", "--format", "{{.Name}}")).toContain("weft_gwbridge");
  const [sandbox] = await daemon.json("sandbox", "inspect", "a");
  expect(Object.keys(sandbox.NetworkSettings.Networks)).toEqual(["net"]);
  expect(await daemon.must("sandbox", "ls", "--format", "{{.Networks}} {{.Addresses}}")).toBe("net 10.51.0.2, fd51::2");
  const address = network.Containers[id].IPv4Address.split("/")[0];
  expect(await inside("a", "cat", "/etc/hosts")).not.toContain(address);
  expect(await inside("a", "getent", "ahostsv4", "a")).not.toContain(address);
});

test("sandboxes don't reach each other by it", async () => {
  await daemon.must("sandbox", "create", "--network", "net,ip=10.51.0.3,ip6=fd51::3", "c");
  const [network] = await daemon.json("network", "inspect", "weft_gwbridge");
  const { id } = await daemon.sandbox("c");
  const [c4, c6] = [network.Containers[id].IPv4Address, network.Containers[id].IPv6Address].map((text: string) => text.split("/")[0]!);
  expect(await a.ping(c4!, ["-W", "1"], 1)).toBe(0);
  expect(await a.ping(c6!, ["-W", "1"], 1)).toBe(0);
  expect(await a.ping("10.51.0.3")).toBe(3);
  await daemon.must("sandbox", "rm", "c");
});

test("it goes when another network gives a gateway, comes back with that one's end, and not to internal ones", async () => {
  await daemon.must("network", "create", "--subnet", "10.52.0.0/24", "--subnet", "fd52::/64", "web");
  await daemon.must("network", "connect", "web", "a");
  expect((await a.links()).map(({ ifname }) => ifname).sort()).toEqual(["eth0", "eth2", "lo"]);
  expect(await routes(a, "-4")).toMatch(/^default via 10\.52\.0\.1 dev eth2/);
  expect([await ask(a, OUTSIDE4, 7000), await ask(outside, HOST4, 8080)]).toEqual([HOST4, OUTSIDE4]);
  await daemon.must("network", "disconnect", "web", "a");
  expect((await a.links()).map(({ ifname }) => ifname).sort()).toEqual(["eth0", "eth1", "lo"]);
  expect([await ask(a, OUTSIDE6, 7000), await ask(outside, HOST6, 8080)]).toEqual([HOST6, OUTSIDE6]);
  await daemon.must("network", "create", "-d", "overlay", "--internal", "--subnet", "10.53.0.0/24", "closed");
  await daemon.must("sandbox", "create", "--network", "closed", "d");
  expect(((await (await daemon.enter("d")).links()) as { ifname: string }[]).map(({ ifname }) => ifname).sort()).toEqual(["eth0", "lo"]);
  await daemon.must("sandbox", "rm", "d");
});

test("it outlives kill -9 with all its traffic", async () => {
  const before = await daemon.state();
  await daemon.kill9();
  await daemon.start();
  expect(await daemon.state()).toBe(before);
  expect([await ask(a, OUTSIDE4, 7000), await ask(a, OUTSIDE6, 7000)]).toEqual([HOST4, HOST6]);
  expect(await ask(outside, HOST4, 8080)).toBe(OUTSIDE4);
  await eventually("the overlay carries on", async () => (await a.ping("10.51.0.9", ["-W", "1"], 1)) === 1);
});

test("it is as its user makes it before it is used", async () => {
  await daemon.must("sandbox", "rm", "a");
  await daemon.must("network", "rm", "weft_gwbridge");
  const options = ["-o", "com.docker.network.bridge.name=out0", "-o", "com.docker.network.bridge.enable_icc=false"];
  await daemon.must("network", "create", "--subnet", "10.54.0.0/24", ...options, "weft_gwbridge");
  await daemon.must("sandbox", "create", "--network", "net,ip=10.51.0.2,ip6=fd51::2", "a");
  expect(await routes(await daemon.enter("a"), "-4")).toMatch(/^default via 10\.54\.0\.1 dev eth1/);
  expect(await ask(await daemon.enter("a"), OUTSIDE4, 7000)).toBe(HOST4);
  expect((await host.links()).map(({ ifname }) => ifname)).toContain("out0");
});

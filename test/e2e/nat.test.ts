// The host as a router for bridge networks, on the real kernel: a host with Weft in its middle, an outside host beside it, and
// sandboxes that reach out and are reached.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";

let lab: Lab;
let host: Host;
let outside: Host;
let daemon: Daemon;
let before: string;

const [HOST4, OUTSIDE4, HOST6, OUTSIDE6] = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];
const forwarding = (): Promise<string> =>
  host.must(["sh", "-c", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"]);
const rules = (): Promise<string> => host.must(["nft", "-s", "list", "ruleset"]);

beforeEach(async () => {
  lab = new Lab();
  [host, outside] = [await lab.host("weft"), await lab.host("out")];
  await lab.wire([host, "eth0", `${HOST4}/24`, `${HOST6}/64`], [outside, "eth0", `${OUTSIDE4}/24`, `${OUTSIDE6}/64`]);
  await host.must(["nft", "add table ip mine; add chain ip mine c { type filter hook input priority 5; }"]);
  before = await rules();
  daemon = await Daemon.start(lab, host);
});

afterEach(async () => {
  await lab.dispose();
});

const dual = (n: number): string[] => ["--subnet", `10.80.${n}.0/24`, "--subnet", `fd00:80:${n}::/64`];

/** A server that tells each client its address, in the namespace; TCP or UDP, both families. */
async function echo(where: Host, port: number, kind: "tcp" | "udp" = "tcp", word = ""): Promise<void> {
  const program = `
import socketserver, socket, sys
class H(socketserver.BaseRequestHandler):
    def handle(self):
        answer = ("${word}" or self.client_address[0].removeprefix("::ffff:")).encode()
        if "${kind}" == "tcp": self.request.sendall(answer)
        else: self.request[1].sendto(answer, self.client_address)
class S(socketserver.Threading${kind.toUpperCase()}Server):
    address_family = socket.AF_INET6; allow_reuse_address = True; daemon_threads = True
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); super().server_bind()
s = S(("::", ${port}), H); print("serving", flush=True); s.serve_forever()`;
  await lab.background(where, ["python3", "-c", program]).until(/serving/);
}

/** What the server said; "" if it was not reached within a second and a half. */
async function ask(from: Host, address: string, port: number, kind: "tcp" | "udp" = "tcp"): Promise<string> {
  const program = `
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_${kind === "tcp" ? "STREAM" : "DGRAM"}); s.settimeout(1.5)
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    if "${kind}" == "udp": s.send(b"x")
    print(s.recv(99).decode())
except OSError: pass`;
  return (await from.must(["python3", "-c", program, address, String(port)])).trim();
}

describe("egress", () => {
  it("has the host's address outside, for IPv4 and IPv6, and answers come back", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("sandbox", "create", "--network", "web", "a");
    const a = await daemon.enter("a");
    await echo(outside, 7000);
    expect(await ask(a, OUTSIDE4, 7000)).toBe(HOST4);
    expect(await ask(a, OUTSIDE6, 7000)).toBe(HOST6);
    expect(await a.ping(OUTSIDE4)).toBe(3);
    expect(await a.ping(OUTSIDE6)).toBe(3);
  });

  it("keeps the sandbox's address without masquerade, and takes the one it is told", async () => {
    await daemon.must("network", "create", "--subnet", "10.80.1.0/24", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "raw");
    await host.ip("address add 192.0.2.77/24 dev eth0");
    await daemon.must("network", "create", "--subnet", "10.80.2.0/24", "-o", "com.docker.network.host_ipv4=192.0.2.77", "fixed");
    await daemon.must("sandbox", "create", "--network", "raw,ip=10.80.1.9", "a");
    await daemon.must("sandbox", "create", "--network", "fixed", "b");
    const [a, b] = await daemon.enterAll("a", "b");
    await outside.ip(`route add 10.80.1.0/24 via ${HOST4}`);
    await echo(outside, 7000);
    expect(await ask(a!, OUTSIDE4, 7000)).toBe("10.80.1.9");
    expect(await ask(b!, OUTSIDE4, 7000)).toBe("192.0.2.77");
  });

  it("keeps networks apart, internal ones whole, and the outside out", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("network", "create", ...dual(2), "db");
    await daemon.must("network", "create", ...dual(3), "--internal", "inner");
    await daemon.must("network", "create", ...dual(4), "-o", "com.docker.network.bridge.enable_icc=false", "apart");
    await daemon.must("sandbox", "create", "--network", "web,ip=10.80.1.9,ip6=fd00:80:1::9", "a");
    await daemon.must("sandbox", "create", "--network", "db,ip=10.80.2.9,ip6=fd00:80:2::9", "b");
    await daemon.must("sandbox", "create", "--network", "inner", "c");
    await daemon.must("sandbox", "create", "--network", "apart,ip=10.80.4.8", "d");
    await daemon.must("sandbox", "create", "--network", "apart,ip=10.80.4.9", "e");
    const [a, b, c, d] = await daemon.enterAll("a", "b", "c", "d");
    await outside.ip(`route add 10.80.0.0/16 via ${HOST4}\nroute add fd00:80::/32 via ${HOST6}`);
    const one = ["-i", "0.01", "-W", "1"];
    expect(await a!.ping("10.80.2.9", one, 1)).toBe(0);
    expect(await a!.ping("fd00:80:2::9", one, 1)).toBe(0);
    expect(await outside.ping("10.80.1.9", one, 1)).toBe(0);
    expect(await outside.ping("fd00:80:1::9", one, 1)).toBe(0);
    expect(await host.ping("10.80.1.9", one, 1)).toBe(1);
    expect(await b!.ping(OUTSIDE4, one, 1)).toBe(1);
    await c!.ip("route add default via 10.80.3.1");
    expect(await c!.ping(OUTSIDE4, one, 1)).toBe(0);
    expect(await c!.ping("10.80.3.1", one, 1)).toBe(1);
    // By way of the gateway, which is a neighbour on the wire.
    await d!.ip("route replace 10.80.4.9/32 via 10.80.4.1");
    expect(await d!.ping("10.80.4.9", one, 1)).toBe(0);
    // The host's loopback is not theirs.
    await echo(host, 9000);
    await a!.ip("route replace 127.0.0.1/32 via 10.80.1.1 table local\nlink set lo down");
    expect(await ask(a!, "127.0.0.1", 9000)).toBe("");
  });

  it("leaves the host as it found it, and repairs what others undo", async () => {
    expect(await forwarding()).toBe("0\n0\n");
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("network", "create", ...dual(2), "db");
    expect(await forwarding()).toBe("1\n1\n");
    const rulesOfTwo = await rules();
    await daemon.kill9();
    await host.must(["nft", "delete", "table", "inet", "weft"]);
    await host.must(["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"]);
    await daemon.start();
    expect(await rules()).toBe(rulesOfTwo);
    expect(await forwarding()).toBe("1\n1\n");
    await daemon.must("network", "rm", "web");
    expect(await rules()).not.toBe(before);
    await daemon.must("network", "rm", "db");
    expect(await rules()).toBe(before);
    expect(await forwarding()).toBe("0\n0\n");
  });

  it("forwards nothing that was not forwarded before", async () => {
    const far = await lab.host("far");
    await lab.wire([host, "eth1", "198.51.100.1/24"], [far, "eth0", "198.51.100.2/24"]);
    await outside.ip(`route add 198.51.100.0/24 via ${HOST4}`);
    await far.ip("route add default via 198.51.100.1");
    await daemon.must("network", "create", ...dual(1), "web");
    expect(await outside.ping("198.51.100.2", ["-W", "1"], 1)).toBe(0);
    await daemon.must("network", "rm", "web");
    await host.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    await daemon.must("network", "create", ...dual(1), "web");
    expect(await outside.ping("198.51.100.2", ["-W", "1"], 1)).toBe(1);
    await daemon.must("network", "rm", "web");
    expect(await forwarding()).toBe("1\n0\n");
  });

  it("routes where it is told to", async () => {
    await daemon.must("network", "create", ...dual(1), "-o", "com.docker.network.bridge.gateway_mode_ipv4=routed", "routed");
    await daemon.must("sandbox", "create", "--network", "routed,ip=10.80.1.9", "a");
    await outside.ip(`route add 10.80.0.0/16 via ${HOST4}`);
    const a = await daemon.enter("a");
    await echo(outside, 7000);
    await echo(a, 80);
    expect(await ask(a, OUTSIDE4, 7000)).toBe("10.80.1.9");
    expect(await ask(a, OUTSIDE6, 7000)).toBe(HOST6);
    expect(await outside.ping("10.80.1.9")).toBe(3);
    expect(await ask(outside, "10.80.1.9", 80)).toBe("");
    const refused = await daemon.cli(["network", "create", "-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated", "x"]);
    expect(refused.stderr).toContain("gateway mode 'isolated' can only be used for an internal network");
  });
});

describe("publishing", () => {
  const create = (name: string, ...flags: string[]): Promise<string> => daemon.must("sandbox", "create", ...flags, name);

  it("reaches a sandbox from outside, the host, its loopback, itself, neighbours and other networks", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("network", "create", ...dual(2), "db");
    await create("a", "--network", "web", "-p", "8080:80", "-p", "8080:80/udp");
    await create("b", "--network", "web");
    await create("c", "--network", "db");
    const [a, b, c] = await daemon.enterAll("a", "b", "c");
    await echo(a!, 80);
    await echo(a!, 80, "udp");
    for (const kind of ["tcp", "udp"] as const) {
      // The client's own address is what the sandbox sees.
      expect(await ask(outside, HOST4, 8080, kind)).toBe(OUTSIDE4);
      expect(await ask(outside, HOST6, 8080, kind)).toBe(OUTSIDE6);
      expect(await ask(host, HOST4, 8080, kind)).toBe(HOST4);
      expect(await ask(host, HOST6, 8080, kind)).not.toBe("");
      expect(await ask(host, "127.0.0.1", 8080, kind)).toBe("10.80.1.1");
      expect(await ask(b!, HOST4, 8080, kind)).toBe("10.80.1.1");
      expect(await ask(b!, HOST6, 8080, kind)).toBe("fd00:80:1::1");
      expect(await ask(b!, "10.80.1.1", 8080, kind)).not.toBe("");
      expect(await ask(a!, HOST4, 8080, kind)).not.toBe("");
      expect(await ask(a!, HOST6, 8080, kind)).not.toBe("");
      expect(await ask(c!, HOST4, 8080, kind)).toMatch(/^10\.80\.2\./);
      expect(await ask(c!, HOST6, 8080, kind)).toMatch(/^fd00:80:2::/);
    }
    expect(await ask(host, "::1", 8080)).not.toBe("");
    expect(await ask(outside, HOST4, 80)).toBe("");
    expect(await daemon.must("port", "a", "80")).toBe("0.0.0.0:8080\n[::]:8080");
    expect(await daemon.must("sandbox", "ls")).toContain("0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8080->80/udp");
    await daemon.must("sandbox", "rm", "a");
    expect(await ask(outside, HOST4, 8080)).toBe("");
    await daemon.must("sandbox", "rm", "b", "c");
    await daemon.must("network", "rm", "web", "db");
    expect(await rules()).toBe(before);
  });

  it("binds to an address, follows the sandbox, and survives kill -9", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("network", "create", ...dual(2), "db");
    await create("a", "--network", "web", "-p", "127.0.0.1:8081:80", "-p", `${HOST4}:8082:80`, "-p", `[${HOST6}]:8083:80`, "-p", "80");
    const a = await daemon.enter("a");
    await echo(a, 80);
    expect(await ask(host, "127.0.0.1", 8081)).toBe("10.80.1.1");
    expect(await ask(outside, HOST4, 8081)).toBe("");
    expect(await ask(outside, HOST4, 8082)).toBe(OUTSIDE4);
    expect(await ask(outside, HOST6, 8083)).toBe(OUTSIDE6);
    const any = (await daemon.must("port", "a", "80")).match(/0\.0\.0\.0:(\d+)/)![1]!;
    expect(await ask(outside, HOST4, Number(any))).toBe(OUTSIDE4);
    const published = await rules();
    await daemon.kill9();
    await daemon.start();
    expect(await rules()).toBe(published);
    expect(await ask(outside, HOST4, 8082)).toBe(OUTSIDE4);
    // To another network, and back.
    await daemon.must("network", "connect", "db", "a");
    expect(await ask(outside, HOST4, 8082)).toBe(OUTSIDE4);
    await daemon.must("network", "disconnect", "db", "a");
    expect(await ask(outside, HOST4, 8082)).toBe(OUTSIDE4);
  });

  it("publishes ranges, large ones too", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await create("a", "--network", "web", "-p", "10000-19999:10000-19999/udp", "-p", "9000-9002:80-82", "-p", "9100-9101:80");
    const a = await daemon.enter("a");
    await echo(a, 19999, "udp");
    await echo(a, 82);
    expect(await ask(outside, HOST4, 19999, "udp")).toBe(OUTSIDE4);
    expect(await ask(outside, HOST6, 19999, "udp")).toBe(OUTSIDE6);
    expect(await ask(outside, HOST4, 9002)).toBe(OUTSIDE4);
    expect((await rules()).length).toBeLessThan(8000);
    await create("b", "--network", "web", "-p", "9100-9101:80");
    expect(await daemon.must("port", "b", "80")).toBe("0.0.0.0:9101\n[::]:9101");
    const full = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "9100-9101:80", "c"]);
    expect(full.stderr).toContain("all ports are allocated");
  });

  it("refuses what is taken, and then nothing has changed", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await create("a", "--network", "web", "-p", "8080:80", "-p", "7000-7009:7000-7009");
    await echo(host, 9000);
    await echo(host, 9100, "udp");
    const [state, then] = [await daemon.state(), await rules()];
    for (const [spec, message] of [
      ["8080:80", "Bind for 0.0.0.0:8080 failed: port is already allocated"],
      ["127.0.0.1:8080:81", "Bind for 127.0.0.1:8080 failed: port is already allocated"],
      ["[::1]:8080:81", "Bind for [::1]:8080 failed: port is already allocated"],
      ["7009:80", "Bind for 0.0.0.0:7009 failed: port is already allocated"],
      ["9000:80", "failed to bind host port 0.0.0.0:9000/tcp: address already in use"],
      ["8990-9010:8990-9010", "failed to bind host port 0.0.0.0:9000/tcp: address already in use"],
      ["9100:80/udp", "failed to bind host port 0.0.0.0:9100/udp: address already in use"],
      ["9050-9150:9050-9150/udp", "failed to bind host port 0.0.0.0:9100/udp: address already in use"],
      ["198.51.100.9:8000:80", "cannot assign requested address"],
      ["8000-8010:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8010"],
    ] as const) {
      const refused = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "6000:60", "-p", spec, "b"]);
      expect(refused.stderr, spec).toContain(message);
    }
    expect(await daemon.state()).toBe(state);
    expect(await rules()).toBe(then);
    // Neither is a port kept by a daemon that refused it, nor free while it is published.
    await echo(host, 6000);
    const taken = await host.execute(["python3", "-c", "import socket; socket.create_server(('', 8080))"]);
    expect(taken.stderr).toContain("Address already in use");
  });

  it("publishes what is exposed with -P, and lists what is not", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await create("a", "--network", "web", "-P", "--expose", "80", "--expose", "53/udp", "-p", "8080:80");
    const ports = await daemon.must("port", "a");
    expect(ports).toMatch(/^80\/tcp -> 0\.0\.0\.0:8080\n80\/tcp -> \[::\]:8080\n53\/udp -> 0\.0\.0\.0:\d+\n53\/udp -> \[::\]:\d+$/);
    await create("b", "--network", "web", "--expose", "80");
    const [shown] = JSON.parse(await daemon.must("sandbox", "inspect", "b"));
    expect(shown.NetworkSettings.Ports).toEqual({ "80/tcp": null });
    const none = await daemon.cli(["port", "b", "80"]);
    expect(none.stderr).toContain("no public port '80/tcp' published for b");
  });

  it("opens published ports of a routed network at its own addresses, and no others", async () => {
    const routed = ["4", "6"].flatMap((n) => ["-o", `com.docker.network.bridge.gateway_mode_ipv${n}=routed`]);
    await daemon.must("network", "create", ...dual(1), ...routed, "web");
    await create("a", "--network", "web,ip=10.80.1.9,ip6=fd00:80:1::9", "-p", "80");
    const a = await daemon.enter("a");
    await echo(a, 80);
    await echo(a, 81);
    await outside.ip(`route add 10.80.0.0/16 via ${HOST4}\nroute add fd00:80::/32 via ${HOST6}`);
    expect(await ask(outside, "10.80.1.9", 80)).toBe(OUTSIDE4);
    expect(await ask(outside, "fd00:80:1::9", 80)).toBe(OUTSIDE6);
    expect(await ask(outside, "10.80.1.9", 81)).toBe("");
  });
});

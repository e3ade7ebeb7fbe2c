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

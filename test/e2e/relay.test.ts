// Published ports of sandboxes that have IPv4 only, asked for by IPv6, on the real kernel: the daemon relays.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Daemon, eventually } from "../support/daemon.ts";
import type { Host, Lab } from "../support/hosts.ts";
import { ask, askBriefly, dual, echo, HOST4, HOST6, OUTSIDE4, PYTHON, useRoutedHost } from "../support/routed-host.ts";

const routed = useRoutedHost("file");
let lab: Lab;
let host: Host;
let outside: Host;
let daemon: Daemon;

const GATEWAY = "10.80.1.1";
const create = (name: string, ...flags: string[]): Promise<string> => daemon.must("sandbox", "create", "--network", "web", ...flags, name);

beforeEach(async () => {
  ({ lab, host, outside, daemon } = routed);
  await daemon.must("network", "create", "--subnet", "10.80.1.0/24", "web");
});
afterEach(() => routed.daemon.law());

/** Sends bytes, says that these were all, and answers what comes then: needs each end passed on by itself. */
async function halfClosed(from: Host, address: string, port: number, bytes: number): Promise<string> {
  const program = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.sendall(b"x" * int(sys.argv[3])); s.shutdown(socket.SHUT_WR)
print(b"".join(iter(lambda: s.recv(65536), b"")).decode())`;
  return (await from.must([...PYTHON, program, address, String(port), String(bytes)])).trim();
}

describe("IPv6 to a sandbox with IPv4 only", () => {
  it("is relayed, by TCP and UDP, from outside and the host itself, each port of a range", async () => {
    await create("a", "-p", "8080:80", "-p", "8080:80/udp", "-p", "9000-9002:90-92", "-p", "[::1]:8081:80");
    const a = await daemon.enter("a");
    await echo(lab, a, [80, 90, 91, 92]);
    await echo(lab, a, 80, "udp");
    for (const kind of ["tcp", "udp"] as const) {
      expect(await ask(host, "::1", 8080, kind)).toBe(GATEWAY);
      expect(await ask(outside, HOST6, 8080, kind)).toBe(GATEWAY);
      // IPv4 is led by rules as ever: the client's own address.
      expect(await ask(outside, HOST4, 8080, kind)).toBe(OUTSIDE4);
    }
    expect(await ask(outside, HOST6, 9002)).toBe(GATEWAY);
    expect(await ask(host, "::1", 8081)).toBe(GATEWAY);
    expect(await askBriefly(outside, HOST6, 8081)).toBe("");
    expect(await daemon.must("port", "a", "80")).toBe("0.0.0.0:8080\n[::]:8080\n[::1]:8081");
    expect(await daemon.must("port", "a", "92")).toBe("0.0.0.0:9002\n[::]:9002");
    const server = `
import socket
s = socket.create_server(("", 99)); print("listening", flush=True)
while True:
    c, _ = s.accept(); n = sum(map(len, iter(lambda: c.recv(65536), b""))); c.sendall(str(n).encode()); c.close()`;
    await lab.background(a, [...PYTHON, server]).until(/listening/);
    await daemon.must("sandbox", "update", "--publish-add", "8099:99", "a");
    expect(await halfClosed(outside, HOST6, 8099, 3_000_000)).toBe("3000000");
  });

  it("follows the sandbox's ports and networks, kill -9, and ends with it", async () => {
    await create("a", "-p", "8080:80");
    const a = await daemon.enter("a");
    await echo(lab, a, [80, 81]);
    await daemon.must("sandbox", "update", "--publish-add", "8081:81", "--publish-rm", "8080:80", "a");
    expect([await ask(outside, HOST6, 8081), await askBriefly(outside, HOST6, 8080)]).toEqual([GATEWAY, ""]);
    await daemon.kill9();
    await daemon.start();
    expect(await ask(outside, HOST6, 8081)).toBe(GATEWAY);
    // With IPv6 of its own it is reached by rules, and seen from outside as it is.
    await daemon.must("network", "create", ...dual(2), "both");
    await daemon.must("network", "connect", "--gw-priority", "1", "both", "a");
    expect(await ask(outside, HOST6, 8081)).toBe("2001:db8::2");
    await daemon.must("network", "disconnect", "both", "a");
    expect(await ask(outside, HOST6, 8081)).toBe(GATEWAY);
    // A connection that stands ends with the port.
    const idle = `
import socket
s = socket.create_connection(("${HOST6}", 8082)); s.recv(1); print("open", flush=True)
try: print("end" if not s.recv(1) else "", flush=True)
except ConnectionResetError: print("reset", flush=True)`;
    await daemon.must("sandbox", "update", "--publish-add", "8082:82", "a");
    const talker = `
import socket, time
s = socket.create_server(("", 82)); print("listening", flush=True)
c, _ = s.accept(); c.send(b"x"); time.sleep(60)`;
    await lab.background(a, [...PYTHON, talker]).until(/listening/);
    const client = lab.background(outside, [...PYTHON, idle]);
    await client.until(/open/);
    await daemon.must("sandbox", "rm", "-f", "a");
    await client.until(/reset/);
    // All is let go: a program may have the ports.
    for (const port of [8081, 8082]) await echo(lab, host, port);
  });

  it("answers UDP by the address that was asked, and serves others while megabytes pass", async () => {
    await create("a", "-p", "8080:80/udp", "-p", "8080:80");
    const a = await daemon.enter("a");
    await echo(lab, a, 80, "udp");
    // A second address that the kernel would rather answer by, one of another subnet, and the link's own.
    await host.ip("addr add 2001:db8::7/64 dev eth0 nodad\naddr add fd00:5::1/128 dev eth0 nodad");
    await outside.ip(`route replace fd00:5::1/128 via ${HOST6}`);
    const link = /inet6 (fe80::\S+)\//.exec(await host.must(["ip", "-6", "addr", "show", "dev", "eth0", "scope", "link"]))![1]!;
    // By a connected socket, which hears answers of whom it asks and of nobody else.
    for (const address of [HOST6, "2001:db8::7", "fd00:5::1", `${link}%eth0`]) {
      expect([address, await ask(outside, address, 8080, "udp")]).toEqual([address, GATEWAY]);
    }
    await host.ip("addr del 2001:db8::7/64 dev eth0\naddr del fd00:5::1/128 dev eth0");

    const source = `
import socket
s = socket.create_server(("", 80)); print("listening", flush=True)
c, _ = s.accept(); block = bytes(1 << 20); n = 0
try:
    while n < 1 << 12: c.sendall(block); n += 1
except OSError: pass`;
    await lab.background(a, [...PYTHON, source]).until(/listening/);
    const sink = `
import socket
s = socket.create_connection(("${HOST6}", 8080)); n = 0
while n < 64 << 20: n += len(s.recv(1 << 20))
print("much", flush=True)
while s.recv(1 << 20): pass`;
    const client = lab.background(outside, [...PYTHON, sink]);
    await client.until(/much/);
    await daemon.must("sandbox", "ls");
    // The thread that carries them is not the one that serves.
    const threads = await host.must([
      "sh",
      "-c",
      `for t in /proc/${daemon.pid}/task/*; do echo $(cat $t/comm) $(cut -d' ' -f14,15 $t/stat); done`,
    ]);
    const [, user, system] = /^weft-relay (\d+) (\d+)$/m.exec(threads)!;
    expect(Number(user) + Number(system)).toBeGreaterThan(0);
    await daemon.must("sandbox", "rm", "-f", "a");
    await client.ended;
  });

  it("is refused where a program has the port, and not done for long ranges", async () => {
    const program = `
import socket, time
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1); s.bind(("::", 8090)); s.listen()
print("listening", flush=True); time.sleep(60)`;
    await lab.background(host, [...PYTHON, program]).until(/listening/);
    const refused = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "8090:80", "a"]);
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("failed to bind host port [::]:8090/tcp: address already in use"),
    });
    const before = daemon.openFds();
    const created = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "10000-10999:10000-10999", "b"]);
    expect(created).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^weft: warning: \[::\]:10000-10999\/tcp is not published: .*\n$/),
    });
    const [{ Warnings }] = await daemon.json("sandbox", "inspect", "b");
    expect(created.stderr).toBe(`weft: warning: ${Warnings[0]}\n`);
    expect(await daemon.must("port", "b", "10999")).toBe("0.0.0.0:10999");
    expect(daemon.openFds()).toBeLessThan(before + 20);
    const long = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "[::1]:10000-10999:10000-10999", "c"]);
    expect(long).toMatchObject({ code: 1, stderr: expect.stringContaining("at most 256 ports of one -p") });
    await eventually("nothing of it is left", async () => !(await daemon.must("sandbox", "ls")).includes(" c "));
  });
});

// Ports of a running sandbox change under live connections.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Daemon } from "../support/daemon.ts";
import type { Background, Host, Lab } from "../support/hosts.ts";
import { ask, askBriefly, dual, echo, HOST4, HOST6, OUTSIDE4, OUTSIDE6, routedHost } from "../support/routed-host.ts";

let lab: Lab;
let host: Host;
let outside: Host;
let daemon: Daemon;

beforeEach(async () => {
  ({ lab, host, outside, daemon } = await routedHost());
  await daemon.must("network", "create", ...dual(1), "web");
});

afterEach(async () => {
  await lab.dispose();
});

/** Sends lines back, for as long as the client stays. */
async function parrot(where: Host, port: number): Promise<void> {
  const program = `
import socketserver, socket
class H(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile: self.wfile.write(line)
class S(socketserver.ThreadingTCPServer): address_family = socket.AF_INET6; daemon_threads = True
S(("::", ${port}), H).serve_forever()`;
  lab.background(where, ["python3", "-c", program]);
  await where.must(["sh", "-c", `until ss -Hltn "sport = ${port}" | grep -q .; do sleep 0.02; done`]);
}

/** A connection that speaks every 20 ms: writes "answered N" for each answer in a row, and how it ended. */
function conversation(address: string, port: number): Background {
  const program = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2); s.settimeout(2)
n = 0
try:
    while True:
        s.sendall(b"x\\n")
        if not s.recv(9): break
        n += 1; print("answered", n, flush=True); time.sleep(0.02)
except OSError as error: print("ended", type(error).__name__, flush=True)`;
  return lab.background(outside, ["python3", "-c", program, address, String(port)]);
}

describe("weft sandbox update", () => {
  it("publishes and unpublishes beside connections that go on", async () => {
    await daemon.must("sandbox", "create", "--network", "web", "-p", "8080:80", "-p", "9000-9009:9000-9009/udp", "a");
    const a = await daemon.enter("a");
    await parrot(a, 80);
    await echo(lab, a, [81, 82]);
    await echo(lab, a, [9001, 9005], "udp");
    const talks = [conversation(HOST4, 8080), conversation(HOST6, 8080)];
    for (const talk of talks) await talk.until(/answered 3\b/);
    expect(await daemon.must("sandbox", "update", "--publish-add", "8081:81", "--publish-add", "9100-9109:80-89", "a")).toBe("a");
    for (const [address, client] of [
      [HOST4, OUTSIDE4],
      [HOST6, OUTSIDE6],
    ] as const) {
      expect(await ask(outside, address, 8081)).toBe(client);
      expect(await ask(outside, address, 9102)).toBe(client);
      expect(await ask(outside, address, 9005, "udp")).toBe(client);
    }
    expect(await ask(host, "::1", 8081)).toBe("fd00:80:1::1");
    await daemon.must("sandbox", "update", "--publish-rm", "81", "--publish-rm", "9005/udp", "--publish-rm", "9100-9109:80-89", "a");
    expect(await askBriefly(outside, HOST4, 8081)).toBe("");
    expect(await askBriefly(outside, HOST6, 9005, "udp")).toBe("");
    expect(await ask(outside, HOST4, 9001, "udp")).toBe(OUTSIDE4);
    expect(await daemon.must("port", "a", "80")).toBe("0.0.0.0:8080\n[::]:8080");
    for (const talk of talks) {
      const answered = talk.stdout.match(/answered/g)!.length;
      await talk.until(new RegExp(`answered ${answered + 3}\\b`));
      expect(talk.stdout).not.toContain("ended");
    }
    // Its own port goes, and in the same breath another of the sandbox takes the host's.
    await daemon.must("sandbox", "update", "--publish-rm", "80", "--publish-add", "8080:82", "a");
    for (const talk of talks) await talk.until(/ended/);
    expect(await ask(outside, HOST4, 8080)).toBe(OUTSIDE4);
    const refused = await daemon.cli(["sandbox", "update", "--publish-add", "8090:80", "--publish-add", "8080:80", "a"]);
    expect(refused.stderr).toContain("Bind for 0.0.0.0:8080 failed: port is already allocated");
    expect(await askBriefly(outside, HOST4, 8090)).toBe("");
  });
});

// Connections that the host tracks end with what they were translated by, whatever keeps sending. /proc/net/nf_conntrack is the
// kernel's own word on what is left.
import { beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../support/daemon.ts";
import type { Background } from "../support/hosts.ts";
import { ask, askBriefly, dual, echo, HOST4, HOST6, OUTSIDE4, OUTSIDE6, useRoutedHost } from "../support/routed-host.ts";

const routed = useRoutedHost("test");
beforeEach(async () => {
  await routed.daemon.must("network", "create", ...dual(1), "web");
});

/** Sends a datagram every 10 ms from one port for ever, and writes each answer that differs from the one before. */
function restless(address: string, port: number): Background {
  const program = `
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM); s.bind(("", 5000)); s.settimeout(0.01)
last = None
while True:
    try: s.sendto(b"x", (sys.argv[1], int(sys.argv[2])))
    except OSError: pass
    try: answer = s.recv(99).decode()
    except OSError: continue
    if answer != last: last = answer; print(answer, flush=True)
    time.sleep(0.01)`;
  return routed.lab.background(routed.outside, ["python3", "-c", program, address, String(port)]);
}

const create = (name: string, ...flags: string[]): Promise<string> =>
  routed.daemon.must("sandbox", "create", "--network", "web,ip=10.80.1.9,ip6=fd00:80:1::9", ...flags, name);
/** Entries that know a sandbox's address or a published port. */
const tracked = async (): Promise<string[]> =>
  (await routed.host.must(["cat", "/proc/net/nf_conntrack"])).split("\n").filter((line) => /10\.80\.|fd00:0080|dport=8080/.test(line));

describe("tracked connections", () => {
  it.each([
    ["IPv4", HOST4, "10.80.1.9"],
    ["IPv6", HOST6, "fd00:80:1::9"],
  ])("a client that never rests reaches the sandbox that took the place of another (%s)", async (_family, address) => {
    const { lab, host, daemon } = routed;
    await create("a", "-p", "8080:80/udp");
    const first = await echo(lab, await daemon.enter("a"), 80, "udp", "first");
    const client = restless(address, 8080);
    await client.until(/first/);
    await daemon.must("sandbox", "rm", "a");
    await first.end("SIGKILL");
    // The host itself is asked now, and that is tracked too.
    await eventually("the client reached the host", async () => (await host.must(["cat", "/proc/net/nf_conntrack"])).includes("UNREPLIED"));
    await daemon.must("sandbox", "create", "--network", "web", "-p", "8080:80/udp", "b");
    await echo(lab, await daemon.enter("b"), 80, "udp", "second");
    await client.until(/second/);
    await daemon.must("sandbox", "rm", "b");
    await client.end("SIGKILL");
    await daemon.must("network", "rm", "web");
    expect((await tracked()).filter((line) => /10\.80\.|fd00:0080/.test(line))).toEqual([]);
  });

  it("end with sandboxes, networks and ports, and live on where nothing changed", async () => {
    const { lab, host, outside, daemon } = routed;
    await create("a", "-p", "8080:80", "-p", "8080:80/udp");
    await daemon.must("sandbox", "create", "--network", "web", "-p", "8081:80/udp", "b");
    const [a, b] = await daemon.enterAll("a", "b");
    await echo(lab, a!, 80);
    await echo(lab, a!, 80, "udp");
    await echo(lab, b!, 80, "udp", "other");
    await echo(lab, outside, 7000);
    await echo(lab, outside, 7000, "udp");
    for (const kind of ["tcp", "udp"] as const) {
      for (const address of [HOST4, HOST6]) expect(await ask(outside, address, 8080, kind)).not.toBe("");
      for (const address of ["127.0.0.1", "::1"]) expect(await ask(host, address, 8080, kind)).not.toBe("");
      for (const address of [OUTSIDE4, OUTSIDE6]) expect(await ask(a!, address, 7000, kind)).not.toBe("");
      expect(await ask(host, OUTSIDE4, 7000, kind)).toBe(HOST4);
    }
    expect(await ask(outside, HOST4, 8081, "udp")).toBe("other");
    const mine = async (): Promise<string[]> =>
      (await tracked()).filter((line) => /10\.80\.1\.9|fd00:0080:0001:.*0009|dport=8080/.test(line));
    expect((await mine()).length).toBeGreaterThan(10);
    await daemon.must("sandbox", "rm", "a");
    expect(await mine()).toEqual([]);
    const rest = await host.must(["cat", "/proc/net/nf_conntrack"]);
    expect(rest).toContain("dport=8081");
    expect(rest).toMatch(/src=192\.0\.2\.1 dst=192\.0\.2\.2 .*dport=7000/);
    await daemon.must("sandbox", "rm", "b");
    await daemon.must("network", "rm", "web");
    expect(await tracked()).toEqual([]);
  });

  it("of a daemon that died before it could end them end at the next start", async () => {
    const { lab, host, outside, daemon } = routed;
    await create("a", "-p", "8080:80/udp");
    await echo(lab, await daemon.enter("a"), 80, "udp", "first");
    const client = restless(HOST4, 8080);
    await client.until(/first/);
    await daemon.kill9();
    // As if the rules had led to one that is gone.
    const stale = "udp dport 9999 dnat ip to 10.80.1.77:80";
    await host.must(["nft", `add table ip old; add chain ip old c { type nat hook prerouting priority -99; }; add rule ip old c ${stale}`]);
    expect(await askBriefly(outside, HOST4, 9999, "udp")).toBe("");
    expect((await tracked()).some((line) => line.includes("dport=9999"))).toBe(true);
    await host.must(["nft", "delete table ip old"]);
    const kept = (await tracked()).filter((line) => line.includes("dport=8080")).length;
    await daemon.start();
    const now = await tracked();
    expect(now.filter((line) => line.includes("dport=9999"))).toEqual([]);
    expect(now.filter((line) => line.includes("dport=8080")).length).toBe(kept);
    await client.end("SIGKILL");
  });
});

// The host as a router for bridge networks, on the real kernel: sandboxes that reach out, and who is kept apart from whom.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Host } from "../support/hosts.ts";
import { ask, askBriefly, dual, echo, HOST4, HOST6, OUTSIDE4, OUTSIDE6, useRoutedHost } from "../support/routed-host.ts";

const routed = useRoutedHost("file");

const forwarding = (): Promise<string> =>
  routed.host.must(["sh", "-c", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"]);

describe("egress", () => {
  it("has the host's address outside, for IPv4 and IPv6, and answers come back", async () => {
    const { lab, outside, daemon } = routed;
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("sandbox", "create", "--network", "web", "a");
    const a = await daemon.enter("a");
    await echo(lab, outside, 7000);
    expect(await ask(a, OUTSIDE4, 7000)).toBe(HOST4);
    expect(await ask(a, OUTSIDE6, 7000)).toBe(HOST6);
    expect(await a.ping(OUTSIDE4)).toBe(3);
    expect(await a.ping(OUTSIDE6)).toBe(3);
  });

  it("keeps the sandbox's address without masquerade, and takes the one it is told", async () => {
    const { lab, host, outside, daemon } = routed;
    await daemon.must("network", "create", "--subnet", "10.80.1.0/24", "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "raw");
    await host.ip("address add 192.0.2.77/24 dev eth0");
    await daemon.must("network", "create", "--subnet", "10.80.2.0/24", "-o", "com.docker.network.host_ipv4=192.0.2.77", "fixed");
    await daemon.must("sandbox", "create", "--network", "raw,ip=10.80.1.9", "a");
    await daemon.must("sandbox", "create", "--network", "fixed", "b");
    const [a, b] = await daemon.enterAll("a", "b");
    await outside.ip(`route add 10.80.1.0/24 via ${HOST4}`);
    await echo(lab, outside, 7000);
    expect(await ask(a!, OUTSIDE4, 7000)).toBe("10.80.1.9");
    expect(await ask(b!, OUTSIDE4, 7000)).toBe("192.0.2.77");
  });

  it("keeps networks apart, internal ones whole, and the outside out", async () => {
    const { lab, host, outside, daemon } = routed;
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
    await outside.ip(`route replace 10.80.0.0/16 via ${HOST4}\nroute replace fd00:80::/32 via ${HOST6}`);
    const one = ["-i", "0.01", "-W", "1"];
    await c!.ip("route add default via 10.80.3.1");
    // By way of the gateway, which is a neighbour on the wire.
    await d!.ip("route replace 10.80.4.9/32 via 10.80.4.1");
    expect(await host.ping("10.80.1.9", one, 1)).toBe(1);
    expect(await b!.ping(OUTSIDE4, one, 1)).toBe(1);
    expect(await c!.ping("10.80.3.1", one, 1)).toBe(1);
    // Nothing comes of these, which takes two seconds each to tell: so all at once.
    const unheard: [Host, string][] = [
      [a!, "10.80.2.9"],
      [a!, "fd00:80:2::9"],
      [outside, "10.80.1.9"],
      [outside, "fd00:80:1::9"],
      [c!, OUTSIDE4],
      [d!, "10.80.4.9"],
    ];
    expect(await Promise.all(unheard.map(([from, address]) => from.ping(address, one, 1)))).toEqual(unheard.map(() => 0));
    // The host's loopback is not theirs.
    await echo(lab, host, 9000);
    await a!.ip("route replace 127.0.0.1/32 via 10.80.1.1 table local\nlink set lo down");
    expect(await askBriefly(a!, "127.0.0.1", 9000)).toBe("");
  });

  it("leaves the host as it found it, and repairs what others undo", async () => {
    const { host, daemon, before, rules } = routed;
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
    // What has changed goes to the kernel, and all of it where the table turns out to be another.
    await host.must(["nft", "delete", "table", "inet", "weft"]);
    await daemon.must("network", "create", ...dual(3), "more");
    await daemon.must("network", "rm", "more");
    expect(await rules()).toBe(rulesOfTwo);
    await daemon.must("network", "rm", "web");
    expect(await rules()).not.toBe(before);
    await daemon.must("network", "rm", "db");
    expect(await rules()).toBe(before);
    expect(await forwarding()).toBe("0\n0\n");
  });

  it("forwards nothing that was not forwarded before", async () => {
    const { lab, host, outside, daemon } = routed;
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

  it("leaves what somebody else switched on at a boot", async () => {
    const { host, daemon, rules } = routed;
    const off = ["sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding"];
    await host.must(off);
    await daemon.must("network", "create", ...dual(1), "web");
    expect(await rules()).toContain("meta nfproto ipv4 drop");
    await daemon.kill9();
    // What a boot leaves of us is the file, here as of another one; both switches are on by the administrator's configuration.
    const file = join(daemon.stateDir, "forwarding.json");
    const text = readFileSync(file, "utf8");
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    writeFileSync(file, text.replace(boot, "another boot"));
    await daemon.start();
    expect(await rules()).not.toMatch(/meta nfproto ipv[46] drop/);
    await daemon.must("network", "rm", "web");
    expect(await forwarding()).toBe("1\n1\n");
    await host.must(off);
  });
});

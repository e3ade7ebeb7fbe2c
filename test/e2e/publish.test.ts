// Published ports on the real kernel, from everywhere they can be asked for.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Daemon } from "../support/daemon.ts";
import type { Host, Lab } from "../support/hosts.ts";
import { ask, askBriefly, dual, echo, HOST4, HOST6, OUTSIDE4, OUTSIDE6, routedHost } from "../support/routed-host.ts";

let lab: Lab;
let host: Host;
let outside: Host;
let daemon: Daemon;
let before: string;
let rules: () => Promise<string>;

beforeEach(async () => {
  ({ lab, host, outside, daemon, before, rules } = await routedHost());
});

afterEach(async () => {
  await lab.dispose();
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
    await echo(lab, a!, 80);
    await echo(lab, a!, 80, "udp");
    for (const kind of ["tcp", "udp"] as const) {
      // The client's own address is what the sandbox sees.
      expect(await ask(outside, HOST4, 8080, kind)).toBe(OUTSIDE4);
      expect(await ask(outside, HOST6, 8080, kind)).toBe(OUTSIDE6);
      expect(await ask(host, HOST4, 8080, kind)).toBe(HOST4);
      expect(await ask(host, HOST6, 8080, kind)).not.toBe("");
      expect(await ask(host, "127.0.0.1", 8080, kind)).toBe("10.80.1.1");
      expect(await ask(host, "::1", 8080, kind)).toBe("fd00:80:1::1");
      expect(await ask(b!, HOST4, 8080, kind)).toBe("10.80.1.1");
      expect(await ask(b!, HOST6, 8080, kind)).toBe("fd00:80:1::1");
      expect(await ask(b!, "10.80.1.1", 8080, kind)).not.toBe("");
      expect(await ask(a!, HOST4, 8080, kind)).not.toBe("");
      expect(await ask(a!, HOST6, 8080, kind)).not.toBe("");
      expect(await ask(c!, HOST4, 8080, kind)).toMatch(/^10\.80\.2\./);
      expect(await ask(c!, HOST6, 8080, kind)).toMatch(/^fd00:80:2::/);
    }
    expect(await askBriefly(outside, HOST4, 80)).toBe("");
    expect(await daemon.must("port", "a", "80")).toBe("0.0.0.0:8080\n[::]:8080");
    expect(await daemon.must("sandbox", "ls")).toContain("0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 0.0.0.0:8080->80/udp");
    await daemon.must("sandbox", "rm", "a");
    expect(await askBriefly(outside, HOST4, 8080)).toBe("");
    await daemon.must("sandbox", "rm", "b", "c");
    await daemon.must("network", "rm", "web", "db");
    expect(await rules()).toBe(before);
  });

  it("binds to an address, follows the sandbox, and survives kill -9", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("network", "create", ...dual(2), "db");
    await create("a", "--network", "web", "-p", "127.0.0.1:8081:80", "-p", `${HOST4}:8082:80`, "-p", `[${HOST6}]:8083:80`, "-p", "80");
    const a = await daemon.enter("a");
    await echo(lab, a, 80);
    expect(await ask(host, "127.0.0.1", 8081)).toBe("10.80.1.1");
    expect(await askBriefly(outside, HOST4, 8081)).toBe("");
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
    await daemon.must("network", "create", ...dual(2), "db");
    await create("d", "--network", "db", "-p", "9200:80");
    await echo(lab, await daemon.enter("d"), 80);
    await create("a", "--network", "web", "-p", "10000-19999:10000-19999/udp", "-p", "9000-9002:80-82", "-p", "9100-9101:80");
    const a = await daemon.enter("a");
    await echo(lab, a, 19999, "udp");
    await echo(lab, a, 82);
    expect(await ask(outside, HOST4, 19999, "udp")).toBe(OUTSIDE4);
    expect(await ask(outside, HOST6, 19999, "udp")).toBe(OUTSIDE6);
    expect(await ask(outside, HOST4, 9002)).toBe(OUTSIDE4);
    for (const [loopback, gateway] of [
      ["127.0.0.1", "10.80.1.1"],
      ["::1", "fd00:80:1::1"],
    ] as const) {
      expect(await ask(host, loopback, 19999, "udp")).toBe(gateway);
      expect(await ask(host, loopback, 9002)).toBe(gateway);
      // Networks side by side don't take each other's answers.
      expect(await ask(host, loopback, 9200)).toMatch(/^(10\.80\.2\.1|fd00:80:2::1)$/);
    }
    expect((await rules()).length).toBeLessThan(8000);
    expect(daemon.openFds()).toBeLessThan(200);
    await create("b", "--network", "web", "-p", "9100-9101:80");
    expect(await daemon.must("port", "b", "80")).toBe("0.0.0.0:9101\n[::]:9101");
    const full = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "9100-9101:80", "c"]);
    expect(full.stderr).toContain("all ports are allocated");
  });

  it("refuses what is taken, and then nothing has changed", async () => {
    await daemon.must("network", "create", ...dual(1), "web");
    await create("a", "--network", "web", "-p", "8080:80", "-p", "7000-7009:7000-7009");
    await echo(lab, host, 9000);
    await echo(lab, host, 9100, "udp");
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
    await echo(lab, host, 6000);
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
    expect(none.stderr).toContain("No public port '80' published for b");
  });

  it("opens published ports of a routed network at its own addresses, and no others", async () => {
    const routed = ["4", "6"].flatMap((n) => ["-o", `com.docker.network.bridge.gateway_mode_ipv${n}=routed`]);
    await daemon.must("network", "create", ...dual(1), ...routed, "web");
    await create("a", "--network", "web,ip=10.80.1.9,ip6=fd00:80:1::9", "-p", "80");
    const a = await daemon.enter("a");
    await echo(lab, a, 80);
    await echo(lab, a, 81);
    await outside.ip(`route add 10.80.0.0/16 via ${HOST4}\nroute add fd00:80::/32 via ${HOST6}`);
    expect(await ask(outside, "10.80.1.9", 80)).toBe(OUTSIDE4);
    expect(await ask(outside, "fd00:80:1::9", 80)).toBe(OUTSIDE6);
    expect(await askBriefly(outside, "10.80.1.9", 81)).toBe("");
  });
});

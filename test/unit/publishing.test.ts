// Which ports a sandbox gets and what the host is told, on twins. The same on the real kernel: test/e2e/publish.test.ts.
import { beforeEach, describe, expect, it } from "vitest";
import { parseExposed, parsePortSpec } from "../../src/net/port-spec.ts";
import { type Bench, startController } from "../support/controller.ts";
import { MemoryNat } from "../support/memory-nat.ts";

let bench: Bench;
let nat: MemoryNat;

const ALL = "com.docker.network.bridge";
const specs = (...texts: string[]) => ({ publish: texts.map(parsePortSpec) });

async function web(options: Record<string, string> = {}, name = "web", n = 1): Promise<void> {
  const ipam = [{ subnet: `10.${n}.0.0/24` }, { subnet: `fd00:${n}::/64` }];
  await bench.controller.createNetwork({ name, ipam, options });
}

const create = (name: string, request: object, network = "web") =>
  bench.controller.createSandbox({ name, networks: [{ network }], ...request });

beforeEach(async () => {
  nat = new MemoryNat();
  bench = await startController({ options: { nat } });
});

describe("ports of a sandbox", () => {
  it("are given as asked, for both families", async () => {
    await web();
    await create("a", specs("8080:80", "127.0.0.1:9000-9001:90-91/udp", "[::1]:70:70"));
    expect(nat.published).toEqual([
      "tcp 0.0.0.0:8080+1 -> 10.1.0.2:80",
      "udp 127.0.0.1:9000+2 -> 10.1.0.2:90",
      "tcp :::8080+1 -> fd00:1::2:80",
      "tcp ::1:70+1 -> fd00:1::2:70",
    ]);
  });

  it("are free ones where none is named, past what programs and sandboxes have", async () => {
    await web();
    nat.programs.add("tcp 40000");
    await create("a", specs("80", "90"));
    await create("b", { expose: [parseExposed("80"), parseExposed("53/udp")], publishAll: true, ...specs("8080-8082:80") });
    await create("c", specs("8080-8082:80"));
    const ports = (name: string) => bench.controller.inspectSandbox(name).sandbox.ports.map(({ hostPort, port }) => `${hostPort}:${port}`);
    expect(ports("a")).toEqual(["40001:80", "40002:90"]);
    expect(ports("b")).toEqual(["8080:80", "40000:53"]);
    expect(ports("c")).toEqual(["8081:80"]);
    await expect(create("d", specs("80"))).rejects.toThrow("all ports are allocated");
  });

  it.each([
    ["8080:80", "Bind for 0.0.0.0:8080 failed: port is already allocated"],
    ["8070-8080:70-80", "Bind for 0.0.0.0:8080 failed: port is already allocated"],
    ["10.0.0.9:8080:80", "Bind for 10.0.0.9:8080 failed: port is already allocated"],
    ["[::1]:8080:80", "Bind for [::1]:8080 failed: port is already allocated"],
    ["9000:80", "failed to bind host port 0.0.0.0:9000/tcp"],
  ])("%s is refused where it is taken: %s", async (spec, message) => {
    await web();
    nat.programs.add("tcp 9000");
    await create("a", specs("8080:80"));
    const before = JSON.stringify([await bench.store.list("sandbox/"), await bench.store.list("endpoint/"), nat.plan]);
    await expect(create("b", specs("7000:70", spec))).rejects.toThrow(message);
    expect(JSON.stringify([await bench.store.list("sandbox/"), await bench.store.list("endpoint/"), nat.plan])).toBe(before);
  });

  it("don't clash across addresses, protocols and families", async () => {
    await web();
    await create("a", specs("127.0.0.1:8080:80"));
    await create("b", specs("127.0.0.2:8080:80", "8080:80/udp", "[::1]:8080:80"));
    expect(nat.published).toHaveLength(5);
  });

  it("follow host_binding_ipv4 and the default route", async () => {
    await web({ [`${ALL}.host_binding_ipv4`]: "192.0.2.7" });
    await web({}, "apart", 2);
    await create("a", specs("8080:80"));
    expect(nat.published).toEqual(["tcp 192.0.2.7:8080+1 -> 10.1.0.2:80"]);
    await bench.controller.connect("a", { network: "apart" });
    expect(nat.published).toEqual(["tcp 192.0.2.7:8080+1 -> 10.2.0.2:80"]);
    await bench.controller.disconnect("a", "apart", false);
    await bench.controller.disconnect("a", "web", false);
    expect(nat.published).toEqual([]);
    await expect(create("b", specs("192.0.2.7:8080:80"))).rejects.toThrow("already allocated");
  });

  it("are relayed by IPv6 where the sandbox has IPv4 only", async () => {
    await bench.controller.createNetwork({ name: "old", ipam: [{ subnet: "10.5.0.0/24" }] });
    await create("a", specs("8080:80", "[::1]:81:81/udp", "127.0.0.1:82:82", "9000-9255:9000-9255", "300-600:300-600"), "old");
    expect(nat.relayed).toEqual(["tcp :::8080+1 -> 10.5.0.2:80", "udp ::1:81+1 -> 10.5.0.2:81", "tcp :::9000+256 -> 10.5.0.2:9000"]);
    expect(nat.reserved.filter((one) => one.includes("::"))).toEqual(["tcp :: 8080", "udp ::1 81", "tcp :: 9000"]);
    const warnings = () => bench.controller.sandboxWarnings(bench.controller.inspectSandbox("a").sandbox);
    expect(warnings()).toEqual([expect.stringMatching(/^\[::\]:300-600\/tcp is not published: .* at most 256 ports of one -p/)]);
    for (const [spec, message] of [
      ["[::]:1000-1256:1000-1256", "at most 256 ports of one -p"],
      ["[::]:1000:1000/sctp", "only TCP and UDP are relayed"],
    ] as const) {
      await expect(create("b", specs(spec), "old")).rejects.toThrow(message);
    }
    nat.programs.add("tcp 8090");
    await expect(create("b", specs("8090:80"), "old")).rejects.toThrow("8090");
    // With a network that has IPv6 it is reached by that, and back again.
    await web();
    await bench.controller.connect("a", { network: "web", gwPriority: 1 });
    expect(nat.relayed).toEqual([]);
    expect(nat.published).toContain("tcp :::8080+1 -> fd00:1::2:80");
    expect(warnings()).toEqual([]);
    await bench.controller.disconnect("a", "web", false);
    expect(nat.relayed).toHaveLength(3);
    expect(warnings()).toHaveLength(1);
    await bench.controller.removeSandbox("a", false);
    expect(nat.relayed).toEqual([]);
  });

  it("say that IPv4 clients don't come to a sandbox with IPv6 only", async () => {
    await bench.controller.createNetwork({ name: "new", enableIpv4: false, enableIpv6: true, ipam: [{ subnet: "fd00:5::/64" }] });
    await create("a", specs("8080:80", "127.0.0.1:8081:81", "[::1]:8082:82"), "new");
    const warnings = () => bench.controller.sandboxWarnings(bench.controller.inspectSandbox("a").sandbox);
    expect(nat.published).toEqual(["tcp :::8080+1 -> fd00:5::2:80", "tcp ::1:8082+1 -> fd00:5::2:82"]);
    expect(warnings()).toEqual([expect.stringMatching(/^127\.0\.0\.1:8081\/tcp is not published: the sandbox has no IPv4/)]);
    await web();
    await bench.controller.connect("a", { network: "web" });
    expect(warnings()).toEqual([]);
  });

  it("take none of the host's where the network is routed", async () => {
    const routed = { [`${ALL}.gateway_mode_ipv4`]: "routed", [`${ALL}.gateway_mode_ipv6`]: "routed" };
    await web(routed);
    await web({}, "other", 2);
    await web({ [`${ALL}.gateway_mode_ipv6`]: "routed" }, "mixed", 3);
    nat.programs.add("tcp 8080");
    await create("a", specs("8080:80", "90-91"));
    await create("b", specs("8080:80"));
    await expect(create("c", specs("8080:80"), "other")).rejects.toThrow("failed to bind host port 0.0.0.0:8080/tcp");
    await create("d", specs("8081:80"), "mixed");
    expect(
      nat.plan.publications.map(({ mode, target, targetPort, count, hostPort }) => `${mode} ${hostPort} ${target}:${targetPort}+${count}`),
    ).toEqual([
      "routed 0 10.1.0.2:80+1",
      "routed 0 10.1.0.2:90+2",
      "routed 0 fd00:1::2:80+1",
      "routed 0 fd00:1::2:90+2",
      "routed 0 10.1.0.3:80+1",
      "routed 0 fd00:1::3:80+1",
      "nat 8081 10.3.0.2:80+1",
      "routed 8081 fd00:3::2:80+1",
    ]);
    expect(nat.reserved).not.toContain("tcp :: 8081");
    // On a network that translates there is no port of the host for it.
    await bench.controller.connect("a", { network: "other", gwPriority: 9 });
    expect(nat.plan.publications.filter(({ target }) => /^(10.2|fd00:2)/.test(target))).toEqual([]);
  });

  it("are not for sandboxes without a stack of their own", async () => {
    await web();
    await create("a", {});
    const joined = bench.controller.createSandbox({ name: "b", networks: [{ network: "sandbox:a" }], ...specs("80:80") });
    await expect(joined).rejects.toThrow("conflicting options: port publishing and the container type network mode");
  });

  it("are discarded on the host's stack, and who gave -p is told so, as in Docker", async () => {
    await bench.controller.ensurePredefined();
    const onHost = (name: string, request: object) => bench.controller.createSandbox({ name, networks: [{ network: "host" }], ...request });
    const warning = "Published ports are discarded when using host network mode";
    expect(await onHost("a", specs("8080:80"))).toMatchObject({ sandbox: { ports: [] }, discarded: [warning] });
    expect(await onHost("b", specs("8080:80"))).toMatchObject({ discarded: [warning] });
    expect(await onHost("c", { publishAll: true, expose: [parseExposed("80")] })).toMatchObject({ sandbox: { ports: [] }, discarded: [] });
    expect([nat.published, bench.controller.inspectSandbox("a").discarded]).toEqual([[], undefined]);
    const update = bench.controller.updateSandbox("a", { publishAdd: [parsePortSpec("80:80")] });
    await expect(update).rejects.toThrow("no port can be published in host network mode");
  });

  it("leave with their sandbox", async () => {
    await web();
    await create("a", specs("8080:80"));
    await bench.controller.removeSandbox("a", false);
    expect(nat.published).toEqual([]);
    await create("b", specs("8080:80"));
  });
});

describe("a sandbox that is there", () => {
  const update = (name: string, add: string[], remove: string[] = []) =>
    bench.controller.updateSandbox(name, { publishAdd: add.map(parsePortSpec), publishRemove: remove.map(parsePortSpec) });
  const ports = (): string[] => nat.published.filter((line) => !line.includes("::"));

  it("gets more ports and less", async () => {
    await web();
    await create("a", specs("8080:80", "8080:80/udp", "9000-9009:90-99"));
    await update("a", ["8081:81", "82"], ["80"]);
    expect(ports()).toEqual([
      "udp 0.0.0.0:8080+1 -> 10.1.0.2:80",
      "tcp 0.0.0.0:9000+10 -> 10.1.0.2:90",
      "tcp 0.0.0.0:8081+1 -> 10.1.0.2:81",
      "tcp 0.0.0.0:40000+1 -> 10.1.0.2:82",
    ]);
    await update("a", [], ["92-93", "8081:81", "82", "80/udp"]);
    expect(ports()).toEqual(["tcp 0.0.0.0:9000+2 -> 10.1.0.2:90", "tcp 0.0.0.0:9004+6 -> 10.1.0.2:94"]);
    await update("a", ["9002:80"], ["90-99"]);
    expect(ports()).toEqual(["tcp 0.0.0.0:9002+1 -> 10.1.0.2:80"]);
    // The same port of the host, elsewhere.
    await update("a", ["127.0.0.1:9002:81"], ["9002:80"]);
    expect(ports()).toEqual(["tcp 127.0.0.1:9002+1 -> 10.1.0.2:81"]);
    expect(bench.controller.inspectSandbox("a").sandbox.ports).toHaveLength(1);
  });

  it.each([
    [["7000:70", "8090:80"], [], "Bind for 0.0.0.0:8090 failed: port is already allocated"],
    [["7000:70", "9000:80"], ["80"], "failed to bind host port 0.0.0.0:9000/tcp"],
    [["7000:70"], ["81"], "no public port '81/tcp' published for a"],
    [["7000:70"], ["80/udp"], "no public port '80/udp' published for a"],
    [["7000:70"], ["8081:80"], "no public port '80/tcp' published for a"],
    [["7000:70", "8080:80"], [], "Bind for 0.0.0.0:8080 failed: port is already allocated"],
    [[], [], "nothing to update"],
  ])("keeps what it has where %j without %j is refused", async (add, remove, message) => {
    await web();
    nat.programs.add("tcp 9000");
    await create("a", specs("8080:80"));
    await create("b", specs("8090:80"));
    const before = JSON.stringify([await bench.store.list("sandbox/"), nat.plan]);
    await expect(update("a", add, remove)).rejects.toThrow(message);
    expect(JSON.stringify([await bench.store.list("sandbox/"), nat.plan])).toBe(before);
  });

  it("keeps what it has where the host refuses the rules", async () => {
    await web();
    await create("a", specs("8080:80"));
    const [before, plan] = [bench.controller.inspectSandbox("a").sandbox, nat.plan];
    nat.onApply = ({ publications }) => {
      if (publications.some(({ hostPort }) => hostPort === 8081)) throw new Error("no such rule");
    };
    await expect(update("a", ["8081:81"], ["80"])).rejects.toThrow("no such rule");
    expect(bench.controller.inspectSandbox("a").sandbox).toEqual(before);
    expect(nat.plan).toEqual(plan);
  });

  it("publishes nothing of a stack that is not its own", async () => {
    await web();
    await create("a", {});
    await bench.controller.createSandbox({ name: "b", networks: [{ network: "sandbox:a" }] });
    await expect(update("b", ["80:80"])).rejects.toThrow("conflicting options: port publishing and the container type network mode");
  });
});

describe("a host that refuses", () => {
  it("undoes the sandbox, and the network", async () => {
    await web();
    nat.onApply = ({ publications, networks }) => {
      if (publications.length > 0 || networks.length > 1) throw new Error("no such rule");
    };
    await expect(create("a", specs("8080:80"))).rejects.toThrow("no such rule");
    expect(await bench.store.list("sandbox/")).toEqual([]);
    expect(bench.namespaces.paths).toEqual([]);
    await expect(web({}, "other", 2)).rejects.toThrow("no such rule");
    expect(bench.controller.listNetworks().map(({ name }) => name)).not.toContain("other");
    expect(nat.plan.networks).toHaveLength(1);
  });
});

it("tells the host the same after a restart", async () => {
  await web();
  await create("a", specs("8080:80", "9000-9100:9000-9100"));
  const next = new MemoryNat();
  const restarted = await startController({ store: bench.store, namespaces: bench.namespaces, options: { nat: next } });
  await restarted.controller.restore();
  expect(next.plan).toEqual(nat.plan);
});

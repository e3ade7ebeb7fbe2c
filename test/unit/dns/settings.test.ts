// What surrounds a resolver: resolv.conf read and written, the sandbox's files and what their users changed in them, whom to
// ask from where.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dnsSettings } from "../../../src/controller/sandboxes/dns-settings.ts";
import { hostResolvConf, mergeLines, plainResolvConf, SandboxFiles, sandboxHosts, sandboxResolvConf } from "../../../src/dns/files.ts";
import { LengthReader, lengthFramed } from "../../../src/dns/framing.ts";
import { formatResolvConf, parseResolvConf } from "../../../src/dns/resolv-conf.ts";
import { upstreamServers } from "../../../src/dns/upstream.ts";
import { sandbox } from "../../support/dns-world.ts";
import { random } from "../../support/random.ts";

describe("resolv.conf", () => {
  it.each([
    ["", { servers: [], search: [], options: [] }],
    ["nameserver 10.0.0.1\nnameserver fd00::1\n", { servers: ["10.0.0.1", "fd00::1"], search: [], options: [] }],
    ["nameserver fe80::1%eth0", { servers: ["fe80::1%eth0"], search: [], options: [] }],
    ["  nameserver\t10.0.0.1 # mine\n; nameserver 10.0.0.2\n#x\n", { servers: ["10.0.0.1"], search: [], options: [] }],
    ["nameserver localhost\nnameserver\nnonsense\n", { servers: [], search: [], options: [] }],
    ["domain a.b\nsearch c.d e.f\n", { servers: [], search: ["c.d", "e.f"], options: [] }],
    ["search c.d\ndomain a.b\n", { servers: [], search: ["a.b"], options: [] }],
    ["search .\noptions ndots:2 rotate\noptions timeout:1\n", { servers: [], search: [], options: ["ndots:2", "rotate", "timeout:1"] }],
  ])("%j", (text, conf) => {
    expect(parseResolvConf(text)).toEqual(conf);
    expect(parseResolvConf(formatResolvConf(conf))).toEqual(conf);
  });

  const host = { servers: ["10.0.0.1"], search: ["host.example"], options: ["timeout:1"] };
  it.each([
    [{}, "search host.example\noptions timeout:1 ndots:0\n"],
    [{ search: ["a", "b"] }, "search a b\noptions timeout:1 ndots:0\n"],
    [{ search: ["."] }, "options timeout:1 ndots:0\n"],
    [{ options: ["rotate"] }, "search host.example\noptions rotate ndots:0\n"],
    [{ options: ["ndots:3"] }, "search host.example\noptions ndots:3\n"],
    [{ servers: ["10.9.9.9"] }, "search host.example\noptions timeout:1 ndots:0\n"],
  ])("of a sandbox with %j", (dns, text) => {
    expect(sandboxResolvConf({ servers: [], search: [], options: [], ...dns }, host)).toBe(`nameserver 127.0.0.11\n${text}`);
  });
});

describe("resolv.conf where no names are answered", () => {
  const of = (dns: object, servers: string[], ipv6 = false): string =>
    plainResolvConf({ servers: [], search: [], options: [], ...dns }, { servers, search: ["host.example"], options: ["timeout:1"] }, ipv6);
  const rest = "search host.example\noptions timeout:1\n";
  it.each<[object, string[], boolean, string]>([
    [{}, ["127.0.0.53", "10.0.0.1", "::1", "fd00::1"], false, `nameserver 10.0.0.1\n${rest}`],
    [{}, ["127.0.0.53", "10.0.0.1", "::1", "fd00::1"], true, `nameserver 10.0.0.1\nnameserver fd00::1\n${rest}`],
    [{}, ["127.0.0.53"], false, `nameserver 8.8.8.8\nnameserver 8.8.4.4\n${rest}`],
    [
      {},
      ["fe80::1%eth0"],
      true,
      `nameserver 8.8.8.8\nnameserver 8.8.4.4\nnameserver 2001:4860:4860::8888\nnameserver 2001:4860:4860::8844\n${rest}`,
    ],
    [{ servers: ["127.0.0.2"], search: ["."], options: ["rotate"] }, ["10.0.0.1"], false, "nameserver 127.0.0.2\noptions rotate\n"],
  ])("with %j on a host with %j, IPv6 %s", (dns, servers, ipv6, text) => {
    expect(of(dns, servers, ipv6)).toBe(text);
  });
});

describe("resolv.conf on the host's stack", () => {
  const host = { servers: ["127.0.0.53", "fe80::1%eth0"], search: ["host.example"], options: ["timeout:1"] };
  const servers = "nameserver 127.0.0.53\nnameserver fe80::1%eth0\n";
  it.each([
    [{ servers: ["10.0.0.1"] }, "nameserver 10.0.0.1\nsearch host.example\noptions timeout:1\n"],
    [{ search: ["a"] }, `${servers}search a\noptions timeout:1\n`],
    [{ search: ["."], options: ["rotate"] }, `${servers}options rotate\n`],
  ])("is the host's but for %j", (dns, text) => {
    expect(hostResolvConf({ servers: [], search: [], options: [], ...dns }, host)).toBe(text);
  });
});

describe("a sandbox's settings", () => {
  it("are kept in one spelling", () => {
    expect(dnsSettings({ dns: { servers: ["FD00:0::1"], search: ["a.example.", "."], options: ["ndots:2"] } })).toEqual({
      servers: ["fd00::1"],
      search: ["a.example.", "."],
      options: ["ndots:2"],
    });
    expect(dnsSettings({})).toEqual({ servers: [], search: [], options: [] });
  });

  it.each([
    [{ servers: ["dns.example"] }, "dns.example is not an ip address: give a DNS server's (10.0.0.53, fd00::53)"],
    [{ servers: ["10.0.0.1:53"] }, "10.0.0.1:53 is not an ip address"],
    [{ search: ["a b"] }, "a b is not a valid domain"],
    [{ search: [`${"a".repeat(64)}.b`] }, "is not a valid domain"],
    [{ options: ["ndots:1\nnameserver 10.0.0.1"] }, "invalid DNS option"],
    [{ options: [""] }, "invalid DNS option"],
  ])("refuse %j", (dns, message) => {
    expect(() => dnsSettings({ dns })).toThrow(message);
  });
});

describe("whom to ask", () => {
  const plain = sandbox("plain");
  const own = sandbox("own", { dns: { servers: ["10.0.0.5", "127.0.0.11", "10.0.0.6", "10.0.0.7", "10.0.0.8"], search: [], options: [] } });
  const host = ["127.0.0.53", "10.0.0.1", "fe80::1%eth0", "::1", "10.0.0.2"];
  it("the host's servers from the host, three of them", () => {
    expect(upstreamServers(plain, false, host)).toEqual(host.slice(0, 3).map((address) => ({ address, namespacePath: null })));
  });
  it("of a sandbox that is cut off: from inside, and not those on the host's loopback and links", () => {
    expect(upstreamServers(plain, true, host)).toEqual(
      ["10.0.0.1", "10.0.0.2"].map((address) => ({ address, namespacePath: "/run/netns/plain" })),
    );
  });
  it.each([true, false])("its own from inside, never ourselves (closed: %s)", (closed) => {
    const expected = ["10.0.0.5", "10.0.0.6", "10.0.0.7"].map((address) => ({ address, namespacePath: "/run/netns/own" }));
    expect(upstreamServers(own, closed, host)).toEqual(expected);
  });
});

describe("files", () => {
  let stateDir: string;
  let files: SandboxFiles;
  const path = (name: string): string => join(stateDir, "sandboxes", "id", name);
  const contents = { resolvConf: "nameserver 127.0.0.11\n", hosts: "127.0.0.1\tlocalhost\n10.0.0.2\tme\n", hostname: "me\n" };
  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), "weft-t"));
    files = new SandboxFiles(stateDir);
  });
  afterEach(() => rmSync(stateDir, { recursive: true }));

  it("follow what they should say while nobody touched them", async () => {
    await files.write("id", contents);
    expect(readFileSync(path("hosts"), "utf8")).toBe(contents.hosts);
    await files.write("id", { ...contents, resolvConf: "options rotate\n", hosts: "127.0.0.1\tlocalhost\n10.0.0.3\tme\n" });
    expect(readFileSync(path("resolv.conf"), "utf8")).toBe("options rotate\n");
    expect(readFileSync(path("hosts"), "utf8")).toBe("127.0.0.1\tlocalhost\n10.0.0.3\tme\n");
  });

  it("keep what their user wrote: whole files, and lines of hosts", async () => {
    await files.write("id", contents);
    for (const name of ["resolv.conf", "hostname"]) writeFileSync(path(name), "mine\n");
    writeFileSync(path("hosts"), `${contents.hosts}192.0.2.1 mine`);
    await new SandboxFiles(stateDir).write("id", { resolvConf: "a\n", hostname: "b\n", hosts: "127.0.0.1\tlocalhost\n10.0.0.3\tme\n" });
    expect(readFileSync(path("resolv.conf"), "utf8")).toBe("mine\n");
    expect(readFileSync(path("hostname"), "utf8")).toBe("mine\n");
    expect(readFileSync(path("hosts"), "utf8")).toBe("127.0.0.1\tlocalhost\n192.0.2.1 mine\n10.0.0.3\tme\n");
  });

  it("are left alone that have grown past any use, which is said once", async () => {
    const said: string[] = [];
    files = new SandboxFiles(stateDir, (message) => said.push(message));
    await files.write("id", contents);
    truncateSync(path("hosts"), 2 ** 33); // nobody could hold it as a text
    for (const hosts of ["10.0.0.3\tme\n", "10.0.0.4\tme\n"]) await files.write("id", { ...contents, hosts });
    expect(statSync(path("hosts")).size).toBe(2 ** 33);
    expect(said).toEqual([expect.stringContaining(`${path("hosts")} has grown to more than 1048576 bytes`)]);
    truncateSync(path("hosts"), contents.hosts.length);
    await files.write("id", { ...contents, hosts: "10.0.0.5\tme\n" });
    expect(readFileSync(path("hosts"), "utf8")).toBe("10.0.0.5\tme\n");
    expect(said).toHaveLength(1);
  });

  it("recover from a crash between two writes", async () => {
    await files.write("id", contents);
    writeFileSync(path("hosts"), "");
    rmSync(path("hostname.written"));
    await files.write("id", contents);
    expect(readFileSync(path("hosts"), "utf8")).toBe(contents.hosts);
    await files.write("id", { ...contents, hostname: "other\n" });
    expect(readFileSync(path("hostname"), "utf8")).toBe("other\n");
  });

  it("go with their sandbox, and those of none at the start", async () => {
    await files.prune(new Set());
    for (const id of ["id", "gone"]) await files.write(id, contents);
    await files.prune(new Set(["id"]));
    expect([existsSync(path("hosts")), existsSync(join(stateDir, "sandboxes", "gone"))]).toEqual([true, false]);
    await files.remove("id");
    await files.remove("id");
    expect(existsSync(path("hosts"))).toBe(false);
  });

  it("hosts has every address, and the first label of a long name", () => {
    const text = sandboxHosts("a.b.c", [
      { ipv4: "10.0.0.2/24", ipv6: "fd00::2/64" },
      { ipv4: null, ipv6: null },
    ]);
    expect(text).toMatch(/^127\.0\.0\.1\tlocalhost\n/);
    expect(text.endsWith("\n10.0.0.2\ta.b.c a\nfd00::2\ta.b.c a\n")).toBe(true);
    expect(sandboxHosts("a", [{ ipv4: "10.0.0.2/24", ipv6: null }]).endsWith("\n10.0.0.2\ta\n")).toBe(true);
  });

  it("lines are merged", () => {
    expect(mergeLines("a\nmine\nb\n", "a\nb\n", "a\nc\n")).toBe("a\nmine\nc\n");
    expect(mergeLines("mine", "a\n", "b\n")).toBe("mine\nb\n");
  });
});

it("finds messages in a stream however it is cut", () => {
  const { below, bytes } = random(3);
  for (let round = 0; round < 200; round++) {
    const messages = Array.from({ length: 1 + below(5) }, () => bytes(below(300)));
    const stream = Buffer.concat(messages.map(lengthFramed));
    const reader = new LengthReader();
    const found: Uint8Array[] = [];
    for (let at = 0; at < stream.length; ) {
      const end = Math.min(stream.length, at + 1 + below(200));
      found.push(...reader.push(stream.subarray(at, end)));
      at = end;
    }
    expect(found.map((one) => Buffer.from(one).toString("hex"))).toEqual(messages.map((one) => Buffer.from(one).toString("hex")));
  }
});

// The addon's system calls, against the kernel: TAPs, interfaces, namespaces, locks. The poller has its own file.
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { NativeNamespaces } from "../../src/netns/native-namespaces.ts";
import { ADDON_PATH } from "../../src/paths.ts";
import type { TapOptions } from "../../src/ports/native.ts";
import { native } from "../../src/ports/native.ts";
import * as abi from "../../wasm/shared/abi.ts";
import * as aead from "../../wasm/shared/aead.ts";
import { testNamespaces } from "../support/namespaces.ts";

const namespaces = testNamespaces();
const folders: string[] = [];
afterEach(async () => {
  await namespaces.removeAll();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "weft-t"));
  folders.push(folder);
  return folder;
}

const tapOptions = (namespace: string | null, name: string, persist = true): TapOptions => ({ namespace, name, persist, offloads: true });
const linkNames = async (namespace: string): Promise<string[]> => (await native().links(namespace)).map((link) => link.name);

it("has the engine's descriptor layouts", () => {
  const constants = native().layoutConstants();
  expect(constants.length).toBeGreaterThan(10);
  for (const { name, value } of constants) expect([name, value]).toEqual([name, ({ ...abi, ...aead } as Record<string, unknown>)[name]]);
});

it("says how to get it when it can't be loaded", async () => {
  const before = process.env.WEFT_NATIVE;
  process.env.WEFT_NATIVE = "/weft-t-none/weft.node";
  try {
    vi.resetModules();
    const fresh = await import("../../src/ports/native.ts");
    expect(() => fresh.native()).toThrow(/weft-t-none\/weft\.node can't be loaded .*: build it with `npm run build`/);
  } finally {
    if (before === undefined) delete process.env.WEFT_NATIVE;
    else process.env.WEFT_NATIVE = before;
  }
});

describe("errors", () => {
  it("of promises name call, object and errno", async () => {
    const namespace = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(namespace, "eth0"));
    const error: NodeJS.ErrnoException = await native()
      .openTap(tapOptions(namespace, "eth0"))
      .catch((caught) => caught);
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toBe(`TUNSETIFF eth0 in ${namespace}: EBUSY (Device or resource busy)`);
    expect(error).toMatchObject({ code: "EBUSY", errno: 16, syscall: "TUNSETIFF" });
    await native().closeFd(fd);
  });

  it("of plain calls do too", () => {
    const path = join(temporaryFolder(), "none", "lock");
    const attempt = () => native().lockFile(path);
    expect(attempt).toThrow(`open ${path}: ENOENT (No such file or directory)`);
    expect(attempt).toThrow(expect.objectContaining({ code: "ENOENT", errno: 2, syscall: "open" }));
  });

  it.each([
    ["a name too long", { name: "x".repeat(16) }, "ENAMETOOLONG"],
    ["a name with a pattern", { name: "tap%d" }, "EINVAL"],
    ["no name", { name: "" }, "EINVAL"],
    ["a namespace that is none", { namespace: "/etc/hostname" }, "EINVAL"],
    ["a namespace that is missing", { namespace: "/run/netns/weft-t-none" }, "ENOENT"],
    ["an interface of another kind", { name: "lo" }, "EINVAL"],
  ])("refuse a TAP with %s", async (_, change, code) => {
    await expect(native().openTap({ ...tapOptions(null, "weft-t0"), ...change })).rejects.toMatchObject({ code });
  });

  it("refuse addresses and descriptors that are none", async () => {
    const options = {
      namespace: null,
      port: 0,
      gro: false,
      packetInfo: false,
      reusePort: false,
      receiveBufferBytes: 0,
      sendBufferBytes: 0,
    };
    await expect(native().openUdp({ ...options, address: "10.0.0.300" })).rejects.toMatchObject({ code: "EINVAL", syscall: "bind" });
    await expect(native().openUdp({ ...options, address: "203.0.113.9" })).rejects.toThrow(/^bind 203\.0\.113\.9 port 0: EADDRNOTAVAIL/);
    await expect(native().closeFd(100_000)).rejects.toMatchObject({ code: "EBADF" });
    await expect(native().closeFd(1)).rejects.toMatchObject({ code: "EBADF" });
  });
});

describe("namespaces", () => {
  it("are made with loopback up, known by their inode, and removed", async () => {
    const path = await namespaces.create("a");
    const other = await namespaces.create("b");
    const inode = native().namespaceInode(path);
    expect(inode).toBeGreaterThan(0);
    expect(new Set([inode, native().namespaceInode(other), native().namespaceInode("/proc/self/ns/net")]).size).toBe(3);
    expect(await native().links(path)).toMatchObject([{ name: "lo", up: true }]);
    await native().deleteNamespace(path);
    expect(native().namespaceInode(path)).toBeNull();
    await native().deleteNamespace(path);
  });

  it("have the sysctls that the kernel knows, whichever it does not", async () => {
    const path = join(temporaryFolder(), "a");
    const known = "net.ipv4.ip_unprivileged_port_start";
    await native().createNamespace(path, { "net.ipv4.a_weft_none": "1", [known]: "7", "net.ipv6.weft_none": "1" });
    const { stdout } = spawnSync("nsenter", [`--net=${path}`, "cat", `/proc/sys/${known.replaceAll(".", "/")}`], { encoding: "utf8" });
    await native().deleteNamespace(path);
    expect(stdout).toBe("7\n");
  });

  it("have IPv6 switched on interfaces whose names have dots", async () => {
    const path = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(path, "eth0.5"));
    const setting = (): string =>
      spawnSync("nsenter", [`--net=${path}`, "cat", "/proc/sys/net/ipv6/conf/eth0.5/disable_ipv6"], { encoding: "utf8" }).stdout;
    for (const enabled of [false, true]) {
      await new NativeNamespaces(native()).enableIpv6(path, "eth0.5", enabled);
      expect(setting()).toBe(enabled ? "0\n" : "1\n");
    }
    await native().closeFd(fd);
  });

  it("are not made twice", async () => {
    const path = await namespaces.create("a");
    const inode = native().namespaceInode(path);
    await expect(native().createNamespace(path)).rejects.toMatchObject({ code: "EEXIST" });
    expect(native().namespaceInode(path)).toBe(inode);
  });

  it("take over an empty file that a crash left, and touch no other", async () => {
    const folder = temporaryFolder();
    const [empty, full] = [join(folder, "empty"), join(folder, "full")];
    writeFileSync(empty, "");
    writeFileSync(full, "mine");
    expect(native().namespaceInode(full)).toBeNull();
    await expect(native().createNamespace(full)).rejects.toMatchObject({ code: "EEXIST" });
    await expect(native().deleteNamespace(full)).rejects.toThrow(/is no network namespace: EINVAL/);
    await native().createNamespace(empty);
    expect(native().namespaceInode(empty)).not.toBeNull();
    await native().deleteNamespace(empty);
    rmSync(full);
  });

  it("are none where there is another kind of namespace, a folder or nothing", () => {
    expect(native().namespaceInode("/proc/self/ns/mnt")).toBeNull();
    expect(native().namespaceInode("/proc")).toBeNull();
    expect(native().namespaceInode("/run/netns/weft-t-none")).toBeNull();
  });
});

describe("TAPs", () => {
  it("stay when their descriptor closes and can be attached to again, if persistent", async () => {
    const namespace = await namespaces.create("a");
    const first = await native().openTap(tapOptions(namespace, "eth0"));
    const before = (await native().links(namespace)).find((link) => link.name === "eth0");
    expect(before).toMatchObject({ kind: "tun", up: false });
    await native().closeFd(first);
    const second = await native().openTap(tapOptions(namespace, "eth0"));
    const after = (await native().links(namespace)).find((link) => link.name === "eth0");
    expect(after?.index).toBe(before?.index);
    await native().closeFd(second);
    await native().deleteLink(namespace, "eth0");
    expect(await linkNames(namespace)).toEqual(["lo"]);
  });

  it("go with their descriptor otherwise", async () => {
    const namespace = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(namespace, "eth0", false));
    expect(await linkNames(namespace)).toEqual(["lo", "eth0"]);
    await native().closeFd(fd);
    expect(await linkNames(namespace)).toEqual(["lo"]);
  });

  it("can be missing when they are deleted", async () => {
    const namespace = await namespaces.create("a");
    await native().deleteLink(namespace, "eth0");
    await native().deleteLink(namespaces.path("none"), "eth0");
  });

  it("are found by name where the daemon is, like every interface there", () => {
    const { stdout } = spawnSync("ip", ["-json", "link", "show", "lo"], { encoding: "utf8" });
    expect(native().linkIndex("lo")).toBe((JSON.parse(stdout) as { ifindex: number }[])[0]!.ifindex);
    for (const name of ["weft-t-none", "", "lo\0", "x".repeat(300)]) expect(native().linkIndex(name)).toBeNull();
  });

  it("are made by the hundred at once", async () => {
    const made = await Promise.all(Array.from({ length: 100 }, (_, index) => namespaces.create(`n${index}`)));
    const fds = await Promise.all(made.map((namespace) => native().openTap(tapOptions(namespace, "eth0", false))));
    expect(new Set(fds).size).toBe(100);
    await Promise.all(fds.map((fd) => native().closeFd(fd)));
  });
});

describe("configureInterface", () => {
  const config = {
    name: "eth0",
    mac: "02:42:ac:11:00:02",
    mtuBytes: 1450,
    txQueueLength: 5000,
    addresses: ["10.9.0.2/24", "fd00:9::2/64"],
    up: true,
    routes: [
      { destination: "0.0.0.0/0", gateway: "10.9.0.1" },
      { destination: "::/0", gateway: "fd00:9::1", metric: 50 },
      { destination: "172.31.5.9/16", gateway: "10.9.0.254", metric: 7 },
    ],
  };

  async function interfaceState(namespace: string, name: string) {
    const link = (await native().links(namespace)).find((found) => found.name === name);
    const addresses = (await native().addresses(namespace)).filter((found) => found.interfaceName === name);
    const routes = (await native().routes(namespace)).filter((route) => route.gateway !== null);
    return {
      link,
      addresses: addresses.map((found) => `${found.address}/${found.prefixLength}`).filter((text) => !text.startsWith("fe80:")),
      routes: routes
        .map(
          ({ destination, gateway, interfaceIndex, metric }) =>
            `${destination} ${gateway} ${interfaceIndex === link?.index ? name : "another"} ${metric}`,
        )
        .sort(),
    };
  }

  it("sets everything, twice with the same result, and takes away what is not listed", async () => {
    const namespace = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(namespace, "eth0"));
    for (let round = 0; round < 2; round++) {
      await native().configureInterface(namespace, config);
      const state = await interfaceState(namespace, "eth0");
      expect(state.link).toMatchObject({ mac: "02:42:ac:11:00:02", mtuBytes: 1450, up: true, running: true });
      expect(state.addresses).toEqual(["10.9.0.2/24", "fd00:9::2/64"]);
      expect(state.routes).toEqual(["0.0.0.0/0 10.9.0.1 eth0 null", "172.31.0.0/16 10.9.0.254 eth0 7", "::/0 fd00:9::1 eth0 50"]);
    }
    await native().configureInterface(namespace, { name: "eth0", addresses: ["10.9.0.3/24", "10.9.0.4/32"] });
    expect((await interfaceState(namespace, "eth0")).addresses.sort()).toEqual(["10.9.0.3/24", "10.9.0.4/32"]);
    await native().configureInterface(namespace, { name: "eth0", up: false, addresses: [] });
    const state = await interfaceState(namespace, "eth0");
    expect(state.link).toMatchObject({ up: false });
    expect(state.addresses).toEqual([]);
    await native().closeFd(fd);
  });

  it("is seen to be without a program as soon as that is gone", async () => {
    const namespace = await namespaces.create("a");
    const running = async () => (await native().links(namespace)).find(({ name }) => name === "eth0")!.running;
    // The kernel takes the flag away within a second, and rarely at once: three times, for one may be lucky.
    for (let round = 0; round < 3; round++) {
      const fd = await native().openTap(tapOptions(namespace, "eth0"));
      await native().configureInterface(namespace, { name: "eth0", up: true });
      await expect.poll(running).toBe(true);
      await native().closeFd(fd);
      expect(await running()).toBe(false);
    }
  });

  it("has IPv6 addresses ready at once", async () => {
    const namespace = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(namespace, "eth0"));
    await native().configureInterface(namespace, { name: "eth0", addresses: ["fd00:9::2/64"], up: true });
    // A tentative address can't be bound.
    const options = { gro: false, packetInfo: false, reusePort: false, receiveBufferBytes: 0, sendBufferBytes: 0 };
    const udp = await native().openUdp({ namespace, address: "fd00:9::2", port: 4789, ...options });
    await Promise.all([fd, udp].map((open) => native().closeFd(open)));
  });

  it("renames, and finds the interface by its new name the next time", async () => {
    const namespace = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(namespace, "weft-tmp"));
    const renaming = { ...config, name: "weft-tmp", rename: "eth1" };
    await native().configureInterface(namespace, { name: "weft-tmp", up: true });
    await native().configureInterface(namespace, renaming);
    await native().configureInterface(namespace, renaming);
    expect(await linkNames(namespace)).toEqual(["lo", "eth1"]);
    expect((await interfaceState(namespace, "eth1")).routes).toHaveLength(3);
    await native().closeFd(fd);
  });

  it("deletes routes, missing ones too", async () => {
    const namespace = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(namespace, "eth0"));
    await native().configureInterface(namespace, config);
    const doomed = [
      { destination: "::/0", gateway: "fd00:9::1" },
      { destination: "172.31.5.9/16", gateway: "10.9.0.254" },
      { destination: "192.0.2.0/24" },
    ];
    await native().deleteRoutes(namespace, doomed);
    expect((await interfaceState(namespace, "eth0")).routes).toEqual(["0.0.0.0/0 10.9.0.1 eth0 null"]);
    await native().closeFd(fd);
  });

  it.each([
    ["an interface that is missing", { name: "eth7" }, /^RTM_GETLINK eth7 in .*: ENODEV/],
    ["a malformed address", { addresses: ["10.0.0.1"] }, /^RTM_NEWADDR 10\.0\.0\.1 on eth0 in .*: EINVAL/],
    ["a prefix too long", { addresses: ["10.0.0.1/33"] }, /10\.0\.0\.1\/33 on eth0.*: EINVAL/],
    ["a malformed MAC", { mac: "02:42:ac:11:00" }, /^IFLA_ADDRESS eth0 in .*: EINVAL/],
    ["a multicast MAC", { mac: "03:42:ac:11:00:02" }, /^RTM_NEWLINK eth0 in .*: EADDRNOTAVAIL/],
    ["a name too long", { rename: "x".repeat(16) }, /: ENAMETOOLONG/],
    ["a name that is taken", { rename: "lo" }, /^RTM_NEWLINK eth0 in .* to lo: EEXIST/],
    ["an MTU too large", { mtuBytes: 70_000 }, /^RTM_NEWLINK eth0 in .*: EINVAL/],
    [
      "a gateway out of reach",
      { up: true, routes: [{ destination: "10.0.0.0/8", gateway: "10.1.1.1" }] },
      /^RTM_NEWROUTE 10\.0\.0\.0\/8 via 10\.1\.1\.1 on eth0.*: ENETUNREACH/,
    ],
    ["a gateway of another family", { up: true, routes: [{ destination: "10.0.0.0/8", gateway: "fd00::1" }] }, /: EINVAL/],
  ])("refuses %s", async (_, change, message) => {
    const namespace = await namespaces.create("a");
    const fd = await native().openTap(tapOptions(namespace, "eth0"));
    await expect(native().configureInterface(namespace, { name: "eth0", ...change })).rejects.toThrow(message);
    await native().closeFd(fd);
  });
});

describe("writeSysctls", () => {
  it("writes in the namespace and nowhere else", async () => {
    const namespace = await namespaces.create("a");
    await native().writeSysctls(namespace, { "net.ipv4.ip_default_ttl": "77", "net/ipv6/conf/all/disable_ipv6": "1" });
    const script = 'test "$(cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/net/ipv6/conf/all/disable_ipv6 | tr "\\n" " ")" = "77 1 "';
    const inside = await native().runInNamespace(namespace, ["sh", "-c", script], {}, () => {});
    expect(inside).toEqual({ code: 0, signal: null });
    const outside = await native().runInNamespace("/proc/self/ns/net", ["sh", "-c", script], {}, () => {});
    expect(outside).toEqual({ code: 1, signal: null });
  });

  it("refuses what is none", async () => {
    await expect(native().writeSysctls(null, { "net.weft.none": "1" })).rejects.toThrow("open net.weft.none=1: ENOENT");
    await expect(native().writeSysctls(null, { "net/../kernel/hostname": "x" })).rejects.toMatchObject({ code: "EINVAL" });
    const namespace = await namespaces.create("a");
    await expect(native().writeSysctls(namespace, { "net.ipv4.ip_forward": "maybe" })).rejects.toThrow(/^write .*: EINVAL/);
  });
});

describe("runInNamespace", () => {
  it("runs in the namespace and passes exit codes and signals on", async () => {
    const namespace = await namespaces.create("a");
    const run = (script: string, options = {}) => native().runInNamespace(namespace, ["sh", "-c", script], options, () => {});
    expect(await run(`test "$(readlink /proc/self/ns/net)" = "net:[${native().namespaceInode(namespace)}]"`)).toEqual({
      code: 0,
      signal: null,
    });
    expect(await run("exit 42")).toEqual({ code: 42, signal: null });
    expect(await run("kill -TERM $$")).toEqual({ code: null, signal: 15 });
    const env = { PATH: process.env.PATH ?? "", WEFT_TEST: "yes" };
    expect(await run('test "$WEFT_TEST$HOME$(pwd)" = yes/', { env, cwd: "/" })).toEqual({ code: 0, signal: null });
  });

  it("shares the standard streams", () => {
    const source = `
      const native = require(${JSON.stringify(process.env.WEFT_NATIVE ?? ADDON_PATH)});
      native.runInNamespace("/proc/self/ns/net", ["sh", "-c", "cat; echo bad >&2"], { input: true }, () => {});
    `;
    const { stdout, stderr } = spawnSync(process.execPath, ["-e", source], { input: "good", encoding: "utf8" });
    expect({ stdout, stderr }).toEqual({ stdout: "good", stderr: "bad\n" });
  });

  it("tells the pid before the end", async () => {
    const namespace = await namespaces.create("a");
    const events: string[] = [];
    const ended = native().runInNamespace(namespace, ["sleep", "60"], {}, (pid) => {
      events.push("pid");
      process.kill(pid, "SIGKILL");
    });
    expect(await ended).toEqual({ code: null, signal: 9 });
    const brief = Array.from({ length: 10 }, async () => {
      const own: string[] = [];
      await native().runInNamespace(namespace, ["true"], {}, () => own.push("pid"));
      expect(own).toEqual(["pid"]);
    });
    await Promise.all(brief);
    expect(events).toEqual(["pid"]);
  });

  it("rejects what can't be run", async () => {
    const namespace = await namespaces.create("a");
    const run = (argv: string[], options = {}) => native().runInNamespace(namespace, argv, options, () => {});
    await expect(run(["weft-t-none"])).rejects.toThrow(`execve weft-t-none in ${namespace}: ENOENT`);
    const plain = join(temporaryFolder(), "plain");
    writeFileSync(plain, "", { mode: 0o644 });
    await expect(run([plain])).rejects.toMatchObject({ code: "EACCES" });
    await expect(run([])).rejects.toMatchObject({ code: "EINVAL" });
    await expect(run(["true"], { cwd: "/weft-t-none" })).rejects.toThrow(/^chdir \/weft-t-none/);
    await expect(native().runInNamespace(namespaces.path("none"), ["true"], {}, () => {})).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("runInNamespace with files and a hostname", () => {
  it("shows them to the program and to nobody else", async () => {
    const namespace = await namespaces.create("a");
    const folder = temporaryFolder();
    const source = join(folder, "resolv.conf");
    writeFileSync(source, "nameserver 127.0.0.11\n");
    const files = [
      { source, target: "/etc/resolv.conf" },
      { source, target: "/etc/weft-t-none" },
    ];
    const script = 'test "$(cat /etc/resolv.conf) $(uname -n)" = "nameserver 127.0.0.11 weft-t-host" && echo edited >> /etc/resolv.conf';
    const outcome = await native().runInNamespace(namespace, ["sh", "-c", script], { files, hostname: "weft-t-host" }, () => {});
    expect(outcome).toEqual({ code: 0, signal: null });
    expect(readFileSync(source, "utf8")).toBe("nameserver 127.0.0.11\nedited\n");
    expect(readFileSync("/etc/resolv.conf", "utf8")).not.toContain("127.0.0.11");
    expect(hostname()).not.toBe("weft-t-host");
  });

  it("says which file can't be mounted", async () => {
    const namespace = await namespaces.create("a");
    const files = [{ source: "/weft-t-none", target: "/etc/resolv.conf" }];
    await expect(native().runInNamespace(namespace, ["true"], { files }, () => {})).rejects.toThrow(
      "mount /weft-t-none at /etc/resolv.conf: ENOENT",
    );
  });
});

describe("openLoopbackService", () => {
  const TABLE = "weft_t_dns";
  // Binds port 53 on all addresses without any option, and asks 127.0.0.11 beside; prints what it heard.
  const CLIENT = `
import socket
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); a.bind(("0.0.0.0", 53))
b = socket.socket(); b.bind(("0.0.0.0", 53)); b.listen()
c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); c.settimeout(5); c.connect(("127.0.0.11", 53))
c.send(b"question")
answer = c.recv(64)
d = socket.create_connection(("127.0.0.11", 53), 5)
e = b""
while part := d.recv(64): e += part
raise SystemExit(0 if (answer, e) == (b"udp", b"tcp") else 1)
`;

  async function serve(namespace: string): Promise<() => void> {
    const fds = await native().openLoopbackService({ namespace, address: "127.0.0.11", port: 53, table: TABLE });
    const udp = createSocket("udp4");
    udp.on("message", (_, { port, address }) => udp.send("udp", port, address));
    udp.bind({ fd: fds.udp });
    const tcp = createServer((connection) => connection.end("tcp"));
    tcp.listen({ fd: fds.tcp });
    await once(tcp, "listening");
    return () => {
      udp.close();
      tcp.close();
    };
  }

  it("is reached at a port that programs can bind, also when opened anew", async () => {
    const namespace = await namespaces.create("a");
    const ask = () => native().runInNamespace(namespace, ["python3", "-c", CLIENT], {}, () => {});
    const stopFirst = await serve(namespace);
    expect(await ask()).toEqual({ code: 0, signal: null });
    const stopSecond = await serve(namespace);
    expect(await ask()).toEqual({ code: 0, signal: null });
    stopFirst();
    stopSecond();
    await native().removeLoopbackService(namespace, TABLE);
    await native().removeLoopbackService(namespace, TABLE);
  });

  it("refuses what is no address", async () => {
    const namespace = await namespaces.create("a");
    const open = (address: string, port: number) => native().openLoopbackService({ namespace, address, port, table: TABLE });
    await expect(open("::1", 53)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(open("127.0.0.11", 65536)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(open("192.0.2.1", 53)).rejects.toMatchObject({ code: "EADDRNOTAVAIL" });
  });
});

describe("runNftables", () => {
  it("runs all commands in its own namespace or none, and says why", async () => {
    const namespace = await namespaces.create("a");
    const commands = [
      "add table inet one; add chain inet one c",
      "list table inet one",
      "add table inet two; add rule inet none c drop",
      "list tables",
    ];
    const program = `const { runNftables } = require(${JSON.stringify(ADDON_PATH)});
      (async () => { const all = []; for (const c of ${JSON.stringify(commands)}) all.push(await runNftables(c)); console.log(JSON.stringify(all)); })()`;
    const { stdout, stderr } = spawnSync("nsenter", [`--net=${namespace}`, process.execPath, "-e", program], { encoding: "utf8" });
    expect(stderr).toBe("");
    const [made, listed, refused, left] = JSON.parse(stdout) as { code: number; output: string; error: string }[];
    expect(made).toEqual({ code: 0, output: "", error: "" });
    expect(listed!.output).toContain("chain c {");
    expect(refused).toMatchObject({ output: "" });
    expect(refused!.code).not.toBe(0);
    expect(refused!.error).toContain("No such file or directory");
    expect(left).toEqual({ code: 0, output: "table inet one\n", error: "" });
  });

  it("survives any number of open descriptors if it was used before, and else says that there are too many", async () => {
    const namespace = await namespaces.create("a");
    const told = (...steps: string[]): string => {
      const program = `const { runNftables } = require(${JSON.stringify(ADDON_PATH)});
        const crowd = () => { for (let n = 0; n < 1100; n++) require("fs").openSync("/dev/null"); };
        const run = () => runNftables("list tables").then(({ code }) => console.log(code), ({ code }) => console.log(code));
        (async () => { for (const step of [${steps}]) await step(); })()`;
      const { stdout, signal } = spawnSync("nsenter", [`--net=${namespace}`, process.execPath, "-e", program], { encoding: "utf8" });
      return `${stdout.trim().split("\n")} ${signal}`;
    };
    expect(told("run", "crowd", "run")).toBe("0,0 null");
    expect(told("crowd", "run")).toBe("EMFILE null");
  });
});

describe("connectTcp", () => {
  it("connects from inside the namespace", async () => {
    const namespace = await namespaces.create("a");
    const { udp, tcp } = await native().openLoopbackService({ namespace, address: "127.0.0.11", port: 53, table: "weft_t_dns" });
    await native().closeFd(udp);
    const server = createServer((connection) => connection.end(connection.remoteAddress ?? ""));
    server.listen({ fd: tcp });
    const socket = new Socket({ fd: await native().connectTcp(namespace, "127.0.0.11", 53, 1000) });
    const [heard] = (await once(socket, "data")) as [Buffer];
    expect(heard.toString()).toBe("127.0.0.1");
    server.close();
    socket.destroy();
    await expect(native().connectTcp(namespace, "127.0.0.1", 9, 1000)).rejects.toThrow(/^connect 127.0.0.1 port 9 in .*: ECONNREFUSED/);
    await expect(native().connectTcp(namespace, "192.0.2.1", 9, 1000)).rejects.toMatchObject({ code: "ENETUNREACH" });
    await expect(native().connectTcp(namespace, "nobody", 9, 1000)).rejects.toMatchObject({ code: "EINVAL" });
  });
});

it("lockFile lets one in", async () => {
  const path = join(temporaryFolder(), "lock");
  const first = native().lockFile(path);
  expect(first).toBeGreaterThan(2);
  expect(native().lockFile(path)).toBeNull();
  await native().closeFd(first ?? -1);
  const second = native().lockFile(path);
  expect(second).not.toBeNull();
  await native().closeFd(second ?? -1);
});

it.each([0, 4294967295, 3e9, Number.NaN])("what is no process (%d) has ended already", (pid) => {
  expect(native().watchProcess(pid, 1, () => {})).toBe(false);
});

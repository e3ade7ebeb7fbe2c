// The data plane on real TAPs in real namespaces. Each test makes its hosts and sandboxes and leaves nothing behind.
import { fork } from "node:child_process";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { WeftDatapath } from "../../src/datapath/datapath.ts";
import type { DatapathOptions, DatapathStats } from "../../src/datapath/datapath-api.ts";
import type { Declaration, DomainDeclaration, TapPortDeclaration } from "../../src/datapath/declarations.ts";
import { ROOT } from "../../src/paths.ts";
import { Namespaces } from "../support/ping-hosts.ts";
import { tsharkFields } from "../support/tshark.ts";

const MAC = ["02:42:0a:00:00:02", "02:42:0a:00:00:03"] as const;
const IPV4 = ["10.0.0.2", "10.0.0.3"] as const;
const IPV6 = ["fd00::2", "fd00::3"] as const;

let namespaces: Namespaces;
let stateDir: string;
let datapaths: WeftDatapath[];

beforeEach(() => {
  namespaces = new Namespaces("dp");
  stateDir = mkdtempSync(join(tmpdir(), "weft-t"));
  datapaths = [];
});

afterEach(async () => {
  for (const datapath of datapaths) await datapath.stop({ keepInterfaces: false });
  await namespaces.removeAll();
  rmSync(stateDir, { recursive: true });
});

async function started(options: Partial<DatapathOptions> = {}): Promise<WeftDatapath> {
  const datapath = new WeftDatapath();
  await datapath.start({ stateDir, auditIntervalS: 0, ...options });
  datapaths.push(datapath);
  return datapath;
}

function network(more: Partial<DomainDeclaration> = {}): Declaration {
  const domain = {
    id: "n1",
    vni: null,
    mtuBytes: 1500,
    learning: true,
    proxyNeighbors: false,
    clampMss: true,
    fdbLimit: 1000,
    fdbAgeS: 300,
    ...more,
  };
  return { domains: [domain] };
}

function endpoint(i: 0 | 1, mtuBytes = 1500): Declaration {
  return {
    ports: [
      {
        kind: "tap",
        id: `e${i}`,
        domain: "n1",
        namespacePath: namespaces.path(`s${i}`),
        interfaceName: "eth0",
        mac: MAC[i],
        mtuBytes,
        isolated: false,
      },
    ],
    fdb: [{ domain: "n1", mac: MAC[i], to: { port: `e${i}` } }],
    neighbors: [
      { domain: "n1", address: IPV4[i], mac: MAC[i] },
      { domain: "n1", address: IPV6[i], mac: MAC[i] },
    ],
  };
}

/** What whoever owns the namespace does once the interface is there. */
/** More entries than a table of 1024 slots takes. */
const tooMany = Array.from({ length: 2000 }, (_, n) => {
  const mac = `02:00:00:00:${[n >> 8, n & 255].map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;
  return { domain: "n1", mac, to: { port: "e0" } };
});

async function configure(i: 0 | 1): Promise<void> {
  await namespaces.ip(`s${i}`, "address", "add", `${IPV4[i]}/24`, "dev", "eth0");
  await namespaces.ip(`s${i}`, "address", "add", `${IPV6[i]}/64`, "dev", "eth0", "nodad");
  await namespaces.ip(`s${i}`, "link", "set", "eth0", "up");
}

/** Two sandboxes in one bridge domain of one host. */
async function twoSandboxes(datapath: WeftDatapath): Promise<void> {
  await datapath.declare("net", network());
  for (const i of [0, 1] as const) {
    await namespaces.create(`s${i}`);
    await datapath.declare(`e${i}`, endpoint(i));
    await configure(i);
  }
}

/** Two hosts joined by a veth, one sandbox on each, one network over both. */
async function twoHosts(family: "ipv4" | "ipv6", more: Partial<DomainDeclaration> = {}): Promise<void> {
  const addresses = family === "ipv4" ? ["10.9.0.1", "10.9.0.2"] : ["fd09::1", "fd09::2"];
  const mtuBytes = family === "ipv4" ? 1450 : 1430;
  for (const i of [0, 1]) {
    await namespaces.create(`h${i}`);
    await namespaces.create(`s${i}`);
  }
  await namespaces.join("h0", "h1", "u0", [
    ["10.9.0.1/24", "fd09::1/64"],
    ["10.9.0.2/24", "fd09::2/64"],
  ]);
  for (const i of [0, 1] as const) {
    const other = addresses[1 - i]!;
    const datapath = await started({ underlayAddresses: [addresses[i]!], underlayNamespacePath: namespaces.path(`h${i}`) });
    await datapath.declare("net", { ...network({ vni: 4097, mtuBytes, ...more }), vteps: [{ domain: "n1", address: other, port: 4789 }] });
    await datapath.declare(`e${i}`, endpoint(i, mtuBytes));
    await configure(i);
  }
}

const counter = (stats: DatapathStats, name: string): number => Number(stats.counters.find((one) => one.name === name)!.value);

describe("one host", () => {
  it("bridges two sandboxes, IPv4 and IPv6, and keeps the law of counters", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    expect(await namespaces.ping("s0", IPV4[1], 20, 0.01)).toEqual({ sent: 20, received: 20 });
    expect(await namespaces.ping("s1", IPV6[0], 20, 0.01)).toEqual({ sent: 20, received: 20 });
    const stats = await datapath.stats();
    expect(stats.lawDifference).toBe(0n);
    expect(counter(stats, "rx")).toBeGreaterThanOrEqual(80);
    expect(stats.ports.map(({ port, interfaceName, domain }) => ({ port, interfaceName, domain }))).toEqual([
      { port: "e0", interfaceName: "eth0", domain: "n1" },
      { port: "e1", interfaceName: "eth0", domain: "n1" },
    ]);
    for (const port of stats.ports) expect(port.rxPackets).toBeGreaterThanOrEqual(40n);
    expect(await datapath.dumpFdb("n1")).toEqual([
      { domain: "n1", mac: MAC[0], to: { port: "e0" }, static: true, ageS: 0 },
      { domain: "n1", mac: MAC[1], to: { port: "e1" }, static: true, ageS: 0 },
    ]);
    expect((await datapath.dumpNeighbors()).map(({ address }) => address)).toEqual([IPV4[0], IPV4[1], IPV6[0], IPV6[1]].sort());
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("gives the interface its MAC, MTU and queue, and deletes it with its owner", async () => {
    const datapath = await started();
    await datapath.declare("net", network());
    await namespaces.create("s0");
    await datapath.declare("e0", endpoint(0, 1400));
    const link = JSON.parse(await namespaces.ip("s0", "-j", "link", "show", "eth0"))[0];
    expect(link).toMatchObject({ address: MAC[0], mtu: 1400, txqlen: 4000 });
    expect(link.flags).not.toContain("UP");
    await datapath.declare("e0", endpoint(0, 1300));
    expect(JSON.parse(await namespaces.ip("s0", "-j", "link", "show", "eth0"))[0]).toMatchObject({ mtu: 1300, ifindex: link.ifindex });
    await datapath.withdraw("e0");
    await datapath.withdraw("e0");
    await expect(namespaces.ip("s0", "link", "show", "eth0")).rejects.toThrow("does not exist");
  });

  it("deletes many interfaces at the same time, and makes one anew whose place is being cleared", async () => {
    const datapath = await started();
    await datapath.declare("net", network());
    await namespaces.create("s0");
    const port = endpoint(0).ports![0] as TapPortDeclaration;
    const owners = Array.from({ length: 20 }, (_, i) => `e${i}`);
    const declared = (id: string, interfaceName: string, mac: string): Declaration => ({ ports: [{ ...port, id, interfaceName, mac }] });
    await Promise.all(owners.map((id, i) => datapath.declare(id, declared(id, `eth${i}`, port.mac))));
    const names = async (): Promise<string[]> => {
      const links = JSON.parse(await namespaces.ip("s0", "-j", "link")) as { ifname: string; address: string }[];
      return links.filter(({ ifname }) => ifname !== "lo").map(({ ifname, address }) => `${ifname} ${address}`);
    };
    expect(await names()).toHaveLength(20);
    await Promise.all([...owners.map((id) => datapath.withdraw(id)), datapath.declare("again", declared("again", "eth7", MAC[1]))]);
    expect(await names()).toEqual([`eth7 ${MAC[1]}`]);
    expect(datapath.info().ports).toBe(1);
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("traces a probe there and its answer back", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    await namespaces.ping("s1", IPV4[0], 1, 0.01); // so that the answer needs no ARP
    const probe = { kind: "echo", sourceMac: MAC[0], destinationMac: MAC[1], source: IPV4[0], destination: IPV4[1] } as const;
    const { lines, lost } = await datapath.trace({ port: "e0", probe, address: IPV4[0], packets: 2 });
    expect(lost).toBe(0);
    expect(lines.filter(({ event }) => event === "enter").map(({ packet, text }) => [packet, text])).toEqual([
      [1, "52 bytes from port e0"],
      [2, "52 bytes from port e1"],
    ]);
    expect(lines.filter(({ event }) => event === "to-port").map(({ text }) => text)).toEqual(["to port e1", "to port e0"]);
    await expect(datapath.trace({ port: "e9" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("captures what one port sends and receives, as a file that tshark reads", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    const stop = new AbortController();
    const capture = datapath.capture({ ports: ["e0"], signal: stop.signal });
    const chunks = [(await capture.next()).value as Uint8Array];
    await namespaces.ping("s0", IPV4[1], 3, 0);
    await datapath.stats(); // what was captured before this is on its way before the answer
    stop.abort();
    for await (const chunk of capture) chunks.push(chunk);
    const packets = tsharkFields(
      Buffer.concat(chunks),
      ["frame.interface_name", "frame.packet_flags_direction", "ip.src", "icmp.type"],
      ["-Y", "icmp"],
    );
    expect(packets).toEqual(
      [1, 2, 3].flatMap(() => [
        ["eth0", "0x00000001", IPV4[0], "8"],
        ["eth0", "0x00000002", IPV4[1], "0"],
      ]),
    );
  });
});

describe("failing declarations", () => {
  it.each<[string, () => Promise<Declaration>, string, string]>([
    [
      "a VNI that is taken",
      async () => ({ domains: [{ ...network().domains![0]!, id: "n2", vni: 5 }] }),
      "ADDRESS_IN_USE",
      "VNI 5 is taken by bridge domain n1",
    ],
    [
      "a namespace that is none",
      async () => ({ ports: [{ ...endpoint(1).ports![0]!, namespacePath: "/etc/hosts" }] }),
      "INVALID_ARGUMENT",
      "eth0 in /etc/hosts",
    ],
    [
      "a namespace that is not there",
      async () => ({ ports: [{ ...endpoint(1).ports![0]!, namespacePath: "/run/netns/weft-tnone" }] }),
      "INVALID_ARGUMENT",
      "weft-tnone",
    ],
    [
      "an interface name that something else has",
      async () => {
        await namespaces.ip("s0", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8");
        return { ports: [{ ...endpoint(1).ports![0]!, namespacePath: namespaces.path("s0"), interfaceName: "eth7" }] };
      },
      "INVALID_ARGUMENT",
      "eth7",
    ],
  ])("leave the former ones in force: %s", async (_, wrong, code, words) => {
    const datapath = await started();
    await datapath.declare("net", network({ vni: 5 }));
    await namespaces.create("s0");
    await datapath.declare("e0", endpoint(0));
    const error = await datapath.declare("e0", await wrong()).then(
      () => null,
      (reason: Error & { code: string }) => reason,
    );
    expect(error).toMatchObject({ code, message: expect.stringContaining(words) });
    expect(await datapath.dumpFdb()).toHaveLength(1);
    expect(datapath.info()).toMatchObject({ ports: 1, domains: 1 });
    expect(await namespaces.ip("s0", "link", "show", "eth0")).toContain(MAC[0]);
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("leave no interface behind when only some could be made", async () => {
    const datapath = await started();
    await datapath.declare("net", network());
    await namespaces.create("s0");
    const ports = [endpoint(0).ports![0]!, { ...endpoint(1).ports![0]!, namespacePath: "/run/netns/weft-tnone" }];
    await expect(datapath.declare("both", { ports })).rejects.toThrow("weft-tnone");
    await expect(namespaces.ip("s0", "link", "show", "eth0")).rejects.toThrow("does not exist");
  });

  it("are told by owner when many come together; the rest stands", async () => {
    const datapath = await started();
    await namespaces.create("s0");
    const failures = await datapath.declareAll(
      new Map([
        ["net", network()],
        ["e0", endpoint(0)],
        ["e1", endpoint(1)], // no such namespace
        ["e2", { fdb: [{ domain: "n9", mac: MAC[1], to: { port: "e0" } }] }],
      ]),
    );
    expect([...failures.keys()].sort()).toEqual(["e1", "e2"]);
    expect(datapath.info()).toMatchObject({ ports: 1, domains: 1 });
  });

  it("stand without one that the engine refuses when many come together, and take interfaces over as they are", async () => {
    await namespaces.create("s0");
    const first = await started();
    await first.declare("net", network());
    await first.declare("e0", endpoint(0));
    await configure(0);
    const index = async (): Promise<number> => JSON.parse(await namespaces.ip("s0", "-j", "link", "show", "eth0"))[0].ifindex;
    const before = await index();
    await first.stop({ keepInterfaces: true });
    const second = await started({ fdbSlots: 1024 });
    const failures = await second.declareAll(
      new Map<string, Declaration>([
        ["net", network()],
        ["e0", endpoint(0)],
        ["big", { fdb: tooMany }],
      ]),
    );
    expect([...failures].map(([owner, { message }]) => `${owner}: ${message}`)).toEqual([
      expect.stringContaining("big: the engine could not"),
    ]);
    expect(second.info()).toMatchObject({ ports: 1, domains: 1, missing: [] });
    expect(await index()).toBe(before);
  });

  it("tell when their interfaces are open, which go again if the engine then refuses", async () => {
    const datapath = await started({ fdbSlots: 1024 });
    await datapath.declare("net", network());
    await namespaces.create("s0");
    const looks: Promise<string>[] = [];
    const opened = (): void => void looks.push(namespaces.ip("s0", "link", "show", "eth0"));
    await expect(
      datapath.declare("e0", { ...endpoint(0), fdb: [{ domain: "n9", mac: MAC[1], to: { port: "e0" } }] }, opened),
    ).rejects.toThrow("n9");
    await expect(datapath.declare("e1", endpoint(1), opened)).rejects.toThrow("cannot open interface");
    expect(looks).toEqual([]);
    await expect(datapath.declare("e0", { ...endpoint(0), fdb: tooMany }, opened)).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(looks).toHaveLength(1);
    await expect(namespaces.ip("s0", "link", "show", "eth0")).rejects.toThrow("does not exist");
    await datapath.declare("e0", endpoint(0), opened);
    expect(await looks[1]).toContain("eth0");
    await datapath.declare("e0", endpoint(0), opened); // there already
    expect(looks).toHaveLength(3);
    await Promise.allSettled(looks);
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("refuse to take a domain away from under a port", async () => {
    const datapath = await started();
    await datapath.declare("net", network());
    await namespaces.create("s0");
    await datapath.declare("e0", endpoint(0));
    await expect(datapath.withdraw("net")).rejects.toMatchObject({ code: "FORBIDDEN" });
  });
});

describe("the underlay", () => {
  it.each(["ipv4", "ipv6"] as const)("carries a network between two hosts over %s", async (family) => {
    await twoHosts(family);
    expect(await namespaces.ping("s0", IPV4[1], 20, 0.01)).toEqual({ sent: 20, received: 20 });
    expect(await namespaces.ping("s1", IPV6[0], 20, 0.01)).toEqual({ sent: 20, received: 20 });
    for (const datapath of datapaths) {
      const stats = await datapath.stats();
      expect(stats.lawDifference).toBe(0n);
      expect(stats.ports[0]).toMatchObject({ kind: "underlay", domain: "" });
      expect(stats.ports[0]!.rxPackets).toBeGreaterThanOrEqual(40n);
    }
    const remote = family === "ipv4" ? "10.9.0.2" : "fd09::2";
    expect(await datapaths[0]!.dumpFdb()).toContainEqual(expect.objectContaining({ mac: MAC[1], to: { vtep: remote }, static: false }));
    expect(await datapaths[0]!.dumpVteps("n1")).toEqual([{ domain: "n1", vni: 4097, address: remote, port: 4789 }]);
  });

  it.each(["ipv4", "ipv6"] as const)("is captured as VXLAN, both ways, by a reader that tshark trusts: over %s", async (family) => {
    await twoHosts(family);
    await namespaces.ping("s0", IPV4[1], 1, 0.01);
    const [datapath] = datapaths;
    const stop = new AbortController();
    const capture = datapath!.capture({ underlay: true, signal: stop.signal });
    const short = datapath!.capture({ underlay: true, snapLengthBytes: 60, signal: stop.signal });
    const chunks = [(await capture.next()).value as Uint8Array];
    const shortChunks = [(await short.next()).value as Uint8Array];
    await namespaces.ping("s0", IPV4[1], 3, 0);
    await datapath!.stats(); // what was captured before this is on its way before the answer
    stop.abort();
    for await (const chunk of capture) chunks.push(chunk);
    for await (const chunk of short) shortChunks.push(chunk);
    const [source, destination] = family === "ipv4" ? ["ip.src", "ip.dst"] : ["ipv6.src", "ipv6.dst"];
    const [local, remote] = family === "ipv4" ? ["10.9.0.1", "10.9.0.2"] : ["fd09::1", "fd09::2"];
    const fields = ["frame.packet_flags_direction", source, destination, "udp.dstport", "vxlan.vni", "icmp.type", "_ws.expert"];
    const checks = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];
    expect(tsharkFields(Buffer.concat(chunks), fields, ["-Y", "icmp", ...checks])).toEqual(
      [1, 2, 3].flatMap(() => [
        ["0x00000002", local, remote, "4789", "4097", "8", ""],
        ["0x00000001", remote, local, "4789", "4097", "0", ""],
      ]),
    );
    const { sourcePorts } = datapath!.info().underlay[0]!;
    const ports = tsharkFields(Buffer.concat(chunks), ["udp.srcport"], ["-Y", "icmp && frame.packet_flags_direction == 2"]);
    for (const [port] of ports) expect(sourcePorts).toContain(Number(port));
    const lengths = tsharkFields(Buffer.concat(shortChunks), ["frame.cap_len", "frame.len"]);
    const whole = tsharkFields(Buffer.concat(chunks), ["frame.len"]);
    // It began a moment later: what a kernel announced in between, only the other has.
    expect(lengths.length).toBeGreaterThanOrEqual(6);
    expect(lengths).toEqual(whole.slice(-lengths.length).map(([length]) => ["60", length]));
  });

  it("is part of a capture of everything as datagrams, of a network's as the frames in them", async () => {
    await twoHosts("ipv4");
    await namespaces.ping("s0", IPV4[1], 1, 0.01);
    const [datapath] = datapaths;
    const stop = new AbortController();
    const readers = [datapath!.capture({ signal: stop.signal }), datapath!.capture({ domains: ["n1"], signal: stop.signal })];
    const files = await Promise.all(readers.map(async (reader) => [(await reader.next()).value as Uint8Array]));
    await namespaces.ping("s0", IPV4[1], 1, 0.01);
    await datapath!.stats();
    stop.abort();
    for (const [i, reader] of readers.entries()) for await (const chunk of reader) files[i]!.push(chunk);
    const fields = ["frame.interface_name", "frame.packet_flags_direction", "vxlan.vni"];
    const [everything, network] = files.map((file) => tsharkFields(Buffer.concat(file), fields, ["-Y", "icmp"]));
    const [rx, tx] = ["0x00000001", "0x00000002"];
    const underlay = "underlay/10.9.0.1";
    expect(everything).toEqual([
      ["eth0", rx, ""],
      [underlay, tx, "4097"],
      [underlay, rx, "4097"],
      ["eth0", tx, ""],
    ]);
    expect(network).toEqual([
      ["eth0", rx, ""],
      [underlay, tx, ""],
      [underlay, rx, ""],
      ["eth0", tx, ""],
    ]);
  });

  it("does not lose a network for a peer that it can't reach: the peer is left out, and told of once", async () => {
    await namespaces.create("h0");
    await namespaces.ip("h0", "address", "add", "10.9.0.1/32", "dev", "lo");
    const warnings: string[] = [];
    const log: DatapathOptions["log"] = (level, message) => level === "warn" && warnings.push(message);
    const datapath = await started({ underlayNamespacePath: namespaces.path("h0"), underlayAddresses: ["10.9.0.1"], log });
    const vteps = ["10.9.0.1", "fd09::2", "10.9.0.2"].map((address) => ({ domain: "n1", address, port: 4789 }));
    expect((await datapath.declareAll(new Map([["net", { ...network({ vni: 7 }), vteps }]]))).size).toBe(0);
    await datapath.declare("net", { ...network({ vni: 7, mtuBytes: 1400 }), vteps });
    expect(await datapath.dumpVteps("n1")).toMatchObject([{ address: "10.9.0.2" }]);
    expect(warnings).toEqual([
      "VTEP 10.9.0.1 is left out: it is this host's own underlay address",
      expect.stringContaining("VTEP fd09::2 is left out: it is IPv6, but the daemon has no IPv6 underlay address"),
    ]);
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("is refused with the reason", async () => {
    await namespaces.create("h0");
    await namespaces.ip("h0", "address", "add", "10.9.0.1/32", "dev", "lo");
    const there = { stateDir, underlayNamespacePath: namespaces.path("h0"), auditIntervalS: 0 };
    await expect(new WeftDatapath().start({ ...there, underlayAddresses: ["10.9.0.7"] })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("10.9.0.7 is not an address of this host"),
    });
    await started({ ...there, underlayAddresses: ["10.9.0.1"] });
    await expect(new WeftDatapath().start({ ...there, underlayAddresses: ["10.9.0.1"] })).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
      message: expect.stringContaining("UDP port 4789 on 10.9.0.1 is in use"),
    });
    await started({ ...there, underlayAddresses: ["10.9.0.1"], vxlanPort: 4790 });
  });
});

describe("failure", () => {
  it("of the engine loses no ping: three traps under traffic", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    const pinging = namespaces.ping("s0", IPV4[1], 150, 0.01);
    for (let i = 0; i < 3; i++) {
      await namespaces.ping("s1", IPV4[0], 20, 0.01);
      await datapath.trapEngine();
    }
    const { sent, received } = await pinging;
    expect(received).toBe(sent);
    const stats = await datapath.stats();
    expect(stats.rebuilds).toBe(3);
    expect(stats.lawDifference).toBe(0n);
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("of an interface that somebody deleted is told and mended, but for what the datapath knows nothing of", async () => {
    const warnings: unknown[] = [];
    const datapath = await started({ log: (level, message, fields) => level === "warn" && warnings.push({ message, ...fields }) });
    const recreated = new Promise<string>((resolve) => datapath.onInterfaceRecreated(resolve));
    await twoSandboxes(datapath);
    await namespaces.ip("s0", "link", "delete", "eth0");
    expect(await recreated).toBe("e0");
    expect(warnings).toEqual([
      { message: "a port failed and is no longer polled", port: "e0", error: "EBADFD" },
      { message: "an interface was gone and is made again", port: "e0", interface: "eth0" },
    ]);
    expect(JSON.parse(await namespaces.ip("s0", "-j", "link", "show", "eth0"))[0]).toMatchObject({ address: MAC[0], mtu: 1500 });
    await configure(0);
    expect(await namespaces.ping("s1", IPV4[0], 5, 0.01)).toEqual({ sent: 5, received: 5 });
    await datapath.withdraw("e0");
    await expect(namespaces.ip("s0", "link", "show", "eth0")).rejects.toThrow("does not exist");
  });

  it("of an interface together with its namespace is told once; an audit makes it when the namespace is back", async () => {
    const errors: string[] = [];
    let told: () => void = () => {};
    const once = new Promise<void>((resolve) => {
      told = resolve;
    });
    const datapath = await started({
      log: (level, message) => {
        if (level === "error") errors.push(message);
        if (level === "error") told();
      },
    });
    await twoSandboxes(datapath);
    const recreated = new Promise<string>((resolve) => datapath.onInterfaceRecreated(resolve));
    await namespaces.removeThen("s0", "ip", "link", "delete", "eth0");
    await once;
    await datapath.audit();
    await datapath.audit();
    expect(errors).toEqual([expect.stringMatching(/cannot open interface eth0 in .*port e0 stays without its interface/s)]);
    await namespaces.create("s0");
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
    expect(await recreated).toBe("e0");
    await configure(0);
    expect(await namespaces.ping("s1", IPV4[0], 5, 0.01)).toEqual({ sent: 5, received: 5 });
  });

  it("of an interface does not undo that its owner declared something else meanwhile", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    await namespaces.ip("s0", "link", "delete", "eth0");
    await datapath.withdraw("e0");
    await datapath.declare("e0", endpoint(0));
    await configure(0);
    expect(await namespaces.ping("s1", IPV4[0], 20, 0.1)).toEqual({ sent: 20, received: 20 });
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("of a namespace that somebody deleted does not keep its port from being withdrawn", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    await namespaces.remove("s0");
    await datapath.withdraw("e0");
    expect(datapath.info().ports).toBe(1);
  });

  it("to start is told to whoever asks for anything", async () => {
    const datapath = await started();
    await expect(datapath.start({ stateDir })).rejects.toMatchObject({ code: "FORBIDDEN" });
    await datapath.stop({ keepInterfaces: false });
    await datapath.stop({ keepInterfaces: false });
    await expect(datapath.declare("net", network())).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(datapath.stats()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(() => datapath.info()).toThrow("not running");
  });

  it("of the worker is mended by another one", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    await namespaces.ping("s0", IPV4[1], 2, 0.01);
    await datapath.killWorker();
    await datapath.declare("net2", { domains: [{ ...network().domains![0]!, id: "n2" }] }); // waits its turn
    expect(await namespaces.ping("s0", IPV4[1], 10, 0.01)).toEqual({ sent: 10, received: 10 });
    expect(datapath.info()).toMatchObject({ ports: 2, domains: 2 });
  });

  it("of the worker in the middle of a change refuses it, and all that stood stands", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    await namespaces.create("s2");
    const third = { ports: [{ ...endpoint(0).ports![0]!, id: "e2", namespacePath: namespaces.path("s2") }] };
    const [changed] = await Promise.allSettled([datapath.declare("e2", third), datapath.killWorker()]);
    if (changed.status === "rejected") expect(changed.reason).toMatchObject({ code: "UNAVAILABLE" });
    await datapath.declare("e2", third); // waits for the next worker
    expect(await namespaces.ping("s0", IPV4[1], 10, 0.01)).toEqual({ sent: 10, received: 10 });
    expect(datapath.info().ports).toBe(3);
    expect(JSON.parse(await namespaces.ip("s2", "-j", "link", "show", "eth0"))[0]).toMatchObject({ address: MAC[0] });
    expect(await datapath.audit()).toMatchObject({ mended: 0 });
  });

  it("of the worker loses no descriptor, at whichever moment of a hand-over", async () => {
    const datapath = await started({ underlayAddresses: ["127.0.0.1"], vxlanPort: 47_891 });
    await twoSandboxes(datapath);
    await namespaces.create("s2");
    const third = { ports: [{ ...endpoint(0).ports![0]!, id: "e2", namespacePath: namespaces.path("s2") }] };
    /** What pollers and their ports have open: TAPs, sockets, eventfds and the like. */
    const open = (): Record<string, number> => {
      const counts: Record<string, number> = {};
      for (const fd of readdirSync("/proc/self/fd")) {
        let what: string;
        try {
          what = readlinkSync(`/proc/self/fd/${fd}`).replace(/:\[\d+\]$/, "");
        } catch {
          continue; // readdir's own
        }
        if (/net.tun$|socket|anon_inode/.test(what)) counts[what] = (counts[what] ?? 0) + 1;
      }
      return counts;
    };
    const { ifindex } = JSON.parse(await namespaces.ip("s0", "-j", "link", "show", "eth0"))[0];
    const before = open();
    for (let round = 0; round < 12; round++) {
      const change = round % 2 === 0 ? datapath.declare("e2", third) : datapath.withdraw("e2");
      // From at once to when it is made, and behind.
      await pause(round < 2 ? 0 : round);
      await Promise.allSettled([datapath.killWorker(), change]);
      await datapath.withdraw("e2"); // waits for the next worker
      expect([round, open()]).toEqual([round, before]);
    }
    // Interfaces went on, and were not made anew.
    expect(JSON.parse(await namespaces.ip("s0", "-j", "link", "show", "eth0"))[0].ifindex).toBe(ifindex);
    expect(await namespaces.ping("s0", IPV4[1], 10, 0.01)).toEqual({ sent: 10, received: 10 });
  });

  it("of the worker does not end a capture that begins then", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    await namespaces.ping("s0", IPV4[1], 1, 0.01);
    const stop = new AbortController();
    const killed = datapath.killWorker();
    const capture = datapath.capture({ ports: ["e0"], signal: stop.signal });
    await killed;
    const chunks = [(await capture.next()).value as Uint8Array];
    await namespaces.ping("s0", IPV4[1], 1, 0.01);
    await datapath.stats();
    stop.abort();
    for await (const chunk of capture) chunks.push(chunk);
    expect(tsharkFields(Buffer.concat(chunks), ["icmp.type"], ["-Y", "icmp"])).toEqual([["8"], ["0"]]);
  });

  it("of the worker while the daemon stops keeps nothing open and nothing behind", async () => {
    const datapath = await started();
    await twoSandboxes(datapath);
    await Promise.allSettled([datapath.killWorker(), datapath.stop({ keepInterfaces: false })]);
    for (const name of ["s0", "s1"]) await expect(namespaces.ip(name, "link", "show", "eth0")).rejects.toThrow("does not exist");
    expect(() => datapath.info()).toThrow("not running");
  });

  it("of nothing: a daemon that stops leaves interfaces, the next one takes them over", async () => {
    const first = await started();
    await twoSandboxes(first);
    const before = await namespaces.ip("s0", "-j", "address", "show", "eth0");
    const pinging = namespaces.ping("s0", IPV4[1], 100, 0.02);
    await namespaces.ping("s1", IPV4[0], 10, 0.02);
    await first.stop({ keepInterfaces: true });
    const second = await started();
    const declarations = new Map([
      ["net", network()],
      ["e0", endpoint(0)],
      ["e1", endpoint(1)],
    ]);
    expect((await second.declareAll(declarations)).size).toBe(0);
    const { sent, received } = await pinging;
    expect(received).toBeGreaterThan(sent - 50);
    expect(await namespaces.ping("s0", IPV4[1], 10, 0.01)).toEqual({ sent: 10, received: 10 });
    expect(JSON.parse(await namespaces.ip("s0", "-j", "address", "show", "eth0"))[0].ifindex).toBe(JSON.parse(before)[0].ifindex);
  });

  it("by kill -9: the next daemon takes the interfaces over", async () => {
    await namespaces.create("s0");
    await namespaces.create("s1");
    const declarations: [string, Declaration][] = [
      ["net", network()],
      ["e0", endpoint(0)],
      ["e1", endpoint(1)],
    ];
    const child = fork(join(ROOT, "test", "support", "datapath-child.mjs"), { execArgv: [] });
    const died = new Promise((resolve) => child.on("exit", resolve));
    const ready = new Promise((resolve) => child.once("message", resolve));
    child.send({ stateDir, declarations });
    expect(await ready).toBe("declared");
    for (const i of [0, 1] as const) await configure(i);
    expect(await namespaces.ping("s0", IPV4[1], 5, 0.01)).toEqual({ sent: 5, received: 5 });
    child.kill("SIGKILL");
    await died;
    const datapath = await started();
    expect((await datapath.declareAll(new Map(declarations))).size).toBe(0);
    expect(await namespaces.ping("s0", IPV4[1], 5, 0.01)).toEqual({ sent: 5, received: 5 });
  });
});

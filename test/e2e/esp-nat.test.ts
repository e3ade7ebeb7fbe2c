// An encrypted network through a NAT (RFC 3948): host a behind a router that gives it another address and port, and gives it
// others whenever it likes; host b outside, which has to go by what a sends, and by nothing else.
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/daemon.ts";
import { ADDRESSES } from "../support/encrypted-hosts.ts";
import { Lab } from "../support/hosts.ts";
import { keysOf, type ShownAssociation } from "../support/key-forms.ts";
import { fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { NAT_UNDERLAYS, type NatHosts, natHosts } from "../support/nat-hosts.ts";
import { servers, transfer } from "../support/traffic.ts";
import { espFields } from "../support/tshark-esp.ts";

const PORT = 61001;
const INNER = { sa: ADDRESSES.sa[0], sb: ADDRESSES.sb[0] };

describe.each(["ipv4", "ipv6"] as const)("over %s", (family) => {
  const lab = new Lab();
  const { b: addressB, router, second } = NAT_UNDERLAYS[family];
  const ipSource = family === "ipv4" ? "ip.src" : "ipv6.src";
  let hosts: NatHosts;

  beforeAll(async () => {
    hosts = await natHosts(lab, family, PORT);
    await Promise.all([servers(lab, hosts.sa), servers(lab, hosts.sb)]);
  });
  afterEach(async () => {
    await hosts?.a.law();
    await hosts?.b.law();
  });
  afterAll(() => lab.dispose());

  const at = (address: string, port: number): string => `${family === "ipv4" ? address : `[${address}]`}:${port}`;
  /** Where b sends to. */
  const remote = async (): Promise<string> => (await hosts.b.json("peer", "ls"))[0].Remote;
  const pings = (from: "sa" | "sb", count = 3): Promise<number> =>
    hosts[from].ping(INNER[from === "sa" ? "sb" : "sa"], ["-i", "0.02"], count);
  const works = async (from: "sa" | "sb"): Promise<void> =>
    void (await eventually(`${from} is answered`, async () => (await pings(from, 1)) === 1, 8000));

  /** Datagrams that b got from a, each without its UDP header, as they came. */
  async function caught(whileDoing: () => Promise<unknown>): Promise<{ file: string; datagrams: Buffer[] }> {
    const capture = await LinkCapture.start(lab, hosts.hostB, "up0", "udp port 4500");
    await whileDoing();
    const file = await capture.stop();
    const rows = await fieldsOf(file, `esp and udp.dstport == 4500 and ${ipSource} != ${addressB}`, ["udp.payload"]);
    return { file, datagrams: rows.map(([hex]) => Buffer.from(hex!, "hex")) };
  }

  test("the one inside speaks first, and traffic goes both ways", async () => {
    await works("sa");
    expect(await pings("sb")).toBe(3);
    await transfer(hosts.sa, INNER.sb, 2);
    await transfer(hosts.sb, INNER.sa, 2);
    expect(await remote()).toBe(at(router[1], PORT));
    expect(await hosts.b.must("peer", "ls")).toContain(`key, udp at ${at(router[1], PORT)}`);
    expect((await hosts.a.json("peer", "ls"))[0].Remote).toBe(at(addressB, 4500));
  });

  test("captures of it: the NAT's port, tshark with the keys, and --decrypt", async () => {
    const { b } = hosts;
    const files = { wire: join(b.stateDir, "wire.pcapng"), opened: join(b.stateDir, "opened.pcapng") };
    const captures = Object.entries(files).map(([name, file]) => {
      const flags = name === "opened" ? ["--decrypt"] : [];
      return lab.background(b.host, [b.argv()[0]!, "--socket", b.socket, "capture", "underlay", "-w", file, ...flags]);
    });
    for (const capture of captures) await eventually("the capture has begun", () => capture.stderr.includes("ctrl-c ends"));
    expect(await hosts.sa.pings(INNER.sb, 3, 0)).toEqual({ sent: 3, received: 3 });
    for (const capture of captures) await capture.end("SIGINT");

    const seed = Buffer.from(hosts.seed, "base64");
    const { Index: index } = (await b.json("cluster", "keys", "ls"))[0];
    const keys = keysOf(seed, ["b", "a"], index, (await b.json("sa")) as ShownAssociation[]).map((one) => ({ ...one, esn: true }));
    const rows = await espFields(files.wire, family, keys, "icmp", ["icmp.type", "frame.packet_flags_direction"]);
    expect(rows.map((row) => row.join())).toEqual([1, 2, 3].flatMap(() => ["8,0x00000001", "0,0x00000002"]));
    const ends = await fieldsOf(files.wire, "esp", [ipSource, "udp.srcport", "udp.dstport"]);
    expect([...new Set(ends.map((row) => row.join()))].sort()).toEqual([`${router[1]},${PORT},4500`, `${addressB},4500,${PORT}`].sort());
    expect((await fieldsOf(files.opened, "icmp", ["icmp.type"])).map(([type]) => type)).toEqual(["8", "0", "8", "0", "8", "0"]);
    expect(await fieldsOf(files.opened, "esp", ["frame.number"])).toEqual([]);
  });

  test("nobody else moves the peer: not by a repeated datagram, a forged one, a keepalive, IKE or an unknown key", async () => {
    const before = await hosts.b.drops();
    const { datagrams } = await caught(() => pings("sa"));
    const last = datagrams.at(-1)!;
    const forged = Buffer.from(last);
    forged.writeUInt32BE(last.readUInt32BE(4) + 50, 4); // newer than all, and so not authentic
    const unknown = Buffer.from(last);
    unknown.writeUInt32BE(0x80000000 + 77, 0);
    const ike = Buffer.concat([Buffer.alloc(4), Buffer.alloc(28, 7)]);
    await hosts.spoof(...datagrams, forged, Uint8Array.of(0xff), ike, unknown);
    const grown = async (): Promise<Record<string, number>> => {
      const now = await hosts.b.drops();
      return Object.fromEntries(Object.keys(now).map((name) => [name, now[name]! - before[name]!]));
    };
    await eventually("all of it is counted", async () => (await grown())["esp-unknown-spi"]! >= 1);
    expect(await grown()).toMatchObject({ "esp-replayed": datagrams.length, "esp-forged": 1, "esp-not-esp": 1, "esp-unknown-spi": 1 });
    expect(await remote()).toBe(at(router[1], PORT));
    expect(await pings("sb")).toBe(3);
  });

  test("another port: traffic goes on with the next packet from inside", async () => {
    await hosts.bind(PORT + 1);
    await works("sa"); // the first answers may go to where it was
    expect(await remote()).toBe(at(router[1], PORT + 1));
    expect(await pings("sb")).toBe(3);
  });

  test("another address and port while nobody inside speaks: the pair's own datagrams tell", async () => {
    await hosts.bind(PORT + 2, second);
    await works("sb");
    expect(await remote()).toBe(at(second, PORT + 2));
    await transfer(hosts.sb, INNER.sa, 2);
    expect((await hosts.b.json("cluster", "keys", "ls"))[0]).toMatchObject({ Remote: at(second, PORT + 2), Heard: true });
  });

  if (family === "ipv6") return; // the rest has nothing to do with the family

  test("a keepalive comes each time it is due: one byte, from the port that the binding is of", async () => {
    const count = async (): Promise<number> => (await hosts.b.drops())["esp-keepalive"]!;
    const { file } = await caught(async () => {
      const before = await count(); // by now the capture runs
      await eventually("one came", async () => (await count()) > before);
    });
    const rows = await fieldsOf(file, `udp.length == 9 and ${ipSource} != ${addressB}`, ["udp.srcport", "udp.payload"]);
    expect(rows.length).toBeGreaterThanOrEqual(1);
    for (const row of rows) expect(row).toEqual([String(PORT + 2), "ff"]);
  });

  test("the one outside is killed, and the NAT has given the other another port meanwhile", async () => {
    await hosts.b.kill9();
    await hosts.bind(PORT + 3, second);
    await hosts.b.start();
    await works("sa");
    expect(await remote()).toBe(at(second, PORT + 3));
    expect(await pings("sb")).toBe(3);
  });

  test("the one inside starts anew, and the NAT has given it another address meanwhile", async () => {
    await hosts.a.kill9();
    await hosts.bind(PORT + 4);
    await hosts.a.start();
    await works("sa");
    expect(await pings("sb")).toBe(3);
    expect(await remote()).toBe(at(router[1], PORT + 4));
  });
});

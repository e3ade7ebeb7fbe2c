// Links where sandboxes don't reach each other (bridge.icc off), on the real kernel: the ports that the other serves are open to
// who linked, in both families, and nothing else is.
//
//   app ──link──> db (TCP 5001 and 5011, UDP 5002, 5012 and 5099, SCTP 5003)         other: no link
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const SETTINGS = ["bridge.ipv4=10.93.0.1/24", "bridge.ipv6=fd93::1/64", "bridge.icc=false"];
const EXPOSED = ["5001", "5011", "5002/udp", "5012/udp", "5003/sctp", "5099/udp"];

const lab = new Lab();
let daemon: Daemon;
let app: Host;
let db: Host;
let other: Host;
let traps = 0;

/** Addresses of a sandbox: IPv4, IPv6. */
async function addresses(name: string): Promise<string[]> {
  const [{ NetworkSettings }] = await daemon.json("sandbox", "inspect", name);
  const { IPAddress, GlobalIPv6Address } = NetworkSettings.Networks.bridge;
  return [IPAddress, GlobalIPv6Address];
}

/** What comes of a connection: "open", "refused" (the other end said so), or "nothing" within a second and a half. */
async function attempt(from: Host, address: string, port: number, kind: "tcp" | "udp" | "sctp" = "tcp"): Promise<string> {
  const program = `
import socket, sys
kind = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0), "sctp": (socket.SOCK_STREAM, 132)}["${kind}"]
try:
    s = socket.socket(socket.AF_INET6 if ":" in "${address}" else socket.AF_INET, *kind)
except OSError as error:
    print("unsupported"); sys.exit()
s.settimeout(1.5)
try:
    s.connect(("${address}", ${port}))
    if "${kind}" == "udp":
        s.send(b"x")
        s.recv(10)
    print("open")
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("nothing")
`;
  return (await from.must(["python3", "-c", program])).trim();
}

beforeAll(async () => {
  const host = await lab.host("weft");
  daemon = await Daemon.start(lab, host, { args: SETTINGS.flatMap((one) => ["--set", one]) });
  await daemon.must("sandbox", "create", ...EXPOSED.flatMap((one) => ["--expose", one]), "db");
  await daemon.must("sandbox", "create", "--link", "db", "app");
  await daemon.must("sandbox", "create", "other");
  [app, db, other] = (await daemon.enterAll("app", "db", "other")) as [Host, Host, Host];
  await servers(lab, db);
});
afterEach(() => daemon.law(traps));
afterAll(() => lab.dispose());

/** All that the link is for, and what it is not. */
async function holds(): Promise<void> {
  await Promise.all(
    (await addresses("db")).map(async (address) => {
      await transfer(app, address, 1);
      // Beyond the MTU: fragments too.
      await datagramSizes(app, address, 1440, 1480);
      await datagramSizes(app, address, 4000, 4003);
      // Nobody listens, and the kernel of db may say so: of UDP by ICMP.
      expect(await attempt(app, address, 5099, "udp")).toBe("refused");
      expect(["refused", "unsupported"]).toContain(await attempt(app, address, 5003, "sctp"));
    }),
  );
}

test("opens the ports that the other serves, and answers by them, in both families", async () => {
  await holds();
});

test("opens no others, to nobody else, and not the other way", async () => {
  const drops = async (): Promise<number> => (await daemon.drops()).isolated ?? 0;
  const before = await drops();
  const ends = await Promise.all([addresses("db"), addresses("app")]);
  for (const family of [0, 1]) {
    const [server, client] = ends.map((pair) => pair[family]!) as [string, string];
    const results = await Promise.all([
      attempt(app, server, 5000),
      attempt(app, server, 5001, "udp"),
      attempt(db, client, 5001),
      attempt(other, server, 5001).catch(String),
      app.ping(server, [], 1),
    ]);
    expect(results.slice(0, 3)).toEqual(["nothing", "nothing", "nothing"]);
    // Its question for the neighbour is not heard, so that nothing is sent at all: no route to host, or nothing.
    expect(results[3]).not.toMatch(/^(open|refused)$/);
    expect(results[4]).toBe(0);
  }
  expect(await drops()).toBeGreaterThan(before);
});

test("follows ports that are published while it runs", async () => {
  const [ipv4] = (await addresses("db")) as [string, string];
  expect(await attempt(app, ipv4, 7000)).toBe("nothing");
  await daemon.must("sandbox", "update", "--publish-add", "7000-7009", "db");
  expect(await attempt(app, ipv4, 7000)).toBe("refused");
  await daemon.must("sandbox", "update", "--publish-rm", "7000-7004", "db");
  expect(await attempt(app, ipv4, 7000)).toBe("nothing");
  expect(await attempt(app, ipv4, 7009)).toBe("refused");
});

test("is there after kill -9, after a trap of the engine, and where the other went away and came back", async () => {
  await daemon.kill9();
  await daemon.start();
  await holds();
  await daemon.trap();
  traps = 1;
  await holds();
  await daemon.must("network", "disconnect", "bridge", "db");
  await daemon.must("network", "connect", "bridge", "db");
  await holds();
});

test("ends with either, and leaves no trace in the tables", async () => {
  await daemon.must("sandbox", "rm", "db");
  expect(await daemon.must("audit")).toMatch(/, 0 mended$/);
  await daemon.must("sandbox", "rm", "app", "other");
});

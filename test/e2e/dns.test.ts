// Names inside sandboxes, asked for with dig, with the resolvers of Python and Node, and by an application that is itself a
// DNS server. The upstream is a double that says what it was asked: what must not leak is seen not to.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ROOT } from "../../src/paths.ts";
import { Daemon, eventually } from "../support/daemon.ts";
import { type Background, type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;
let resolvConf: string;
let one: Host;
let two: Host;
/** What the host's servers were asked: the first is 127.0.0.53, the second 127.0.0.54. */
let first: Background;
let second: Background;

const double = async (where: Host, address: string, ...table: readonly string[]): Promise<Background> => {
  const server = lab.background(where, ["python3", join(ROOT, "test/support/dns-double.py"), address, ...table]);
  await server.until(/^ready$/m);
  return server;
};
const askedOf = (server: Background): string[] => server.stdout.split("\n").filter((line) => /^(udp|tcp) /.test(line));

beforeAll(async () => {
  host = await lab.host("h");
  const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-dns-`));
  lab.defer(() => rmSync(folder, { recursive: true }));
  resolvConf = join(folder, "resolv.conf");
  writeFileSync(resolvConf, "nameserver 127.0.0.53\nnameserver 127.0.0.54\nsearch host.example\noptions timeout:1\n");
  const table = ["none.example=nxdomain", "big.example=big", "counted.example=counted", "soon.example=soon"];
  first = await double(host, "127.0.0.53", ...table, "refused.example=refused", "servfail.example=servfail", "dead.example=servfail");
  second = await double(host, "127.0.0.54", ...table, "refused.example=192.0.2.54", "servfail.example=192.0.2.54", "dead.example=refused");
  daemon = await Daemon.start(lab, host, { args: ["--set", `resolvConf=${resolvConf}`] });
  await daemon.must("network", "create", "--subnet", "10.71.0.0/24", "--ipv6", "--subnet", "fd71::/64", "web");
  await daemon.must("network", "create", "--subnet", "10.72.0.0/24", "back");
  await daemon.must("network", "create", "--subnet", "10.73.0.0/24", "--internal", "closed");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.10,ip6=fd71::10", "one");
  await daemon.must("sandbox", "create", "--hostname", "zwei", "--network", "web,ip=10.71.0.20,ip6=fd71::20,alias=db", "two");
  await daemon.must("sandbox", "create", "--network", "back,ip=10.72.0.30", "three");
  await daemon.must("network", "connect", "--ip", "10.72.0.20", "back", "two");
  [one, two] = (await daemon.enterAll("one", "two")) as [Host, Host];
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

const dig = async (from: Host, ...args: readonly string[]): Promise<string> =>
  (await from.must(["dig", "@127.0.0.11", "+tries=1", "+time=6", ...args])).trim();
const short = async (from: Host, ...args: readonly string[]): Promise<string[]> =>
  (await dig(from, "+short", ...args))
    .split("\n")
    .filter((line) => line !== "")
    .sort();
/** "NOERROR 1": status and number of answers. */
const verdict = async (from: Host, ...args: readonly string[]): Promise<string> => {
  const text = await dig(from, ...args);
  return `${/status: (\w+)/.exec(text)![1]} ${/ANSWER: (\d+)/.exec(text)![1]}`;
};

test("what a neighbour is called, by UDP and TCP", async () => {
  const { id } = await daemon.sandbox("two");
  for (const name of ["two", "db", "zwei", id.slice(0, 12), "two.web", "db.web", "TWO", "Two.Web."]) {
    expect([name, await short(one, name, "A"), await short(one, name, "AAAA")]).toEqual([name, ["10.71.0.20"], ["fd71::20"]]);
  }
  expect(await short(one, "+tcp", "two", "A")).toEqual(["10.71.0.20"]);
  expect(await short(one, "+noedns", "two", "AAAA")).toEqual(["fd71::20"]);
  expect(await short(one, "one")).toEqual(["10.71.0.10"]);
});

test("only of networks that the asker is on", async () => {
  expect(await verdict(one, "three.back")).toBe("NOERROR 1"); // the upstream's answer: 192.0.2.99
  expect(await short(one, "three.back")).toEqual(["192.0.2.99"]);
  expect(await short(two, "three")).toEqual(["10.72.0.30"]);
  expect(await short(two, "two.back")).toEqual(["10.72.0.20"]);
  expect(await short(two, "two.web")).toEqual(["10.71.0.20"]);
});

test("the flags, times to live and case of an answer", async () => {
  const text = await dig(one, "tWo", "A");
  expect(text).toMatch(/flags: qr rd ra;/);
  expect(text).toMatch(/^;tWo\.\s+IN\s+A$/m);
  expect(text).toMatch(/^tWo\.\s+5\s+IN\s+A\s+10\.71\.0\.20$/m);
  expect(text).toMatch(/EDNS: version: 0/);
  expect(text).not.toMatch(/WARNING/);
});

test("no type of a local name reaches the upstream", async () => {
  const before = askedOf(first).length;
  for (const type of ["MX", "TXT", "SVCB", "HTTPS", "CNAME", "SOA", "NS", "TYPE65280"])
    expect(await verdict(one, "two", type)).toBe("NOERROR 0");
  for (const type of ["AAAA", "TXT"]) expect(await verdict(two, "three", type)).toBe("NOERROR 0");
  expect(await verdict(one, "two", "ANY")).toBe("NOERROR 2");
  expect(await verdict(one, "-x", "10.71.0.20")).toBe("NOERROR 1");
  expect(await verdict(one, "20.0.71.10.in-addr.arpa", "TXT")).toBe("NOERROR 0");
  expect(await verdict(one, "_http._tcp.two", "SRV")).toBe("NOERROR 0");
  expect(askedOf(first).slice(before)).toEqual([]);
});

test("addresses have names, ports have hosts", async () => {
  expect(await short(one, "-x", "10.71.0.20")).toEqual(["two.web."]);
  expect(await short(one, "-x", "fd71::20")).toEqual(["two.web."]);
  expect(await short(two, "-x", "10.72.0.30")).toEqual(["three.back."]);
  const text = await dig(one, "_8080._tcp.db", "SRV");
  expect(text).toMatch(/_8080\._tcp\.db\.\s+5\s+IN\s+SRV\s+0 0 8080 two\.web\./);
  expect(text).toMatch(/ADDITIONAL SECTION:\ntwo\.web\.\s+5\s+IN\s+A\s+10\.71\.0\.20\ntwo\.web\.\s+5\s+IN\s+AAAA\s+fd71::20/);
});

test("one alias of several: all their addresses, in any order; gone with the sandbox", async () => {
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.31", "--network-alias", "pool", "p1");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.32", "--network-alias", "pool", "p2");
  expect(await short(one, "pool")).toEqual(["10.71.0.31", "10.71.0.32"]);
  const orders = new Set<string>();
  for (let round = 0; round < 40 && orders.size < 2; round++) orders.add(await dig(one, "+short", "pool"));
  expect(orders.size).toBe(2);
  await daemon.must("sandbox", "rm", "p1");
  expect(await short(one, "pool")).toEqual(["10.71.0.32"]);
  await daemon.must("network", "disconnect", "web", "p2");
  expect(await short(one, "pool")).toEqual(["192.0.2.99"]);
  await daemon.must("network", "connect", "--alias", "pool", "--ip", "10.71.0.33", "web", "p2");
  expect(await short(one, "pool")).toEqual(["10.71.0.33"]);
  await daemon.must("sandbox", "rm", "p2");
});

test("more than fits: truncated by UDP, whole by TCP, and dig asks again by itself", async () => {
  const names = Array.from({ length: 40 }, (_, number) => `many${number}`);
  const attachments = [{ network: "back", aliases: ["many"] }];
  await Promise.all(names.map((name) => daemon.api.call("sandbox", "Create", { name, attachments })));
  const limited = await dig(two, "+noedns", "+ignore", "many");
  expect(limited).toMatch(/flags: qr tc rd ra;/);
  expect(Number(/MSG SIZE\s+rcvd: (\d+)/.exec(limited)![1])).toBeLessThanOrEqual(512);
  expect(Number(/ANSWER: (\d+)/.exec(limited)![1])).toBeGreaterThan(25);
  expect(await short(two, "+noedns", "many")).toHaveLength(40);
  expect(await verdict(two, "+bufsize=4096", "+ignore", "many")).toBe("NOERROR 40");
  const library = `import socket; print(len(socket.getaddrinfo("many", None, socket.AF_INET, socket.SOCK_STREAM)))`;
  expect(await daemon.must("sandbox", "exec", "two", "--", "python3", "-c", library)).toBe("40");
  await Promise.all(names.map((sandbox) => daemon.api.call("sandbox", "Remove", { sandbox })));
});

test("other names: the host's servers, their verdicts, and the next where one fails", async () => {
  expect(await short(one, "www.example")).toEqual(["192.0.2.99"]);
  expect(await verdict(one, "none.example")).toBe("NXDOMAIN 0");
  expect(await short(one, "refused.example")).toEqual(["192.0.2.54"]);
  expect(await short(one, "servfail.example")).toEqual(["192.0.2.54"]);
  expect(await verdict(one, "dead.example")).toBe("SERVFAIL 0");
  expect(await short(one, "+noedns", "big.example")).toHaveLength(40);
  expect(askedOf(first).filter((line) => line.includes("big.example"))).toEqual([
    "udp big.example 1 127.0.0.1",
    "tcp big.example 1 127.0.0.1",
  ]);
});

test("upstream answers are kept as long as they live", async () => {
  expect(await short(one, "counted.example")).toEqual(["192.0.2.1"]);
  expect(await short(one, "COUNTED.example")).toEqual(["192.0.2.1"]);
  expect(await short(two, "counted.example")).toEqual(["192.0.2.1"]);
  expect(await dig(one, "CounteD.example")).toMatch(/^CounteD\.example\.\s+(60|5\d)\s+IN\s+A\s+192\.0\.2\.1$/m);
  const asked = (): number => askedOf(first).filter((line) => line.includes("soon.example")).length;
  await short(one, "soon.example");
  await eventually("a dead entry is asked for again", async () => (await short(one, "soon.example")) && asked() === 2);
});

test("a silent server costs 4 seconds, a closed one nothing, none at all is SERVFAIL", async () => {
  const before = await double(host, "127.0.0.55", "slow.example=silent");
  writeFileSync(resolvConf, "nameserver 127.0.0.55\nnameserver 127.0.0.54\n");
  const started = Date.now();
  expect(await short(one, "slow.example")).toEqual(["192.0.2.99"]);
  expect(Date.now() - started).toBeGreaterThan(3900);
  writeFileSync(resolvConf, "nameserver 127.0.0.56\nnameserver 127.0.0.54\n");
  expect(await short(one, "fast.example")).toEqual(["192.0.2.99"]);
  writeFileSync(resolvConf, "# nobody\n");
  expect(await verdict(one, "nobody.example")).toBe("SERVFAIL 0");
  writeFileSync(resolvConf, "nameserver 127.0.0.53\nnameserver 127.0.0.54\nsearch host.example\noptions timeout:1\n");
  await before.end();
});

test("an application may have port 53 for itself, without any socket option", async () => {
  const source = `
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 53))
t = socket.socket(); t.bind(("0.0.0.0", 53)); t.listen()
print("bound", flush=True)
data, peer = u.recvfrom(512); u.sendto(b"own:" + data, peer)
c, _ = t.accept(); c.sendall(b"own:" + c.recv(512))
`;
  const app = lab.background(two, ["python3", "-c", source]);
  await app.until(/^bound$/m);
  expect(await short(two, "three")).toEqual(["10.72.0.30"]);
  expect(await short(two, "+tcp", "three")).toEqual(["10.72.0.30"]);
  const client = `
import socket
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.sendto(b"udp", ("10.71.0.20", 53)); print(u.recv(64).decode())
t = socket.create_connection(("10.71.0.20", 53), 5); t.sendall(b"tcp"); print(t.recv(64).decode())
`;
  expect(await one.must(["python3", "-c", client])).toBe("own:udp\nown:tcp\n");
  await app.end();
});

test("libraries: Python's and Node's, by the sandbox's own files", async () => {
  const python = `
import socket
def all(name): return sorted({x[4][0] for x in socket.getaddrinfo(name, 80)})
print(all("two"), all("db.web"), socket.gethostbyaddr("10.71.0.20")[0], socket.gethostname(), socket.gethostbyname(socket.gethostname()))
`;
  const { id } = await daemon.sandbox("one");
  const hostname = id.slice(0, 12);
  expect(await daemon.must("sandbox", "exec", "one", "--", "python3", "-c", python)).toBe(
    `['10.71.0.20', 'fd71::20'] ['10.71.0.20', 'fd71::20'] two.web ${hostname} 10.71.0.10`,
  );
  const node = `
const dns = require("node:dns").promises;
(async () => console.log(JSON.stringify([
  (await dns.lookup("two", { all: true })).map(({ address }) => address).sort(), await dns.resolve4("db"), await dns.resolve6("two.web"),
  await dns.reverse("fd71::20"), await dns.resolveSrv("_80._tcp.two"), await dns.resolveTxt("two").catch((e) => e.code),
  await dns.resolve4("none.example").catch((e) => e.code),
])))()`;
  expect(JSON.parse(await daemon.must("sandbox", "exec", "one", "--", process.execPath, "-e", node))).toEqual([
    ["10.71.0.20", "fd71::20"],
    ["10.71.0.20"],
    ["fd71::20"],
    ["two.web"],
    [{ name: "two.web", port: 80, priority: 0, weight: 0 }],
    "ENODATA",
    "ENOTFOUND",
  ]);
});

test("the files that programs see", async () => {
  const cat = (sandbox: string, file: string) => daemon.must("sandbox", "exec", sandbox, "--", "cat", file);
  expect(await cat("one", "/etc/resolv.conf")).toBe("nameserver 127.0.0.11\nsearch host.example\noptions timeout:1 ndots:0");
  expect(await cat("two", "/etc/hosts")).toMatch(
    /\n10\.71\.0\.20\tzwei\nfd71::20\tzwei\n10\.72\.0\.20\tzwei$|\n10\.72\.0\.20\tzwei\n10\.71/,
  );
  expect(await cat("two", "/etc/hostname")).toBe("zwei");
  const flags = ["--dns", "10.71.0.20", "--dns-search", "a.example", "--dns-search", "b.example", "--dns-opt", "ndots:2"];
  const shown = await daemon.must(
    "run",
    "--rm",
    "--network",
    "web",
    "--hostname",
    "h.b.c",
    ...flags,
    "--",
    "sh",
    "-c",
    "cat /etc/resolv.conf; uname -n",
  );
  expect(shown).toBe("nameserver 127.0.0.11\nsearch a.example b.example\noptions ndots:2\nh.b.c");
  await daemon.must("sandbox", "exec", "two", "--", "sh", "-c", "echo 192.0.2.7 mine >> /etc/hosts; echo '# mine' >> /etc/resolv.conf");
  await daemon.must("network", "disconnect", "back", "two");
  expect(await cat("two", "/etc/hosts")).toMatch(/\n10\.71\.0\.20\tzwei\nfd71::20\tzwei\n192\.0\.2\.7 mine$/);
  expect(await cat("two", "/etc/resolv.conf")).toMatch(/^nameserver 127\.0\.0\.11\n.*# mine$/s);
  await daemon.must("network", "connect", "--ip", "10.72.0.20", "back", "two");
  expect(await cat("two", "/etc/hosts")).toMatch(/\n192\.0\.2\.7 mine\n10\.72\.0\.20\tzwei$/);
});

test("a stack shared, a host's stack: its owner's files, and the host's", async () => {
  await daemon.must("sandbox", "create", "--network", "sandbox:two", "guest");
  expect(await daemon.must("sandbox", "exec", "guest", "--", "cat", "/etc/hostname")).toBe("zwei");
  await daemon.must("sandbox", "rm", "guest");
  expect(await short(two, "one")).toEqual(["10.71.0.10"]);
  expect(await daemon.must("run", "--rm", "--network", "host", "--", "cat", "/etc/resolv.conf")).not.toContain("127.0.0.11");
  const { code, stderr } = await daemon.cli(["sandbox", "create", "--network", "sandbox:two", "--dns", "10.0.0.1", "refused"]);
  expect([code, stderr]).toEqual([1, "weft: conflicting options: dns and the network mode\n"]);
});

test("servers of the sandbox's own are asked from inside it", async () => {
  const inside = await double(one, "10.71.0.10", "only.example=192.0.2.53");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.40", "--dns", "10.71.0.10", "four");
  const four = await daemon.enter("four");
  const before = askedOf(first).length;
  expect(await short(four, "only.example")).toEqual(["192.0.2.53"]);
  expect(await short(four, "+tcp", "other.example")).toEqual(["192.0.2.99"]);
  expect(askedOf(inside)).toEqual(["udp only.example 1 10.71.0.40", "tcp other.example 1 10.71.0.40"]);
  expect(askedOf(first)).toHaveLength(before);
  await daemon.must("sandbox", "rm", "four");
  await inside.end();
});

test("what is cut off gets no answer from outside through the daemon", async () => {
  await daemon.must("sandbox", "create", "--network", "closed,ip=10.73.0.2", "cut");
  await daemon.must("sandbox", "create", "--network", "closed", "off");
  const cut = await daemon.enter("cut");
  const before = askedOf(first).length + askedOf(second).length;
  expect(await short(cut, "off")).toEqual(["10.73.0.3"]);
  expect(await verdict(cut, "leak.example")).toBe("SERVFAIL 0");
  expect(await verdict(cut, "+tcp", "leak.example")).toBe("SERVFAIL 0");
  // A server of the host that is no loopback one is asked, but from inside: here the neighbour has its address.
  const neighbour = await double(await daemon.enter("off"), "10.73.0.3");
  writeFileSync(resolvConf, "nameserver 127.0.0.53\nnameserver 10.73.0.3\n");
  expect(await short(cut, "inner.example")).toEqual(["192.0.2.99"]);
  expect(askedOf(neighbour)).toEqual(["udp inner.example 1 10.73.0.2"]);
  writeFileSync(resolvConf, "nameserver 127.0.0.53\nnameserver 127.0.0.54\nsearch host.example\noptions timeout:1\n");
  expect(askedOf(first).length + askedOf(second).length).toBe(before);
  await neighbour.end();
  await daemon.must("sandbox", "rm", "cut", "off");
});

test("a single label is not asked for upstream where ndots says so", async () => {
  await daemon.must("sandbox", "create", "--network", "web", "--dns-opt", "ndots:1", "five");
  const five = await daemon.enter("five");
  const before = askedOf(first).length;
  expect(await verdict(five, "lonely")).toBe("NOERROR 0");
  expect(await verdict(five, "lonely", "AAAA")).toBe("NOERROR 0");
  expect(askedOf(first)).toHaveLength(before);
  expect(await short(five, "lonely.example")).toEqual(["192.0.2.99"]);
  await daemon.must("sandbox", "rm", "five");
});

test("after a crash of the daemon, and after its end, the next one answers", async () => {
  await daemon.kill9();
  await daemon.start();
  expect(await short(one, "two")).toEqual(["10.71.0.20"]);
  expect(await short(one, "+tcp", "two")).toEqual(["10.71.0.20"]);
  expect(await short(one, "www.example")).toEqual(["192.0.2.99"]);
  expect(await daemon.sigterm()).toBe(0);
  await daemon.start();
  expect(await short(one, "two")).toEqual(["10.71.0.20"]);
  expect(await daemon.must("sandbox", "exec", "two", "--", "cat", "/etc/hosts")).toContain("192.0.2.7 mine");
});

test("a namespace of the user's own is given back without a trace", async () => {
  const own = await lab.host("own");
  const tables = (): Promise<string> => own.must(["nft", "list", "ruleset"]);
  await daemon.must("sandbox", "create", "--netns", own.path, "--network", "web", "six");
  expect(await short(own, "two")).toEqual(["10.71.0.20"]);
  expect(await tables()).toContain("weft_dns");
  await daemon.must("sandbox", "rm", "six");
  expect(await tables()).toBe("");
});

test("nonsense gets an error or nothing, and the next question its answer", async () => {
  const source = `
import socket
def ask(data, wait=5):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(wait); s.sendto(data, ("127.0.0.11", 53))
    try: r = s.recv(512); return r[3] & 15
    except socket.timeout: return None
h = lambda flags, qd=1: b"\\0\\1" + flags.to_bytes(2, "big") + qd.to_bytes(2, "big") + bytes(6)
print(ask(b"", 0.2), ask(b"short", 0.2), ask(h(0x8000), 0.2), ask(h(0x2800)), ask(h(0, 2)), ask(h(0) + b"\\xc0\\x0c\\0\\1\\0\\1"), ask(h(0) + b"\\3two\\0\\0\\1\\0\\3"))
`;
  expect(await one.must(["python3", "-c", source])).toBe("None None None 4 1 1 5\n");
  expect(await short(one, "two")).toEqual(["10.71.0.20"]);
});

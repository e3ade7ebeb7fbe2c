// The embedded DNS among people who mean it ill, or only write bad software: askers by UDP and TCP, and servers outside.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Background, type Host, Lab } from "../support/hosts.ts";
import { PYTHON } from "../support/routed-host.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;
let one: Host;
let resolvConf: string;
let upstream: Background;

/**
 * A server that tells of each question. By the first label: "late" answers 0.3 s later; "forged" comes after three answers that are
 * none: another id, another question, from another port; "loop" has a name that points to itself; "cut" ends within a record;
 * "empty" is a header alone; "huge" is longer than the asker said that it takes.
 */
const SERVER = `
import socket, struct, sys, threading, time
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
name = socket.getaddrinfo(sys.argv[1], 53, family)[0][4]
u = socket.socket(family, socket.SOCK_DGRAM); u.bind(name)
other = socket.socket(family, socket.SOCK_DGRAM)
t = socket.socket(family, socket.SOCK_STREAM); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(name); t.listen()
def record(ip, owner=b"\\xc0\\x0c"): return owner + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(ip)
def reply(q, ip="192.0.2.77", ident=None, question=None, records=None):
    records = [record(ip)] if records is None else records
    end = 12
    while q[end]: end += 1 + q[end]
    return (ident or q[:2]) + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0) + (question or q[12:end + 5]) + b"".join(records)
def serve(q, send, forge):
    label = q[13:13 + q[12]].decode("latin1").lower()
    print("asked", label, flush=True)
    if label == "late": time.sleep(0.3)
    if label == "forged":
        send(reply(q, "203.0.113.1", ident=bytes([q[0] ^ 1, q[1]])))
        send(reply(q, "203.0.113.2", question=b"\\5wrong\\7example\\0\\0\\1\\0\\1"))
        send(q[:2] + b"\\1\\0" + q[4:])
        forge(reply(q, "203.0.113.3"))
    if label == "loop": return send(reply(q, records=[record("192.0.2.1", struct.pack("!H", 0xc000 | len(reply(q, records=[]))))]))
    if label == "cut": return send(reply(q)[:-3])
    if label == "empty": return send(q[:2] + b"\\x81\\x80" + bytes(8))
    if label == "huge": return send(reply(q, records=[record("192.0.2.%d" % (n % 250)) for n in range(100)]))
    send(reply(q))
def streams():
    while True: threading.Thread(target=stream, args=(t.accept()[0],), daemon=True).start()
def stream(c):
    send = lambda b: c.sendall(struct.pack("!H", len(b)) + b)
    while head := c.recv(2, socket.MSG_WAITALL): serve(c.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL), send, lambda b: None)
threading.Thread(target=streams, daemon=True).start()
print("ready", flush=True)
while True:
    q, peer = u.recvfrom(65535)
    threading.Thread(target=serve, args=(q, lambda b, p=peer: u.sendto(b, p), lambda b, p=peer: other.sendto(b, p)), daemon=True).start()`;

const serve = async (where: Host, address: string): Promise<Background> => {
  const server = lab.background(where, [...PYTHON, SERVER, address]);
  await server.until(/^ready$/m);
  return server;
};
const asked = (name: string): number => upstream.stdout.split("\n").filter((line) => line === `asked ${name}`).length;

beforeAll(async () => {
  host = await lab.host("h");
  const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-dns-`));
  lab.defer(() => rmSync(folder, { recursive: true }));
  resolvConf = join(folder, "resolv.conf");
  writeFileSync(resolvConf, "nameserver 127.0.0.53\n");
  upstream = await serve(host, "127.0.0.53");
  daemon = await Daemon.start(lab, host, { args: ["--set", `resolvConf=${resolvConf}`] });
  await daemon.must("network", "create", "--subnet", "10.71.0.0/24", "--ipv6", "--subnet", "fd71::/64", "web");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.10,ip6=fd71::10", "one");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.71.0.20,ip6=fd71::20,alias=db", "two");
  one = await daemon.enter("one");
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

const dig = async (...args: readonly string[]): Promise<string> =>
  (await one.must(["dig", "@127.0.0.11", "+tries=1", "+time=6", ...args])).trim();

/** What python programs in the sandbox begin with: `q` makes a question, `ip` takes the address of an answer, `rcode` its code. */
const ASKER = `
import os, random, socket, struct, sys, time
def q(name, ident=1, kind=1): return struct.pack("!HHHHHH", ident, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + struct.pack("!BHH", 0, kind, 1)
framed = lambda m: struct.pack("!H", len(m)) + m
def call():
    s = socket.create_connection(("127.0.0.11", 53), 6); s.settimeout(6); return s
def hear(s):
    head = s.recv(2, socket.MSG_WAITALL)
    return s.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL) if len(head) == 2 else b""
ip = lambda m: socket.inet_ntoa(m[-4:]) if len(m) > 16 else "none"
`;
const inside = async (program: string, from: Host = one): Promise<string> => (await from.must([...PYTHON, ASKER + program])).trim();

test("TCP in any pieces: bytes, many at once, empty ones; answers as they are ready", async () => {
  const said = await inside(`
s = call(); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
for byte in framed(q("two")): s.sendall(bytes([byte]))
print(ip(hear(s)))
s.sendall(framed(b"") + framed(b"short") + framed(q("late.example", 7)) + framed(q("two", 8)) + framed(q("db", 9))[:5])
first = hear(s)
print(first[1], ip(first))
s.sendall(framed(q("db", 9))[5:])
rest = sorted((m[1], ip(m)) for m in (hear(s), hear(s)))
print(rest)`);
  expect(said.split("\n")).toEqual(["10.71.0.20", "8 10.71.0.20", "[(7, '192.0.2.77'), (9, '10.71.0.20')]"]);
});

test("who has asked all and shuts its side is answered, then closed", async () => {
  const said = await inside(`
s = call(); s.sendall(framed(q("late.other")) + framed(q("two"))); s.shutdown(socket.SHUT_WR)
print(sorted(ip(hear(s)) for _ in range(2)), s.recv(1))`);
  expect(said).toBe("['10.71.0.20', '192.0.2.77'] b''");
});

test("connections that never speak keep nobody out", async () => {
  const silent = lab.background(one, [
    ...PYTHON,
    `${ASKER}
waiting = call(); waiting.sendall(framed(q("two"))); hear(waiting)
all = [call() for _ in range(400)]
waiting.sendall(b"\\0")
print("there", flush=True); time.sleep(60)`,
  ]);
  await silent.until(/there/);
  const ask = async (): Promise<string> => await dig("+tcp", "+short", "two");
  // Connected is not yet accepted: the daemon has taken all of them when it answers one that came after.
  expect(await ask()).toBe("10.71.0.20");
  const before = daemon.openFds();
  for (let n = 0; n < 5; n++) expect(await ask()).toBe("10.71.0.20");
  expect(daemon.openFds()).toBeLessThan(before + 5);
  await silent.end();
});

test("who asks and never listens costs no memory", async () => {
  const before = daemon.residentBytes();
  const deaf = lab.background(one, [
    ...PYTHON,
    `${ASKER}
s = call(); s.settimeout(2); block = framed(q("two")) * 2000; sent = 0
try:
    while sent < 200 << 20: sent += s.send(block)
except TimeoutError: print("stopped", flush=True)
time.sleep(60)`,
  ]);
  await deaf.until(/stopped/);
  expect(await dig("+short", "two")).toBe("10.71.0.20");
  expect(daemon.residentBytes() - before).toBeLessThan(40 << 20);
  await deaf.end();
});

test("a datagram from port 0, to which nothing can be sent back, is passed over", async () => {
  const said = await inside(`
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.bind(("127.0.0.1", 0))
def checksum(b):
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return n ^ 0xffff
for name in ("two", "nobody.zero"):
    m = q(name); m += bytes(len(m) % 2)
    udp = lambda total: struct.pack("!HHHH", 0, 53, 8 + len(m), total) + m
    pseudo = socket.inet_aton("127.0.0.1") + socket.inet_aton("127.0.0.11") + struct.pack("!HH", 17, 8 + len(m))
    raw.sendto(udp(checksum(pseudo + udp(0))), ("127.0.0.11", 0))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(6); u.sendto(q("late.example"), ("127.0.0.11", 53))
print(ip(u.recv(512)))`);
  expect(said).toBe("192.0.2.77");
  expect(asked("nobody")).toBe(0);
});

test("transfers of zones and classes of old are refused, and nobody is asked", async () => {
  for (const args of [["AXFR"], ["AXFR", "+notcp"], ["IXFR=1"], ["+tcp", "IXFR=1"]]) {
    for (const name of ["two", "zone.example"]) expect(await dig(name, ...args, "+noall", "+comments")).toMatch(/REFUSED|Transfer failed/);
  }
  expect(await dig("version.bind", "CH", "TXT")).toContain("status: REFUSED");
  expect(await dig("two", "ANY")).toContain("ANSWER: 2");
  expect(asked("zone") + asked("two") + asked("version")).toBe(0);
});

test("a server that lies: only its true answer counts", async () => {
  expect(await dig("+short", "forged.example")).toBe("192.0.2.77");
  expect(asked("forged")).toBe(1);
  // Answers that can't be taken apart pass as they are, or not at all; nothing of them is kept.
  for (const name of ["loop", "cut", "empty", "huge"]) await dig("+noedns", `${name}.example`).catch(() => "");
  expect(await dig("+noedns", "+ignore", "huge.example")).toMatch(/flags: qr tc/);
  expect((await dig("+short", "+bufsize=4096", "huge.example")).split("\n")).toHaveLength(100);
  expect(await dig("+short", "fine.example")).toBe("192.0.2.77");
});

test("a server at a link-local address, as routers announce them", async () => {
  const beside = await lab.host("r");
  await lab.wire([host, "eth0", "192.0.2.1/24"], [beside, "eth0", "192.0.2.2/24"]);
  for (const [where, address] of [
    [host, "fe80::1"],
    [beside, "fe80::53"],
  ] as const) {
    await where.ip(`addr add ${address}/64 dev eth0 nodad`);
  }
  const router = await serve(beside, "fe80::53%eth0");
  writeFileSync(resolvConf, "nameserver fe80::53%eth0\n");
  expect(await dig("+short", "scoped.example")).toBe("192.0.2.77");
  expect(await dig("+short", "+tcp", "streamed.example")).toBe("192.0.2.77");
  writeFileSync(resolvConf, "nameserver 127.0.0.53\n");
  await router.end();
});

test("the resolver is not asked by itself, however it is named", async () => {
  for (const address of ["127.0.0.11", "::ffff:127.0.0.11"]) {
    const made = await daemon.cli(["sandbox", "create", "--network", "web", "--dns", address, "self"]);
    if (made.code !== 0) continue;
    const started = Date.now();
    const said = await inside(
      `u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(6); u.sendto(q("nobody.example"), ("127.0.0.11", 53))
s = call(); s.sendall(framed(q("nobody.example"))); print(u.recv(512)[3] & 15, hear(s)[3] & 15)`,
      await daemon.enter("self"),
    );
    expect([address, said]).toEqual([address, "2 2"]);
    expect(Date.now() - started).toBeLessThan(2500);
    await daemon.must("sandbox", "rm", "self");
  }
});

test("thousands of questions of any bytes, and the next gets its answer", async () => {
  const said = await inside(`
random.seed(11)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect(("127.0.0.11", 53)); u.settimeout(6)
opt = lambda size, version=0: b"\\0" + struct.pack("!HHBBHH", 41, size, 0, version, 0, 0)
seeds = [q("two"), q("two", 2, 255), q("20.0.71.10.in-addr.arpa", 3, 12), q("_80._tcp.two", 4, 33), q("two")[:10] + b"\\0\\1" + q("two")[12:] + opt(65535)]
last, heard = q("two", 0xfffe), 0
for n in range(5000):
    m = bytearray(random.choice(seeds)) if n % 3 else bytearray(os.urandom(random.randrange(64)))
    for _ in range(random.randrange(4)):
        if m: m[random.randrange(len(m))] = random.randrange(256)
    if len(m) > 12 and n % 5 == 0: m = m[:random.randrange(12, len(m) + 1)]
    u.send(m)
    if n % 20: continue
    u.send(last)
    while (m := u.recv(65535))[:2] != last[:2]: heard += 1
print(heard > 1000)
s = call(); s.sendall(os.urandom(70000)); s.close()`);
  expect(said).toBe("True");
  expect(await dig("+short", "two", "AAAA")).toBe("fd71::20");
});

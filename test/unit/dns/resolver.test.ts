// The embedded DNS by table: what Docker's answers, and where ours is meant to be better. Packets are dns-packet's.
import packet from "dns-packet";
import { afterEach, describe, expect, it, vi } from "vitest";
import { AnswerCache } from "../../../src/dns/cache.ts";
import { LOCAL_TTL_S } from "../../../src/dns/resolver.ts";
import {
  type Asked,
  ask,
  dataOf,
  decode,
  encodeQuery,
  endpoint,
  network,
  rcode,
  resolverOf,
  sandbox,
  type Upstream,
  type World,
} from "../../support/dns-world.ts";

const web = network("web");
const back = network("back.office");
const other = network("other");
const me = sandbox("me");
const api = sandbox("API", { hostname: "api-host.example" });
const db1 = sandbox("db1");
const db2 = sandbox("db2");
const far = sandbox("far");
const world: World = {
  networks: [back, other, web],
  sandboxes: [me, api, db1, db2, far],
  endpoints: [
    endpoint(web, me, { ipv4: "10.0.0.2/24", ipv6: "fd00::2/64" }),
    endpoint(back, me, { ipv4: "10.1.0.2/24" }),
    endpoint(web, api, { ipv4: "10.0.0.3/24", ipv6: "fd00::3/64", aliases: ["Front", "shared"] }),
    endpoint(web, db1, { ipv4: "10.0.0.4/24", aliases: ["db", "shared"] }),
    endpoint(web, db2, { ipv4: "10.0.0.5/24", ipv6: "fd00::5/64", aliases: ["db"] }),
    endpoint(back, db2, { ipv4: "10.1.0.5/24", aliases: ["db"] }),
    endpoint(other, far, { ipv4: "10.2.0.6/24", aliases: ["distant"] }),
  ],
};

/** Answers with one address record of so many seconds. */
const answering =
  (data = "192.0.2.1", ttl = 60): Upstream =>
  async ({ bytes }) => {
    const { id, questions } = decode(bytes);
    const { name } = questions![0]!;
    return packet.encode({
      type: "response",
      id: id!,
      flags: packet.RECURSION_AVAILABLE,
      questions: questions!,
      answers: [{ type: "A", name, ttl, data }],
    });
  };

/** Answers with a code and nothing else. */
const refusing =
  (code: number): Upstream =>
  async ({ bytes }) => {
    const { id, questions } = decode(bytes);
    return packet.encode({ type: "response", id: id!, flags: code, questions: questions! });
  };

afterEach(() => vi.useRealTimers());

describe("names of the sandbox's networks", () => {
  it.each([
    { name: "api", type: "A", answers: ["10.0.0.3"] },
    { name: "API", type: "AAAA", answers: ["fd00::3"] },
    { name: "front", type: "A", answers: ["10.0.0.3"] },
    { name: "api-host.example", type: "A", answers: ["10.0.0.3"] },
    { name: api.id.slice(0, 12), type: "A", answers: ["10.0.0.3"] },
    { name: "api.web", type: "A", answers: ["10.0.0.3"] },
    { name: "api.WEB", type: "A", answers: ["10.0.0.3"] },
    { name: "api-host.example.web", type: "A", answers: ["10.0.0.3"] },
    { name: "shared", type: "A", answers: ["10.0.0.3", "10.0.0.4"] },
    // A network whose name has a dot: a in b.c.
    { name: "db2.back.office", type: "A", answers: ["10.1.0.5"] },
    { name: "db2.web", type: "A", answers: ["10.0.0.5"] },
    // On two networks: the first in order that has the name, of this family.
    { name: "db2", type: "A", answers: ["10.1.0.5"] },
    { name: "db", type: "A", answers: ["10.1.0.5"] },
    { name: "db", type: "AAAA", answers: ["fd00::5"] },
    { name: "db.web", type: "A", answers: ["10.0.0.4", "10.0.0.5"] },
    { name: "me", type: "AAAA", answers: ["fd00::2"] },
    { name: "api", type: "ANY", answers: ["10.0.0.3", "fd00::3"] },
    { name: "3.0.0.10.in-addr.arpa", type: "PTR", answers: ["API.web"] },
    { name: "5.0.1.10.in-addr.arpa", type: "PTR", answers: ["db2.back.office"] },
    { name: "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", type: "PTR", answers: ["API.web"] },
  ])("$type of $name is $answers", async ({ name, type, answers }) => {
    const bench = resolverOf(world, me);
    const answer = await ask(bench, name, { type });
    expect([rcode(answer), dataOf(answer).sort()]).toEqual(["NOERROR", [...answers].sort()]);
    expect(answer.questions).toEqual([{ name, type, class: "IN" }]);
    for (const one of answer.answers!) expect((one as { ttl: number }).ttl).toBe(LOCAL_TTL_S);
    expect(bench.asked).toEqual([]);
  });

  it.each([
    { name: "db1", type: "AAAA" },
    { name: "db1.web", type: "AAAA" },
    ...["MX", "TXT", "CNAME", "SOA", "NS", "CAA", "HTTPS", "SVCB"].map((type) => ({ name: "api", type })),
    { name: "3.0.0.10.in-addr.arpa", type: "A" },
    { name: "_http._tcp.api", type: "SRV" },
    { name: "_8080._tcp.api", type: "A" },
    { name: "_0._tcp.api", type: "SRV" },
    { name: "_65536._tcp.api", type: "SRV" },
  ])("$type of $name: no data, and nobody is asked", async ({ name, type }) => {
    const bench = resolverOf(world, me, answering());
    const answer = await ask(bench, name, { type });
    expect([rcode(answer), answer.answers, bench.asked]).toEqual(["NOERROR", [], []]);
  });

  it.each([
    "far",
    "distant",
    "far.other",
    "api.back.office",
    "api.office",
    "nobody",
    "x.api",
    "web",
    "9.0.0.10.in-addr.arpa",
    "_1._tcp.nobody",
  ])("%s is not ours: it is asked for upstream", async (name) => {
    const bench = resolverOf(world, me, answering());
    expect(dataOf(await ask(bench, name))).toEqual(["192.0.2.1"]);
    expect(bench.asked.map(({ bytes }) => decode(bytes).questions![0]!.name)).toEqual([name]);
  });

  it("gives hosts of a port, with both of their addresses", async () => {
    const answer = await ask(resolverOf(world, me), "_5432._tcp.db.web", { type: "SRV" });
    const targets = answer.answers!.map((one) => (one as unknown as { data: object }).data);
    expect(targets).toHaveLength(2);
    for (const target of ["db1.web", "db2.web"]) expect(targets).toContainEqual({ priority: 0, weight: 0, port: 5432, target });
    expect(answer.answers!.map(({ type }) => type)).toEqual(["SRV", "SRV"]);
    const extras = answer.additionals!.map((one) => `${one.name} ${one.type} ${(one as { data: string }).data}`).sort();
    expect(extras).toEqual(["db1.web A 10.0.0.4", "db2.web A 10.0.0.5", "db2.web AAAA fd00::5"]);
  });

  it("shuffles", async () => {
    const bench = resolverOf(world, me);
    const orders = new Set<string>();
    for (let round = 0; round < 50; round++) orders.add(dataOf(await ask(bench, "shared")).join());
    expect([...orders].sort()).toEqual(["10.0.0.3,10.0.0.4", "10.0.0.4,10.0.0.3"]);
  });

  it("leaves out of SRV and PTR what is no name for DNS", async () => {
    const long = sandbox("a".repeat(64));
    const odd: World = { networks: [web], sandboxes: [long], endpoints: [endpoint(web, long, { ipv4: "10.0.0.9/24", aliases: ["odd"] })] };
    const bench = resolverOf(odd, long);
    expect(dataOf(await ask(bench, "odd"))).toEqual(["10.0.0.9"]);
    expect(dataOf(await ask(bench, "9.0.0.10.in-addr.arpa", { type: "PTR" }))).toEqual([]);
    expect(dataOf(await ask(bench, "_1._tcp.odd", { type: "SRV" }))).toEqual([]);
  });

  it("does not ask for single labels where the user set ndots", async () => {
    const strict = sandbox("strict", { dns: { servers: [], search: [], options: ["ndots:1"] } });
    const bench = resolverOf(world, strict, answering());
    for (const type of ["A", "AAAA"]) expect((await ask(bench, "lonely", { type })).answers).toEqual([]);
    expect(bench.asked).toEqual([]);
    await ask(bench, "lonely", { type: "MX" });
    await ask(bench, "two.labels");
    expect(bench.asked).toHaveLength(2);
  });
});

describe("the envelope", () => {
  it("has the asker's id, spelling and wishes", async () => {
    const answer = await ask(resolverOf(world, me), "aPi", { id: 99, flags: packet.RECURSION_DESIRED, edns: 1400, dnssecOk: true });
    expect(answer).toMatchObject({
      id: 99,
      type: "response",
      flag_rd: true,
      flag_ra: true,
      flag_aa: false,
      flag_tc: false,
      opcode: "QUERY",
    });
    expect(answer.questions![0]!.name).toBe("aPi");
    expect(answer.answers![0]!.name).toBe("aPi");
    expect(answer.additionals).toMatchObject([{ type: "OPT", udpPayloadSize: 1232, flag_do: true, ednsVersion: 0 }]);
    expect(await ask(resolverOf(world, me), "api", { flags: 0 })).toMatchObject({ flag_rd: false, additionals: [] });
  });

  const crowd: World = { networks: [web], sandboxes: [me], endpoints: [endpoint(web, me, { ipv4: "10.0.0.2/24" })] };
  for (let number = 0; number < 300; number++) {
    const one = sandbox(`m${number}`);
    crowd.sandboxes.push(one);
    crowd.endpoints.push(endpoint(web, one, { ipv4: `10.0.${1 + (number >> 8)}.${number & 255}/16`, aliases: ["many"] }));
  }
  it.each([
    { options: {}, limit: 512 },
    { options: { edns: 100 }, limit: 512 },
    { options: { edns: 1232 }, limit: 1232 },
    { options: { edns: 4096 }, limit: 4096 },
  ])("of $options by UDP: at most $limit bytes, and truncated", async ({ options, limit }) => {
    const bytes = (await resolverOf(crowd, me).resolver.answer(encodeQuery("many", options), false))!;
    const answer = decode(bytes);
    expect(bytes.length).toBeLessThanOrEqual(limit);
    expect(bytes.length).toBeGreaterThan(limit - 16 - 1);
    expect(answer).toMatchObject({ flag_tc: true });
    expect(answer.additionals).toHaveLength("edns" in options ? 1 : 0);
  });

  it.each([{ edns: 8192 }, { overTcp: true }])("of %j: whole", async (options) => {
    const answer = await ask(resolverOf(crowd, me), "many", options);
    expect(answer).toMatchObject({ flag_tc: false });
    expect(answer.answers).toHaveLength(300);
  });

  const header = (flags: number, questions = 1, rest = ""): Uint8Array =>
    Buffer.from(`0007${flags.toString(16).padStart(4, "0")}${questions.toString(16).padStart(4, "0")}000000000000${rest}`, "hex");
  const API = "03617069000001";
  it.each([
    { what: "an empty datagram", bytes: new Uint8Array(0), code: null },
    { what: "eleven bytes", bytes: new Uint8Array(11), code: null },
    { what: "an answer", bytes: header(0x8000, 1, `${API}0001`), code: null },
    { what: "a notify", bytes: header(0x2000, 1, `${API}0001`), code: 4 },
    { what: "no question", bytes: header(0, 0), code: 1 },
    { what: "two questions", bytes: header(0, 2, `${API}0001${API}0001`), code: 1 },
    { what: "a cut name", bytes: header(0, 1, "0361"), code: 1 },
    { what: "a cut question", bytes: header(0, 1, "0361706900"), code: 1 },
    { what: "a pointer", bytes: header(0, 1, "c00c00010001"), code: 1 },
    { what: "a label of 64", bytes: header(0, 1, `40${"61".repeat(64)}0000010001`), code: 1 },
    { what: "a name of 256", bytes: header(0, 1, `${`3f${"61".repeat(63)}`.repeat(4)}0000010001`), code: 1 },
    { what: "class CHAOS", bytes: header(0, 1, `${API}0003`), code: 5 },
  ])("$what: rcode $code", async ({ bytes, code }) => {
    const answer = await resolverOf(world, me).resolver.answer(bytes, false);
    expect(answer === null ? null : answer[3]! & 15).toBe(code);
    if (answer !== null) expect(Buffer.from(answer).readUInt16BE()).toBe(7);
  });

  it("refuses EDNS of versions that there are not yet, and two of it", async () => {
    const query = Buffer.from(encodeQuery("api", { edns: 1232 }));
    const two = Buffer.concat([query, query.subarray(-11)]);
    two.writeUInt16BE(2, 10);
    expect((await resolverOf(world, me).resolver.answer(two, false))![3]! & 15).toBe(1);
    query[query.length - 5] = 1;
    const answer = decode((await resolverOf(world, me).resolver.answer(query, false))!);
    expect(answer.additionals).toMatchObject([{ type: "OPT", extendedRcode: 1 }]);
    expect(rcode(answer)).toBe("NOERROR");
  });

  it("takes any bytes", async () => {
    const { random } = await import("../../support/random.ts");
    const { below, bytes, pick } = random(20);
    const { resolver } = resolverOf(world, me, answering());
    const seeds = ["api", "3.0.0.10.in-addr.arpa", "_1._tcp.api", "nobody"].map((name) => Buffer.from(encodeQuery(name, { edns: 1232 })));
    for (let round = 0; round < 20_000; round++) {
      const mutant = Buffer.from(pick(seeds)).subarray(0, below(60));
      for (let change = below(4); change > 0 && mutant.length > 0; change--) mutant[below(mutant.length)] = bytes(1)[0]!;
      const answer = await resolver.answer(mutant, false);
      if (answer !== null) expect(answer.length).toBeGreaterThanOrEqual(12);
    }
  });
});

describe("upstream", () => {
  const three = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
  const byServer =
    (table: Record<string, Upstream>): Upstream =>
    (asked: Asked) =>
      table[asked.server.address]!(asked);
  const silent: Upstream = () => Promise.reject(new Error("timeout"));

  it.each([
    { first: refusing(3), code: "NXDOMAIN", answers: [], servers: 1 },
    { first: refusing(0), code: "NOERROR", answers: [], servers: 1 },
    { first: refusing(4), code: "NOTIMP", answers: [], servers: 1 },
    { first: refusing(2), code: "NOERROR", answers: ["192.0.2.77"], servers: 2 },
    { first: refusing(5), code: "NOERROR", answers: ["192.0.2.77"], servers: 2 },
    { first: silent, code: "NOERROR", answers: ["192.0.2.77"], servers: 2 },
  ])("after $first of the first: $code by server $servers", async ({ first, code, answers, servers }) => {
    const bench = resolverOf(world, me, byServer({ "192.0.2.1": first, "192.0.2.2": answering("192.0.2.77"), "192.0.2.3": silent }), three);
    const answer = await ask(bench, "www.example");
    expect([rcode(answer), dataOf(answer), bench.asked.length]).toEqual([code, answers, servers]);
  });

  it("that none answers, or that there is none: SERVFAIL", async () => {
    const bench = resolverOf(world, me, byServer({ "192.0.2.1": silent, "192.0.2.2": refusing(2), "192.0.2.3": refusing(5) }), three);
    expect([rcode(await ask(bench, "www.example")), bench.asked.length]).toEqual(["SERVFAIL", 3]);
    expect(rcode(await ask(resolverOf(world, me, answering(), []), "www.example"))).toBe("SERVFAIL");
  });

  it("is asked in the asker's spelling, under another id, without the asker's options", async () => {
    const bench = resolverOf(world, me, answering());
    const query = packet.encode({
      type: "query",
      id: 4711,
      flags: packet.RECURSION_DESIRED,
      questions: [{ name: "wWw.Example", type: "A" }],
      additionals: [{ type: "OPT", name: ".", udpPayloadSize: 1400, flags: 0, options: [{ code: 10, data: Buffer.alloc(8) }] } as never],
    });
    const answer = decode((await bench.resolver.answer(query, true))!);
    expect([answer.id, answer.questions![0]!.name]).toEqual([4711, "wWw.Example"]);
    const [{ bytes, overTcp }] = bench.asked as [Asked];
    const sent = decode(bytes);
    expect([sent.id === 4711, sent.questions![0]!.name, overTcp, (sent.flags! & packet.RECURSION_DESIRED) !== 0]).toEqual([
      false,
      "wWw.Example",
      true,
      true,
    ]);
    expect(sent.additionals).toMatchObject([{ type: "OPT", udpPayloadSize: 1400, options: [] }]);
  });

  it.each([
    { what: "another id", change: (bytes: Buffer) => bytes.writeUInt16BE(bytes.readUInt16BE() ^ 1) },
    { what: "another name", change: (bytes: Buffer) => bytes.writeUInt8(bytes[14]! ^ 1, 14) },
    { what: "a question", change: (bytes: Buffer) => bytes.writeUInt8(0, 2) },
  ])("that answers with $what has not answered", async ({ change }) => {
    const forged: Upstream = async (asked) => {
      const answer = Buffer.from(await answering()(asked));
      change(answer);
      return answer;
    };
    expect(rcode(await ask(resolverOf(world, me, forged), "www.example"))).toBe("SERVFAIL");
  });

  it("truncated answers pass as such and are not kept", async () => {
    const cut: Upstream = async (asked) => {
      const answer = Buffer.from(await answering()(asked));
      answer[2] = answer[2]! | 2;
      return answer;
    };
    const bench = resolverOf(world, me, cut);
    expect(await ask(bench, "www.example")).toMatchObject({ flag_tc: true });
    await ask(bench, "www.example");
    expect(bench.asked).toHaveLength(2);
  });

  it("answers are kept for their time to live, which counts down, in every spelling", async () => {
    const bench = resolverOf(world, me, answering("192.0.2.1", 60));
    await ask(bench, "www.example");
    bench.nowMs = 20_500;
    const later = await ask(bench, "WWW.example");
    expect(later.questions![0]!.name).toBe("WWW.example");
    expect(later.answers).toMatchObject([{ ttl: 40, data: "192.0.2.1" }]);
    expect(bench.asked).toHaveLength(1);
    bench.nowMs = 60_000;
    await ask(bench, "www.example");
    expect(bench.asked).toHaveLength(2);
    // What is asked differently is another question.
    await ask(bench, "www.example", { type: "AAAA" });
    await ask(bench, "www.example", { edns: 1232 });
    await ask(bench, "www.example", { edns: 1232, dnssecOk: true });
    expect(bench.asked).toHaveLength(5);
  });

  it("'there is none' is kept as long as the SOA says, and not without one", async () => {
    const negative =
      (soa: boolean): Upstream =>
      async ({ bytes }) => {
        const { id, questions } = decode(bytes);
        const data = { mname: "ns.example", rname: "root.example", serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 30 };
        const authorities = soa ? [{ type: "SOA" as const, name: "example", ttl: 90, data }] : [];
        return packet.encode({ type: "response", id: id!, flags: 3, questions: questions!, authorities });
      };
    const kept = resolverOf(world, me, negative(true));
    await ask(kept, "none.example");
    kept.nowMs = 29_000;
    expect(rcode(await ask(kept, "none.example"))).toBe("NXDOMAIN");
    expect(kept.asked).toHaveLength(1);
    kept.nowMs = 30_000;
    await ask(kept, "none.example");
    expect(kept.asked).toHaveLength(2);
    const bare = resolverOf(world, me, negative(false));
    for (let round = 0; round < 2; round++) await ask(bare, "none.example");
    expect(bare.asked).toHaveLength(2);
  });

  it("1024 questions at once, 1024 wait for at most 4 s, the next is refused", async () => {
    vi.useFakeTimers();
    const release: ((answer: Uint8Array) => void)[] = [];
    const bench = resolverOf(world, me, (asked) => new Promise((done) => release.push(async () => done(await answering()(asked)))));
    const answers = Array.from({ length: 2048 }, (_, number) => ask(bench, `n${number}.example`));
    await vi.advanceTimersByTimeAsync(0);
    expect(bench.asked).toHaveLength(1024);
    expect(rcode(await ask(bench, "late.example"))).toBe("REFUSED");
    release[0]!(new Uint8Array());
    expect(rcode(await answers[0]!)).toBe("NOERROR");
    await vi.advanceTimersByTimeAsync(0);
    expect(bench.asked).toHaveLength(1025);
    await vi.advanceTimersByTimeAsync(4000);
    expect(rcode(await answers[1025]!)).toBe("REFUSED");
    for (const one of release) one(new Uint8Array());
    expect(rcode(await answers[1024]!)).toBe("NOERROR");
    expect(rcode(await answers[1023]!)).toBe("NOERROR");
    expect(dataOf(await ask(bench, "me"))).toEqual(["10.1.0.2"]);
  });
});

describe("what somebody else chooses has bounds", () => {
  it("an answer by UDP is no longer than a datagram", async () => {
    const crowd = Array.from({ length: 5000 }, (_, n) => sandbox(`c${n}`));
    const endpoints = crowd.map((one, n) => endpoint(web, one, { ipv4: `10.0.${n >> 8}.${n & 255}/16`, aliases: ["crowd"] }));
    const bench = resolverOf({ networks: [web], sandboxes: [me, ...crowd], endpoints: [endpoint(web, me), ...endpoints] }, me);
    const query = encodeQuery("crowd", { edns: 65535 });
    const answer = (await bench.resolver.answer(query, false))!;
    expect(answer.length).toBeLessThanOrEqual(65507);
    expect(decode(answer).flags! & packet.TRUNCATED_RESPONSE).not.toBe(0);
  });

  it("answers that are kept are counted in bytes", () => {
    const cache = new AnswerCache({ monotonicMs: () => 0 });
    const answers = Array.from({ length: 250 }, () => ({ type: "TXT", name: "x", ttl: 60, data: "y".repeat(250) }) as const);
    const answer = packet.encode({ type: "response", questions: [{ type: "TXT", name: "x" }], answers });
    for (let n = 0; n < 1000; n++) cache.put(`${n}`, answer);
    expect(cache.bytes).toBeLessThanOrEqual(16 << 20);
    expect(cache.size).toBe(Math.floor((16 << 20) / answer.length));
    cache.put("999", answer);
    expect(cache.bytes).toBe(cache.size * answer.length);
  });
});

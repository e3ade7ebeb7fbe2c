// ARP and neighbour discovery answered from the neighbour table, as a table: who asks how, and who answers.
//
//   domain 0, VNI 100, proxying     port 1 asks     port 2 is where floods are seen     VTEP 1 10.9.0.2
import { describe, expect, it } from "vitest";
import { DOMAIN_FLAG_LEARNING, DOMAIN_FLAG_PROXY_NEIGHBORS, VNET_FLAG_NEEDS_CHECKSUM } from "../../wasm/shared/abi.ts";
import {
  address,
  arp,
  arpRequest,
  BROADCAST,
  checksumFault,
  concat,
  ethernet,
  icmpv6,
  ipv6,
  mac,
  neighborSolicitation,
  raw,
} from "../support/packet-builder.ts";
import { BUILDS, type Build, Engine, type Input, type TapInput } from "../support/wasm.ts";

const ASKER = "02:00:00:00:00:0a";
const OWNER = "02:00:00:00:00:0b";
const VTEP_MAC = "02:00:00:00:99:01";
const SOLICITED_NODE_MAC = "33:33:ff:00:00:02";

/** The advertisement that RFC 4861 section 7.2.4 asks for: solicited, overriding, with the target's link-layer address. */
const advertisement = (tags: { vid: number }[] = []): Uint8Array =>
  ethernet(
    { source: OWNER, destination: ASKER, tags },
    ipv6(
      { source: "fd00::2", destination: "fd00::1", hopLimit: 255 },
      icmpv6(136, 0, concat(Uint8Array.of(0x60, 0, 0, 0), address("fd00::2"), Uint8Array.of(2, 1), mac(OWNER))),
    ),
  );

const arpReply = (tags: { vid: number }[] = []): Uint8Array =>
  ethernet(
    { source: OWNER, destination: ASKER, tags },
    arp({ operation: 2, senderMac: OWNER, senderIp: "10.0.0.2", targetMac: ASKER, targetIp: "10.0.0.1" }),
  );

const OWN_MAC = concat(Uint8Array.of(1, 1), mac(ASKER));

interface SolicitationFields {
  readonly destination?: string;
  readonly hopLimit?: number;
  readonly code?: number;
  readonly target?: string;
  readonly checksum?: "full" | "wrong" | "partial";
  /** Behind the target; absent: the asker's own MAC. */
  readonly options?: Uint8Array;
  readonly tags?: { vid: number }[];
}

function solicitation(fields: SolicitationFields = {}): Uint8Array {
  const rest = concat(new Uint8Array(4), address(fields.target ?? "fd00::2"), fields.options ?? OWN_MAC);
  return ethernet(
    { source: ASKER, destination: fields.destination ?? SOLICITED_NODE_MAC, tags: fields.tags ?? [] },
    ipv6(
      { source: "fd00::1", destination: "ff02::1:ff00:2", hopLimit: fields.hopLimit ?? 255 },
      icmpv6(135, fields.code ?? 0, rest, fields.checksum),
    ),
  );
}

interface Row {
  readonly description: string;
  readonly setup?: (engine: Engine) => void;
  readonly frame: Uint8Array;
  readonly rest?: Partial<TapInput>;
  /** The answer; absent: the question floods on. */
  readonly answer?: Uint8Array;
}

const rows: Row[] = [
  { description: "ARP for a known address", frame: arpRequest(ASKER, "10.0.0.1", "10.0.0.2"), answer: arpReply() },
  {
    description: "ARP behind a VLAN tag is answered behind the same tag",
    frame: ethernet(
      { source: ASKER, destination: BROADCAST, tags: [{ vid: 9 }] },
      arp({ operation: 1, senderMac: ASKER, senderIp: "10.0.0.1", targetIp: "10.0.0.2" }),
    ),
    answer: arpReply([{ vid: 9 }]),
  },
  {
    description: "ARP padded to Ethernet's minimum",
    frame: concat(arpRequest(ASKER, "10.0.0.1", "10.0.0.2"), new Uint8Array(18)),
    answer: arpReply(),
  },
  { description: "a solicitation of a known address", frame: neighborSolicitation(ASKER, "fd00::1", "fd00::2"), answer: advertisement() },
  { description: "a solicitation without options", frame: solicitation({ options: new Uint8Array(0) }), answer: advertisement() },
  {
    description: "a solicitation with an option that nobody knows (RFC 3971's nonce, or another)",
    frame: solicitation({ options: concat(OWN_MAC, Uint8Array.of(14, 2), new Uint8Array(14)) }),
    answer: advertisement(),
  },
  { description: "a solicitation behind a VLAN tag", frame: solicitation({ tags: [{ vid: 9 }] }), answer: advertisement([{ vid: 9 }]) },
  {
    description: "a solicitation whose checksum is the hardware's to finish",
    frame: solicitation({ checksum: "partial" }),
    rest: { vnet: { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 54, checksumOffset: 2 } },
    answer: advertisement(),
  },
  // ── passed on ──
  { description: "ARP for an unknown address", frame: arpRequest(ASKER, "10.0.0.1", "10.0.0.99") },
  { description: "a solicitation of an unknown address", frame: solicitation({ target: "fd00::99" }) },
  { description: "gratuitous ARP", frame: arpRequest(ASKER, "10.0.0.2", "10.0.0.2") },
  { description: "an ARP probe for duplicates (RFC 5227)", frame: arpRequest(ASKER, "0.0.0.0", "10.0.0.2") },
  { description: "a duplicate address probe (RFC 4862)", frame: neighborSolicitation(ASKER, "::", "fd00::2") },
  { description: "the asker's own address", frame: arpRequest(OWNER, "10.0.0.1", "10.0.0.2") },
  { description: "the asker's own IPv6 address", frame: neighborSolicitation(OWNER, "fd00::1", "fd00::2") },
  {
    description: "a unicast question asks whether the owner lives",
    frame: ethernet(
      { source: ASKER, destination: OWNER },
      arp({ operation: 1, senderMac: ASKER, senderIp: "10.0.0.1", targetIp: "10.0.0.2" }),
    ),
  },
  { description: "a unicast solicitation too", frame: solicitation({ destination: OWNER }) },
  {
    description: "an ARP reply",
    frame: ethernet(
      { source: ASKER, destination: BROADCAST },
      arp({ operation: 2, senderMac: ASKER, senderIp: "10.0.0.1", targetIp: "10.0.0.2" }),
    ),
  },
  {
    description: "ARP for other hardware",
    frame: ethernet(
      { source: ASKER, destination: BROADCAST },
      raw(0x0806, concat(Uint8Array.of(0, 6, 8, 0, 6, 4, 0, 1), new Uint8Array(20))),
    ),
  },
  { description: "ARP cut short", frame: arpRequest(ASKER, "10.0.0.1", "10.0.0.2").subarray(0, 40) },
  { description: "a solicitation that crossed a router", frame: solicitation({ hopLimit: 254 }) },
  { description: "a solicitation of another code", frame: solicitation({ code: 1 }) },
  {
    description: "a solicitation with an option of no length",
    frame: solicitation({ options: concat(OWN_MAC, Uint8Array.of(14, 0), new Uint8Array(6)) }),
  },
  {
    description: "a solicitation with an option longer than it",
    frame: solicitation({ options: concat(Uint8Array.of(1, 2), mac(ASKER)) }),
  },
  { description: "a solicitation that ends in an option", frame: solicitation({ options: concat(OWN_MAC, Uint8Array.of(14)) }) },
  { description: "a solicitation with a wrong checksum", frame: solicitation({ checksum: "wrong" }) },
  {
    description: "a solicitation of a group",
    frame: solicitation({ target: "ff02::1" }),
    setup: (engine) => engine.neighbor(0, "ff02::1", OWNER),
  },
  {
    description: "a domain that doesn't proxy",
    setup: (engine) => engine.domain(0, { vni: 100, flags: DOMAIN_FLAG_LEARNING }),
    frame: arpRequest(ASKER, "10.0.0.1", "10.0.0.2"),
  },
  {
    description: "an address that was taken back",
    setup: (engine) => {
      engine.argument(concat(new Uint8Array(10), Uint8Array.of(255, 255), address("10.0.0.2")));
      engine.exports.neighborDelete(0);
    },
    frame: arpRequest(ASKER, "10.0.0.1", "10.0.0.2"),
  },
];

function network(build: Build): Engine {
  const engine = new Engine(build);
  engine.domain(0, { vni: 100, flags: DOMAIN_FLAG_LEARNING | DOMAIN_FLAG_PROXY_NEIGHBORS });
  engine.domain(1, { flags: DOMAIN_FLAG_LEARNING | DOMAIN_FLAG_PROXY_NEIGHBORS });
  engine.tap(1, 0);
  engine.tap(2, 0);
  engine.tap(3, 1);
  engine.tap(4, 1);
  engine.underlay(8);
  engine.vtep(1, "10.9.0.2", 8, [0]);
  engine.neighbor(0, "10.0.0.2", OWNER);
  engine.neighbor(0, "fd00::2", OWNER);
  return engine;
}

describe.each(BUILDS)("neighbour proxy (%s)", (build) => {
  it.each(rows)("$description", ({ setup, frame, rest, answer }) => {
    const engine = network(build);
    setup?.(engine);
    const sent = engine.run([{ port: 1, frame, ...rest }]);
    if (answer !== undefined) {
      expect(sent.map((one) => [one.port, one.vnet.flags, one.frame])).toEqual([[1, 0, answer]]);
      expect(engine.drops()).toEqual({ "proxy-consumed": 1 });
      expect([engine.counter("proxied"), engine.counter("originated")]).toEqual([1, 1]);
      expect(checksumFault(sent[0]!.frame)).toBe("");
    } else {
      expect(sent.map((one) => one.port)).toEqual([2, 8]);
      expect(engine.drops()).toEqual({});
      expect(engine.counter("proxied")).toBe(0);
    }
    expect(engine.lawDifference()).toBe(0);
  });

  it("leaves questions from a tunnel to the asker's own host", () => {
    const engine = network(build);
    const question: Input = {
      port: 8,
      datagrams: [concat(Uint8Array.of(8, 0, 0, 0, 0, 0, 100, 0), arpRequest(VTEP_MAC, "10.0.0.9", "10.0.0.2"))],
      from: "10.9.0.2",
    };
    expect(
      engine
        .run([question])
        .map((one) => one.port)
        .sort(),
    ).toEqual([1, 2]);
    expect(engine.counter("proxied")).toBe(0);
  });

  it("keeps the neighbours of domains apart", () => {
    const engine = network(build);
    expect(engine.run([{ port: 3, frame: arpRequest(ASKER, "10.0.0.1", "10.0.0.2") }]).map((one) => one.port)).toEqual([4]);
    engine.neighbor(1, "10.0.0.2", VTEP_MAC);
    const [reply] = engine.run([{ port: 3, frame: arpRequest(ASKER, "10.0.0.1", "10.0.0.2") }]);
    expect(reply?.frame.subarray(6, 12)).toEqual(mac(VTEP_MAC));
    engine.exports.domainDelete(1);
    expect(engine.dump("neighborDump", 32).length).toBe(2);
  });

  it("holds and finds many neighbours, and dumps them all", () => {
    const engine = network(build);
    const count = 60_000;
    // Scattered: a multiplicative hash maps addresses in a row without a single collision.
    const word = (n: number): number => Math.imul(n + 1, 0x85ebca6b) >>> 0;
    const ip = (n: number): string => `${1 + (n % 100)}.${word(n) >>> 24}.${(word(n) >> 12) & 255}.${word(n) & 255}`;
    const set = (n: number): void => engine.neighbor(0, ip(n), `02:00:01:00:${((n >> 8) & 255).toString(16)}:${(n & 255).toString(16)}`);
    for (let n = 0; n < count; n++) set(n);
    expect(engine.dump("neighborDump", 32).length).toBe(count + 2); // no address twice
    for (let n = 0; n < count; n += 2) {
      engine.argument(concat(new Uint8Array(10), Uint8Array.of(255, 255), address(ip(n))));
      engine.exports.neighborDelete(0);
    }
    expect(engine.dump("neighborDump", 32).length).toBe(count / 2 + 2);
    // Whoever was lost behind a gap would be set a second time.
    for (let n = 1; n < count; n += 2) set(n);
    expect(engine.dump("neighborDump", 32).length).toBe(count / 2 + 2);
    for (const n of [1, 777, 59_999]) {
      const [reply] = engine.run([{ port: 1, frame: arpRequest(ASKER, "10.0.0.1", ip(n)) }]);
      expect(reply?.frame.subarray(6, 12)).toEqual(Uint8Array.of(2, 0, 1, 0, (n >> 8) & 255, n & 255));
    }
    engine.run([{ port: 1, frame: arpRequest(ASKER, "10.0.0.1", ip(776)) }]);
    expect(engine.counter("proxied")).toBe(3);
  });
});

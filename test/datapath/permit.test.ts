// Permits between isolated ports: what passes, in which direction, and what doesn't. A row is one frame from a client (port 1) or
// server (port 2) whose permits are below; a third port (3) is isolated and has none, a fourth (4) is the gateway.
//
//   permits 1 ─> 2: TCP 80, TCP 8000-8010, UDP 53, SCTP 9
import { describe, expect, it } from "vitest";
import { PERMIT_CLIENT, PERMIT_ENTRY_LENGTH, PERMIT_FIRST, PORT_FLAG_ISOLATED } from "../../wasm/shared/abi.ts";
import { PERMIT_MAX } from "../../wasm/shared/limits.ts";
import {
  arp,
  arpRequest,
  BROADCAST,
  concat,
  ethernet,
  extension,
  fragmentExtension,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  type L4,
  type Layer3,
  mssOption,
  neighborSolicitation,
  pattern,
  rawL4,
  SYN,
  tcp,
  u16,
  udp,
} from "../support/packet-builder.ts";
import { BUILDS, Engine } from "../support/wasm.ts";

const TCP = 6;
const UDP = 17;
const SCTP = 132;
const MACS = ["", "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:04"];
const REFUSED_RANGE = 1;
const REFUSED_FULL = 2;
const REFUSED_UNKNOWN = 3;

const v4 = (from: number, to: number, payload: L4, rest: object = {}): Layer3 =>
  ipv4({ source: `10.0.0.${from}`, destination: `10.0.0.${to}`, ...rest }, payload);
const v6 = (from: number, to: number, payload: L4, rest: object = {}): Layer3 =>
  ipv6({ source: `fd00::${from}`, destination: `fd00::${to}`, ...rest }, payload);
const ports = (source: number, destination: number): Uint8Array => concat(u16(source), u16(destination));
const sctp = (source: number, destination: number): L4 => rawL4(SCTP, concat(ports(source, destination), pattern(24)));

function network(build: "debug" | "release"): Engine {
  const engine = new Engine(build);
  engine.domain(0);
  for (const port of [1, 2, 3]) engine.tap(port, 0, PORT_FLAG_ISOLATED);
  engine.tap(4, 0);
  for (const port of [1, 2, 3, 4]) engine.pin(0, MACS[port]!, { port });
  const { permitSet } = engine.exports;
  expect([
    permitSet(1, 2, TCP, 80, 80),
    permitSet(1, 2, TCP, 8000, 8010),
    permitSet(1, 2, UDP, 53, 53),
    permitSet(1, 2, SCTP, 9, 9),
  ]).toEqual([0, 0, 0, 0]);
  return engine;
}

/** From port to port; `passes`: whether it arrives. */
type Row = readonly [what: string, from: number, to: number, payload: Layer3, passes: boolean];

/** The same over both families. */
function both(what: string, from: number, to: number, payload: L4, passes: boolean): Row[] {
  return [
    [`${what}, IPv4`, from, to, v4(from, to, payload), passes],
    [`${what}, IPv6`, from, to, v6(from, to, payload), passes],
  ];
}

const quotedV4 = (from: number, to: number, payload: L4): Uint8Array => concat(new Uint8Array(4), v4(from, to, payload).bytes);
const quotedV6 = (from: number, to: number, payload: L4): Uint8Array => concat(new Uint8Array(4), v6(from, to, payload).bytes);

// biome-ignore format: a row a line
const rows: Row[] = [
  ...both("the client to the port", 1, 2, tcp({ source: 40000, destination: 80, flags: SYN, options: mssOption(1460) }), true),
  ...both("the answer from the port", 2, 1, tcp({ source: 80, destination: 40000 }, pattern(100)), true),
  ...both("the first of a range", 1, 2, tcp({ source: 40000, destination: 8000 }), true),
  ...both("the last of a range", 1, 2, tcp({ source: 40000, destination: 8010 }), true),
  ...both("one behind a range", 1, 2, tcp({ source: 40000, destination: 8011 }), false),
  ...both("another port", 1, 2, tcp({ source: 40000, destination: 81 }), false),
  ...both("from the client's own port of that number", 1, 2, tcp({ source: 80, destination: 40000 }), false),
  ...both("the server to the client's port of that number", 2, 1, tcp({ source: 40000, destination: 80 }), false),
  ...both("UDP", 1, 2, udp({ source: 40000, destination: 53 }, pattern(10)), true),
  ...both("UDP's answer", 2, 1, udp({ source: 53, destination: 40000 }, pattern(10)), true),
  ...both("UDP to a port that is TCP's", 1, 2, udp({ source: 40000, destination: 80 }, pattern(10)), false),
  ...both("UDP to port 0", 1, 2, udp({ source: 40000, destination: 0 }, pattern(10)), false),
  ...both("SCTP", 1, 2, sctp(40000, 9), true),
  ...both("SCTP's answer", 2, 1, sctp(9, 40000), true),
  ...both("SCTP to another port", 1, 2, sctp(40000, 10), false),
  ...both("SCTP too short for its ports", 1, 2, rawL4(SCTP, Uint8Array.of(0, 9)), false),
  ...both("to somebody else", 1, 3, tcp({ source: 40000, destination: 80 }), false),
  ...both("from somebody else", 3, 2, tcp({ source: 40000, destination: 80 }), false),
  ["another protocol", 1, 2, v4(1, 2, rawL4(47, ports(40000, 80))), false],
  ["a ping", 1, 2, v4(1, 2, icmp(8, 0, pattern(4))), false],
  ["a ping of IPv6", 1, 2, v6(1, 2, icmpv6(128, 0, pattern(4))), false],
  ["behind extension headers", 1, 2, v6(1, 2, udp({ source: 1, destination: 53 }, pattern(9)), { extensions: [extension(0), extension(60, 2)] }), true],
  ["behind IPv4 options", 1, 2, v4(1, 2, udp({ source: 1, destination: 53 }, pattern(9)), { options: new Uint8Array(8).fill(1) }), true],
  // ── fragments ──
  ["a first fragment to the port", 1, 2, v4(1, 2, rawL4(UDP, concat(ports(1, 53), pattern(60))), { moreFragments: true }), true],
  ["a first fragment to another", 1, 2, v4(1, 2, rawL4(UDP, concat(ports(1, 54), pattern(60))), { moreFragments: true }), false],
  ["a later fragment", 1, 2, v4(1, 2, rawL4(UDP, pattern(64)), { fragmentOffset: 64 }), true],
  ["a later fragment, the other way", 2, 1, v4(2, 1, rawL4(UDP, pattern(64)), { fragmentOffset: 64 }), true],
  ["a later fragment of another protocol", 1, 2, v4(1, 2, rawL4(47, pattern(64)), { fragmentOffset: 64 }), false],
  ["a later fragment to somebody else", 1, 3, v4(1, 3, rawL4(UDP, pattern(64)), { fragmentOffset: 64 }), false],
  ["a first IPv6 fragment to the port", 1, 2, v6(1, 2, rawL4(UDP, concat(ports(1, 53), pattern(60))), { extensions: [fragmentExtension(0, true)] }), true],
  ["a first IPv6 fragment to another", 1, 2, v6(1, 2, rawL4(UDP, concat(ports(1, 54), pattern(60))), { extensions: [fragmentExtension(0, true)] }), false],
  ["a first IPv6 fragment with headers behind", 1, 2, v6(1, 2, rawL4(UDP, concat(ports(1, 53), pattern(60))), { extensions: [fragmentExtension(0, true), extension(60)] }), false],
  ["a later IPv6 fragment", 1, 2, v6(1, 2, rawL4(UDP, pattern(64)), { extensions: [fragmentExtension(64, false)] }), true],
  ["a later IPv6 fragment that claims headers", 1, 2, v6(1, 2, rawL4(60, pattern(64)), { extensions: [fragmentExtension(64, false)] }), false],
  // ── errors of flows that pass ──
  ["'port unreachable' of the client's datagram", 2, 1, v4(2, 1, icmp(3, 3, quotedV4(1, 2, udp({ source: 40000, destination: 53 }, pattern(9))))), true],
  ["'port unreachable' of an answer", 1, 2, v4(1, 2, icmp(3, 3, quotedV4(2, 1, udp({ source: 53, destination: 40000 }, pattern(9))))), true],
  ["'port unreachable' of what can't pass", 2, 1, v4(2, 1, icmp(3, 3, quotedV4(1, 2, udp({ source: 40000, destination: 54 }, pattern(9))))), false],
  ["'port unreachable' that quotes nothing", 2, 1, v4(2, 1, icmp(3, 3, new Uint8Array(4))), false],
  ["'port unreachable' that quotes an error", 2, 1, v4(2, 1, icmp(3, 3, quotedV4(1, 2, icmp(3, 3, quotedV4(1, 2, udp({ source: 1, destination: 53 }, pattern(9))))))), false],
  ["'port unreachable' of IPv6", 2, 1, v6(2, 1, icmpv6(1, 4, quotedV6(1, 2, udp({ source: 40000, destination: 53 }, pattern(9))))), true],
  ["'port unreachable' of IPv6, what can't pass", 2, 1, v6(2, 1, icmpv6(1, 4, quotedV6(1, 2, udp({ source: 40000, destination: 54 }, pattern(9))))), false],
  // ── neighbours ──
  ["an ARP answer", 2, 1, arp({ operation: 2, senderMac: MACS[2]!, senderIp: "10.0.0.2", targetMac: MACS[1]!, targetIp: "10.0.0.1" }), true],
  ["an ARP answer to somebody else", 2, 3, arp({ operation: 2, senderMac: MACS[2]!, senderIp: "10.0.0.2", targetMac: MACS[3]!, targetIp: "10.0.0.3" }), false],
  ["a neighbour advertisement", 2, 1, v6(2, 1, icmpv6(136, 0, pattern(28)), { hopLimit: 255 }), true],
  ["a unicast solicitation", 1, 2, v6(1, 2, icmpv6(135, 0, pattern(28)), { hopLimit: 255 }), true],
  ["a router advertisement", 2, 1, v6(2, 1, icmpv6(134, 0, pattern(28)), { hopLimit: 255 }), false],
];

describe.each(BUILDS)("permits (%s)", (build) => {
  it.each(rows)("%s", (_, from, to, payload, passes) => {
    const engine = network(build);
    const frame = ethernet({ source: MACS[from]!, destination: MACS[to]! }, payload);
    const sent = engine.run([{ port: from, frame }]);
    expect(sent.map((one) => [one.port, Buffer.from(one.frame).toString("hex")])).toEqual(
      passes ? [[to, Buffer.from(frame).toString("hex")]] : [],
    );
    expect(engine.drops()).toEqual(passes ? {} : { isolated: 1 });
    expect(engine.lawDifference()).toBe(0);
  });

  it("takes who sends by the port, whatever addresses it writes", () => {
    const engine = network(build);
    const forged = ethernet({ source: MACS[3]!, destination: MACS[2]! }, v4(1, 2, tcp({ source: 40000, destination: 80 })));
    expect(engine.run([{ port: 3, frame: forged }])).toEqual([]);
    expect(engine.drops()).toEqual({ isolated: 1 });
  });

  it("brings questions for neighbours to whom there is a permit with, and to no other isolated port", () => {
    const engine = network(build);
    const reached = (port: number, frame: Uint8Array): number[] =>
      engine
        .run([{ port, frame }])
        .map((one) => one.port)
        .sort();
    for (const [client, server] of [
      [1, 2],
      [2, 1],
    ] as const) {
      expect(reached(client, arpRequest(MACS[client]!, `10.0.0.${client}`, `10.0.0.${server}`))).toEqual([server, 4]);
      expect(reached(client, neighborSolicitation(MACS[client]!, `fd00::${client}`, `fd00::${server}`))).toEqual([server, 4]);
    }
    expect(reached(3, arpRequest(MACS[3]!, "10.0.0.3", "10.0.0.2"))).toEqual([4]);
    // Other floods pass isolated ports by as ever.
    const shout = ethernet({ source: MACS[1]!, destination: BROADCAST }, v4(1, 2, udp({ source: 40000, destination: 53 }, pattern(9))));
    expect(reached(1, shout)).toEqual([4]);
    expect(engine.drops()).toEqual({});
    expect(engine.lawDifference()).toBe(0);
  });

  it("ends with the entry, and with either port", () => {
    const frame = ethernet({ source: MACS[1]!, destination: MACS[2]! }, v4(1, 2, tcp({ source: 40000, destination: 80 })));
    const passes = (engine: Engine): boolean => engine.run([{ port: 1, frame }]).length === 1;
    const engine = network(build);
    expect(passes(engine)).toBe(true);
    engine.exports.permitDelete(1, 2, TCP, 80, 80);
    expect(passes(engine)).toBe(false);
    for (const port of [1, 2]) {
      const other = network(build);
      other.exports.permitSet(3, 2, TCP, 80, 80);
      other.exports.portDelete(port);
      // A sandbox that gets the index after it inherits nothing.
      other.tap(port, 0, PORT_FLAG_ISOLATED);
      expect(passes(other)).toBe(false);
      const left = other.dump("permitDump", PERMIT_ENTRY_LENGTH).map((entry) => entry.getUint16(PERMIT_CLIENT, true));
      expect(left).toEqual(port === 1 ? [3] : []);
    }
    const gone = network(build);
    gone.exports.domainDelete(0);
    expect(gone.dump("permitDump", PERMIT_ENTRY_LENGTH)).toEqual([]);
  });

  it("refuses what is none, and what no longer fits", () => {
    const { exports } = network(build);
    expect(exports.permitSet(1, 2, 47, 80, 80)).toBe(REFUSED_RANGE);
    expect(exports.permitSet(1, 2, TCP, 81, 80)).toBe(REFUSED_RANGE);
    expect(exports.permitSet(1, 2, TCP, 0, 80)).toBe(REFUSED_RANGE);
    expect(exports.permitSet(1, 2, TCP, 80, 65536)).toBe(REFUSED_RANGE);
    expect(exports.permitSet(1, 1, TCP, 80, 80)).toBe(REFUSED_RANGE);
    expect(exports.permitSet(1, 9, TCP, 80, 80)).toBe(REFUSED_UNKNOWN);
    expect(exports.permitSet(1, 2, TCP, 80, 80)).toBe(0); // it is there
    for (let n = 4; n < PERMIT_MAX; n++) expect(exports.permitSet(1 + (n % 3), 4, UDP, n, n)).toBe(0);
    expect(exports.permitSet(1, 4, UDP, PERMIT_MAX, PERMIT_MAX)).toBe(REFUSED_FULL);
  });

  it("holds what a plain set would, whatever comes and goes", () => {
    const engine = new Engine(build);
    engine.domain(0);
    const count = 40;
    for (let port = 1; port <= count; port++) engine.tap(port, 0, PORT_FLAG_ISOLATED);
    const model = new Set<string>();
    let seed = 1;
    const draw = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % below;
    };
    const { permitSet, permitDelete } = engine.exports;
    for (let step = 0; step < 20_000; step++) {
      const [client, server, protocol, first] = [1 + draw(count), 1 + draw(count), [TCP, UDP][draw(2)]!, 1 + draw(20)] as const;
      if (client === server) continue;
      const name = `${client} ${server} ${protocol} ${first}`;
      if (draw(5) < 2) {
        permitSet(client, server, protocol, first, first);
        model.add(name);
      } else {
        permitDelete(client, server, protocol, first, first);
        model.delete(name);
      }
    }
    const held = engine.dump("permitDump", PERMIT_ENTRY_LENGTH).map((entry) => {
      const word = (at: number): number => entry.getUint16(at, true);
      expect(word(PERMIT_FIRST + 2)).toBe(word(PERMIT_FIRST));
      return `${word(0)} ${word(2)} ${word(4)} ${word(PERMIT_FIRST)}`;
    });
    expect(held.sort()).toEqual([...model].sort());
    expect(held.length).toBeGreaterThan(1000);
  });
});

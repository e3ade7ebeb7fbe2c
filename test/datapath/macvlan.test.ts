// Uplinks: tags written and taken away, VLANs told apart, and who of a macvlan may have what, by mode.
//
//   parent 20 ─┬─ uplink 21, untagged ─ domain 0:  port 1 (A)  port 2 (B)
//              ├─ uplink 22, VLAN 100 ─ domain 1:  port 3 (A)
//              └─ uplink 23, VLAN 200 ─ domain 2:  ports of all modes: 4, 5 bridge  6, 7 vepa  8, 9 private
//   domain 3, no uplink:  10, 11 bridge  12 private
import { describe, expect, it } from "vitest";
import {
  PORT_FLAG_NO_FLOOD,
  PORT_FLAG_PASSTHRU,
  PORT_FLAG_PRIVATE,
  PORT_FLAG_VEPA,
  PORT_PACKET,
  PORT_UPLINK,
  RX_FLAG_VLAN,
  RX_FLAG_VLAN_SERVICE,
  VNET_FLAG_DATA_VALID,
  VNET_FLAG_NEEDS_CHECKSUM,
  VNET_GSO_TCPV4,
} from "../../wasm/shared/abi.ts";
import { MTU_MAX } from "../../wasm/shared/limits.ts";
import { BROADCAST, type EthernetFields, ethernet, ipv4, ipv6, type L4, pattern, raw, tcp, udp } from "../support/packet-builder.ts";
import { BUILDS, Engine, type Sent, type TapInput, type VnetHeader } from "../support/wasm.ts";

const PARENT = 20;
const UNTAGGED = 21;
const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const OUTSIDE = "02:00:00:00:99:01";
/** MAC of the station behind `port`. */
const at = (port: number): string => `02:00:00:00:01:${port.toString(16).padStart(2, "0")}`;

const frame = (source: string, destination: string, fields: Partial<EthernetFields> = {}): Uint8Array =>
  ethernet(
    { source, destination, ...fields },
    ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, udp({ source: 1000, destination: 2000 }, pattern(40))),
  );
const arrives = (bytes: Uint8Array, vid?: number, rest: Partial<TapInput> = {}): TapInput => ({
  port: PARENT,
  frame: bytes,
  ...(vid === undefined ? {} : { flags: RX_FLAG_VLAN, tci: vid }),
  ...rest,
});
const leaves = (port: number, bytes: Uint8Array): TapInput => ({ port, frame: bytes });
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const where = (sent: readonly Sent[]): [number, string][] =>
  sent.map((one): [number, string] => [one.port, hex(one.frame)]).sort(([a], [b]) => a - b);
const ports = (sent: readonly Sent[]): number[] => sent.map(({ port }) => port).sort((a, b) => a - b);

describe.each(BUILDS)("uplinks (%s)", (build) => {
  function network(): Engine {
    const engine = new Engine(build);
    engine.packetPort(PARENT);
    const modes = [0, 0, PORT_FLAG_VEPA, PORT_FLAG_VEPA, PORT_FLAG_PRIVATE, PORT_FLAG_PRIVATE];
    for (const [domain, vid] of [0, 100, 200].entries()) {
      engine.domain(domain, { flags: 0 });
      engine.uplink(UNTAGGED + domain, domain, PARENT, vid);
    }
    engine.domain(3, { flags: 0 });
    const station = (port: number, domain: number, mac: string, flags = 0): void => {
      engine.tap(port, domain, PORT_FLAG_NO_FLOOD | flags);
      engine.pin(domain, mac, { port });
    };
    station(1, 0, A);
    station(2, 0, B);
    station(3, 1, A);
    for (const [i, flags] of modes.entries()) station(4 + i, 2, at(4 + i), flags);
    for (const port of [10, 11]) station(port, 3, at(port));
    station(12, 3, at(12), PORT_FLAG_PRIVATE);
    return engine;
  }

  function check(engine: Engine, drops: Record<string, number> = {}): void {
    expect(engine.drops()).toEqual(drops);
    expect(engine.lawDifference()).toBe(0);
  }

  // ── tags ──

  it.each([
    ["untagged", undefined, 1],
    ["a priority tag", 5 << 13, 1],
    ["VLAN 100", 100, 3],
    ["VLAN 100 with a priority and DEI", 0xf000 | 100, 3],
  ])("finds the network by the tag that the kernel took out: %s", (_, tci, port) => {
    const engine = network();
    const bytes = frame(OUTSIDE, A);
    expect(where(engine.run([arrives(bytes, tci)]))).toEqual([[port, hex(bytes)]]);
    check(engine);
    expect(engine.portCounters(port === 1 ? UNTAGGED : UNTAGGED + 1).rx).toBe(1);
  });

  it("takes out a tag that is in the frame still, a checksum's place with it", () => {
    const engine = network();
    const partial = (fields: Partial<EthernetFields>): Uint8Array =>
      ethernet(
        { source: OUTSIDE, destination: A, ...fields },
        ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, udp({ source: 1, destination: 2, checksum: "partial" }, pattern(300))),
      );
    const vnet = { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 38, checksumOffset: 6 };
    const sent = engine.run([
      arrives(partial({ tags: [{ vid: 100 }] }), undefined, { vnet }),
      arrives(frame(OUTSIDE, A, { tags: [{ vid: 0 }] })),
    ]);
    expect(where(sent)).toEqual([
      [1, hex(frame(OUTSIDE, A))],
      [3, hex(partial({}))],
    ]);
    expect(sent.find(({ port }) => port === 3)!.vnet).toMatchObject({ flags: 1, checksumStart: 34, checksumOffset: 6 });
    check(engine);
  });

  it("leaves a second tag in the frame (802.1ad), both ways", () => {
    const engine = network();
    const inner = frame(OUTSIDE, A, { tags: [{ vid: 7 }] });
    expect(where(engine.run([arrives(inner, 100)]))).toEqual([[3, hex(inner)]]);
    const sent = engine.run([leaves(3, frame(A, OUTSIDE, { tags: [{ vid: 7 }] }))]);
    expect(where(sent)).toEqual([[PARENT, hex(frame(A, OUTSIDE, { tags: [{ vid: 100 }, { vid: 7 }] }))]]);
    check(engine);
  });

  it("drops VLANs that nobody has, S-tags, and unicast for others", () => {
    const engine = network();
    const bytes = frame(OUTSIDE, A);
    const service = { flags: RX_FLAG_VLAN | RX_FLAG_VLAN_SERVICE };
    expect(
      engine.run([
        arrives(bytes, 101),
        arrives(bytes, 4095),
        arrives(bytes, 100, service),
        arrives(frame(OUTSIDE, B), 100),
        arrives(frame(OUTSIDE, BROADCAST), 300),
      ]),
    ).toEqual([]);
    check(engine, { "vlan-unknown": 4, "not-ours": 1 });
    expect(engine.portCounters(PARENT)).toMatchObject({ rx: 4, drops: 4 });
    // A priority in an S-tag is a priority.
    expect(ports(engine.run([arrives(bytes, 0, service)]))).toEqual([1]);
  });

  it("writes the tag of the network, and none where it has none", () => {
    const engine = network();
    const sent = engine.run([leaves(1, frame(A, OUTSIDE)), leaves(3, frame(A, OUTSIDE))]);
    expect(sent.map(({ port, frame: bytes }) => [port, hex(bytes)])).toEqual([
      [PARENT, hex(frame(A, OUTSIDE))],
      [PARENT, hex(frame(A, OUTSIDE, { tags: [{ vid: 100 }] }))],
    ]);
    check(engine);
    expect(engine.counter("flooded")).toBe(0);
    expect(engine.portCounters(UNTAGGED).tx).toBe(1);
    expect(engine.portCounters(UNTAGGED + 1).tx).toBe(1);
  });

  it("keeps stations of the untagged network from naming VLANs, but not from giving priorities", () => {
    const engine = network();
    const priority = frame(A, OUTSIDE, { tags: [{ vid: 0 }] });
    const sent = engine.run([
      leaves(1, frame(A, OUTSIDE, { tags: [{ vid: 100 }] })),
      leaves(1, frame(A, BROADCAST, { tags: [{ tpid: 0x88a8, vid: 100 }] })),
      // Whoever takes a priority tag off, a Linux host or a switch's untagged port, finds the next one outermost.
      leaves(1, frame(A, OUTSIDE, { tags: [{ vid: 0 }, { vid: 100 }] })),
      leaves(1, frame(A, BROADCAST, { tags: [{ vid: 0 }, { tpid: 0x88a8, vid: 0 }, { vid: 100 }] })),
      leaves(1, frame(A, OUTSIDE, { tags: [{ vid: 0 }, { vid: 0 }] }).subarray(0, 12 + 4 + 2 + 2)),
      leaves(1, frame(A, OUTSIDE).subarray(0, 12 + 2)),
      leaves(1, priority),
    ]);
    expect(ports(sent)).toEqual([2, 2, PARENT]);
    expect(hex(sent.find(({ port }) => port === PARENT)!.frame)).toBe(hex(priority));
    check(engine, { "vlan-forbidden": 5, "malformed-ip": 1 });
  });

  it("moves a super-frame's offsets with the tag, and passes it whole both ways", () => {
    const engine = network();
    const segment: L4 = tcp({ source: 1, destination: 2, checksum: "partial" }, pattern(30_000));
    const big = (source: string, destination: string, tags: EthernetFields["tags"] = []): Uint8Array =>
      ethernet({ source, destination, tags: tags ?? [] }, ipv6({ source: "fd00::1", destination: "fd00::2" }, segment));
    const vnet: VnetHeader = { flags: 1, gsoType: 4, headerLength: 74, gsoSize: 1428, checksumStart: 54, checksumOffset: 16 };
    const sent = engine.run([
      { port: 3, frame: big(A, OUTSIDE), vnet },
      { port: PARENT, frame: big(OUTSIDE, A), vnet, flags: RX_FLAG_VLAN, tci: 100 },
    ]);
    const [out] = sent.filter(({ port }) => port === PARENT);
    expect(hex(out!.frame)).toBe(hex(big(A, OUTSIDE, [{ vid: 100 }])));
    expect(out!.vnet).toEqual({ ...vnet, headerLength: 78, checksumStart: 58 });
    const [back] = sent.filter(({ port }) => port === 3);
    expect(hex(back!.frame)).toBe(hex(big(OUTSIDE, A)));
    expect(back!.vnet).toEqual(vnet);
    check(engine);
  });

  it("makes of a super-frame with finished checksums one that can be segmented again", () => {
    const engine = network();
    const whole = (checksum: "full" | "partial"): Uint8Array =>
      ethernet(
        { source: OUTSIDE, destination: A },
        ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, tcp({ source: 1, destination: 2, checksum }, pattern(5000))),
      );
    const vnet = { flags: VNET_FLAG_DATA_VALID, gsoType: VNET_GSO_TCPV4, headerLength: 54, gsoSize: 1000 };
    const [sent] = engine.run([arrives(whole("full"), undefined, { vnet })]);
    expect(hex(sent!.frame)).toBe(hex(whole("partial")));
    expect(sent!.vnet).toMatchObject({ flags: VNET_FLAG_NEEDS_CHECKSUM, gsoType: VNET_GSO_TCPV4, gsoSize: 1000, checksumStart: 34 });
    check(engine);
  });

  it("merges segments of a flow that came one by one", () => {
    const engine = network();
    const segments = [0, 1, 2].map((i) =>
      ethernet(
        { source: OUTSIDE, destination: A },
        ipv4(
          { source: "10.0.0.1", destination: "10.0.0.2", dontFragment: true },
          tcp({ source: 1, destination: 2, sequence: 1 + 1000 * i }, pattern(1000)),
        ),
      ),
    );
    const sent = engine.run(segments.map((one) => arrives(one, 100)));
    expect(sent.map(({ port, packets, frame: bytes }) => [port, packets, bytes.length])).toEqual([[3, 3, 14 + 20 + 20 + 3000]]);
    check(engine);
  });

  it("counts what the parent refuses at the uplink that it was for", () => {
    const engine = network();
    engine.run([leaves(3, frame(A, OUTSIDE)), leaves(1, frame(A, OUTSIDE))], {
      refuse: ({ frame: bytes }) => (bytes[12] === 0x81 ? 90 : 11),
    });
    check(engine, { "send-refused": 1, "send-queue-full": 1 });
    for (const uplink of [UNTAGGED, UNTAGGED + 1]) expect(engine.portCounters(uplink)).toEqual({ rx: 0, tx: 0, drops: 1 });
  });

  // ── who reaches whom ──

  it("sends a broadcast to the VLAN's stations and once to the wire, with the tag there only", () => {
    const engine = network();
    const bytes = frame(A, BROADCAST);
    expect(where(engine.run([leaves(1, bytes)]))).toEqual([
      [2, hex(bytes)],
      [PARENT, hex(bytes)],
    ]);
    const tagged = frame(at(4), BROADCAST, { tags: [{ vid: 200 }] });
    expect(where(engine.run([leaves(4, frame(at(4), BROADCAST))]))).toEqual([
      [5, hex(frame(at(4), BROADCAST))],
      [PARENT, hex(tagged)],
    ]);
    check(engine);
  });

  it.each([
    // from, to, where it goes
    [4, 5, [5], "bridge to bridge: directly"],
    [4, 6, [PARENT], "bridge to vepa: by the switch"],
    [4, 8, [PARENT], "bridge to private: to the switch, and no further"],
    [6, 7, [PARENT], "vepa to vepa: by the switch"],
    [8, 9, [PARENT], "private to private: to the switch, and no further"],
    [8, 4, [PARENT], "private to bridge: to the switch, and no further"],
  ])("unicast from %d to %d reaches %j: %4$s", (from, to, expected) => {
    const engine = network();
    expect(ports(engine.run([leaves(from, frame(at(from), at(to)))]))).toEqual(expected);
    check(engine);
  });

  it.each([
    [4, [5, PARENT]],
    [6, [PARENT]],
    [8, [PARENT]],
  ])("a broadcast of %d goes to %j", (from, expected) => {
    const engine = network();
    expect(ports(engine.run([leaves(from, frame(at(from), BROADCAST))]))).toEqual(expected);
    check(engine);
  });

  it.each([
    // What the switch sends back: the sender, for whom, who gets it.
    [4, BROADCAST, [6, 7], "a bridge station's broadcast: the vepa stations, who had none yet"],
    [6, BROADCAST, [4, 5, 7], "a vepa station's broadcast: all others but private ones"],
    [8, BROADCAST, [], "a private station's broadcast: nobody"],
    [6, at(7), [7], "vepa to vepa"],
    [6, at(4), [4], "vepa to bridge"],
    [4, at(6), [6], "bridge to vepa"],
    [8, at(4), [], "private to bridge"],
    [4, at(8), [], "bridge to private"],
    [4, at(4), [], "to the sender itself"],
  ])("sent back by the switch, %d to %s reaches %j: %s", (from, destination, expected) => {
    const engine = network();
    expect(ports(engine.run([arrives(frame(at(from), destination), 200)]))).toEqual(expected);
    expect(engine.lawDifference()).toBe(0);
    expect(Object.keys(engine.drops())).toEqual(expected.length > 0 ? [] : [destination === BROADCAST ? "no-members" : "macvlan-mode"]);
  });

  it("lets strangers' broadcasts and unicast reach stations of all modes", () => {
    const engine = network();
    expect(ports(engine.run([arrives(frame(OUTSIDE, BROADCAST), 200)]))).toEqual([4, 5, 6, 7, 8, 9]);
    expect(ports(engine.run([4, 6, 8].map((port) => arrives(frame(OUTSIDE, at(port)), 200))))).toEqual([4, 6, 8]);
    check(engine);
  });

  it("without an uplink keeps a network to itself, and private stations apart", () => {
    const engine = network();
    expect(ports(engine.run([leaves(10, frame(at(10), BROADCAST)), leaves(10, frame(at(10), at(11)))]))).toEqual([11, 11]);
    expect(engine.run([leaves(10, frame(at(10), at(12))), leaves(12, frame(at(12), at(10))), leaves(10, frame(at(10), OUTSIDE))])).toEqual(
      [],
    );
    expect(engine.run([leaves(12, frame(at(12), BROADCAST))])).toEqual([]);
    check(engine, { "macvlan-mode": 2, "no-members": 2 });
  });

  it("in passthru gives all frames to the one station, with the tags that nobody else has", () => {
    const engine = network();
    engine.exports.portDelete(2);
    engine.exports.fdbDelete(0, 0x0200, 0x0b);
    engine.exports.portSet(UNTAGGED, PORT_UPLINK, 0, PORT_FLAG_PASSTHRU, MTU_MAX);
    engine.tap(1, 0, 0);
    const stray = frame(OUTSIDE, B);
    const partial = ethernet(
      { source: OUTSIDE, destination: A },
      ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, udp({ source: 1, destination: 2, checksum: "partial" }, pattern(300))),
    );
    const vnet = { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: 6 };
    const sent = engine.run([
      arrives(stray),
      arrives(stray, 0x6000 | 55),
      arrives(stray, 66, { flags: RX_FLAG_VLAN | RX_FLAG_VLAN_SERVICE }),
      arrives(partial, 77, { vnet }),
      arrives(frame(OUTSIDE, A), 100),
      leaves(1, frame(A, OUTSIDE, { tags: [{ vid: 100 }] })),
    ]);
    const got = sent.filter(({ port }) => port === 1);
    expect(got.map((one) => hex(one.frame)).sort()).toEqual(
      [
        hex(stray),
        hex(frame(OUTSIDE, B, { tags: [{ vid: 0x6000 | 55 }] })),
        hex(frame(OUTSIDE, B, { tags: [{ tpid: 0x88a8, vid: 66 }] })),
        `${hex(partial).slice(0, 24)}8100004d${hex(partial).slice(24)}`,
      ].sort(),
    );
    expect(got.find((one) => hex(one.frame).includes("8100004d"))!.vnet).toMatchObject({ checksumStart: 38, checksumOffset: 6 });
    expect(ports(sent)).toEqual([1, 1, 1, 1, 3, PARENT]);
    check(engine);
  });

  // ── tables ──

  it("binds a VLAN to one uplink and a domain to one, and forgets both with the port", () => {
    const engine = network();
    const { exports } = engine;
    expect(exports.portSet(30, PORT_UPLINK, 3, 0, MTU_MAX)).toBe(0);
    expect(exports.uplinkSet(30, PARENT, 100)).toBe(4);
    expect(exports.uplinkSet(30, PARENT, 4095)).toBe(1);
    expect(exports.uplinkSet(30, 1, 5)).toBe(3);
    expect(exports.uplinkSet(1, PARENT, 5)).toBe(3);
    expect(exports.portSet(31, PORT_UPLINK, 0, 0, MTU_MAX)).toBe(0);
    expect(exports.uplinkSet(31, PARENT, 5)).toBe(4);
    exports.portDelete(UNTAGGED + 1);
    expect(exports.uplinkSet(30, PARENT, 100)).toBe(0);
    expect(ports(engine.run([arrives(frame(OUTSIDE, at(10)), 100)]))).toEqual([10]);
    // It keeps its VLAN where it goes, and leaves nothing behind.
    expect(exports.portSet(30, PORT_UPLINK, 1, 0, MTU_MAX)).toBe(0);
    expect(ports(engine.run([arrives(frame(OUTSIDE, A), 100), leaves(10, frame(at(10), OUTSIDE))]))).toEqual([3]);
    exports.domainDelete(1);
    expect(engine.run([arrives(frame(OUTSIDE, A), 100)])).toEqual([]);
    exports.portDelete(PARENT);
    expect(engine.run([leaves(1, frame(A, OUTSIDE)), arrives(frame(OUTSIDE, A))])).toEqual([]);
    check(engine, { "no-members": 1, "vlan-unknown": 1, "port-down": 1, "port-unknown": 1 });
    expect(exports.portSet(PARENT, PORT_PACKET, 0, 0, MTU_MAX)).toBe(0);
    expect(
      ports(engine.run([arrives(frame(OUTSIDE, A), 0), arrives(ethernet({ source: OUTSIDE, destination: A }, raw(0x88b5, pattern(60))))])),
    ).toEqual([1, 1]);
  });
});

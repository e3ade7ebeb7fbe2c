// Super-frames: what leaves for the wire against an oracle that cuts them plainly, what comes in and is merged, what must not
// be merged, and the way back.
import { beforeEach, describe, expect, it } from "vitest";
import * as abi from "../../wasm/shared/abi.ts";
import * as counters from "../../wasm/shared/counters.ts";
import * as layout from "../../wasm/shared/layout.ts";
import * as limits from "../../wasm/shared/limits.ts";
import { Batch, DOMAIN, datagrams, type Sent, UNDERLAY, UNDERLAY6, vxlan } from "../support/batch.ts";
import {
  ACK,
  CWR,
  concat,
  cut,
  ECE,
  FIN,
  frame,
  layout as layoutOf,
  PSH,
  pattern,
  type Segment,
  SYN,
  vnetHeader,
} from "../support/oracle.ts";

const TIMESTAMPS = Uint8Array.from([1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4]);
/** Hop-by-hop with one PadN over its six bytes. */
const HOP_BY_HOP = Uint8Array.from([0, 0, 1, 4, 0, 0, 0, 0]);
const OPTIONS60 = Uint8Array.from({ length: 40 }, (_, i) => (i < 39 ? 1 : 0));

const out = { sourceMac: 2, destinationMac: 0x20 };
const into = { sourceMac: 0x20, destinationMac: 2 };

interface Case {
  name: string;
  segment: Partial<Segment> & Pick<Segment, "family" | "protocol">;
  size: number;
  length: number;
}

const families = [4, 6] as const;
const KINDS: Case[] = families.flatMap((family): Case[] => [
  { name: `TCP/IPv${family}, a whole number of segments`, segment: { family, protocol: "tcp" }, size: 1390, length: 1390 * 10 },
  {
    name: `TCP/IPv${family} with timestamps and a rest`,
    segment: { family, protocol: "tcp", options: TIMESTAMPS },
    size: 1378,
    length: 60001,
  },
  { name: `TCP/IPv${family}, odd segment size`, segment: { family, protocol: "tcp" }, size: 999, length: 9001 },
  { name: `TCP/IPv${family} in a VLAN`, segment: { family, protocol: "tcp", vlan: 0x2123 }, size: 1200, length: 5000 },
  {
    name: `TCP/IPv${family} with 40 bytes of options`,
    segment: { family, protocol: "tcp", options: OPTIONS60, vlan: 9 },
    size: 1200,
    length: 5000,
  },
  { name: `TCP/IPv${family}, segments small enough to copy`, segment: { family, protocol: "tcp" }, size: 100, length: 4321 },
  { name: `TCP/IPv${family}, sequence wraps`, segment: { family, protocol: "tcp", sequence: 0xfffff000 }, size: 1000, length: 9000 },
  {
    name: `TCP/IPv${family} with FIN, PSH and CWR`,
    segment: { family, protocol: "tcp", flags: ACK | PSH | FIN | CWR | ECE },
    size: 1000,
    length: 3500,
  },
  { name: `UDP/IPv${family}`, segment: { family, protocol: "udp" }, size: 1372, length: 1372 * 20 + 5 },
  { name: `UDP/IPv${family} in a VLAN`, segment: { family, protocol: "udp", vlan: 5 }, size: 1001, length: 9009 },
  { name: `UDP/IPv${family}, small datagrams`, segment: { family, protocol: "udp" }, size: 22, length: 22 * 64 },
]);
KINDS.push(
  { name: "TCP/IPv4, identification wraps", segment: { family: 4, protocol: "tcp", identification: 0xfffe }, size: 1000, length: 9000 },
  {
    name: "TCP/IPv4 with IP options",
    segment: { family: 4, protocol: "tcp", ipOptions: Uint8Array.from([1, 1, 1, 0]) },
    size: 1000,
    length: 9000,
  },
  { name: "TCP/IPv6 behind a hop-by-hop header", segment: { family: 6, protocol: "tcp", extension: HOP_BY_HOP }, size: 1000, length: 9000 },
  { name: "UDP/IPv6 behind a hop-by-hop header", segment: { family: 6, protocol: "udp", extension: HOP_BY_HOP }, size: 1000, length: 9000 },
);

const superFrame = (one: Case, ends: Partial<Segment> = out): Segment => ({
  ...one.segment,
  ...ends,
  payload: pattern(one.length, one.length),
  checksum: "partial",
});

/** The frame of a TAP write, without its vnet_hdr. */
const delivered = (sent: Sent): Uint8Array => sent.bytes.subarray(10);

describe.each(["debug", "release"] as const)("offload (%s)", (target) => {
  let engine: Batch;

  beforeEach(() => {
    engine = new Batch(target);
  });

  describe("segmentation", () => {
    it.each(KINDS)("$name: as the oracle cuts it", (one) => {
      const segment = superFrame(one);
      engine.fromTap(2, frame(segment), vnetHeader(segment, one.size));
      const sent = engine.run();
      expect(sent.flatMap(datagrams)).toEqual(cut(segment, one.size).map((wire) => vxlan(wire)));
      expect(new Set(sent.map((message) => message.socket)).size).toBe(1);
      expect(engine.counter(counters.COUNTER_GSO_SEGMENTED)).toBe(1);
      expect(engine.counter(counters.COUNTER_GSO_SEGMENTS)).toBe(Math.ceil(one.length / one.size));
      // One packet came in, so one went out, however many messages it took.
      expect(sent.reduce((sum, message) => sum + message.packets, 0)).toBe(1);
      expect(engine.lost()).toBe(0);
    });

    it("goes as few messages, payload uncopied", () => {
      const segment: Segment = { family: 4, protocol: "tcp", ...out, payload: pattern(46 * 1390), checksum: "partial" };
      engine.fromTap(2, frame(segment), vnetHeader(segment, 1390));
      const sent = engine.run();
      expect(sent).toHaveLength(2);
      expect(sent[0]?.iovecs).toBe(2 * Math.floor(limits.RUN_LENGTH_MAX / (8 + 54 + 1390)));
    });

    it("lets small segments share one iovec", () => {
      const segment: Segment = { family: 4, protocol: "udp", ...out, payload: pattern(64 * 22), checksum: "partial" };
      engine.fromTap(2, frame(segment), vnetHeader(segment, 22));
      expect(engine.run()).toMatchObject([{ iovecs: 1, segment: 72, packets: 1 }]);
    });

    it("keeps a flow's plain frames and super-frames in order", () => {
      const flow: Segment = { family: 4, protocol: "tcp", ...out, payload: pattern(5000), checksum: "partial" };
      const plain = (seed: number): Segment => ({ ...flow, payload: pattern(700, seed) });
      engine.fromTap(2, frame(plain(1)), vnetHeader(plain(1)));
      engine.fromTap(2, frame(flow), vnetHeader(flow, 1000));
      engine.fromTap(2, frame(plain(2)), vnetHeader(plain(2)));
      const wire = [plain(1), flow, plain(2)].flatMap((one) => (one === flow ? cut(one, 1000) : [frame({ ...one, checksum: "full" })]));
      expect(engine.run().flatMap(datagrams)).toEqual(wire.map((one) => vxlan(one)));
    });

    it("floods a super-frame: whole to the sandboxes, cut to the peers", () => {
      const segment: Segment = {
        family: 4,
        protocol: "tcp",
        sourceMac: 2,
        destinationMac: 0x99,
        payload: pattern(9000),
        checksum: "partial",
      };
      engine.fromTap(2, frame(segment), vnetHeader(segment, 1000));
      const sent = engine.run();
      for (const port of [UNDERLAY, UNDERLAY6]) {
        expect(sent.filter((one) => one.port === port).flatMap(datagrams)).toEqual(cut(segment, 1000).map((one) => vxlan(one)));
      }
      for (const port of [3, 4, 5]) {
        expect(sent.filter((one) => one.port === port).map((one) => one.bytes)).toEqual([
          concat(vnetHeader(segment, 1000), frame(segment)),
        ]);
      }
      expect(engine.lost()).toBe(0);
    });

    it("cuts nothing behind an IPv6 routing header, wherever it stands: the checksum is another destination's", () => {
      const routing = Uint8Array.from([0, 0, 254, 0, 0, 0, 0, 0]);
      const behindHop = concat(HOP_BY_HOP, routing);
      for (const [extension, first] of [
        [routing, 43],
        [behindHop, 0],
      ] as const) {
        const segment: Segment = { family: 6, protocol: "udp", ...out, extension, payload: pattern(6000), checksum: "partial" };
        const bytes = frame(segment);
        bytes[14 + 6] = first;
        if (first === 0) {
          bytes[14 + 40] = 43;
          bytes[14 + 48] = 17;
        }
        engine.fromTap(2, bytes, vnetHeader(segment, 1000));
      }
      expect(engine.run()).toEqual([]);
      expect(engine.counter(counters.DROP_BASE + counters.DROP_BAD_GSO)).toBe(2);
      expect(engine.lost()).toBe(0);
    });

    it("drops super-frames by name when header slots run out, and keeps the law", () => {
      // More flood copies of small segments than a run has slots for; each copy goes whole or not at all.
      for (let vtep = 3; vtep < 40; vtep++) engine.vtep(vtep, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, vtep], UNDERLAY);
      const segment: Segment = {
        family: 4,
        protocol: "tcp",
        sourceMac: 2,
        destinationMac: 0x99,
        payload: pattern(64000),
        checksum: "partial",
      };
      for (let i = 0; i < 16; i++) engine.fromTap(2, frame(segment), vnetHeader(segment, 300));
      const sent = engine.run();
      expect(engine.lost()).toBe(0);
      expect(sent.reduce((sum, one) => sum + one.packets, 0)).toBe(engine.counter(counters.COUNTER_TX));
    });
  });

  describe("merging", () => {
    const MERGED = KINDS.filter(
      (one) => !one.segment.ipOptions && !one.segment.extension && !one.segment.flags && one.segment.options !== OPTIONS60,
    );

    it.each(MERGED)("$name: segments become the super-frame again, byte for byte", (one) => {
      const segment = superFrame(one, into);
      const wire = cut(segment, one.size);
      // At most so many fit a super-frame: the oracle's is cut into pieces of as many.
      engine.fromVtep(wire.map((each) => vxlan(each)));
      const sent = engine.run();
      const per = limits.GRO_SEGMENTS_MAX;
      const expected: Uint8Array[] = [];
      for (let first = 0; first < wire.length; first += per) {
        const payload = segment.payload.subarray(first * one.size, (first + per) * one.size);
        const piece: Segment = {
          ...segment,
          payload,
          sequence: ((segment.sequence ?? 1000) + first * one.size) >>> 0,
          identification: ((segment.identification ?? 0x1234) + first) & 0xffff,
        };
        expected.push(concat(vnetHeader(piece, one.size), frame(piece)));
      }
      expect(sent.map((each) => each.bytes)).toEqual(expected);
      expect(sent.reduce((sum, each) => sum + each.packets, 0)).toBe(wire.length);
      expect(engine.counter(counters.COUNTER_GRO_COALESCED)).toBe(wire.length);
      expect(engine.lost()).toBe(0);
    });

    it("ends a super-frame with PSH", () => {
      const wire = [0, 1, 2, 3].map((i) =>
        frame({
          family: 4,
          protocol: "tcp",
          ...into,
          sequence: 1000 + i * 500,
          identification: 1 + i,
          flags: i === 1 ? ACK | PSH : ACK,
          payload: pattern(500, i),
        }),
      );
      engine.fromVtep(wire.map((one) => vxlan(one)));
      const sent = engine.run();
      expect(sent.map((one) => one.packets)).toEqual([2, 2]);
      expect(delivered(sent[0]!)[47]).toBe(ACK | PSH);
      expect(delivered(sent[1]!)[47]).toBe(ACK);
    });

    it("merges datagrams between sandboxes too, unfinished checksums and all", () => {
      const whole: Segment = {
        family: 4,
        protocol: "udp",
        sourceMac: 2,
        destinationMac: 3,
        payload: pattern(22 * 64),
        checksum: "partial",
      };
      for (let i = 0; i < 64; i++) {
        const one: Segment = { ...whole, payload: whole.payload.subarray(i * 22, i * 22 + 22), identification: 0x1234 + i };
        engine.fromTap(2, frame(one), vnetHeader(one));
      }
      const sent = engine.run();
      expect(sent.map((one) => one.bytes)).toEqual([concat(vnetHeader(whole, 22), frame(whole))]);
      // Small payloads are copied side by side.
      expect(sent.map((one) => one.iovecs)).toEqual([1]);
    });

    it("gives no UDP super-frame to a port that can't take one, TCP all the same", () => {
      engine.exports.portSet(2, abi.PORT_TAP, DOMAIN, abi.PORT_FLAG_NO_UDP_GSO, 1450);
      for (const protocol of ["udp", "tcp"] as const) {
        const one: Segment = { family: 4, protocol, ...into, payload: pattern(5 * 100) };
        engine.fromVtep(cut(one, 100).map((wire) => vxlan(wire)));
        expect(engine.run().map((each) => each.packets)).toEqual(protocol === "udp" ? [1, 1, 1, 1, 1] : [5]);
      }
    });

    it("merges identifications that stay zero with DF: they mean nothing there and come out counting or not", () => {
      const wire = [0, 1, 2].map((i) => frame({ family: 4, protocol: "udp", ...into, identification: 0, payload: pattern(50, i) }));
      engine.fromVtep(wire.map((one) => vxlan(one)));
      expect(engine.run().map((one) => one.packets)).toEqual([3]);
    });

    it("doesn't merge identifications that stand still and then count", () => {
      const wire = [5, 5, 6, 7].map((identification, i) =>
        frame({ family: 4, protocol: "udp", ...into, identification, payload: pattern(50, i) }),
      );
      for (const one of wire) engine.fromVtep([vxlan(one)]);
      expect(engine.run().map((one) => one.packets)).toEqual([2, 2]);
    });

    it.each(families)("stays within what IPv%i can say of its length", (family) => {
      const one: Segment = { family, protocol: "tcp", ...into, payload: pattern(60 * 1390) };
      engine.fromVtep(cut(one, 1390).map((wire) => vxlan(wire)));
      const sent = engine.run();
      expect(sent.map((each) => each.packets)).toEqual([47, 13]);
      expect(delivered(sent[0]!).length).toBeLessThanOrEqual(65535 + 14);
    });

    const pairs: [string, Partial<Segment>, Partial<Segment>][] = [
      ["a gap in the sequence", {}, { sequence: 1501 }],
      ["a repeated sequence", {}, { sequence: 1000 }],
      ["another ack", {}, { acknowledgment: 78 }],
      ["another window", {}, { window: 502 }],
      ["another urgent pointer", {}, { urgent: 1 }],
      ["other options", { options: TIMESTAMPS }, { options: Uint8Array.from([...TIMESTAMPS.subarray(0, 11), 5]) }],
      ["fewer options", { options: TIMESTAMPS }, {}],
      ["FIN", {}, { flags: ACK | FIN }],
      ["CWR", {}, { flags: ACK | CWR }],
      ["ECE", {}, { flags: ACK | ECE }],
      ["SYN", { flags: SYN }, {}],
      ["no ACK", { flags: 0 }, { flags: 0 }],
      ["a longer payload", {}, { payload: pattern(501) }],
      ["no payload", {}, { payload: new Uint8Array(0) }],
      ["an identification that jumps", {}, { identification: 0x1236 }],
      ["equal identifications without DF", { dontFragment: false }, { dontFragment: false, identification: 0x1234 }],
      ["DF on one only", {}, { dontFragment: false }],
      ["another TTL", {}, { ttl: 63 }],
      ["another TOS", {}, { tos: 2 }],
      ["another VLAN", { vlan: 1 }, { vlan: 2 }],
      ["a tag on one only", {}, { vlan: 2 }],
      ["another source MAC", {}, { sourceMac: 0x21 }],
      ["another source port", {}, { sourcePort: 40001 }],
      ["another source address", {}, { source: 3 }],
      ["a wrong checksum in the first", { checksum: "wrong" }, {}],
      ["a wrong checksum in the second", {}, { checksum: "wrong" }],
      ["IP options", { ipOptions: Uint8Array.from([1, 1, 1, 0]) }, { ipOptions: Uint8Array.from([1, 1, 1, 0]) }],
    ];

    it.each(pairs)("leaves alone: %s", (_name, first, second) => {
      const base: Segment = { family: 4, protocol: "tcp", ...into, payload: pattern(500) };
      const frames = [frame({ ...base, ...first }), frame({ ...base, sequence: 1500, identification: 0x1235, ...second })];
      for (const one of frames) engine.fromVtep([vxlan(one)]);
      // As they came, wrong or not, in order; another flow may overtake.
      const sent = engine.run().map(delivered);
      const sameFlow = !("sourcePort" in second || "source" in second || "sourceMac" in second);
      if (sameFlow) expect(sent).toEqual(frames);
      else
        expect(sent.map((one) => Buffer.from(one).toString("hex")).sort()).toEqual(
          frames.map((one) => Buffer.from(one).toString("hex")).sort(),
        );
      expect(engine.counter(counters.COUNTER_GRO_COALESCED)).toBe(0);
      expect(engine.lost()).toBe(0);
    });

    const udpPairs: [string, Partial<Segment>, Partial<Segment>][] = [
      ["no checksum", { checksum: "none" }, { checksum: "none" }],
      ["a longer datagram", {}, { payload: pattern(501) }],
      ["an empty datagram", {}, { payload: new Uint8Array(0) }],
      ["a wrong checksum", {}, { checksum: "wrong" }],
      ["another hop limit", {}, { ttl: 9 }],
      ["another traffic class", {}, { tos: 9 }],
    ];

    it.each(families.flatMap((family) => udpPairs.map((pair) => [family, ...pair] as const)))(
      "UDP/IPv%i: leaves alone: %s",
      (family, _name, first, second) => {
        const base: Segment = { family, protocol: "udp", ...into, payload: pattern(500) };
        const frames = [frame({ ...base, ...first }), frame({ ...base, identification: 0x1235, ...second })];
        for (const one of frames) engine.fromVtep([vxlan(one)]);
        expect(engine.run().map(delivered)).toEqual(frames);
      },
    );

    it("leaves alone a wrong IPv4 header checksum", () => {
      const frames = [0, 1].map((i) => frame({ family: 4, protocol: "udp", ...into, payload: pattern(500, i), identification: 5 + i }));
      frames[1]![24]! ^= 1;
      for (const one of frames) engine.fromVtep([vxlan(one)]);
      expect(engine.run().map(delivered)).toEqual(frames);
    });

    it("leaves alone a frame with Ethernet padding", () => {
      const frames = [0, 1].map((i) =>
        concat(frame({ family: 4, protocol: "udp", ...into, payload: pattern(5, i), identification: 5 + i }), new Uint8Array(13)),
      );
      for (const one of frames) engine.fromVtep([vxlan(one)]);
      expect(engine.run().map(delivered)).toEqual(frames);
    });

    it("doesn't merge across networks, whatever the addresses", () => {
      engine.exports.domainSet(2, 77, 3 + 4, 1450, 100, 300);
      engine.exports.portSet(9, 1, 2, 0, 1450);
      engine.exports.fdbSet(2, 0x0200, 2, 9, 0);
      engine.exports.memberSet(2, 1);
      const frames = [0, 1].map((i) => frame({ family: 4, protocol: "udp", ...into, payload: pattern(50, i), identification: 5 + i }));
      engine.fromVtep([vxlan(frames[0]!)]);
      engine.fromVtep([vxlan(frames[1]!, 77)]);
      expect(engine.run().map((one) => [one.port, delivered(one)])).toEqual([
        [2, frames[0]],
        [9, frames[1]],
      ]);
    });

    it("passes fragments behind what is merged between the same addresses", () => {
      const data = [0, 1].map((i) => frame({ family: 4, protocol: "udp", ...into, payload: pattern(500, i), identification: 5 + i }));
      const fragment = frame({ family: 4, protocol: "udp", ...into, payload: pattern(500, 3), identification: 90, dontFragment: false });
      fragment[20] = 0x20; // more fragments
      fragment[24] = 0;
      fragment[25] = 0;
      for (const one of [...data, fragment, ...data]) engine.fromVtep([vxlan(one)]);
      expect(engine.run().map((one) => one.packets)).toEqual([2, 1, 2]);
    });

    it("handles more flows at once than it has slots, losing none", () => {
      const frames: Uint8Array[] = [];
      for (let round = 0; round < 2; round++) {
        for (let port = 0; port < 200; port++) {
          frames.push(
            frame({ family: 4, protocol: "udp", ...into, sourcePort: 1000 + port, payload: pattern(40, port), identification: 1 + round }),
          );
        }
      }
      for (const one of frames) engine.fromVtep([vxlan(one)]);
      const sent = engine.run();
      expect(sent.reduce((sum, one) => sum + one.packets, 0)).toBe(400);
      expect(engine.lost()).toBe(0);
    });
  });

  describe("between sandboxes", () => {
    it.each(KINDS)("$name: passes whole", (one) => {
      const segment = superFrame(one, { sourceMac: 2, destinationMac: 3 });
      engine.fromTap(2, frame(segment), vnetHeader(segment, one.size));
      const sent = engine.run();
      expect(sent.map((each) => each.bytes)).toEqual([concat(vnetHeader(segment, one.size), frame(segment))]);
      expect(sent[0]).toMatchObject({ port: 3, packets: 1, iovecs: 1 });
    });

    it("closes what it has merged before a super-frame of the same flow", () => {
      const base: Segment = { family: 4, protocol: "udp", sourceMac: 2, destinationMac: 3, payload: pattern(100), checksum: "partial" };
      const big: Segment = { ...base, payload: pattern(1000, 2) };
      for (let i = 0; i < 3; i++) engine.fromTap(2, frame({ ...base, identification: i }), vnetHeader(base));
      engine.fromTap(2, frame(big), vnetHeader(big, 100));
      for (let i = 0; i < 3; i++) engine.fromTap(2, frame({ ...base, identification: 9 + i }), vnetHeader(base));
      const sent = engine.run();
      expect(sent.map((one) => one.packets)).toEqual([3, 1, 3]);
      expect(sent[1]?.bytes.length).toBe(10 + layoutOf(big).payload + 1000);
    });
  });

  it("starts each batch with empty arenas: headers lie in the arena, never behind it", () => {
    for (let turn = 0; turn < 3; turn++) {
      const segment: Segment = { family: 4, protocol: "tcp", ...out, payload: pattern(64000), checksum: "partial" };
      for (let i = 0; i < 16; i++) engine.fromTap(2, frame(segment), vnetHeader(segment, 300));
      engine.run();
      expect(engine.bytes.subarray(layout.CAPTURE_RING, layout.CAPTURE_RING + 64)).toEqual(new Uint8Array(64));
      expect(engine.lost()).toBe(0);
    }
  });
});

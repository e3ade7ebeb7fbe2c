// classify: what a frame is, and that every offset it answers can be trusted.
import { describe, expect, it } from "vitest";
import { RX_ARENA } from "../../../wasm/shared/layout.ts";
import {
  arpRequest,
  concat,
  type EthernetFields,
  ethernet,
  extension,
  fragmentExtension,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  type L4,
  pattern,
  raw,
  rawL4,
  tcp,
  udp,
} from "../../support/packet-builder.ts";
import { random } from "../../support/random.ts";
import { BUILDS, type Build, instantiateTesting } from "../../support/wasm.ts";

const FRAGMENT = 64;

interface Classified {
  readonly ethertype: number;
  readonly l3: number;
  readonly l4: number;
  readonly payload: number;
  readonly protocol: number;
  readonly fragment: boolean;
  readonly flow: number;
}

/** Null: an IP header contradicts the frame. */
function classifier(build: Build): (frame: Uint8Array) => Classified | null {
  const { exports, memory } = instantiateTesting<{ classifyFrame(p: number, length: number): number }>(build);
  const bytes = new Uint8Array(memory.buffer);
  const view = new DataView(memory.buffer);
  return (frame) => {
    bytes.fill(0xa5, RX_ARENA, RX_ARENA + frame.length + 64);
    bytes.set(frame, RX_ARENA);
    const packet = exports.classifyFrame(RX_ARENA, frame.length);
    if (packet === 0) return null;
    return {
      flow: view.getUint32(packet + 12, true),
      fragment: (view.getUint32(packet + 8, true) & FRAGMENT) !== 0,
      l3: view.getUint8(packet + 29),
      l4: view.getUint16(packet + 30, true),
      ethertype: view.getUint16(packet + 32, true),
      protocol: view.getUint8(packet + 34),
      payload: view.getUint16(packet + 44, true),
    };
  };
}

const ends = { source: "02:00:00:00:00:0a", destination: "02:00:00:00:00:0b" };
const v4 = (payload: L4, fields: Partial<Parameters<typeof ipv4>[0]> = {}, header: Partial<EthernetFields> = {}): Uint8Array =>
  ethernet({ ...ends, ...header }, ipv4({ source: "10.0.0.1", destination: "10.0.0.2", ...fields }, payload));
const v6 = (payload: L4, fields: Partial<Parameters<typeof ipv6>[0]> = {}, header: Partial<EthernetFields> = {}): Uint8Array =>
  ethernet({ ...ends, ...header }, ipv6({ source: "fd00::1", destination: "fd00::2", ...fields }, payload));
const small = udp({ source: 1, destination: 2 }, pattern(10));

interface Row {
  readonly description: string;
  readonly frame: Uint8Array;
  readonly expected: Partial<Classified> | null;
}

const rows: Row[] = [
  { description: "UDP", frame: v4(small), expected: { ethertype: 0x800, l3: 14, l4: 34, payload: 42, protocol: 17, fragment: false } },
  { description: "UDP over IPv6", frame: v6(small), expected: { ethertype: 0x86dd, l3: 14, l4: 54, payload: 62, protocol: 17 } },
  {
    description: "TCP with options",
    frame: v4(tcp({ source: 1, destination: 2, options: new Uint8Array(12) })),
    expected: { l4: 34, payload: 66, protocol: 6 },
  },
  { description: "ICMP", frame: v4(icmp(8, 0, pattern(4))), expected: { l4: 34, payload: 42, protocol: 1 } },
  { description: "ICMPv6", frame: v6(icmpv6(128, 0, pattern(4))), expected: { l4: 54, payload: 62, protocol: 58 } },
  { description: "a tag", frame: v4(small, {}, { tags: [{ vid: 1 }] }), expected: { ethertype: 0x800, l3: 18, l4: 38 } },
  {
    description: "two tags",
    frame: v6(small, {}, { tags: [{ tpid: 0x88a8, vid: 1 }, { vid: 2 }] }),
    expected: { ethertype: 0x86dd, l3: 22, l4: 62 },
  },
  {
    description: "three tags",
    frame: v4(small, {}, { tags: [{ vid: 1 }, { vid: 2 }, { vid: 3 }] }),
    expected: { ethertype: 0x8100, l3: 0, l4: 0 },
  },
  { description: "IPv4 options", frame: v4(small, { options: new Uint8Array(40) }), expected: { l3: 14, l4: 74, payload: 82 } },
  {
    description: "extension headers",
    frame: v6(small, { extensions: [extension(0), extension(43, 1), extension(60, 2)] }),
    expected: { l4: 54 + 8 + 16 + 24, protocol: 17 },
  },
  {
    description: "an atomic fragment is whole",
    frame: v6(small, { extensions: [fragmentExtension(0, false)] }),
    expected: { l4: 62, fragment: false },
  },
  {
    description: "the first IPv6 fragment",
    frame: v6(small, { extensions: [fragmentExtension(0, true)] }),
    expected: { l4: 0, payload: 0, protocol: 17, fragment: true },
  },
  {
    description: "a later IPv6 fragment",
    frame: v6(small, { extensions: [fragmentExtension(1480, false)] }),
    expected: { l4: 0, protocol: 17, fragment: true },
  },
  { description: "the first IPv4 fragment", frame: v4(small, { moreFragments: true }), expected: { l4: 0, protocol: 17, fragment: true } },
  { description: "a later IPv4 fragment", frame: v4(small, { fragmentOffset: 8 }), expected: { l4: 0, protocol: 17, fragment: true } },
  {
    description: "nine extension headers",
    frame: v6(small, { extensions: Array.from({ length: 9 }, () => extension(60)) }),
    expected: { l4: 0, payload: 0 },
  },
  {
    description: "eight extension headers",
    frame: v6(small, { extensions: Array.from({ length: 8 }, () => extension(60)) }),
    expected: { l4: 54 + 64, protocol: 17 },
  },
  { description: "no next header", frame: v6(rawL4(59, pattern(20))), expected: { l4: 0, protocol: 59 } },
  { description: "ESP", frame: v6(rawL4(50, pattern(20))), expected: { l4: 0, protocol: 50 } },
  { description: "padding", frame: v4(small, {}, { padding: 20 }), expected: { l4: 34 } },
  { description: "TCP of 19 bytes", frame: v4(rawL4(6, pattern(19))), expected: { l3: 14, l4: 0, payload: 0, protocol: 6 } },
  { description: "TCP whose data offset is too small", frame: v4(tcp({ source: 1, destination: 2, dataOffset: 4 })), expected: { l4: 0 } },
  { description: "TCP whose data offset is too large", frame: v4(tcp({ source: 1, destination: 2, dataOffset: 6 })), expected: { l4: 0 } },
  { description: "UDP of 7 bytes", frame: v4(rawL4(17, pattern(7))), expected: { l4: 0, protocol: 17 } },
  {
    description: "UDP longer than its packet",
    frame: v4(udp({ source: 1, destination: 2, length: 19 }, pattern(10))),
    expected: { l4: 0 },
  },
  {
    description: "UDP shorter than its header",
    frame: v4(udp({ source: 1, destination: 2, length: 7 }, pattern(10))),
    expected: { l4: 0 },
  },
  {
    description: "UDP shorter than its packet",
    frame: v4(udp({ source: 1, destination: 2, length: 12 }, pattern(10))),
    expected: { l4: 34 },
  },
  { description: "padding is not taken for L4", frame: v4(rawL4(17, pattern(4)), {}, { padding: 30 }), expected: { l4: 0 } },
  { description: "ARP", frame: arpRequest(ends.source, "10.0.0.1", "10.0.0.2"), expected: { ethertype: 0x806, l3: 0, l4: 0, payload: 14 } },
  {
    description: "ARP cut short",
    frame: arpRequest(ends.source, "10.0.0.1", "10.0.0.2").subarray(0, 41),
    expected: { ethertype: 0x806, payload: 0 },
  },
  { description: "LLC", frame: ethernet(ends, raw(0x26, pattern(38))), expected: { ethertype: 0x26, l3: 0, l4: 0, payload: 0 } },
  { description: "nothing behind the header", frame: ethernet(ends, raw(0x800, new Uint8Array(0))), expected: null },
  { description: "half an IPv4 header", frame: v4(small).subarray(0, 24), expected: null },
  { description: "half an IPv6 header", frame: v6(small).subarray(0, 44), expected: null },
  { description: "IPv4 cut by one byte", frame: v4(small).subarray(0, -1), expected: null },
  { description: "IPv6 cut by one byte", frame: v6(small).subarray(0, -1), expected: null },
  { description: "IPv6 under IPv4's type", frame: ethernet(ends, raw(0x800, v6(small).subarray(14))), expected: null },
  { description: "a fragment header cut off", frame: v6(rawL4(44, pattern(7))), expected: null },
  { description: "an extension longer than the packet", frame: v6(rawL4(60, Uint8Array.of(17, 1, 0, 0, 0, 0, 0, 0))), expected: null },
];

describe.each(BUILDS)("classify (%s)", (build) => {
  const classify = classifier(build);

  it.each(rows)("$description", ({ frame, expected }) => {
    if (expected === null) expect(classify(frame)).toBeNull();
    else expect(classify(frame)).toMatchObject(expected);
  });

  it("hashes all segments of a flow alike, other flows otherwise", () => {
    const hash = (source: number, destination: number, address: string, payload: number, isIpv6: boolean): number => {
      const segment = tcp({ source, destination, sequence: payload * 100 }, pattern(payload));
      const frame = isIpv6
        ? v6(segment, { source: `fd00::${address}`, hopLimit: payload, flowLabel: payload })
        : v4(segment, { source: `10.0.0.${address}`, id: payload });
      return classify(frame)!.flow;
    };
    for (const isIpv6 of [false, true]) {
      expect(new Set([1, 2, 100].map((payload) => hash(1000, 80, "1", payload, isIpv6))).size).toBe(1);
      const flows = new Set([
        hash(1000, 80, "1", 1, isIpv6),
        hash(1001, 80, "1", 1, isIpv6),
        hash(1000, 81, "1", 1, isIpv6),
        hash(1000, 80, "2", 1, isIpv6),
        hash(80, 1000, "1", 1, isIpv6),
      ]);
      expect(flows.size).toBe(5);
    }
  });

  it("hashes all fragments of a packet alike", () => {
    const flow = (fields: Partial<Parameters<typeof ipv4>[0]>, n: number): number => classify(v4(rawL4(17, pattern(64, n)), fields))!.flow;
    expect(flow({ moreFragments: true }, 1)).toBe(flow({ fragmentOffset: 64 }, 2));
  });

  it("spreads flows that differ in one port over sixteen sockets", () => {
    for (const isIpv6 of [false, true]) {
      const buckets = new Array<number>(16).fill(0);
      for (let port = 1; port <= 4096; port++) {
        const segment = udp({ source: port, destination: 2 }, pattern(8));
        buckets[classify(isIpv6 ? v6(segment) : v4(segment))!.flow & 15]!++;
      }
      // 256 each; four standard deviations are 62.
      for (const bucket of buckets) expect(Math.abs(bucket - 256)).toBeLessThan(62);
    }
  });

  it("answers only offsets inside the frame, whatever the bytes", () => {
    const r = random(42);
    const frames = rows.map((row) => row.frame);
    for (let i = 0; i < 20_000; i++) {
      const frame = concat(r.pick(frames), r.bytes(r.below(4)));
      for (let n = r.below(5); n > 0; n--) frame[12 + r.below(frame.length - 12)] = r.below(256);
      const found = classify(frame);
      if (found === null) continue;
      const room = { 6: 20, 17: 8, 1: 8, 58: 8 }[found.protocol] ?? 0;
      if (found.l3 !== 0 && found.l3 + 20 > frame.length) throw new Error(`l3 ${found.l3} of ${frame.length}`);
      if (found.l4 !== 0 && (found.l4 + room > frame.length || found.payload < found.l4 + room))
        throw new Error(`l4 ${found.l4} of ${frame.length}`);
      if (found.payload > frame.length) throw new Error(`payload ${found.payload} of ${frame.length}`);
    }
  });
});

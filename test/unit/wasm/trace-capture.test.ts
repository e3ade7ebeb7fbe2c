// Trace and capture: what somebody who looks on gets to see.
import { describe, expect, it } from "vitest";
import {
  CAPTURE_DATAGRAM,
  CAPTURE_DATAGRAM_HEADER_LENGTH,
  CAPTURE_DIRECTION,
  CAPTURE_DOMAIN,
  CAPTURE_DOMAIN_NONE,
  CAPTURE_HEADER_LENGTH,
  CAPTURE_KIND,
  CAPTURE_LENGTH,
  CAPTURE_LOCAL_ADDRESS,
  CAPTURE_ORIGINAL,
  CAPTURE_PORT,
  CAPTURE_RECORD,
  CAPTURE_REMOTE_ADDRESS,
  CAPTURE_REMOTE_PORT,
  CAPTURE_SOCKET,
  CAPTURE_SUM,
  CAPTURE_TIME_NS,
  DIRECTION_RX,
  DIRECTION_TX,
  DOMAIN_FLAG_CAPTURE,
  DOMAIN_FLAG_LEARNING,
  EVENT_DROP,
  EVENT_ENTER,
  EVENT_FDB_HIT,
  EVENT_LEARNED,
  EVENT_SENT,
  EVENT_TO_PORT,
  NODE_NAMES,
  PORT_FLAG_CAPTURE,
  PORT_UNDERLAY,
  RX_FLAG_INJECTED,
  TRACE_A,
  TRACE_ENTRY_LENGTH,
  TRACE_EVENT,
  TRACE_NODE,
  TRACE_PACKET,
  VNET_FLAG_NEEDS_CHECKSUM,
  VNET_GSO_TCPV4,
} from "../../../wasm/shared/abi.ts";
import { DROP_HAIRPIN, DROP_NAMES } from "../../../wasm/shared/counters.ts";
import { CAPTURE_RING, CAPTURE_RING_LENGTH, TRACE_RING, TRACE_RING_LENGTH } from "../../../wasm/shared/layout.ts";
import {
  arpRequest,
  BROADCAST,
  checksumFault,
  ethernet,
  ipv4,
  ipv6,
  mappedAddress,
  pattern,
  raw,
  tcp,
  udp,
  vxlan,
} from "../../support/packet-builder.ts";
import { BUILDS, type Build, destinationOf, Engine } from "../../support/wasm.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const plain = ethernet({ source: A, destination: B }, raw(0x88b5, pattern(46)));
const toIpv4 = (destination: string): Uint8Array =>
  ethernet({ source: A, destination: B }, ipv4({ source: "10.0.0.1", destination }, udp({ source: 1, destination: 2 }, pattern(8))));
const toIpv6 = (destination: string): Uint8Array =>
  ethernet({ source: A, destination: B }, ipv6({ source: "fd00::1", destination }, udp({ source: 1, destination: 2 }, pattern(8))));

function network(build: Build, flags = 0, domainFlags = 0): Engine {
  const engine = new Engine(build);
  engine.domain(0, { vni: 100, flags: DOMAIN_FLAG_LEARNING | domainFlags });
  engine.domain(1);
  engine.tap(1, 0, flags);
  engine.tap(2, 0);
  engine.tap(3, 1);
  engine.tap(4, 1);
  engine.underlay(8);
  engine.vtep(1, "10.9.0.2", 8, [0]);
  engine.pin(0, B, { port: 2 });
  return engine;
}

interface Line {
  readonly packet: number;
  readonly node: string;
  readonly event: number;
  readonly a: number;
}

function lines(engine: Engine): Line[] {
  const count = Math.min(engine.exports.traceCount(), TRACE_RING_LENGTH / TRACE_ENTRY_LENGTH);
  return Array.from({ length: count }, (_, i) => {
    const at = TRACE_RING + i * TRACE_ENTRY_LENGTH;
    return {
      packet: engine.view.getUint32(at + TRACE_PACKET, true),
      node: NODE_NAMES[engine.view.getUint16(at + TRACE_NODE, true)]!,
      event: engine.view.getUint16(at + TRACE_EVENT, true),
      a: engine.view.getUint32(at + TRACE_A, true),
    };
  });
}

describe.each(BUILDS)("trace (%s)", (build) => {
  it("follows a frame from node to node", () => {
    const engine = network(build);
    engine.exports.traceSet(1, 0, 1);
    engine.run([
      { port: 2, frame: ethernet({ source: B, destination: A }, raw(0x88b5, pattern(46))) },
      { port: 1, frame: plain },
      { port: 1, frame: plain },
    ]);
    const seen = lines(engine);
    expect(new Set(seen.map((line) => line.packet))).toEqual(new Set([1]));
    expect([...new Set(seen.map((line) => line.node))]).toEqual(["tap-input", "ethernet-input", "policy", "l2-learn", "l2-forward", "gro"]);
    const events = seen.map((line) => line.event);
    for (const event of [EVENT_ENTER, EVENT_LEARNED, EVENT_FDB_HIT, EVENT_TO_PORT, EVENT_SENT]) expect(events).toContain(event);
    expect(seen.find((line) => line.event === EVENT_TO_PORT)?.a).toBe(2);
  });

  it("says where and why a frame ended", () => {
    const engine = network(build);
    engine.pin(0, B, { port: 1 });
    engine.exports.traceSet(0xffff, 0, 1);
    engine.run([{ port: 1, frame: plain }]);
    expect(lines(engine).at(-1)).toMatchObject({ node: "l2-forward", event: EVENT_DROP, a: DROP_HAIRPIN });
  });

  it("follows a frame that the first node refuses", () => {
    const engine = network(build);
    engine.exports.traceSet(1, 0, 1);
    engine.run([{ port: 1, frame: plain, vnet: { gsoType: 3, gsoSize: 1, flags: 1, checksumStart: 14 } }]);
    expect(lines(engine).map((line) => [line.node, line.event, line.a])).toEqual([
      ["tap-input", EVENT_ENTER, 1],
      ["tap-input", EVENT_DROP, DROP_NAMES.indexOf("bad-gso")],
    ]);
  });

  it.each([
    [
      "10.0.0.9",
      [toIpv4("10.0.0.9"), arpRequest(A, "10.0.0.1", "10.0.0.9")],
      [toIpv4("10.0.0.8"), plain, toIpv6("fd00::9"), arpRequest(A, "10.0.0.1", "10.0.0.8")],
    ],
    ["10.0.0.1", [toIpv4("10.0.0.9"), arpRequest(A, "10.0.0.1", "10.0.0.9")], [plain, toIpv6("fd00::9")]],
    ["fd00::9", [toIpv6("fd00::9")], [toIpv6("fd00::8"), toIpv4("10.0.0.9"), plain]],
  ])("picks frames to or from %s", (address, matching, others) => {
    const engine = network(build);
    engine.argument(mappedAddress(address));
    engine.exports.traceSet(0xffff, 1, 100);
    engine.run([...others, ...matching, ...others].map((frame) => ({ port: 1, frame })));
    expect(new Set(lines(engine).map((line) => line.packet)).size).toBe(matching.length);
  });

  it("follows injected frames whatever the filter", () => {
    const engine = network(build);
    engine.run([{ port: 1, frame: plain, flags: RX_FLAG_INJECTED }]);
    expect(lines(engine).length).toBeGreaterThan(3);
  });

  it("follows a frame through the tunnel's nodes", () => {
    const engine = network(build);
    engine.exports.traceSet(8, 0, 1);
    engine.run([
      { port: 8, datagrams: [vxlan(100, ethernet({ source: A, destination: BROADCAST }, raw(0x88b5, pattern(46))))], from: "10.9.0.2" },
    ]);
    const nodes = [...new Set(lines(engine).map((line) => line.node))];
    expect(nodes).toEqual(["underlay-input", "vxlan-decap", "ethernet-input", "policy", "l2-learn", "l2-flood", "port-output"]);
  });

  it("writes nothing when it is off, and counts what its ring forgot", () => {
    const engine = network(build);
    engine.run([{ port: 1, frame: plain }]);
    expect(engine.exports.traceCount()).toBe(0);
    engine.exports.traceSet(0xffff, 0, 1_000_000);
    engine.run(Array.from({ length: 1000 }, () => ({ port: 1, frame: plain })));
    expect(engine.counter("trace-lost")).toBe(engine.exports.traceCount() - TRACE_RING_LENGTH / TRACE_ENTRY_LENGTH);
  });
});

interface Copy {
  readonly port: number;
  readonly direction: number;
  readonly domain: number;
  readonly timeNs: bigint;
  readonly frame: Uint8Array;
  readonly original: number;
  /** Of a datagram: its other end, and what else the record says of it. */
  readonly datagram?: {
    readonly remote: string;
    readonly remotePort: number;
    readonly local: string;
    readonly socket: number;
    sum: number;
  };
}

function copies(engine: Engine): Copy[] {
  const { view, bytes } = engine;
  const out: Copy[] = [];
  const end = CAPTURE_RING + engine.exports.captureLength();
  for (let at = CAPTURE_RING; at < end; at += view.getUint32(at + CAPTURE_RECORD, true)) {
    const length = view.getUint32(at + CAPTURE_LENGTH, true);
    const isDatagram = view.getUint32(at + CAPTURE_KIND, true) === CAPTURE_DATAGRAM;
    const from = at + (isDatagram ? CAPTURE_DATAGRAM_HEADER_LENGTH : CAPTURE_HEADER_LENGTH);
    const address = (field: number): string => Buffer.from(bytes.subarray(at + field, at + field + 16)).toString("hex");
    const datagram = {
      remote: address(CAPTURE_REMOTE_ADDRESS),
      remotePort: view.getUint16(at + CAPTURE_REMOTE_PORT, true),
      local: address(CAPTURE_LOCAL_ADDRESS),
      socket: view.getUint16(at + CAPTURE_SOCKET, true),
      sum: view.getUint16(at + CAPTURE_SUM, true),
    };
    out.push({
      port: view.getUint16(at + CAPTURE_PORT, true),
      direction: view.getUint16(at + CAPTURE_DIRECTION, true),
      domain: view.getUint32(at + CAPTURE_DOMAIN, true),
      timeNs: view.getBigUint64(at + CAPTURE_TIME_NS, true),
      frame: bytes.slice(from, from + length),
      original: view.getUint32(at + CAPTURE_ORIGINAL, true),
      ...(isDatagram ? { datagram } : {}),
    });
  }
  engine.exports.captureClear();
  return out;
}

/** RFC 1071 word by word, in memory order. */
function plainSum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes[i]! | ((bytes[i + 1] ?? 0) << 8);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

describe.each(BUILDS)("capture (%s)", (build) => {
  it("copies what comes in and what goes out, of all ports", () => {
    const engine = network(build);
    engine.exports.captureSet(1, 65536);
    engine.exports.tick(5000);
    engine.run([{ port: 1, frame: plain }]);
    expect(copies(engine)).toEqual([
      { port: 1, direction: DIRECTION_RX, domain: 0, timeNs: 5_000_000_000n, frame: plain, original: plain.length },
      { port: 2, direction: DIRECTION_TX, domain: 0, timeNs: 5_000_000_000n, frame: plain, original: plain.length },
    ]);
    expect(engine.exports.captureLength()).toBe(0);
  });

  it("copies flagged ports only, or flagged domains", () => {
    const byPort = network(build, PORT_FLAG_CAPTURE);
    byPort.exports.captureSet(0, 65536);
    byPort.run([
      { port: 1, frame: plain },
      { port: 3, frame: plain },
    ]);
    expect(copies(byPort).map((copy) => [copy.port, copy.direction])).toEqual([[1, DIRECTION_RX]]);
    const byDomain = network(build, 0, DOMAIN_FLAG_CAPTURE);
    byDomain.exports.captureSet(0, 65536);
    byDomain.run([
      { port: 1, frame: plain },
      { port: 3, frame: plain },
    ]);
    expect(copies(byDomain).map((copy) => copy.port)).toEqual([1, 2]);
  });

  it("copies datagrams at an underlay port, as they came", () => {
    const engine = network(build);
    engine.exports.captureSet(1, 65536);
    const datagrams = [vxlan(100, plain), vxlan(100, plain), vxlan(100, plain).subarray(0, 50)];
    engine.run([{ port: 8, datagrams, from: "10.9.0.2", fromPort: 50001, local: "10.9.0.1" }]);
    const [first, second, third, ...rest] = copies(engine);
    [first, second, third].forEach((copy, i) => {
      const frame = datagrams[i]!;
      const remote = destinationOf("10.9.0.2");
      const datagram = { remote, remotePort: 50001, local: destinationOf("10.9.0.1"), socket: 0, sum: plainSum(frame) };
      const original = frame.length;
      expect(copy).toEqual({ port: 8, direction: DIRECTION_RX, domain: CAPTURE_DOMAIN_NONE, timeNs: 0n, frame, original, datagram });
    });
    expect(rest.map((copy) => copy.port)).toEqual([2, 2, 2]);
  });

  it("copies frames before they are merged", () => {
    const engine = network(build);
    engine.exports.captureSet(1, 65536);
    const frames = [0, 1, 2].map((i) =>
      ethernet(
        { source: A, destination: B },
        ipv4(
          { source: "10.0.0.1", destination: "10.0.0.2", dontFragment: true },
          tcp({ source: 1, destination: 2, sequence: 100 * i }, pattern(100)),
        ),
      ),
    );
    const out = engine.run([{ port: 8, datagrams: frames.map((frame) => vxlan(100, frame)), from: "10.9.0.2" }]);
    expect(out.length).toBe(1);
    const seen = copies(engine).filter((copy) => copy.port === 2);
    expect(seen.map((copy) => copy.frame)).toEqual(frames);
  });

  it("copies datagrams that come only to be dropped", () => {
    const engine = network(build);
    engine.exports.captureSet(1, 65536);
    const wrong = [new Uint8Array(0), Uint8Array.of(1, 2, 3), vxlan(99, plain), vxlan(100, plain)];
    engine.run(wrong.map((datagram, i) => ({ port: 8, datagrams: [datagram], from: i === 3 ? "10.9.0.77" : "10.9.0.2" })));
    expect(copies(engine).map((copy) => copy.frame)).toEqual(wrong);
  });

  it.each([
    ["copied behind its headers", 200],
    ["in two pieces", 1000],
    ["of odd length", 1001],
  ])("copies each datagram that a super-frame becomes: %s", (_, gsoSize) => {
    const engine = network(build);
    engine.pin(0, B, { vtep: 1 });
    engine.exports.captureSet(1, 65536);
    const partial = ethernet(
      { source: A, destination: B },
      ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, tcp({ source: 1, destination: 2, checksum: "partial" }, pattern(5003))),
    );
    const vnet = {
      flags: VNET_FLAG_NEEDS_CHECKSUM,
      gsoType: VNET_GSO_TCPV4,
      gsoSize,
      headerLength: 54,
      checksumStart: 34,
      checksumOffset: 16,
    };
    const [one] = engine.run([{ port: 1, frame: partial, vnet }]);
    const seen = copies(engine).slice(1);
    expect(seen.map((copy) => copy.frame)).toEqual(one!.datagrams);
    expect(seen.length).toBe(Math.ceil(5003 / gsoSize));
    for (const copy of seen) {
      expect(copy).toMatchObject({ port: 8, direction: DIRECTION_TX, original: copy.frame.length });
      expect(copy.datagram).toMatchObject({ remote: one!.destination, remotePort: 4789, socket: one!.socket, sum: plainSum(copy.frame) });
    }
  });

  it("copies plain frames that share a run as datagrams of their own", () => {
    const engine = network(build);
    engine.pin(0, B, { vtep: 1 });
    engine.exports.captureSet(1, 65536);
    const frames = [60, 60, 61, 60].map((size, i) => ethernet({ source: A, destination: B }, raw(0x88b5, pattern(size, i))));
    const out = engine.run(frames.map((frame) => ({ port: 1, frame })));
    const seen = copies(engine).filter((copy) => copy.port === 8);
    expect(seen.map((copy) => copy.frame)).toEqual(out.flatMap((one) => one.datagrams));
    for (const copy of seen) expect(copy.datagram!.sum).toBe(plainSum(copy.frame));
  });

  it("copies of a flagged underlay port the datagrams, of a flagged domain the frames in them", () => {
    const inputs = [
      { port: 8, datagrams: [vxlan(100, plain)], from: "10.9.0.2" },
      { port: 1, frame: ethernet({ source: A, destination: BROADCAST }, raw(0x88b5, pattern(46))) },
    ];
    const seen = (engine: Engine): [number, number, boolean][] => {
      engine.run(inputs);
      return copies(engine)
        .filter((copy) => copy.port === 8)
        .map((copy) => [copy.port, copy.direction, copy.datagram !== undefined]);
    };
    const byPort = network(build);
    byPort.exports.captureSet(0, 65536);
    expect(seen(byPort)).toEqual([]);
    byPort.exports.portSet(8, PORT_UNDERLAY, 0, PORT_FLAG_CAPTURE, 1500);
    expect(seen(byPort)).toEqual([
      [8, DIRECTION_RX, true],
      [8, DIRECTION_TX, true],
    ]);
    const byDomain = network(build, 0, DOMAIN_FLAG_CAPTURE);
    byDomain.exports.captureSet(0, 65536);
    expect(seen(byDomain)).toEqual([
      [8, DIRECTION_RX, false],
      [8, DIRECTION_TX, false],
    ]);
  });

  it("finishes partial checksums in the copy, also of super-frames, and leaves the frame alone", () => {
    const engine = network(build);
    engine.exports.captureSet(1, 65536);
    const partial = ethernet(
      { source: A, destination: B },
      ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, tcp({ source: 1, destination: 2, checksum: "partial" }, pattern(5001))),
    );
    const vnet = {
      flags: VNET_FLAG_NEEDS_CHECKSUM,
      gsoType: VNET_GSO_TCPV4,
      gsoSize: 1400,
      headerLength: 54,
      checksumStart: 34,
      checksumOffset: 16,
    };
    const [one] = engine.run([{ port: 1, frame: partial, vnet }]);
    expect(one?.frame).toEqual(partial);
    const seen = copies(engine);
    expect(seen.map((copy) => [copy.frame.length, checksumFault(copy.frame)])).toEqual([
      [partial.length, ""],
      [partial.length, ""],
    ]);
  });

  it("cuts copies to the snap length, with the checksum of the whole", () => {
    const engine = network(build);
    engine.exports.captureSet(1, 60);
    const build1 = (checksum: "partial" | "full"): Uint8Array =>
      ethernet(
        { source: A, destination: B },
        ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, tcp({ source: 1, destination: 2, checksum }, pattern(501))),
      );
    engine.run([{ port: 1, frame: build1("partial"), vnet: { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: 16 } }]);
    expect(copies(engine)[0]).toMatchObject({ frame: build1("full").subarray(0, 60), original: build1("full").length });
  });

  it("cuts datagrams too, with the sum of the whole", () => {
    const engine = network(build);
    engine.pin(0, B, { vtep: 1 });
    engine.exports.captureSet(1, 20);
    const frame = ethernet({ source: A, destination: B }, raw(0x88b5, pattern(201)));
    const [out] = engine.run([{ port: 1, frame }]);
    const sent = out!.datagrams[0]!;
    expect(copies(engine)[1]).toMatchObject({ frame: sent.subarray(0, 20), original: sent.length, datagram: { sum: plainSum(sent) } });
  });

  it("loses copies, never packets, when its ring is full", () => {
    const engine = network(build);
    engine.exports.captureSet(1, 65536);
    const big = ethernet({ source: A, destination: B }, raw(0x88b5, pattern(1400)));
    const count = Math.ceil(CAPTURE_RING_LENGTH / 1440 / 2) + 100;
    expect(engine.run(Array.from({ length: count }, () => ({ port: 1, frame: big }))).length).toBe(count);
    expect(engine.counter("capture-lost")).toBeGreaterThan(0);
    expect(engine.counter("captured") + engine.counter("capture-lost")).toBe(2 * count);
    expect(copies(engine).length).toBe(engine.counter("captured"));
  });

  it("copies nothing when it is off", () => {
    const engine = network(build, PORT_FLAG_CAPTURE);
    engine.run([{ port: 1, frame: plain }]);
    expect(engine.exports.captureLength()).toBe(0);
  });
});

// MTU and MSS: what is too big for a tunnel, who is told what about it, and how TCP is kept from getting there.
//
//   domain 0, VNI 100, MTU 1450, clamping     ports 1 (A), 2 (B)     VTEP 1 10.9.0.2     REMOTE pinned to it
//   domain 1, no VNI                          ports 3, 4
import { describe, expect, it } from "vitest";
import {
  DOMAIN_FLAG_CLAMP_MSS,
  DOMAIN_FLAG_LEARNING,
  VNET_FLAG_NEEDS_CHECKSUM,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
} from "../../wasm/shared/abi.ts";
import { ICMP_ERRORS_PER_SECOND } from "../../wasm/shared/limits.ts";
import {
  ACK,
  checksumFault,
  concat,
  type EthernetFields,
  ethernet,
  fragmentExtension,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  type L4,
  mssOption,
  pattern,
  raw,
  SYN,
  tcp,
  u16,
  u32,
  udp,
  vxlan,
} from "../support/packet-builder.ts";
import { BUILDS, type Build, Engine, type VnetHeader } from "../support/wasm.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const REMOTE = "02:00:00:00:99:01";
const MTU = 1450;

function network(build: Build): Engine {
  const engine = new Engine(build);
  engine.domain(0, { vni: 100, mtuBytes: MTU, flags: DOMAIN_FLAG_LEARNING | DOMAIN_FLAG_CLAMP_MSS });
  engine.domain(1, { mtuBytes: MTU });
  engine.tap(1, 0);
  engine.tap(2, 0);
  engine.tap(3, 1);
  engine.tap(4, 1);
  engine.underlay(8);
  engine.vtep(1, "10.9.0.2", 8, [0]);
  engine.pin(0, REMOTE, { vtep: 1 });
  engine.pin(0, B, { port: 2 });
  engine.pin(1, B, { port: 4 });
  return engine;
}

const v4 = (payload: L4, fields: Partial<EthernetFields> = {}, ip: Partial<Parameters<typeof ipv4>[0]> = {}): Uint8Array =>
  ethernet(
    { source: A, destination: REMOTE, ...fields },
    ipv4({ source: "10.0.0.1", destination: "10.0.0.2", dontFragment: true, ...ip }, payload),
  );
const v6 = (payload: L4, fields: Partial<EthernetFields> = {}, ip: Partial<Parameters<typeof ipv6>[0]> = {}): Uint8Array =>
  ethernet({ source: A, destination: REMOTE, ...fields }, ipv6({ source: "fd00::1", destination: "fd00::2", ...ip }, payload));
const datagram = (bytes: number): L4 => udp({ source: 1000, destination: 2000 }, pattern(bytes - 8));

/** The ICMP error about `frame`, from the address it was bound for. */
function tooBig(frame: Uint8Array, tags: EthernetFields["tags"] = []): Uint8Array {
  const l3 = 14 + 4 * (tags?.length ?? 0);
  const header = { source: REMOTE, destination: A, tags: tags ?? [] };
  if (frame[l3]! >> 4 === 4) {
    const quoted = frame.subarray(l3, l3 + 576 - 28);
    return ethernet(
      header,
      ipv4({ source: "10.0.0.2", destination: "10.0.0.1", dontFragment: true }, icmp(3, 4, concat(u16(0), u16(MTU), quoted))),
    );
  }
  const quoted = frame.subarray(l3, l3 + 1280 - 48);
  return ethernet(header, ipv6({ source: "fd00::2", destination: "fd00::1" }, icmpv6(2, 0, concat(u32(MTU), quoted))));
}

const superFrame = (isIpv6: boolean, gsoSize: number, payload = 5000): { frame: Uint8Array; vnet: VnetHeader } => {
  const segment = tcp({ source: 1000, destination: 2000, checksum: "partial" }, pattern(payload));
  const start = isIpv6 ? 54 : 34;
  return {
    frame: isIpv6 ? v6(segment) : v4(segment),
    vnet: {
      flags: VNET_FLAG_NEEDS_CHECKSUM,
      gsoType: isIpv6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4,
      headerLength: start + 20,
      gsoSize,
      checksumStart: start,
      checksumOffset: 16,
    },
  };
};

describe.each(BUILDS)("MTU of a tunnel (%s)", (build) => {
  it("lets through what just fits, IPv4 and IPv6, tagged or not", () => {
    const engine = network(build);
    const frames = [
      v4(datagram(MTU - 20)),
      v6(datagram(MTU - 40)),
      v4(datagram(MTU - 20), { tags: [{ vid: 5 }] }),
      ethernet({ source: A, destination: REMOTE }, raw(0x88b5, pattern(MTU))),
    ];
    const sent = engine.run(frames.map((frame) => ({ port: 1, frame })));
    // Sorted: flows have sockets of their own, so there is no order between them.
    const lengths = sent.flatMap((one) => one.datagrams).map((bytes) => bytes.length - 8);
    expect(lengths.sort()).toEqual(frames.map((frame) => frame.length).sort());
    expect(engine.drops()).toEqual({});
  });

  it.each([
    ["IPv4", v4(datagram(MTU - 19)), []],
    ["IPv4 that may be fragmented", v4(datagram(MTU - 19), {}, { dontFragment: false }), []],
    ["IPv4, the first fragment", v4(datagram(MTU - 19), {}, { moreFragments: true, dontFragment: false }), []],
    ["IPv4 of 9000 bytes", v4(datagram(9000 - 20)), []],
    ["IPv4 behind a tag", v4(datagram(MTU - 19), { tags: [{ vid: 5 }] }), [{ vid: 5 }]],
    ["IPv6", v6(datagram(MTU - 39)), []],
    ["IPv6 of 9000 bytes", v6(datagram(9000 - 40)), []],
    ["an echo request", v4(icmp(8, 0, pattern(MTU))), []],
    ["an IPv6 echo request", v6(icmpv6(128, 0, pattern(MTU))), []],
  ])("tells the sender of %s one byte and more too long", (_, frame, tags) => {
    const engine = network(build);
    const sent = engine.run([{ port: 1, frame }]);
    expect(sent.map((one) => [one.port, one.frame])).toEqual([[1, tooBig(frame, tags)]]);
    if (tags.length === 0) expect(checksumFault(sent[0]!.frame)).toBe("");
    expect(engine.drops()).toEqual({ "mtu-exceeded": 1 });
    expect(engine.counter("icmp-too-big")).toBe(1);
    expect(engine.lawDifference()).toBe(0);
  });

  it.each([
    ["an ICMP error", v4(icmp(3, 1, pattern(MTU)))],
    ["an ICMPv6 error", v6(icmpv6(1, 0, pattern(MTU)))],
    ["a fragment behind the first", v4(datagram(MTU), {}, { fragmentOffset: 1480, dontFragment: false })],
    ["an IPv6 fragment", v6(datagram(MTU), {}, { extensions: [fragmentExtension(1480, false)] })],
    ["an IPv4 group", v4(datagram(MTU), { destination: "01:00:5e:00:00:01" }, { destination: "224.0.0.1" })],
    ["an IPv4 group sent to one MAC", v4(datagram(MTU), {}, { destination: "224.0.0.1" })],
    ["an IPv6 group", v6(datagram(MTU), { destination: "33:33:00:00:00:01" }, { destination: "ff02::1" })],
    ["a broadcast", v4(datagram(MTU), { destination: "ff:ff:ff:ff:ff:ff" }, { destination: "255.255.255.255" })],
    ["no address", v4(datagram(MTU), {}, { source: "0.0.0.0" })],
    ["no IPv6 address", v6(datagram(MTU), {}, { source: "::" })],
    ["a packet that fits, padded until it doesn't", v4(datagram(100), { padding: 2000 })],
    ["another protocol", ethernet({ source: A, destination: REMOTE }, raw(0x88b5, pattern(MTU + 9)))],
  ])("drops in silence: %s", (_, frame) => {
    const engine = network(build);
    const sent = engine.run([{ port: 1, frame }]);
    expect(sent).toEqual([]);
    expect(engine.drops()).toEqual({ "mtu-exceeded": 1 });
    expect(engine.lawDifference()).toBe(0);
  });

  it("measures a super-frame by its segments", () => {
    const engine = network(build);
    const sent = engine.run([
      { port: 1, ...superFrame(false, MTU - 40) },
      { port: 1, ...superFrame(true, MTU - 60) },
    ]);
    for (const bytes of sent.flatMap((one) => one.datagrams)) expect(bytes.length).toBeLessThanOrEqual(8 + 14 + MTU);
    expect(engine.drops()).toEqual({});
    const [four] = engine.run([{ port: 1, ...superFrame(false, MTU - 39) }]);
    expect(four?.frame).toEqual(tooBig(superFrame(false, MTU - 39).frame));
    const [six] = engine.run([{ port: 1, ...superFrame(true, MTU - 59) }]);
    expect(six?.frame).toEqual(tooBig(superFrame(true, MTU - 59).frame));
    expect(engine.drops()).toEqual({ "mtu-exceeded": 2 });
  });

  it("measures nothing in a domain without tunnel, nor what comes by the tunnel", () => {
    const engine = network(build);
    const big = v4(datagram(4000), { destination: B });
    expect(engine.run([{ port: 3, frame: big }]).map((one) => one.port)).toEqual([4]);
    expect(
      engine
        .run([{ port: 8, datagrams: [vxlan(100, v4(datagram(4000), { source: REMOTE, destination: B }))], from: "10.9.0.2" }])
        .map((one) => one.port),
    ).toEqual([2]);
    expect(engine.drops()).toEqual({});
  });

  it("tells so many a second and port, and drops the others in silence", () => {
    const engine = network(build);
    const frames = Array.from({ length: ICMP_ERRORS_PER_SECOND + 50 }, () => ({ port: 1, frame: v4(datagram(3000)) }));
    expect(engine.run(frames).length).toBe(ICMP_ERRORS_PER_SECOND);
    expect(engine.run([{ port: 2, frame: v4(datagram(3000), { source: B }) }]).map((one) => one.port)).toEqual([2]);
    engine.exports.tick(1000);
    expect(engine.run(frames.slice(0, 5)).length).toBe(5);
    expect(engine.drops()).toEqual({ "mtu-exceeded": frames.length + 6 });
    expect(engine.lawDifference()).toBe(0);
  });
});

/** Options of every shape in front of and behind the MSS; each padded to words. */
const OPTIONS: readonly [string, (mss: number) => Uint8Array][] = [
  ["alone", (mss) => mssOption(mss)],
  ["behind others", (mss) => concat(Uint8Array.of(4, 2, 1, 1), mssOption(mss))],
  ["at an odd place", (mss) => concat(Uint8Array.of(3, 3, 7), mssOption(mss), Uint8Array.of(0))],
  ["in front of others", (mss) => concat(mssOption(mss), Uint8Array.of(8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1))],
];

describe.each(BUILDS)("MSS (%s)", (build) => {
  it.each(OPTIONS)("is lowered in SYN and SYN-ACK, IPv4 and IPv6, from both sides: %s", (_, options) => {
    const engine = network(build);
    for (const flags of [SYN, SYN | ACK]) {
      const syn = (mss: number): L4 => tcp({ source: 1000, destination: 80, flags, sequence: 77, options: options(mss) });
      for (const [build4or6, limit] of [
        [v4, MTU - 40],
        [v6, MTU - 60],
      ] as const) {
        const out = engine.run([{ port: 1, frame: build4or6(syn(8960)) }]);
        expect(out[0]?.datagrams[0]?.subarray(8)).toEqual(build4or6(syn(limit)));
        const ends = { source: REMOTE, destination: B };
        const back = engine.run([{ port: 8, datagrams: [vxlan(100, build4or6(syn(8960), ends))], from: "10.9.0.2" }]);
        expect(back[0]?.frame).toEqual(build4or6(syn(limit), ends));
        expect(checksumFault(back[0]!.frame)).toBe("");
      }
    }
    expect(engine.counter("mss-clamped")).toBe(8);
  });

  it("leaves a partial checksum alone", () => {
    const engine = network(build);
    const syn = (mss: number): L4 => tcp({ source: 1000, destination: 80, flags: SYN, options: mssOption(mss), checksum: "partial" });
    const [one] = engine.run([
      {
        port: 1,
        frame: v4(syn(8960), { destination: B }),
        vnet: { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: 16 },
      },
    ]);
    expect(one?.frame).toEqual(v4(syn(MTU - 40), { destination: B }));
  });

  it.each([
    ["one that fits", tcp({ source: 1, destination: 2, flags: SYN, options: mssOption(MTU - 40) })],
    ["a segment without SYN", tcp({ source: 1, destination: 2, flags: ACK, options: mssOption(9000) })],
    ["no option", tcp({ source: 1, destination: 2, flags: SYN })],
    [
      "behind the end of options",
      tcp({ source: 1, destination: 2, flags: SYN, options: concat(Uint8Array.of(0, 0, 0, 0), mssOption(9000)) }),
    ],
    ["an option of length 0", tcp({ source: 1, destination: 2, flags: SYN, options: concat(Uint8Array.of(9, 0, 1, 1), mssOption(9000)) })],
    ["an option beyond the header", tcp({ source: 1, destination: 2, flags: SYN, options: Uint8Array.of(1, 1, 9, 40) })],
    ["an MSS cut off by the header's end", tcp({ source: 1, destination: 2, flags: SYN, options: Uint8Array.of(1, 1, 2, 4) }, u16(9000))],
    [
      "an MSS of another length",
      tcp({ source: 1, destination: 2, flags: SYN, options: concat(Uint8Array.of(2, 6), u16(9000), Uint8Array.of(0, 0, 1, 1)) }),
    ],
    ["a fragment", tcp({ source: 1, destination: 2, flags: SYN, options: mssOption(9000) })],
  ])("is not touched: %s", (description, segment) => {
    const engine = network(build);
    const frame = v4(segment, { destination: B }, description === "a fragment" ? { moreFragments: true } : {});
    expect(engine.run([{ port: 1, frame }])[0]?.frame).toEqual(frame);
    expect(engine.counter("mss-clamped")).toBe(0);
  });

  it("stays as it is where the network doesn't clamp", () => {
    const engine = network(build);
    const frame = v4(tcp({ source: 1, destination: 2, flags: SYN, options: mssOption(9000) }), { destination: B });
    expect(engine.run([{ port: 3, frame }])[0]?.frame).toEqual(frame);
  });
});

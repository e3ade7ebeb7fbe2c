// Path MTU of encrypted overlays in the engine: which ICMP errors are believed, and what the sandboxes hear of it then.
//
//   A's sandbox 02:..:02 ── A (outer 192.0.2.1, 2001:db8::1) ── a router that says too much ── VTEP ── 02:..:20
import { beforeEach, describe, expect, it } from "vitest";
import * as abi from "../../wasm/shared/abi.ts";
import { ESP_EVENTS, SAD, VTEPS } from "../../wasm/shared/layout.ts";
import { PATH_MTU_AGE_S } from "../../wasm/shared/limits.ts";
import { nodeCipher } from "../support/node-cipher.ts";
import {
  ACK,
  checksumFault,
  concat,
  ethernet,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  type L4,
  mssOption,
  pattern,
  rawL4,
  SYN,
  tcp,
  u16,
  u32,
  udp,
  vxlan,
} from "../support/packet-builder.ts";
import { BUILDS, type Build, Engine, type Sent } from "../support/wasm.ts";

const DOMAIN = 1;
const VNI = 4097;
const [UNDERLAY, ESP, ERRORS, TAP] = [1, 2, 3, 4];
const [OUT, IN] = [1, 2];
const SPI = 0x80001234;
const LOCAL = "02:00:00:00:00:02";
const REMOTE = "02:00:00:00:00:20";
const ROUTER = "198.51.100.1";
const KEY = { algorithm: "aes-256-gcm", key: new Uint8Array(32).fill(7), salt: new Uint8Array(4) } as const;

interface Way {
  readonly family: 4 | 6;
  readonly transport: "udp" | "raw";
}
const WAYS: readonly Way[] = [
  { family: 4, transport: "udp" },
  { family: 4, transport: "raw" },
  { family: 6, transport: "udp" },
  { family: 6, transport: "raw" },
];
const ends = (family: 4 | 6) => (family === 4 ? ["192.0.2.1", "192.0.2.2"] : ["2001:db8::1", "2001:db8::2"]) as [string, string];
const overhead = ({ family, transport }: Way): number => (family === 4 ? 20 : 40) + (transport === "udp" ? 8 : 0);

function host(build: Build, { family, transport }: Way): Engine {
  const engine = new Engine(build);
  engine.domain(DOMAIN, {
    vni: VNI,
    flags: abi.DOMAIN_FLAG_LEARNING | abi.DOMAIN_FLAG_ENCRYPTED | abi.DOMAIN_FLAG_CLAMP_MSS,
    mtuBytes: 1408,
  });
  engine.underlay(UNDERLAY);
  engine.esp(ESP);
  engine.pathMtu(ERRORS, family === 4 ? abi.PORT_FLAG_IPV4_HEADER : 0);
  engine.tap(TAP, DOMAIN, 0, 1408);
  engine.vtep(1, ends(family)[1], UNDERLAY, [DOMAIN]);
  engine.pin(DOMAIN, LOCAL, { port: TAP });
  engine.pin(DOMAIN, REMOTE, { vtep: 1 });
  engine.cipher = nodeCipher(new Map([OUT, IN].map((slot) => [slot, KEY])));
  const common = { vtep: 1, port: ESP, udpPort: transport === "udp" ? 4500 : 0 };
  engine.sa(OUT, { ...common, spi: SPI, flags: abi.SA_FLAG_OUTBOUND | abi.SA_FLAG_ESN });
  engine.sa(IN, { ...common, spi: SPI + 1, flags: abi.SA_FLAG_ESN });
  return engine;
}

const v4 = (payload: L4): Uint8Array =>
  ethernet({ source: LOCAL, destination: REMOTE }, ipv4({ source: "10.0.0.1", destination: "10.0.0.2", dontFragment: true }, payload));
const v6 = (payload: L4): Uint8Array =>
  ethernet({ source: LOCAL, destination: REMOTE }, ipv6({ source: "fd00::1", destination: "fd00::2" }, payload));
/** A frame of so many bytes, Ethernet header included. */
const frameOf = (bytes: number): Uint8Array => v4(udp({ source: 1000, destination: 2000 }, pattern(bytes - 42)));

/** What a router has of a datagram that we sent: IP, UDP if it has it, ESP. */
function onWire(way: Way, datagram: Uint8Array, more: { source?: number; destination?: number; to?: string } = {}): Uint8Array {
  const [source, destination] = ends(way.family);
  const ports = { source: more.source ?? 4500, destination: more.destination ?? 4500 };
  const payload = way.transport === "udp" ? udp(ports, datagram) : rawL4(50, datagram);
  const fields = { source, destination: more.to ?? destination };
  return (way.family === 4 ? ipv4({ ...fields, dontFragment: true }, payload) : ipv6(fields, payload)).bytes;
}

/** The router's message about it, as the raw socket has it. */
function tooBig(way: Way, offender: Uint8Array, mtuBytes: number, quoted = 500): Uint8Array {
  const [local] = ends(way.family);
  const quote = offender.subarray(0, quoted);
  if (way.family === 4) return ipv4({ source: ROUTER, destination: local }, icmp(3, 4, concat(u16(0), u16(mtuBytes), quote))).bytes;
  return icmpv6(2, 0, concat(u32(mtuBytes), quote)).build({ source: new Uint8Array(16), destination: new Uint8Array(16) });
}

const hear = (engine: Engine, { family }: Way, message: Uint8Array): void =>
  void engine.run([{ port: ERRORS, datagrams: [message], from: family === 4 ? ROUTER : "2001:db8::ff", fromPort: 0 }]);
const send = (engine: Engine, frame: Uint8Array): Sent[] => engine.run([{ port: TAP, frame }]);
const pathMtu = (engine: Engine): number => engine.view.getUint32(VTEPS + abi.VTEP_LENGTH + abi.VTEP_PATH_MTU, true);

describe.each(BUILDS)("path MTU (%s)", (build) => {
  describe.each(WAYS)("IPv$family, $transport", (way) => {
    let engine: Engine;
    /** The last datagram sent, as a router sees it. */
    let wire: Uint8Array;

    beforeEach(() => {
      engine = host(build, way);
      for (let i = 0; i < 3; i++) wire = onWire(way, send(engine, frameOf(1400))[0]!.bytes.slice());
    });

    it("is learned from an error that quotes what was sent, whatever else is quoted, and told to the host once", () => {
      engine.exports.espEventsClear();
      hear(engine, way, tooBig(way, wire, 1400));
      hear(engine, way, tooBig(way, wire, 1400, overhead(way) + 8));
      expect(engine.drops()).toEqual({ "path-mtu-learned": 2 });
      expect(pathMtu(engine)).toBe(1400);
      const event = ESP_EVENTS + 8;
      expect(engine.view.getUint32(ESP_EVENTS, true)).toBe(8 + abi.ESP_EVENT_HEADER_LENGTH);
      expect(engine.view.getUint32(event + abi.ESP_EVENT_KIND, true)).toBe(abi.ESP_EVENT_PATH_MTU);
      expect(engine.view.getUint16(event + abi.ESP_EVENT_PORT, true)).toBe(1400);
      expect(engine.view.getUint16(event + abi.ESP_EVENT_SA, true)).toBe(OUT);
      expect(engine.lawDifference()).toBe(0);
    });

    it("lets through the longest frame that fits, tells the sender of one byte more, and is never exceeded on the wire", () => {
      for (let mtuBytes = 1400, seconds = 0; mtuBytes > 1390; mtuBytes--) {
        hear(engine, way, tooBig(way, wire, mtuBytes));
        let most = 1249;
        let longest = 0;
        let sent = send(engine, frameOf(most + 1));
        for (; sent[0]!.port === ESP; sent = send(engine, frameOf(most + 1))) {
          most++;
          longest = sent[0]!.bytes.length + overhead(way);
          expect(longest).toBeLessThanOrEqual(mtuBytes);
        }
        // What did fit is as much as can: ESP grows by four bytes at a time.
        expect(longest).toBeGreaterThan(mtuBytes - 4);
        const { frame, port } = sent[0]!;
        expect([port, checksumFault(frame)]).toEqual([TAP, ""]);
        expect([frame[34], frame[35], new DataView(frame.buffer, frame.byteOffset).getUint16(40)]).toEqual([3, 4, most - 14]);
        seconds += PATH_MTU_AGE_S + 1;
        engine.exports.tick(seconds * 1000);
        wire = onWire(way, send(engine, frameOf(1400))[0]!.bytes.slice());
      }
      expect(engine.lawDifference()).toBe(0);
    });

    it("is not believed of packets that we did not send", () => {
      const esp = wire.subarray(overhead(way));
      const changed = (at: number, word: number): Uint8Array => concat(esp.subarray(0, at), u32(word), esp.subarray(at + 4));
      const from = (datagram: Uint8Array, more = {}): Uint8Array => tooBig(way, onWire(way, datagram, more), 1300);
      const other = way.family === 4 ? "192.0.2.9" : "2001:db8::9";
      const cases: [string, string, Uint8Array][] = [
        ["another SPI", "path-mtu-spi", from(changed(0, SPI ^ 1))],
        ["the SPI that we receive by", "path-mtu-spi", from(changed(0, SPI + 1))],
        ["SPI zero", "path-mtu-spi", from(changed(0, 0))],
        ["the next number", "path-mtu-sequence", from(changed(4, 4))],
        ["number zero", "path-mtu-sequence", from(changed(4, 0))],
        ["a number before the first", "path-mtu-sequence", from(changed(4, 0xffffffff))],
        ["another destination", "path-mtu-spi", from(esp, { to: other })],
        ["the quote ends in the SPI", "path-mtu-short", tooBig(way, wire, 1300, overhead(way) + 7)],
        ["the quote ends with IP", "path-mtu-short", tooBig(way, wire, 1300, way.family === 4 ? 20 : 40)],
        ["nothing quoted", "path-mtu-short", tooBig(way, wire, 1300, 0)],
        ["as long as it was", "path-mtu-value", tooBig(way, wire, wire.length)],
        ["less than IP allows", "path-mtu-value", tooBig(way, wire, way.family === 4 ? 575 : 1279)],
        ["no MTU", "path-mtu-value", tooBig(way, wire, 0)],
      ];
      if (way.transport === "udp") {
        cases.push(["another source port", "path-mtu-foreign", from(esp, { source: 53 })]);
        cases.push(["another destination port", "path-mtu-spi", from(esp, { destination: 53 })]);
        cases.push(["protocol 50", "path-mtu-spi", tooBig({ ...way, transport: "raw" }, onWire({ ...way, transport: "raw" }, esp), 1300)]);
      } else {
        cases.push(["UDP", "path-mtu-spi", tooBig({ ...way, transport: "udp" }, onWire({ ...way, transport: "udp" }, esp), 1300)]);
      }
      const expected: Record<string, number> = {};
      for (const [what, name, message] of cases) {
        hear(engine, way, message);
        expected[name] = (expected[name] ?? 0) + 1;
        expect(engine.drops(), what).toEqual(expected);
      }
      expect(pathMtu(engine)).toBe(0);
      expect(send(engine, frameOf(1400))).toMatchObject([{ port: ESP }]);
    });

    it("never grows by an error, and is forgotten after ten minutes", () => {
      engine.exports.tick(1000);
      hear(engine, way, tooBig(way, wire, 1350));
      hear(engine, way, tooBig(way, wire, 1400));
      expect(engine.drops()).toEqual({ "path-mtu-learned": 1, "path-mtu-value": 1 });
      expect(pathMtu(engine)).toBe(1350);
      engine.exports.tick(1000 + PATH_MTU_AGE_S * 1000 - 1);
      expect(pathMtu(engine)).toBe(1350);
      engine.exports.tick(1000 + PATH_MTU_AGE_S * 1000);
      expect(pathMtu(engine)).toBe(0);
      expect(send(engine, frameOf(1400))).toMatchObject([{ port: ESP }]);
    });

    it("is of no more than a million numbers ago", () => {
      const at = SAD + OUT * abi.SA_LENGTH + abi.SA_SEQUENCE;
      const message = tooBig(way, wire, 1400);
      engine.view.setBigUint64(at, (1n << 32n) + 3n, true); // the lower half is the same: it did wrap
      hear(engine, way, message);
      engine.view.setBigUint64(at, 3n + (1n << 20n) - 1n, true);
      hear(engine, way, message);
      engine.view.setBigUint64(at, 3n + (1n << 20n), true);
      hear(engine, way, message);
      expect(engine.drops()).toEqual({ "path-mtu-learned": 2, "path-mtu-sequence": 1 });
    });

    it("applies to each segment of a super-frame", () => {
      hear(engine, way, tooBig(way, wire, 1400));
      const most = ((1400 - overhead(way) - 32) & ~3) - 18; // frame
      for (const fits of [true, false]) {
        const frame = v4(tcp({ source: 1, destination: 2, checksum: "partial" }, pattern(10_000)));
        const vnet = { flags: 1, gsoType: 1, headerLength: 54, gsoSize: most - 54 + (fits ? 0 : 1), checksumStart: 34, checksumOffset: 16 };
        const sent = engine.run([{ port: TAP, frame, vnet }]);
        expect(new Set(sent.map(({ port }) => port))).toEqual(new Set([fits ? ESP : TAP]));
        for (const one of sent.flatMap(({ datagrams }) => datagrams)) expect(one.length + overhead(way)).toBeLessThanOrEqual(1400);
      }
      expect(engine.drops()).toEqual({ "path-mtu-learned": 1, "mtu-exceeded": 1 });
    });

    it("clamps the MSS of what the peer's sandboxes open and answer, which says how long our segments may be", () => {
      hear(engine, way, tooBig(way, wire, 1400));
      const fits = ((1400 - overhead(way) - 32) & ~3) - 32;
      const syn = tcp({ source: 1, destination: 2, flags: SYN | ACK, options: mssOption(1460) });
      const b = host(build, { ...way });
      b.exports.saDelete(OUT);
      b.exports.saDelete(IN);
      const common = { vtep: 1, port: ESP, udpPort: way.transport === "udp" ? 4500 : 0 };
      b.sa(OUT, { ...common, spi: SPI + 1, flags: abi.SA_FLAG_OUTBOUND | abi.SA_FLAG_ESN });
      const fromPeer = send(
        b,
        ethernet({ source: LOCAL, destination: REMOTE }, ipv4({ source: "10.0.0.2", destination: "10.0.0.1" }, syn)),
      );
      engine.pin(DOMAIN, REMOTE, { port: TAP });
      engine.pin(DOMAIN, LOCAL, { vtep: 1 });
      const datagrams = [fromPeer[0]!.bytes.slice()];
      const [received] = engine.run([{ port: ESP, datagrams, from: ends(way.family)[1], fromPort: common.udpPort }]);
      expect(new DataView(received!.frame.buffer, received!.frame.byteOffset).getUint16(14 + 20 + 20 + 2)).toBe(fits - 40);
      expect(checksumFault(received!.frame)).toBe("");
    });
  });

  it("tells IPv6 no less than 1280, and nothing who sends no more", () => {
    const way = { family: 6, transport: "udp" } as const;
    const engine = host(build, way);
    const wire = onWire(way, send(engine, frameOf(1400))[0]!.bytes.slice());
    hear(engine, way, tooBig(way, wire, 1280)); // carries 1168
    const datagram = (bytes: number): Uint8Array => v6(udp({ source: 1, destination: 2 }, pattern(bytes - 48)));
    const [error] = send(engine, datagram(1281));
    expect(error).toMatchObject({ port: TAP });
    expect(new DataView(error!.frame.buffer, error!.frame.byteOffset).getUint32(14 + 40 + 4)).toBe(1280);
    expect(send(engine, datagram(1280))).toEqual([]);
    expect(send(engine, datagram(1168))).toMatchObject([{ port: ESP }]);
    expect(engine.drops()).toEqual({ "path-mtu-learned": 1, "mtu-exceeded": 2 });
  });

  it("checks IPv4's checksum and lengths, and takes what filters should not let pass for nothing", () => {
    const way = { family: 4, transport: "udp" } as const;
    const engine = host(build, way);
    const wire = onWire(way, send(engine, frameOf(1400))[0]!.bytes.slice());
    const good = tooBig(way, wire, 1400);
    for (let at = 0; at < 28 + 20 + 8 + 8; at++) {
      const flipped = good.slice();
      flipped[at]! ^= 1;
      // Of the outer IP header the kernel has checked what is not looked at here.
      if (at >= 20 || at === 0 || at === 2) hear(engine, way, flipped);
    }
    for (let length = 0; length < good.length; length++) hear(engine, way, good.subarray(0, length));
    expect(Object.keys(engine.drops())).toEqual(["path-mtu-short"]);
    hear(engine, way, ipv4({ source: ROUTER, destination: "192.0.2.1" }, icmp(3, 3, concat(u32(1400), wire.subarray(0, 500)))).bytes);
    expect(Object.keys(engine.drops())).toEqual(["path-mtu-short"]);
    expect(pathMtu(engine)).toBe(0);
    expect(engine.lawDifference()).toBe(0);
  });

  it("is of where the peer is sent to, be that a NAT's address, and forgotten when it moves", () => {
    const way = { family: 4, transport: "udp" } as const;
    const engine = host(build, way);
    const sent = { vtep: 1, port: ESP, udpPort: 61_000, spi: SPI, flags: abi.SA_FLAG_OUTBOUND | abi.SA_FLAG_ESN };
    engine.sa(OUT, { ...sent, remote: "203.0.113.7" });
    const esp = send(engine, frameOf(1400))[0]!.bytes.slice();
    hear(engine, way, tooBig(way, onWire(way, esp, { destination: 61_000 }), 1400));
    expect(engine.drops()).toEqual({ "path-mtu-spi": 1 });
    hear(engine, way, tooBig(way, onWire(way, esp, { destination: 61_000, to: "203.0.113.7" }), 1400));
    expect(engine.drops()).toEqual({ "path-mtu-spi": 1, "path-mtu-learned": 1 });
    engine.sa(OUT, { ...sent, remote: "203.0.113.7" });
    expect(pathMtu(engine)).toBe(1400);
    engine.sa(OUT, { ...sent, remote: "203.0.113.8" });
    expect(pathMtu(engine)).toBe(0);
  });

  it("leaves plain networks alone", () => {
    const way = { family: 4, transport: "udp" } as const;
    const engine = host(build, way);
    engine.domain(2, { vni: VNI + 1, mtuBytes: 1408 });
    engine.tap(9, 2, 0, 1408);
    engine.exports.memberSet(2, 1);
    engine.pin(2, REMOTE, { vtep: 1 });
    hear(engine, way, tooBig(way, onWire(way, send(engine, frameOf(1400))[0]!.bytes.slice()), 600));
    const frame = frameOf(1400);
    expect(engine.run([{ port: 9, frame }])).toMatchObject([{ port: UNDERLAY, bytes: vxlan(VNI + 1, frame) }]);
  });
});

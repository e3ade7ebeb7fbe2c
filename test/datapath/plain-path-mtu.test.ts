// Path MTU of overlays in the clear: VXLAN has no secret, so an ICMP error is believed only if it quotes the datagram that was noted
// after a first one. What a router would have is built here from what the engine sent.
//
//   A's sandbox 02:..:02 ── A (outer 192.0.2.1, 2001:db8::1) ── a router ── VTEP 1 ── 02:..:20
import { beforeEach, describe, expect, it } from "vitest";
import * as abi from "../../wasm/shared/abi.ts";
import { ESP_EVENTS, VTEPS } from "../../wasm/shared/layout.ts";
import { PATH_MTU_AGE_S } from "../../wasm/shared/limits.ts";
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
const [UNDERLAY, ERRORS, TAP] = [1, 2, 3];
const LOCAL = "02:00:00:00:00:02";
const REMOTE = "02:00:00:00:00:20";
const STRANGER = "02:00:00:00:00:77";
const ENTROPY_PORT = 50_000;
const MTU = 1430;
/** VXLAN and the noted beginning of the frame. */
const PROOF = 88;

type Family = 4 | 6;
const ends = (family: Family) => (family === 4 ? ["192.0.2.1", "192.0.2.2"] : ["2001:db8::1", "2001:db8::2"]) as [string, string];
const router = (family: Family): string => (family === 4 ? "198.51.100.1" : "2001:db8::ff");
/** IP and UDP outside. */
const outer = (family: Family): number => (family === 4 ? 28 : 48);

function host(build: Build, family: Family): Engine {
  const engine = new Engine(build);
  engine.domain(DOMAIN, { vni: VNI, flags: abi.DOMAIN_FLAG_LEARNING | abi.DOMAIN_FLAG_CLAMP_MSS, mtuBytes: MTU });
  engine.underlay(UNDERLAY);
  engine.pathMtu(ERRORS, family === 4 ? abi.PORT_FLAG_IPV4_HEADER : 0);
  engine.tap(TAP, DOMAIN, 0, MTU);
  engine.vtep(1, ends(family)[1], UNDERLAY, [DOMAIN]);
  engine.pin(DOMAIN, LOCAL, { port: TAP });
  engine.pin(DOMAIN, REMOTE, { vtep: 1 });
  return engine;
}

const v4 = (payload: L4, destination = REMOTE): Uint8Array =>
  ethernet({ source: LOCAL, destination }, ipv4({ source: "10.0.0.1", destination: "10.0.0.2", dontFragment: true }, payload));
/** A frame of so many bytes, Ethernet header included; another one with each seed. */
const frameOf = (bytes: number, seed = 0): Uint8Array =>
  v4(
    udp(
      { source: 1000, destination: 2000 },
      pattern(bytes - 42).map((byte) => byte ^ seed),
    ),
  );

interface Quote {
  readonly source?: number;
  readonly destination?: number;
  readonly to?: string;
}

/** What a router has of a datagram that we sent. */
function onWire(family: Family, datagram: Uint8Array, { source = ENTROPY_PORT, destination = 4789, to }: Quote = {}): Uint8Array {
  const [from, peer] = ends(family);
  const fields = { source: from, destination: to ?? peer };
  const payload = udp({ source, destination }, datagram);
  return (family === 4 ? ipv4({ ...fields, dontFragment: true }, payload) : ipv6(fields, payload)).bytes;
}

function tooBig(family: Family, offender: Uint8Array, mtuBytes: number, quoted = 500): Uint8Array {
  const quote = offender.subarray(0, quoted);
  if (family === 4) return ipv4({ source: router(4), destination: ends(4)[0] }, icmp(3, 4, concat(u16(0), u16(mtuBytes), quote))).bytes;
  return icmpv6(2, 0, concat(u32(mtuBytes), quote)).build({ source: new Uint8Array(16), destination: new Uint8Array(16) });
}

const hear = (engine: Engine, family: Family, message: Uint8Array): void =>
  void engine.run([{ port: ERRORS, datagrams: [message], from: router(family), fromPort: 0 }]);
const send = (engine: Engine, frame: Uint8Array): Sent[] => engine.run([{ port: TAP, frame }]);
/** Sends a frame and answers what a router has of it. */
const wired = (engine: Engine, family: Family, frame: Uint8Array): Uint8Array => onWire(family, send(engine, frame)[0]!.bytes.slice());

describe.each(BUILDS)("path MTU in the clear (%s)", (build) => {
  describe.each([4, 6] as const)("IPv%i", (family) => {
    let engine: Engine;
    let wire: Uint8Array;
    const longest = 1400 - outer(family) - 8;

    beforeEach(() => {
      engine = host(build, family);
      wire = wired(engine, family, frameOf(1440, 1));
    });

    /** Has the path doubted, and a datagram noted: as a router has it. */
    function doubted(mtuBytes = 1400, frame = frameOf(1440, 2)): Uint8Array {
      hear(engine, family, tooBig(family, wire, mtuBytes));
      return wired(engine, family, frame);
    }

    it("is not learned from the first error, which quotes what was sent before, and is from one about what is sent then", () => {
      const noted = doubted();
      expect(send(engine, frameOf(1440))).toMatchObject([{ port: UNDERLAY }]);
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 1 });
      engine.exports.espEventsClear();
      hear(engine, family, tooBig(family, noted, 1400));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 1, "path-mtu-learned": 1 });
      const event = ESP_EVENTS + 8;
      expect(engine.view.getUint32(event + abi.ESP_EVENT_KIND, true)).toBe(abi.ESP_EVENT_PLAIN_PATH_MTU);
      expect(engine.view.getUint16(event + abi.ESP_EVENT_PORT, true)).toBe(1400);
      expect(engine.view.getUint16(event + abi.ESP_EVENT_SA, true)).toBe(1);
      expect(send(engine, frameOf(longest))).toMatchObject([{ port: UNDERLAY }]);
      const [error] = send(engine, frameOf(longest + 1));
      expect([error!.port, checksumFault(error!.frame)]).toEqual([TAP, ""]);
      expect([error!.frame[34], error!.frame[35]]).toEqual([3, 4]);
      expect(new DataView(error!.frame.buffer, error!.frame.byteOffset).getUint16(40)).toBe(longest - 14);
      expect(engine.lawDifference()).toBe(0);
    });

    it("needs the noted beginning of the datagram quoted, to the byte, and no smaller length", () => {
      const noted = doubted();
      const end = outer(family) + PROOF;
      for (let at = outer(family); at < end; at++) {
        const flipped = noted.slice();
        flipped[at]! ^= 1;
        hear(engine, family, tooBig(family, flipped, 1400));
      }
      hear(engine, family, tooBig(family, onWire(family, noted.subarray(outer(family), -1)), 1400));
      hear(engine, family, tooBig(family, noted, 1400, end - 1));
      expect(engine.drops()["path-mtu-learned"]).toBeUndefined();
      expect(engine.drops()["path-mtu-short"]).toBe(1);
      hear(engine, family, tooBig(family, noted, 1400, end));
      expect(engine.drops()["path-mtu-learned"]).toBe(1);
    });

    it("takes a run of datagrams that a router received as one for what begins with the first", () => {
      const noted = doubted();
      const run = onWire(family, concat(noted.subarray(outer(family)), pattern(3000)));
      hear(engine, family, tooBig(family, run, noted.length));
      hear(engine, family, tooBig(family, run, 1400));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 2, "path-mtu-learned": 1 });
    });

    it("lets each note prove once", () => {
      const noted = doubted();
      hear(engine, family, tooBig(family, noted, 1400));
      hear(engine, family, tooBig(family, noted, 1300));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 2, "path-mtu-learned": 1 });
    });

    it("is not asked about what is no VXLAN of ours", () => {
      const datagram = wire.subarray(outer(family));
      const from = (quote: Quote): Uint8Array => tooBig(family, onWire(family, datagram, quote), 1400);
      const vni = (number: number): Uint8Array => tooBig(family, onWire(family, vxlan(number, datagram.subarray(8))), 1400);
      engine.domain(2, { vni: VNI + 1, flags: abi.DOMAIN_FLAG_ENCRYPTED, mtuBytes: MTU });
      engine.exports.memberSet(2, 1);
      engine.domain(5, { vni: VNI + 5, mtuBytes: MTU });
      const unflagged = datagram.slice();
      unflagged[0] = 0;
      const cases: [string, string, Uint8Array][] = [
        ["another source port", "path-mtu-foreign", from({ source: 49_151 })],
        ["another destination port", "path-mtu-foreign", from({ destination: 8472 })],
        ["a host that is no VTEP", "path-mtu-foreign", from({ to: family === 4 ? "192.0.2.9" : "2001:db8::9" })],
        ["a VNI that nobody has", "path-mtu-foreign", vni(9)],
        ["the VNI of an encrypted network", "path-mtu-foreign", vni(VNI + 1)],
        ["the VNI of a network that the VTEP is not in", "path-mtu-foreign", vni(VNI + 5)],
        ["no VNI", "path-mtu-foreign", tooBig(family, onWire(family, unflagged), 1400)],
        ["eight bytes quoted", "path-mtu-short", tooBig(family, wire, 1400, outer(family))],
        ["less than eight", "path-mtu-short", tooBig(family, wire, 1400, outer(family) - 1)],
        ["as long as it was", "path-mtu-value", tooBig(family, wire, wire.length)],
        ["less than any link carries", "path-mtu-value", tooBig(family, wire, family === 4 ? 575 : 1279)],
        ["no MTU", "path-mtu-value", tooBig(family, wire, 0)],
      ];
      const expected: Record<string, number> = {};
      for (const [what, name, message] of cases) {
        hear(engine, family, message);
        expected[name] = (expected[name] ?? 0) + 1;
        expect(engine.drops(), what).toEqual(expected);
      }
      // Nobody's doubts were raised: what is sent now is no proof.
      hear(engine, family, tooBig(family, wired(engine, family, frameOf(1440, 3)), 1400));
      expect(engine.drops()).toEqual({ ...expected, "path-mtu-unproven": 1 });
      expect(engine.lawDifference()).toBe(0);
    });

    it("is proved by the longest datagram of the second, whatever a forger says of shorter ones", () => {
      doubted(family === 4 ? 576 : 1280, frameOf(1300, 4));
      const noted = wired(engine, family, frameOf(1440, 5));
      send(engine, frameOf(1439, 6));
      send(engine, frameOf(1440, 7));
      hear(engine, family, tooBig(family, noted, 1400));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 1, "path-mtu-learned": 1 });
    });

    it("takes another note in the next second, a shorter one too", () => {
      engine.exports.tick(1000);
      const first = doubted();
      engine.exports.tick(1999);
      send(engine, frameOf(1440, 8));
      engine.exports.tick(2000);
      const second = wired(engine, family, frameOf(1430, 9));
      hear(engine, family, tooBig(family, first, 1400));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 2 });
      hear(engine, family, tooBig(family, second, 1400));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 2, "path-mtu-learned": 1 });
    });

    it("never grows by an error, gets smaller by a proved one, and is forgotten after ten minutes", () => {
      engine.exports.tick(1000);
      hear(engine, family, tooBig(family, doubted(), 1400));
      hear(engine, family, tooBig(family, wire, 1410));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 1, "path-mtu-learned": 1, "path-mtu-value": 1 });
      hear(engine, family, tooBig(family, wired(engine, family, frameOf(longest, 1)), 1350));
      hear(engine, family, tooBig(family, wired(engine, family, frameOf(longest, 2)), 1350));
      expect(engine.drops()).toMatchObject({ "path-mtu-unproven": 2, "path-mtu-learned": 2 });
      expect(send(engine, frameOf(longest))).toMatchObject([{ port: TAP }]);
      engine.exports.tick(1000 + PATH_MTU_AGE_S * 1000 - 1);
      expect(send(engine, frameOf(longest))).toMatchObject([{ port: TAP }]);
      engine.exports.tick(1000 + PATH_MTU_AGE_S * 1000);
      // What was true once is looked into at once: the first error about it counts.
      hear(engine, family, tooBig(family, wired(engine, family, frameOf(1440, 3)), 1350));
      expect(engine.drops()).toMatchObject({ "path-mtu-unproven": 2, "path-mtu-learned": 3 });
    });

    it("forgets a doubt after ten minutes", () => {
      engine.exports.tick(1000);
      const noted = doubted();
      engine.exports.tick(1000 + PATH_MTU_AGE_S * 1000);
      hear(engine, family, tooBig(family, noted, 1400));
      expect(engine.drops()).toEqual({ "path-mtu-unproven": 2 });
    });

    it("is proved by the first segment of a super-frame, and applies to each", () => {
      const superFrame = (size: number, payload = pattern(10_000)): Sent[] => {
        const frame = v4(tcp({ source: 1, destination: 2, sequence: 77, checksum: "partial" }, payload));
        const vnet = { flags: 1, gsoType: 1, headerLength: 54, gsoSize: size, checksumStart: 34, checksumOffset: 16 };
        return engine.run([{ port: TAP, frame, vnet }]);
      };
      for (const [turn, size] of [MTU - 40, 1386, 1385].entries()) {
        engine.exports.vtepDelete(1);
        engine.vtep(1, ends(family)[1], UNDERLAY, [DOMAIN]);
        engine.pin(DOMAIN, REMOTE, { vtep: 1 });
        hear(engine, family, tooBig(family, wire, 1400));
        const first = superFrame(size)[0]!.datagrams[0]!.slice();
        hear(engine, family, tooBig(family, onWire(family, first), 1400));
        expect(engine.drops()["path-mtu-learned"]).toBe(turn + 1);
      }
      const most = longest - 54;
      for (const fits of [true, false]) {
        const sent = superFrame(most + (fits ? 0 : 1));
        expect(new Set(sent.map(({ port }) => port))).toEqual(new Set([fits ? UNDERLAY : TAP]));
        for (const one of sent.flatMap(({ datagrams }) => datagrams)) expect(one.length + outer(family)).toBeLessThanOrEqual(1400);
      }
    });

    it("clamps the MSS of what the peer's sandboxes open and answer", () => {
      hear(engine, family, tooBig(family, doubted(), 1400));
      const syn = tcp({ source: 1, destination: 2, flags: SYN | ACK, options: mssOption(1460) });
      const frame = ethernet({ source: REMOTE, destination: LOCAL }, ipv4({ source: "10.0.0.2", destination: "10.0.0.1" }, syn));
      const [received] = engine.run([{ port: UNDERLAY, datagrams: [vxlan(VNI, frame)], from: ends(family)[1] }]);
      expect(new DataView(received!.frame.buffer, received!.frame.byteOffset).getUint16(14 + 20 + 20 + 2)).toBe(longest - 14 - 40);
      expect(checksumFault(received!.frame)).toBe("");
    });

    it("goes with the VTEP, and with its address", () => {
      const noted = doubted();
      const entry = VTEPS + abi.VTEP_LENGTH;
      const words = (): number[] => [36, 44, 52].map((at) => engine.view.getUint32(entry + at, true));
      expect(words()).toEqual([0, 1400, noted.length]);
      hear(engine, family, tooBig(family, noted, 1400));
      engine.vtep(1, ends(family)[1], UNDERLAY, [DOMAIN]); // as it was
      expect(words()).toEqual([1400, 1400, 0]);
      engine.vtep(1, family === 4 ? "192.0.2.77" : "2001:db8::77", UNDERLAY, [DOMAIN]);
      expect(words()).toEqual([0, 0, 0]);
    });

    // Floods to 29 sandboxes fill the vector of 1024 that errors about their copies to the peers go to, too.
    it("tells in the midst of a flood as many as there is room for", () => {
      for (let port = TAP + 1; port < TAP + 30; port++) engine.tap(port, DOMAIN, 0, MTU);
      hear(engine, family, tooBig(family, doubted(), 1400));
      const batch = Array.from({ length: 256 }, () => ({
        port: TAP,
        frame: v4(udp({ source: 1, destination: 2 }, pattern(1390)), STRANGER),
      }));
      const sent = engine.run(batch);
      expect(sent.filter(({ port }) => port !== TAP)).toHaveLength(256 * 29);
      const errors = sent.filter(({ port }) => port === TAP);
      expect(errors.length).toBeGreaterThan(0);
      expect(errors.map(({ frame }) => [frame[34], frame[35], checksumFault(frame)])).toEqual(errors.map(() => [3, 4, ""]));
      expect(engine.drops()).toMatchObject({ "mtu-exceeded": 256 });
      expect(engine.lawDifference()).toBe(0);
    });
  });
});

// The tunnel, a table at a time: which datagrams become frames, which are refused and under which name, and what a frame
// looks like on its way out.
import { beforeEach, describe, expect, it } from "vitest";
import * as abi from "../../wasm/shared/abi.ts";
import * as counters from "../../wasm/shared/counters.ts";
import * as layout from "../../wasm/shared/layout.ts";
import * as limits from "../../wasm/shared/limits.ts";
import {
  address4,
  Batch,
  DOMAIN,
  datagrams,
  LOCAL,
  PEER,
  PEER6,
  SOCKETS,
  UDP_PORT,
  UNDERLAY,
  UNDERLAY6,
  VNI,
  vxlan,
} from "../support/batch.ts";
import { concat, type Flow, frame, pattern, vnetHeader } from "../support/oracle.ts";

const flow: Flow = { family: 4, protocol: "udp" };
/** From behind the peer to the sandbox at port 2. */
const inbound = (payload = 100): Uint8Array => frame({ ...flow, sourceMac: 0x20, destinationMac: 2, payload: pattern(payload) });
/** From the sandbox at port 2 to behind the peer. */
const outbound = (payload = 100): Uint8Array => frame({ ...flow, sourceMac: 2, destinationMac: 0x20, payload: pattern(payload) });

describe.each(["debug", "release"] as const)("VXLAN (%s)", (target) => {
  let engine: Batch;

  beforeEach(() => {
    engine = new Batch(target);
  });

  describe("in", () => {
    it.each([18, 100, 178, 179, 1400])("delivers the frame of %i bytes of payload as it was, behind an empty vnet_hdr", (payload) => {
      engine.fromVtep([vxlan(inbound(payload))]);
      const sent = engine.run();
      expect(sent).toHaveLength(1);
      expect(sent[0]).toMatchObject({ port: 2, packets: 1, segment: 0 });
      expect(sent[0]?.bytes).toEqual(concat(new Uint8Array(10), inbound(payload)));
      expect(engine.lost()).toBe(0);
    });

    it("splits what UDP_GRO has put together, the last datagram being shorter", () => {
      const frames = [100, 100, 100, 60].map((size, i) =>
        frame({ ...flow, sourcePort: 1000 + i, sourceMac: 0x20, destinationMac: 2, payload: pattern(size, i) }),
      );
      engine.fromVtep(frames.map((one) => vxlan(one)));
      // Four flows: nothing to merge, so each leaves alone, in whatever order their aggregates close.
      const sent = engine.run().map((one) => Buffer.from(one.bytes.subarray(10)).toString("hex"));
      expect(sent.sort()).toEqual(frames.map((one) => Buffer.from(one).toString("hex")).sort());
      expect(engine.counter(counters.COUNTER_RX)).toBe(4);
    });

    it("takes a batch of more datagrams than a chunk holds", () => {
      for (let i = 0; i < 16; i++) {
        engine.fromVtep(
          Array.from({ length: 64 }, (_, j) =>
            vxlan(frame({ ...flow, sourceMac: 0x20, destinationMac: 2, payload: pattern(50), sourcePort: 1 + i * 64 + j })),
          ),
        );
      }
      const sent = engine.run();
      expect(sent.reduce((sum, one) => sum + one.packets, 0)).toBe(1024);
      expect(engine.counter(counters.COUNTER_RX)).toBe(1024);
      expect(engine.lost()).toBe(0);
    });

    it("accepts an IPv6 peer", () => {
      engine.fromVtep([vxlan(inbound())], PEER6, UNDERLAY6);
      expect(engine.run()[0]?.bytes.subarray(10)).toEqual(inbound());
    });

    it("floods a broadcast to the sandboxes and never back into a tunnel", () => {
      const broadcast = inbound();
      broadcast.fill(0xff, 0, 6);
      engine.fromVtep([vxlan(broadcast)]);
      const sent = engine.run();
      expect(sent.map((one) => one.port).sort()).toEqual([2, 3, 4, 5]);
      for (const one of sent) expect(one.bytes.subarray(10)).toEqual(broadcast);
      expect(engine.lost()).toBe(0);
    });

    const nested = (destination: number[], port = UDP_PORT): Uint8Array => {
      const bytes = frame({ ...flow, sourceMac: 0x20, destinationMac: 2, destinationPort: port, payload: vxlan(inbound(20)) });
      bytes.set(destination.slice(12), 30);
      return bytes;
    };
    const nested6 = (): Uint8Array => {
      const bytes = frame({
        family: 6,
        protocol: "udp",
        sourceMac: 0x20,
        destinationMac: 2,
        destinationPort: UDP_PORT,
        payload: pattern(60),
      });
      bytes.set(PEER6, 38);
      return bytes;
    };

    it.each<[string, number, () => Uint8Array, (readonly number[])?]>([
      ["nothing at all", counters.DROP_VXLAN_SHORT, () => new Uint8Array(0)],
      ["half a VXLAN header", counters.DROP_VXLAN_SHORT, () => vxlan(inbound()).subarray(0, 4)],
      ["a VXLAN header and nothing behind", counters.DROP_VXLAN_SHORT, () => vxlan(inbound()).subarray(0, 8)],
      ["one byte less than an Ethernet header", counters.DROP_VXLAN_SHORT, () => vxlan(inbound()).subarray(0, 21)],
      ["no flags", counters.DROP_VXLAN_FLAGS, () => vxlan(inbound(), VNI, 0)],
      ["all flags but I", counters.DROP_VXLAN_FLAGS, () => vxlan(inbound(), VNI, 0xf7)],
      ["a VNI that nobody has", counters.DROP_VNI_UNKNOWN, () => vxlan(inbound(), VNI + 1)],
      ["VNI 0", counters.DROP_VNI_UNKNOWN, () => vxlan(inbound(), 0)],
      ["the largest VNI", counters.DROP_VNI_UNKNOWN, () => vxlan(inbound(), 0xffffff)],
      ["a sender that is no VTEP", counters.DROP_VTEP_UNKNOWN, () => vxlan(inbound()), address4(192, 0, 2, 99)],
      ["VXLAN to a VTEP", counters.DROP_VXLAN_NESTED, () => vxlan(nested(PEER))],
      ["VXLAN to this host", counters.DROP_VXLAN_NESTED, () => vxlan(nested(LOCAL))],
      ["VXLAN to a VTEP over IPv6", counters.DROP_VXLAN_NESTED, () => vxlan(nested6())],
    ])("drops %s", (_what, reason, datagram, sender) => {
      engine.fromVtep([datagram()], sender ?? PEER);
      expect(engine.run()).toEqual([]);
      expect(engine.dropped()).toEqual({ [counters.DROP_NAMES[reason] ?? ""]: 1 });
      expect(engine.lost()).toBe(0);
    });

    it.each<[string, () => Uint8Array]>([
      ["flags with reserved bits", () => vxlan(inbound(), VNI, 0xff)],
      ["reserved bytes that are not zero", () => Uint8Array.from(vxlan(inbound()), (byte, i) => ([1, 2, 3, 7].includes(i) ? 0xab : byte))],
      ["VXLAN between the sandboxes' own addresses", () => vxlan(nested([...PEER.slice(0, 12), 10, 0, 0, 2]))],
      ["UDP to a VTEP's address on another port", () => vxlan(nested(PEER, UDP_PORT + 1))],
    ])("passes %s", (_what, datagram) => {
      engine.fromVtep([datagram()]);
      expect(engine.run()).toHaveLength(1);
      expect(engine.dropped()).toEqual({});
    });

    it("drops what a VTEP says in a network that it is not a member of", () => {
      engine.exports.memberDelete(DOMAIN, 1);
      engine.fromVtep([vxlan(inbound())]);
      expect(engine.run()).toEqual([]);
      expect(engine.dropped()).toEqual({ "vtep-unknown": 1 });
    });

    it("drops a buffer that native cut short as one", () => {
      engine.add({ port: UNDERLAY, bytes: vxlan(inbound()), segment: 30, flags: abi.RX_FLAG_TRUNCATED, sender: PEER });
      expect(engine.run()).toEqual([]);
      expect(engine.dropped()).toEqual({ truncated: 1 });
      expect(engine.lost()).toBe(0);
    });

    it("takes every truncation of a datagram without a trap", () => {
      const whole = vxlan(frame({ family: 6, protocol: "tcp", sourceMac: 0x20, destinationMac: 2, payload: pattern(20), vlan: 7 }));
      for (let length = 0; length <= whole.length; length++) engine.fromVtep([whole.subarray(0, length)]);
      engine.run();
      expect(engine.counter(counters.COUNTER_RX)).toBe(whole.length + 1);
      expect(engine.lost()).toBe(0);
    });
  });

  describe("out", () => {
    it("puts the header before the frame and sends both as one piece", () => {
      engine.fromTap(2, outbound());
      const sent = engine.run();
      expect(sent).toHaveLength(1);
      expect(sent[0]).toMatchObject({ port: UNDERLAY, segment: 0, destination: PEER, destinationPort: UDP_PORT, packets: 1, iovecs: 1 });
      expect(sent[0]?.socket).toBeLessThan(SOCKETS);
      expect(sent[0]?.bytes).toEqual(vxlan(outbound()));
    });

    it("sends to an IPv6 peer by the port of that family", () => {
      engine.fromTap(2, frame({ ...flow, sourceMac: 2, destinationMac: 0x60, payload: pattern(10) }));
      expect(engine.run()[0]).toMatchObject({ port: UNDERLAY6, destination: PEER6 });
    });

    it.each([4, 6] as const)("finishes the checksum that a kernel left to its card, IPv%i", (family) => {
      for (const protocol of ["tcp", "udp"] as const) {
        for (const size of [1, 2, 63, 64, 1000, 1001]) {
          const segment = { family, protocol, sourceMac: 2, destinationMac: 0x20, payload: pattern(size), checksum: "partial" as const };
          engine.fromTap(2, frame(segment), vnetHeader(segment));
          expect(engine.run()[0]?.bytes).toEqual(vxlan(frame({ ...segment, checksum: "full" })));
        }
      }
    });

    it("carries a tagged frame untouched", () => {
      const tagged = frame({ ...flow, sourceMac: 2, destinationMac: 0x20, payload: pattern(77), vlan: 0x6123 });
      engine.fromTap(2, tagged);
      expect(engine.run()[0]?.bytes).toEqual(vxlan(tagged));
    });

    it("sends a flow by one socket, and flows by all of them", () => {
      const sockets = new Set<number>();
      for (let i = 0; i < 64; i++) {
        const one = frame({ ...flow, sourceMac: 2, destinationMac: 0x20, sourcePort: 1000 + i, payload: pattern(20 + i) });
        const own = new Set<number>();
        for (let j = 0; j < 3; j++) {
          engine.fromTap(2, one.slice());
          for (const sent of engine.run()) own.add(sent.socket);
        }
        expect(own.size).toBe(1);
        for (const socket of own) sockets.add(socket);
      }
      expect([...sockets].sort()).toEqual([0, 1, 2, 3]);
    });

    it("sends frames of equal size in one message, a shorter one ends it", () => {
      const frames = [500, 500, 500, 200, 500].map((size, i) =>
        frame({ ...flow, sourceMac: 2, destinationMac: 0x20, payload: pattern(size, i) }),
      );
      for (const one of frames) engine.fromTap(2, one);
      const sent = engine.run();
      expect(sent.map((one) => [one.packets, one.segment])).toEqual([
        [4, 8 + 42 + 500],
        [1, 0],
      ]);
      expect(sent.flatMap(datagrams)).toEqual(frames.map((one) => vxlan(one)));
    });

    it("copies small datagrams side by side: few pieces a message", () => {
      const frames = Array.from({ length: 64 }, (_, i) => frame({ ...flow, sourceMac: 2, destinationMac: 0x20, payload: pattern(22, i) }));
      for (const one of frames) engine.fromTap(2, one);
      const sent = engine.run();
      expect(sent.flatMap(datagrams)).toEqual(frames.map((one) => vxlan(one)));
      expect(sent).toHaveLength(1);
      expect(sent[0]?.iovecs).toBeLessThan(8);
    });

    it("keeps a message within what the kernel takes", () => {
      for (let i = 0; i < 200; i++) engine.fromTap(2, outbound(1350));
      const sent = engine.run();
      for (const one of sent) {
        expect(one.bytes.length).toBeLessThanOrEqual(limits.RUN_LENGTH_MAX);
        expect(datagrams(one).length).toBeLessThanOrEqual(limits.RUN_SEGMENTS_MAX);
      }
      expect(sent.reduce((sum, one) => sum + one.packets, 0)).toBe(200);
    });

    it("floods to the peers with copies of its own: the sandboxes get the frame as it came", () => {
      const segment = { ...flow, sourceMac: 2, payload: pattern(300), checksum: "partial" as const };
      const broadcast = frame(segment);
      broadcast.fill(0xff, 0, 6);
      const finished = frame({ ...segment, checksum: "full" });
      finished.fill(0xff, 0, 6);
      engine.fromTap(2, broadcast, vnetHeader(segment));
      const sent = engine.run();
      expect(sent.map((one) => one.port).sort()).toEqual([UNDERLAY, 3, 4, 5, UNDERLAY6]);
      for (const one of sent) {
        if (one.port === UNDERLAY || one.port === UNDERLAY6) expect(one.bytes).toEqual(vxlan(finished));
        else expect(one.bytes.subarray(10)).toEqual(one.bytes[0] === 1 ? broadcast : finished);
      }
      expect(engine.lost()).toBe(0);
    });

    it("drops a sandbox's VXLAN to a VTEP", () => {
      const bytes = frame({ ...flow, sourceMac: 2, destinationMac: 0x20, destinationPort: UDP_PORT, payload: vxlan(inbound(20)) });
      bytes.set(PEER.slice(12), 30);
      engine.fromTap(2, bytes);
      expect(engine.run()).toEqual([]);
      expect(engine.dropped()).toEqual({ "vxlan-nested": 1 });
    });

    it("drops what is bound for a VTEP while its underlay port is closed", () => {
      engine.exports.portDelete(UNDERLAY);
      engine.fromTap(2, outbound());
      expect(engine.run()).toEqual([]);
      expect(engine.dropped()).toEqual({ "no-underlay": 1 });
    });

    it("moves the packets of a refused message from tx to the drops", () => {
      for (let i = 0; i < 10; i++) engine.fromTap(2, outbound());
      expect(engine.run(() => 101)).toEqual([]); // ENETUNREACH
      expect(engine.counter(counters.COUNTER_TX)).toBe(0);
      expect(engine.dropped()).toEqual({ "send-refused": 10 });
      expect(engine.lost()).toBe(0);
    });

    it("keeps the law when a batch of floods wants more than the transmit ring", () => {
      const many = 400;
      for (let i = 0; i < many; i++) {
        engine.exports.portSet(100 + i, abi.PORT_TAP, DOMAIN, 0, 1450);
      }
      const broadcast = outbound(1000);
      broadcast.fill(0xff, 0, 6);
      for (let i = 0; i < 100; i++) engine.fromTap(2, broadcast);
      const sent = engine.run();
      expect(engine.lost()).toBe(0);
      expect(sent.reduce((sum, one) => sum + one.packets, 0)).toBe(engine.counter(counters.COUNTER_TX));
      expect(engine.dropped()).toEqual({});
      expect(sent.reduce((sum, one) => sum + one.packets, 0)).toBe(100 * (many + 3 + 2));
    });
  });

  describe("what can be seen", () => {
    const traced = (): [number, number][] => {
      const lines = engine.exports.traceCount();
      return Array.from({ length: lines }, (_, i) => {
        const at = layout.TRACE_RING + i * abi.TRACE_ENTRY_LENGTH;
        return [engine.view.getUint16(at + abi.TRACE_NODE, true), engine.view.getUint16(at + abi.TRACE_EVENT, true)];
      });
    };

    it("traces a datagram from its VTEP to its port", () => {
      engine.exports.traceSet(UNDERLAY, 0, 1);
      engine.fromVtep([vxlan(inbound())]);
      engine.run();
      const lines = traced();
      expect(lines[0]).toEqual([abi.NODE_UNDERLAY_INPUT, abi.EVENT_ENTER]);
      expect(lines).toContainEqual([abi.NODE_VXLAN_DECAP, abi.EVENT_FROM_VTEP]);
      expect(lines.at(-1)?.[1]).toBe(abi.EVENT_SENT);
    });

    it("traces a frame from its port to its VTEP, and why it went no further", () => {
      engine.exports.traceSet(2, 0, 2);
      engine.fromTap(2, outbound());
      engine.run();
      expect(traced()).toContainEqual([abi.NODE_VXLAN_ENCAP, abi.EVENT_TO_VTEP]);
      expect(traced().at(-1)).toEqual([abi.NODE_UNDERLAY_OUTPUT, abi.EVENT_SENT]);
      engine.exports.portDelete(UNDERLAY);
      engine.fromTap(2, outbound());
      engine.run();
      expect(traced().at(-1)).toEqual([abi.NODE_VXLAN_ENCAP, abi.EVENT_DROP]);
    });

    it("counts for each port what it received, sent and lost", () => {
      const port = (index: number, field: number): number =>
        Number(engine.view.getBigUint64(layout.PORTS + index * abi.PORT_LENGTH + field, true));
      const frames = [0, 1, 2].map((i) => frame({ ...flow, sourceMac: 0x20, destinationMac: 2, payload: pattern(50), identification: i }));
      engine.fromVtep(frames.map((one) => vxlan(one)));
      for (let i = 0; i < 5; i++) engine.fromTap(3, frame({ ...flow, sourceMac: 3, destinationMac: 0x20, payload: pattern(60) }));
      engine.run((sent) => (sent.port === UNDERLAY ? 11 : 0)); // EAGAIN
      expect([port(UNDERLAY, abi.PORT_RX_PACKETS), port(2, abi.PORT_TX_PACKETS), port(2, abi.PORT_TX_BYTES)]).toEqual([3, 3, 3 * 92]);
      expect([port(3, abi.PORT_RX_PACKETS), port(UNDERLAY, abi.PORT_TX_PACKETS), port(UNDERLAY, abi.PORT_DROPS)]).toEqual([5, 0, 5]);
      expect(engine.dropped()).toEqual({ "send-queue-full": 5 });
      expect(engine.lost()).toBe(0);
    });
  });
});

// What segmentation and merging promise, over random traffic:
//   a super-frame that crosses the tunnel arrives as it left, byte for byte;
//   merging changes no frame: a receiver that cuts up what it gets has the frames that were sent, each flow's in order;
//   rx + cloned + originated = tx + drops.
//
// Conventions that the comparison takes for granted: identifications count up by one a segment (all-equal ones may come out
// counting), and an unfinished checksum equals the finished one that any receiver makes of it.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Batch, datagrams, vxlan } from "../support/batch.ts";
import { ACK, concat, cut, ECE, expand, FIN, frame, PSH, pattern, type Segment, vnetHeader } from "../support/oracle.ts";

const RUNS = Number(process.env.WEFT_PROPERTY_RUNS ?? 60);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const superFrames = fc
  .record({
    family: fc.constantFrom(4 as const, 6 as const),
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    tag: fc.option(fc.nat(0xfff)),
    size: fc.integer({ min: 1, max: 1300 }),
    segments: fc.integer({ min: 2, max: 48 }),
    rest: fc.nat(1299),
    sequence: fc.nat(0xffffffff),
    identification: fc.nat(0xffff),
    options: fc.nat(3),
    push: fc.boolean(),
  })
  .map((one): { segment: Segment; size: number } => ({
    size: one.size,
    segment: {
      family: one.family,
      protocol: one.protocol,
      ...(one.tag === null ? {} : { vlan: one.tag }),
      sequence: one.sequence,
      identification: one.identification,
      flags: one.push ? ACK | PSH : ACK,
      options: Uint8Array.from({ length: one.options * 4 }, () => 1),
      payload: pattern(one.size * (one.segments - 1) + 1 + (one.rest % one.size), one.sequence),
      checksum: "partial",
    },
  }));

describe.each(["debug", "release"] as const)("GSO and GRO (%s)", (target) => {
  it("carries super-frames through the tunnel byte for byte", () => {
    const sender = new Batch(target);
    const receiver = new Batch(target);
    fc.assert(
      fc.property(fc.array(superFrames, { minLength: 1, maxLength: 4 }), (frames) => {
        for (const [i, { segment, size }] of frames.entries()) {
          const own = { ...segment, sourceMac: 2, destinationMac: 0x20, sourcePort: 1000 + i };
          sender.fromTap(2, frame(own), vnetHeader(own, size));
        }
        const wire = sender.run();
        expect(wire.flatMap(datagrams).map(hex).sort()).toEqual(
          frames
            .flatMap(({ segment, size }, i) => cut({ ...segment, sourceMac: 2, destinationMac: 0x20, sourcePort: 1000 + i }, size))
            .map((one) => hex(vxlan(one)))
            .sort(),
        );
        // On the other host 02:..:02 and :20 have changed sides.
        for (const message of wire) {
          const arrived = datagrams(message).map((datagram) => {
            const copy = datagram.slice();
            copy[8 + 5] = 2;
            copy[8 + 11] = 0x20;
            return copy;
          });
          receiver.fromVtep(arrived);
        }
        const expected = frames.map(({ segment, size }, i) => {
          const own = { ...segment, sourceMac: 0x20, destinationMac: 2, sourcePort: 1000 + i };
          return hex(concat(vnetHeader(own, size), frame(own)));
        });
        expect(
          receiver
            .run()
            .map((one) => hex(one.bytes))
            .sort(),
        ).toEqual(expected.sort());
        expect(sender.lost()).toBe(0);
        expect(receiver.lost()).toBe(0);
        expect(receiver.dropped()).toEqual({});
      }),
      { numRuns: RUNS },
    );
  });

  const steps = fc.array(
    fc.record({
      flow: fc.nat(5),
      kind: fc.constantFrom("data", "data", "data", "data", "short", "push", "ack", "fin", "ece", "super", "gap", "jump", "bad", "options"),
      finished: fc.boolean(),
    }),
    { minLength: 1, maxLength: 120 },
  );

  /** The frames of random steps over six flows: TCP and UDP, IPv4 and IPv6, one of them tagged. */
  function traffic(plan: { flow: number; kind: string; finished: boolean }[], macs: Partial<Segment>, partial: boolean) {
    const state = Array.from({ length: 6 }, (_, i) => ({ sequence: 0xfffff000 + i, identification: 0xfff0 + i }));
    return plan.map(({ flow, kind, finished }, i) => {
      const at = state[flow]!;
      const isTcp = flow % 2 === 0;
      const size = 40 + flow;
      const lengths: Record<string, number> = { short: size - 9, ack: 0, super: partial ? size * 3 + 7 : size };
      const length = lengths[kind] ?? size;
      const isSuper = kind === "super" && partial;
      if (kind === "gap") at.sequence += 5;
      if (kind === "jump") at.identification += 3;
      const segment: Segment = {
        family: flow < 3 ? 4 : 6,
        protocol: isTcp ? "tcp" : "udp",
        ...(flow === 2 || flow === 3 ? { vlan: 100 + flow } : {}),
        ...macs,
        sourcePort: 2000 + flow,
        sequence: at.sequence >>> 0,
        identification: at.identification & 0xffff,
        flags: ACK | (kind === "push" ? PSH : 0) | (kind === "fin" ? FIN : 0) | (kind === "ece" ? ECE : 0),
        options: Uint8Array.from({ length: kind === "options" ? 4 : 0 }, () => 1),
        payload: pattern(length, i + 1),
        checksum: kind === "bad" ? "wrong" : isSuper || (partial && !finished) ? "partial" : "full",
      };
      at.sequence += length;
      at.identification += isSuper ? Math.ceil(length / size) : 1;
      return { flow, bytes: frame(segment), vnet: vnetHeader(segment, isSuper ? size : 0) };
    });
  }

  const perFlow = (frames: Uint8Array[]): Record<number, string[]> => {
    const found: Record<number, string[]> = {};
    for (const one of frames) {
      const l3 = one[12] === 0x81 ? 18 : 14;
      const l4 = l3 + ((one[l3] ?? 0) >> 4 === 4 ? 20 : 40);
      const port = ((one[l4] ?? 0) << 8) | (one[l4 + 1] ?? 0);
      const own = found[port] ?? [];
      own.push(hex(one));
      found[port] = own;
    }
    return found;
  };

  it("delivers each flow's frames unchanged and in order between sandboxes", () => {
    const engine = new Batch(target);
    fc.assert(
      fc.property(steps, (plan) => {
        const sent = traffic(plan, { sourceMac: 2, destinationMac: 3 }, true);
        for (const one of sent) engine.fromTap(2, one.bytes, one.vnet);
        const received = engine.run();
        expect(perFlow(received.flatMap((one) => expand(one.bytes)))).toEqual(
          perFlow(sent.flatMap((one) => expand(concat(one.vnet, one.bytes)))),
        );
        expect(engine.lost()).toBe(0);
        expect(engine.dropped()).toEqual({});
      }),
      { numRuns: RUNS },
    );
  });

  it("delivers each flow's frames unchanged and in order from a VTEP", () => {
    const engine = new Batch(target);
    fc.assert(
      fc.property(steps, fc.nat(), (plan, together) => {
        const sent = traffic(plan, { sourceMac: 0x20, destinationMac: 2 }, false);
        // Neighbours of one length may share a buffer, as UDP_GRO makes them.
        for (let i = 0; i < sent.length; ) {
          const first = sent[i]!.bytes.length;
          let end = i + 1;
          while (together % 2 === 0 && end < sent.length && sent[end]!.bytes.length === first) end++;
          engine.fromVtep(sent.slice(i, end).map((one) => vxlan(one.bytes)));
          i = end;
        }
        const received = engine.run();
        expect(perFlow(received.flatMap((one) => expand(one.bytes)))).toEqual(perFlow(sent.map((one) => one.bytes)));
        expect(received.reduce((sum, one) => sum + one.packets, 0)).toBe(sent.length);
        expect(engine.lost()).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });

  it("sends each flow's frames to a VTEP unchanged and in order", () => {
    const engine = new Batch(target);
    fc.assert(
      fc.property(steps, (plan) => {
        const sent = traffic(plan, { sourceMac: 2, destinationMac: 0x20 }, true);
        for (const one of sent) engine.fromTap(2, one.bytes, one.vnet);
        const wire = engine.run().flatMap(datagrams);
        expect(perFlow(wire.map((one) => one.subarray(8)))).toEqual(perFlow(sent.flatMap((one) => expand(concat(one.vnet, one.bytes)))));
        expect(engine.lost()).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });
});

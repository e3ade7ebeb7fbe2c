// Frames that no sane host sends: templates of everything that the engine parses, with bytes flipped, fields set to their
// extremes, tails cut off, headers of offloads made up. Nothing may trap, read outside the memory or break the law of packets.
//
// WEFT_FUZZ sets how many frames (the nightly run takes 10 million), WEFT_FUZZ_SEED which ones.
import { describe, expect, it } from "vitest";
import {
  DOMAIN_FLAG_CLAMP_MSS,
  DOMAIN_FLAG_LEARNING,
  DOMAIN_FLAG_PROXY_NEIGHBORS,
  NODE_COUNT,
  PORT_FLAG_IPV4_HEADER,
  PORT_FLAG_ISOLATED,
  PORT_FLAG_NO_FLOOD,
  PORT_FLAG_PASSTHRU,
  PORT_FLAG_PRIVATE,
  PORT_FLAG_VEPA,
  RX_FLAG_VLAN,
  RX_FLAG_VLAN_SERVICE,
} from "../../wasm/shared/abi.ts";
import { CAPTURE_RING_LENGTH } from "../../wasm/shared/layout.ts";
import { concat, icmp, ipv4, vxlan } from "../support/packet-builder.ts";
import { type Random, random } from "../support/random.ts";
import { BUILDS, Engine, type Input } from "../support/wasm.ts";
import { A, B, mutate, REMOTE, sourceOf, TEMPLATES, targetOf, VNI, vnet } from "./templates.ts";

const FRAMES = Number(process.env.WEFT_FUZZ ?? 100_000);
const SEED = Number(process.env.WEFT_FUZZ_SEED ?? 1);

/** The headers of a "too big", by the port that takes them. */
const ICMP_TOO_BIG: Readonly<Record<number, Uint8Array>> = {
  10: ipv4({ source: "10.9.0.254", destination: "10.9.0.1" }, icmp(3, 4, Uint8Array.of(0, 0, 5, 0))).bytes,
  11: Uint8Array.of(2, 0, 0, 0, 0, 0, 5, 0),
};

function network(engine: Engine, r: Random): void {
  engine.reset(1024);
  const flags = DOMAIN_FLAG_LEARNING | DOMAIN_FLAG_PROXY_NEIGHBORS | DOMAIN_FLAG_CLAMP_MSS;
  engine.domain(0, { vni: VNI, flags, mtuBytes: r.pick([68, 1280, 1450, 9000]), fdbLimit: 100 });
  engine.domain(1, { flags });
  for (const port of [1, 2, 3]) engine.tap(port, 0, r.pick([0, 0, PORT_FLAG_ISOLATED, PORT_FLAG_NO_FLOOD]));
  engine.tap(4, 1);
  engine.underlay(8);
  engine.underlay(9);
  engine.pathMtu(10, PORT_FLAG_IPV4_HEADER);
  engine.pathMtu(11);
  engine.vtep(1, "10.9.0.2", 8, [0]);
  engine.vtep(2, "fd09::3", 9, [0]);
  engine.vtep(3, "10.9.0.4", 77, [0]); // by a port that is not there
  // Two VLANs and the untagged frames of a macvlan parent.
  engine.packetPort(20);
  for (const [i, vid] of [0, 5, 4094].entries()) {
    engine.domain(10 + i, { flags: 0 });
    engine.uplink(21 + i, 10 + i, 20, vid, vid === 0 ? r.pick([0, PORT_FLAG_PASSTHRU]) : 0);
    for (const station of [0, 1]) {
      const port = 30 + 2 * i + station;
      engine.tap(
        port,
        10 + i,
        r.pick([0, PORT_FLAG_NO_FLOOD, PORT_FLAG_NO_FLOOD | PORT_FLAG_VEPA, PORT_FLAG_NO_FLOOD | PORT_FLAG_PRIVATE]),
      );
      engine.pin(10 + i, station === 0 ? A : B, { port });
    }
  }
  engine.pin(0, B, { port: 2 });
  engine.pin(0, REMOTE, { vtep: 1 + r.below(3) });
  engine.pin(1, A, { port: 4 });
  for (const isIpv6 of [false, true]) {
    engine.neighbor(0, targetOf(isIpv6), B);
    engine.neighbor(0, sourceOf(isIpv6), A);
  }
  if (r.chance(0.3)) engine.exports.captureSet(1, r.pick([1, 64, 65536]));
  if (r.chance(0.3)) engine.exports.traceSet(0xffff, 0, 50);
}

function input(r: Random): Input {
  const frame = mutate(r, r.pick(TEMPLATES));
  const flags = r.chance(0.01) ? r.below(4) : 0;
  if (r.chance(0.25)) {
    const isParent = r.chance(0.6);
    const bytes = r.chance(0.05) ? r.bytes(r.below(60)) : undefined;
    return {
      port: isParent ? 20 : r.pick([30, 31, 32, 33, 34, 35, 21]),
      frame,
      vnet: r.chance(0.1) ? { ...vnet(r), flags: 2 } : vnet(r),
      flags: flags | (isParent ? r.pick([0, RX_FLAG_VLAN, RX_FLAG_VLAN, RX_FLAG_VLAN | RX_FLAG_VLAN_SERVICE]) : 0),
      tci: r.pick([0, 5, 4094, 4095, r.below(0x10000)]),
      ...(bytes && { bytes }),
    };
  }
  if (r.chance(0.6)) {
    const bytes = r.chance(0.02) ? r.bytes(r.below(200)) : undefined;
    return { port: r.chance(0.97) ? r.pick([1, 1, 2, 3, 4]) : r.below(0x10000), frame, vnet: vnet(r), flags, ...(bytes && { bytes }) };
  }
  const datagrams = Array.from({ length: r.chance(0.7) ? 1 : 1 + r.below(20) }, (_, i) => {
    const inner = i === 0 ? frame : r.chance(0.5) ? frame : mutate(r, frame);
    const header = r.chance(0.9) ? vxlan(VNI, inner) : mutate(r, vxlan(r.pick([VNI, 5]), inner));
    return header;
  });
  // UDP_GRO buffers have one size: cut or pad to the first's.
  const size = Math.max(1, datagrams[0]!.length);
  const equal = datagrams.map((one) => concat(one.subarray(0, size), new Uint8Array(Math.max(0, size - one.length))));
  return {
    port: r.pick([8, 9]),
    datagrams: equal.slice(0, Math.max(1, Math.floor(65000 / size))),
    from: r.pick(["10.9.0.2", "fd09::3", "10.9.0.4", "10.9.0.99"]),
    flags,
  };
}

describe.each(BUILDS)("frames that no sane host sends (%s)", (build) => {
  it(`${FRAMES} of them, seed ${SEED}`, { timeout: 60_000 + FRAMES }, () => {
    const r = random(SEED);
    const engine = new Engine(build);
    for (let done = 0, turn = 0; done < FRAMES; turn++) {
      // A new network now and then: other MTUs, other flags, empty tables.
      if (turn % 40 === 0) network(engine, r);
      const inputs = Array.from({ length: Math.min(1 + r.below(256), FRAMES - done) }, () => input(r));
      done += inputs.length;
      engine.exports.tick(turn * r.pick([1, 1000, 100_000]));
      for (const one of engine.run(inputs, { refuse: () => (r.chance(0.05) ? r.pick([11, 105, 22]) : 0) })) {
        if (one.bytes.length === 0) throw new Error("an empty descriptor");
        for (const datagram of one.datagrams) if (datagram.length < 8 + 14) throw new Error(`a datagram of ${datagram.length} bytes`);
        if (one.destination === "" && one.frame.length < 14) throw new Error(`a frame of ${one.frame.length} bytes`);
      }
      if (engine.lawDifference() !== 0) throw new Error(`turn ${turn}: the law of packets is off by ${engine.lawDifference()}`);
      if (engine.exports.captureLength() > CAPTURE_RING_LENGTH) throw new Error("the capture ring overflowed");
      engine.exports.captureClear();
    }
    expect(engine.counter("rx")).toBeGreaterThan(0);
  });
});

describe.each(BUILDS)("every truncation of every header (%s)", (build) => {
  it("is carried or dropped by name, from a TAP and from a tunnel", () => {
    const engine = new Engine(build);
    network(engine, random(SEED));
    for (const template of TEMPLATES) {
      const inputs: Input[] = [];
      for (let length = 0; length <= Math.min(template.length, 150); length++) {
        inputs.push({ port: 1, frame: template.subarray(0, length) });
        inputs.push({ port: 1, frame: new Uint8Array(0), bytes: concat(new Uint8Array(10), template).subarray(0, length) });
        inputs.push({ port: 20, frame: template.subarray(0, length), flags: RX_FLAG_VLAN, tci: length % 2 === 0 ? 5 : 9 });
        inputs.push({ port: 20, frame: new Uint8Array(0), bytes: concat(new Uint8Array(10), template).subarray(0, length) });
        inputs.push({ port: 30, frame: template.subarray(0, length) });
        inputs.push({ port: 8, datagrams: [vxlan(VNI, template).subarray(0, length)], from: "10.9.0.2" });
        // As if the frame's packet were ICMP, or what ICMP quotes; esp.test.ts has what is nearly right.
        for (const port of [10, 11]) {
          inputs.push({ port, datagrams: [template.subarray(14, 14 + length)], from: "10.9.0.2" });
          inputs.push({ port, datagrams: [concat(ICMP_TOO_BIG[port]!, template.subarray(14, 14 + length))], from: "10.9.0.2" });
        }
      }
      engine.run(inputs);
      expect(engine.lawDifference()).toBe(0);
    }
    expect(NODE_COUNT).toBe(18); // a new node wants its header among the templates
  });
});

// Whatever arrives at an ESP port, whatever its descriptor says of it, and whatever became of opening it: nothing traps, reads
// outside the memory or breaks the law of packets; nor what is said there of packets too long. And what sandboxes send into encrypted networks is sealed whole or dropped.
//
// The cipher here opens nothing: it answers as the dice fall, so that what was inside is the fuzzer's, as if its sender knew the
// key. WEFT_FUZZ and WEFT_FUZZ_SEED as in headers.test.ts.
import { describe, expect, it } from "vitest";
import {
  DOMAIN_FLAG_CLAMP_MSS,
  DOMAIN_FLAG_ENCRYPTED,
  DOMAIN_FLAG_LEARNING,
  PORT_FLAG_IPV4_HEADER,
  PROBE_DUMMY,
  PROBE_KEEPALIVE,
  SA_FLAG_CHECKSUM,
  SA_FLAG_ESN,
  SA_FLAG_NOTIFY,
  SA_FLAG_OUTBOUND,
  SA_LENGTH,
  SA_SEQUENCE,
} from "../../wasm/shared/abi.ts";
import {
  AEAD_BYTES,
  AEAD_DONE,
  AEAD_FORGED,
  AEAD_ICV_BYTES,
  AEAD_KIND,
  AEAD_NONE,
  AEAD_OFFSET,
  AEAD_OP_LENGTH,
  AEAD_OPEN,
  AEAD_PENDING,
  AEAD_REFUSED,
  AEAD_SEAL,
  AEAD_STATUS,
} from "../../wasm/shared/aead.ts";
import { ESP_EVENTS, ESP_EVENTS_LENGTH, SAD } from "../../wasm/shared/layout.ts";
import { concat, ethernet, icmp, icmpv6, ipv4, ipv6, pattern, raw, rawL4, u16, u32, udp, vxlan } from "../support/packet-builder.ts";
import { type Random, random } from "../support/random.ts";
import { BUILDS, type Cipher, Engine, type Input } from "../support/wasm.ts";
import { A, B, mutate, REMOTE, TEMPLATES, VNI, vnet } from "./templates.ts";

const FRAMES = Number(process.env.WEFT_FUZZ ?? 100_000);
const SEED = Number(process.env.WEFT_FUZZ_SEED ?? 1);

const [UDP4, UDP6, RAW4, RAW6, ERRORS4, ERRORS6] = [10, 11, 12, 13, 14, 15] as const;
const VTEPS = ["10.9.0.2", "fd09::3", "10.9.0.4", "fd09::5"] as const;
/** Of the associations that come in, with how they are set in `network`. */
const SPIS = [0x80000001, 0x80000002, 0x80000003, 0x80000004] as const;

function network(engine: Engine, r: Random): void {
  engine.reset(1024);
  const flags = DOMAIN_FLAG_LEARNING | DOMAIN_FLAG_CLAMP_MSS;
  engine.domain(0, { vni: VNI, flags: flags | DOMAIN_FLAG_ENCRYPTED, mtuBytes: r.pick([68, 1280, 1408, 9000]), fdbLimit: 100 });
  engine.domain(1, { vni: VNI + 1, flags, mtuBytes: 1408 });
  engine.tap(1, 0);
  engine.tap(2, 0);
  engine.tap(3, 1);
  engine.underlay(8);
  engine.underlay(9);
  for (const port of [UDP4, UDP6, RAW6]) engine.esp(port);
  engine.esp(RAW4, PORT_FLAG_IPV4_HEADER);
  engine.pathMtu(ERRORS4, PORT_FLAG_IPV4_HEADER);
  engine.pathMtu(ERRORS6);
  const icvBytes = (): number => r.pick([8, 12, 16]);
  for (const [i, address] of VTEPS.entries()) {
    engine.vtep(1 + i, address, address.includes(":") ? 9 : 8, [0, 1]);
    const port = r.pick([UDP4, UDP6, RAW4, RAW6, 77]);
    const common = { vtep: 1 + i, port, udpPort: port === RAW4 || port === RAW6 ? 0 : 4500 };
    engine.sa(1 + i, { ...common, spi: SPIS[i]!, icvBytes: icvBytes(), flags: r.pick([0, SA_FLAG_ESN, SA_FLAG_ESN | SA_FLAG_NOTIFY]) });
    // One VTEP may have no association to send by, another one that is soon used up.
    if (r.chance(0.2)) continue;
    engine.sa(11 + i, {
      ...common,
      spi: SPIS[i]! + 100,
      icvBytes: icvBytes(),
      flags: SA_FLAG_OUTBOUND | r.pick([0, SA_FLAG_ESN, SA_FLAG_CHECKSUM]),
      pseudo: r.below(0x10000),
      packetLimit: BigInt(r.pick([50, 2 ** 32 - 1, 2 ** 32 - 1])),
      byteLimit: BigInt(r.pick([100_000, 2 ** 38, 2 ** 38])),
    });
  }
  engine.pin(0, B, { port: 2 });
  engine.pin(0, REMOTE, { vtep: 1 + r.below(4) });
  engine.pin(1, A, { port: 3 });
  if (r.chance(0.3)) engine.exports.captureSet(r.pick([1, UDP4]), r.pick([1, 64, 65536]));
  if (r.chance(0.3)) engine.exports.traceSet(0xffff, 0, 50);
}

/** Seals by leaving all as it is, and answers for what it should open anything that a cipher can, with any bytes. */
function dice(r: Random): Cipher {
  return (memory, ring, count) => {
    for (let op = ring; op < ring + count * AEAD_OP_LENGTH; op += AEAD_OP_LENGTH) {
      const kind = memory.getUint8(op + AEAD_KIND);
      if (kind === AEAD_NONE) continue;
      if (kind !== AEAD_SEAL && kind !== AEAD_OPEN) throw new Error(`an operation of kind ${kind}`);
      const end = memory.getUint32(op + AEAD_OFFSET, true) + memory.getUint32(op + AEAD_BYTES, true) + memory.getUint8(op + AEAD_ICV_BYTES);
      if (end > memory.byteLength) throw new Error("an operation reaches outside of the memory");
      if (memory.getUint32(op + AEAD_STATUS, true) !== AEAD_PENDING) throw new Error("an operation has a status before it ran");
      const status = kind === AEAD_SEAL || r.chance(0.9) ? AEAD_DONE : r.pick([AEAD_PENDING, AEAD_FORGED, AEAD_REFUSED, 0x100, 0x7fffffff]);
      memory.setUint32(op + AEAD_STATUS, status, true);
    }
    return 0;
  };
}

let sequence = 1;

/** An ESP packet whose plaintext is a tunnel's, or nearly. */
function packet(r: Random): Uint8Array {
  const front = new DataView(new ArrayBuffer(16));
  front.setUint32(0, r.chance(0.95) ? r.pick(SPIS) : r.pick([0, 1, r.below(2 ** 32)]));
  front.setUint32(4, r.chance(0.9) ? sequence++ : r.pick([0, 1, 2 ** 32 - 1, sequence, Math.max(0, sequence - 9000), r.below(2 ** 32)]));
  const inner = vxlan(r.pick([VNI, VNI, VNI, VNI + 1, 5]), mutate(r, r.pick(TEMPLATES)));
  const header = new DataView(new ArrayBuffer(8));
  header.setUint16(0, 50000);
  header.setUint16(2, r.chance(0.95) ? 4789 : r.below(0x10000));
  header.setUint16(4, r.chance(0.9) ? 8 + inner.length : r.below(0x10000));
  const length = 8 + inner.length;
  const padding = (2 - (length % 4) + 4) % 4;
  const pad = Uint8Array.from({ length: padding }, (_, i) => i + 1);
  const trailer = r.chance(0.9) ? [padding, 17] : [r.below(256), r.pick([17, 59, 4, r.below(256)])];
  const icv = new Uint8Array(r.pick([8, 12, 16]));
  const whole = concat(new Uint8Array(front.buffer), new Uint8Array(header.buffer), inner, pad, Uint8Array.from(trailer), icv);
  if (r.chance(0.9)) return whole;
  return r.chance(0.5) ? mutate(r, whole) : r.bytes(r.below(100));
}

/** ICMP's "too big" about a datagram that may have been ours. */
function error(r: Random, engine: Engine): Input {
  const vtep = r.below(4);
  const isIpv6 = VTEPS[vtep]!.includes(":");
  // Numbers go on through a reset, so the newest is asked for.
  const newest = Number(BigInt.asUintN(32, engine.view.getBigUint64(SAD + (11 + vtep) * SA_LENGTH + SA_SEQUENCE, true)));
  const number = r.chance(0.9) ? Math.max(0, newest - r.below(20)) : r.below(2 ** 32);
  const esp = concat(u32(r.chance(0.9) ? SPIS[vtep]! + 100 : r.pick(SPIS)), u32(number));
  const ports = { source: r.chance(0.9) ? 4500 : r.below(0x10000), destination: r.chance(0.9) ? 4500 : r.below(0x10000) };
  const l4 = r.chance(0.5) ? udp(ports, concat(esp, new Uint8Array(1400))) : rawL4(50, concat(esp, new Uint8Array(1400)));
  const mtuBytes = r.chance(0.9) ? 1280 + r.below(220) : r.below(0x10000);
  const quoted = r.chance(0.9) ? 100 : r.below(100);
  let bytes: Uint8Array;
  if (isIpv6) {
    const quote = ipv6({ source: "fd09::1", destination: VTEPS[vtep]! }, l4).bytes.subarray(0, quoted);
    bytes = icmpv6(2, 0, concat(u32(mtuBytes), quote)).build({ source: new Uint8Array(16), destination: new Uint8Array(16) });
  } else {
    const quote = ipv4({ source: "10.9.0.1", destination: VTEPS[vtep]!, dontFragment: true }, l4).bytes.subarray(0, quoted);
    bytes = ipv4({ source: "10.9.0.254", destination: "10.9.0.1" }, icmp(3, 4, concat(u16(0), u16(mtuBytes), quote))).bytes;
  }
  const port = r.chance(0.95) === isIpv6 ? ERRORS6 : ERRORS4;
  return { port, datagrams: [r.chance(0.8) ? bytes : mutate(r, bytes)], from: "10.9.0.254", fromPort: 0, flags: r.chance(0.01) ? 1 : 0 };
}

function input(r: Random, engine: Engine): Input {
  if (r.chance(0.05)) return error(r, engine);
  const flags = r.chance(0.01) ? r.below(4) : 0;
  if (r.chance(0.3)) {
    const frame = mutate(r, r.pick(TEMPLATES));
    return { port: r.pick([1, 1, 2, 3]), frame, vnet: vnet(r), flags };
  }
  const port = r.pick([UDP4, UDP4, UDP6, RAW4, RAW6, r.chance(0.05) ? 8 : UDP4]);
  const ip = (): Uint8Array => (r.chance(0.9) ? Uint8Array.of(0x45, ...new Uint8Array(19)) : r.bytes(r.below(24)));
  const one = (): Uint8Array => (port === RAW4 ? concat(ip(), packet(r)) : packet(r));
  const datagrams = Array.from({ length: r.chance(0.7) ? 1 : 1 + r.below(20) }, one);
  const size = Math.max(1, datagrams[0]!.length);
  const equal = datagrams.map((each) => concat(each.subarray(0, size), new Uint8Array(Math.max(0, size - each.length))));
  return {
    port,
    datagrams: datagrams[0]!.length === 0 ? [datagrams[0]!] : equal.slice(0, Math.max(1, Math.floor(65000 / size))),
    from: r.pick(VTEPS),
    fromPort: r.pick([4500, 4500, r.below(0x10000)]),
    flags,
    ...(r.chance(0.05) && { segment: r.pick([0, 1, 7, 0xffff, r.below(0x10000)]) }),
  };
}

describe.each(BUILDS)("bytes at ESP ports (%s)", (build) => {
  it(`${FRAMES} of them, seed ${SEED}`, { timeout: 60_000 + FRAMES }, () => {
    const r = random(SEED);
    const engine = new Engine(build);
    engine.cipher = dice(r);
    sequence = 1;
    let delivered = 0;
    let sealed = 0;
    let learned = 0;
    for (let done = 0, turn = 0; done < FRAMES; turn++) {
      if (turn % 40 === 0) network(engine, r);
      const inputs = Array.from({ length: Math.min(1 + r.below(256), FRAMES - done) }, () => input(r, engine));
      done += inputs.length;
      engine.exports.tick(turn * r.pick([1, 1000, 100_000]));
      for (const one of engine.run(inputs, { refuse: () => (r.chance(0.05) ? r.pick([11, 105, 22]) : 0) })) {
        if (one.bytes.length === 0) throw new Error("an empty descriptor");
        if (one.port < 8) delivered++;
        else if (one.port >= UDP4) sealed++;
        // The encrypted network's frames leave by no other door.
        if (one.port === 8 || one.port === 9)
          for (const datagram of one.datagrams)
            if (new DataView(datagram.buffer, datagram.byteOffset).getUint32(4) >>> 8 === VNI) throw new Error("plaintext");
      }
      if (r.chance(0.2)) engine.probe(1 + r.below(4), r.pick([PROBE_DUMMY, PROBE_KEEPALIVE]));
      if (engine.lawDifference() !== 0) throw new Error(`turn ${turn}: the law of packets is off by ${engine.lawDifference()}`);
      if (engine.view.getUint32(ESP_EVENTS, true) > ESP_EVENTS_LENGTH) throw new Error("the events overflowed");
      if (r.chance(0.5)) engine.exports.espEventsClear();
      if (turn % 40 === 39) learned += engine.drops()["path-mtu-learned"] ?? 0;
      engine.exports.captureClear();
    }
    // It did get through: a fuzzer whose inputs all end at the first check proves nothing.
    expect(delivered).toBeGreaterThan(FRAMES / 100);
    expect(sealed).toBeGreaterThan(FRAMES / 500);
    expect(learned).toBeGreaterThan(FRAMES / 5000);
  });

  it("each length of a buffer with each size of its datagrams", () => {
    const engine = new Engine(build);
    const r = random(SEED);
    network(engine, r);
    engine.cipher = dice(r);
    const whole = concat(new Uint8Array(20), packet(r), packet(r)).slice(0, 300);
    whole[0] = 0x45;
    for (const port of [UDP4, UDP6, RAW4, RAW6]) {
      const inputs: Input[] = [];
      for (let length = 0; length < 120; length++)
        for (const segment of [0, 1, 19, 20, 21, 36, 37, 52, 119, 65535])
          inputs.push({
            port,
            datagrams: [whole.subarray(port === RAW4 ? 0 : 20, (port === RAW4 ? 0 : 20) + length)],
            from: VTEPS[0],
            segment,
          });
      engine.run(inputs);
      expect(engine.lawDifference()).toBe(0);
    }
  });

  it("floods of super-frames to many encrypted VTEPs wait for room, and none is lost", () => {
    const engine = new Engine(build, 1024);
    engine.domain(0, { vni: VNI, flags: DOMAIN_FLAG_LEARNING | DOMAIN_FLAG_ENCRYPTED, mtuBytes: 1400 });
    engine.tap(1, 0);
    engine.underlay(8);
    engine.esp(UDP4);
    const count = 300;
    for (let i = 1; i <= count; i++) {
      engine.vtep(i, `10.8.${i >> 8}.${i & 255}`, 8, [0]);
      engine.sa(i, { spi: 1000 + i, vtep: i, port: UDP4, flags: SA_FLAG_OUTBOUND });
    }
    engine.cipher = dice(random(SEED));
    const frame = ethernet({ source: A, destination: "ff:ff:ff:ff:ff:ff" }, raw(0x88b5, pattern(1000)));
    const sent = engine.run(Array.from({ length: 40 }, () => ({ port: 1, frame })));
    expect(sent.reduce((sum, { datagrams }) => sum + datagrams.length, 0)).toBe(40 * count);
    const big = TEMPLATES.find((one) => one.length > 3900)!.slice();
    big.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    const l4 = { flags: 1, gsoType: 1, headerLength: 54, gsoSize: 100, checksumStart: 34, checksumOffset: 16 };
    const cut = engine.run(Array.from({ length: 20 }, () => ({ port: 1, frame: big, vnet: l4 })));
    expect(cut.reduce((sum, { datagrams }) => sum + datagrams.length, 0)).toBe(20 * count * Math.ceil((big.length - 54) / 100));
    expect([engine.lawDifference(), engine.drops()]).toEqual([0, {}]);
  });
});

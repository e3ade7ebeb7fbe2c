// Floods against a plain model: in networks of many sandboxes and peers, batches of broadcasts, strangers and known neighbours,
// small and large, cut or whole, are more copies than vectors and rings hold. Whoever is to have a frame gets all of its payload
// once, with right checksums, and nobody else any of it; peers behind a narrow path get none of what is too long for it.
//
//   domain 1 in the clear, domain 2 encrypted (the cipher changes nothing, so that what is sealed can be read), domain 3 local
//
// A frame's number is its source port, which every copy and every segment has.
import { describe, expect, it } from "vitest";
import * as abi from "../../wasm/shared/abi.ts";
import { AEAD_DONE, AEAD_OP_LENGTH, AEAD_STATUS } from "../../wasm/shared/aead.ts";
import { VTEPS } from "../../wasm/shared/layout.ts";
import { BROADCAST, checksumFault, ethernet, ipv4, ipv6, pattern, tcp, udp } from "../support/packet-builder.ts";
import { type Random, random } from "../support/random.ts";
import { BUILDS, destinationOf, Engine, type Sent, type TapInput } from "../support/wasm.ts";

const ROUNDS = Math.max(10, Math.ceil(Number(process.env.WEFT_FUZZ ?? 100_000) / 50_000));
const SEED = Number(process.env.WEFT_FUZZ_SEED ?? 1);
const [UNDERLAY, ESP] = [1, 2];
const [CLEAR, ENCRYPTED, LOCAL] = [1, 2, 3];
const SPI = 1000;
/** Before VXLAN in what is sealed: ESP's header and IV, UDP's header. */
const SEALED_FRONT = 24;
/** Of tables/vtep, in the clear: as VTEP_PATH_MTU is of ESP. */
const VTEP_PLAIN_MTU = 36;

const byte = (n: number): string => n.toString(16).padStart(2, "0");
const macOf = (domain: number, kind: number, n: number): string => `02:00:${byte(domain)}:${byte(kind)}:00:${byte(n)}`;
const addressOf = (vtep: number): string => `10.9.0.${vtep}`;
/** Where copies go, as keys of the model. */
const atPort = (frame: number, port: number): string => `frame ${frame} at port ${port}`;
const atVtep = (frame: number, vtep: number): string => `frame ${frame} at VTEP ${vtep}`;

interface World {
  readonly mtuBytes: number;
  readonly ports: ReadonlyMap<number, number>; // to their domains
  readonly peers: readonly number[];
  readonly narrow: ReadonlySet<number>;
}

function world(engine: Engine, r: Random): World {
  engine.reset();
  const mtuBytes = r.pick([1280, 1430, 8950]);
  engine.domain(CLEAR, { vni: CLEAR, mtuBytes });
  engine.domain(ENCRYPTED, { vni: ENCRYPTED, flags: abi.DOMAIN_FLAG_LEARNING | abi.DOMAIN_FLAG_ENCRYPTED, mtuBytes });
  engine.domain(LOCAL, { mtuBytes });
  engine.underlay(UNDERLAY);
  engine.esp(ESP);
  const ports = new Map<number, number>();
  for (const domain of [CLEAR, ENCRYPTED, LOCAL]) {
    for (let left = r.pick([2, 5, 30, 42]); left > 0; left--) {
      const port = 10 + ports.size;
      engine.tap(port, domain);
      engine.pin(domain, macOf(domain, 0, port), { port });
      ports.set(port, domain);
    }
  }
  const peers = Array.from({ length: r.pick([0, 1, 3, 20, 100]) }, (_, i) => i + 1);
  const narrow = new Set(peers.filter(() => r.chance(0.3)));
  const udpPort = r.pick([0, 4500]);
  for (const vtep of peers) {
    engine.vtep(vtep, addressOf(vtep), UNDERLAY, [CLEAR, ENCRYPTED]);
    engine.sa(vtep, { spi: SPI + vtep, vtep, port: ESP, flags: abi.SA_FLAG_OUTBOUND, udpPort });
    for (const domain of [CLEAR, ENCRYPTED]) engine.pin(domain, macOf(domain, 1, vtep), { vtep });
    // A path that carries frames a hundred bytes shorter than the network's, in either way.
    if (!narrow.has(vtep)) continue;
    for (const at of [abi.VTEP_PATH_MTU, VTEP_PLAIN_MTU]) {
      engine.view.setUint32(VTEPS + vtep * abi.VTEP_LENGTH + at, mtuBytes - 100, true);
      engine.view.setUint32(VTEPS + vtep * abi.VTEP_LENGTH + at + 4, 0xffffffff, true);
    }
  }
  return { mtuBytes, ports, peers, narrow };
}

/** A frame, and who is to have how much of it. Its length is far from what narrow paths carry, so that nobody has to reckon overheads. */
function frameOf({ mtuBytes, ports, peers, narrow }: World, r: Random, number: number): { input: TapInput; expected: Map<string, number> } {
  const [port, domain] = r.pick([...ports]);
  const mates = [...ports].filter(([other, its]) => its === domain && other !== port).map(([other]) => other);
  const far = domain === LOCAL ? [] : peers;
  const mate = r.pick(mates);
  const peer = far.length === 0 ? undefined : r.pick(far);
  const choices = [
    { destination: BROADCAST, toPorts: mates, toVteps: far },
    { destination: macOf(9, 9, 9), toPorts: mates, toVteps: far },
    { destination: macOf(domain, 0, mate), toPorts: [mate], toVteps: [] },
    ...(peer === undefined ? [] : [{ destination: macOf(domain, 1, peer), toPorts: [], toVteps: [peer] }]),
  ];
  const { destination, toPorts, toVteps } = r.pick(choices);
  const [isIpv6, isTcp, isCut] = [r.chance(0.5), r.chance(0.5), r.chance(0.2)];
  const start = isIpv6 ? 54 : 34;
  const front = start + (isTcp ? 20 : 8);
  const isLong = r.chance(0.5);
  const most = mtuBytes + 14 - front;
  const gsoSize = isCut ? (isLong ? most : r.pick([50, 256, 257, 1000])) : 0;
  const length = isCut ? gsoSize + 1 + r.below(r.pick([2000, 20_000])) : isLong ? most - r.below(10) : 1 + r.below(100);
  const checksum = isCut || r.chance(0.5) ? "partial" : "full";
  const fields = { source: number, destination: 9, checksum } as const;
  const payload = isTcp ? tcp(fields, pattern(length)) : udp(fields, pattern(length));
  const ip = isIpv6
    ? ipv6({ source: "fd00::1", destination: "fd00::2" }, payload)
    : ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, payload);
  const gsoType = isCut ? (isTcp ? (isIpv6 ? abi.VNET_GSO_TCPV6 : abi.VNET_GSO_TCPV4) : abi.VNET_GSO_UDP_L4) : abi.VNET_GSO_NONE;
  const vnet = { flags: 1, gsoType, gsoSize, headerLength: isCut ? front : 0, checksumStart: start, checksumOffset: isTcp ? 16 : 6 };
  const frame = ethernet({ source: macOf(domain, 0, port), destination }, ip);
  const expected = new Map(toPorts.map((to) => [atPort(number, to), length]));
  for (const to of toVteps) if (!isLong || !narrow.has(to)) expected.set(atVtep(number, to), length);
  return { input: { port, frame, ...(checksum === "partial" && { vnet }) }, expected };
}

/** What of which frame came where; ICMP errors, which are composed here, are only looked at. */
function received({ ports }: World, sent: readonly Sent[]): Map<string, number> {
  const all = new Map<string, number>();
  const take = (frame: Uint8Array, domain: number, where: (number: number) => string, isFinished: boolean): void => {
    const isIpv6 = frame[12] === 0x86;
    const protocol = isIpv6 ? frame[20] : frame[23];
    const isError = protocol === 1 || protocol === 58;
    if (isFinished) expect(checksumFault(frame)).toBe("");
    if (isError) return;
    expect(frame[8]).toBe(domain); // of its source's MAC
    const l4 = isIpv6 ? 54 : 34;
    const key = where((frame[l4]! << 8) | frame[l4 + 1]!);
    all.set(key, (all.get(key) ?? 0) + frame.length - l4 - (protocol === 6 ? 20 : 8));
  };
  const vteps = new Map(Array.from({ length: 255 }, (_, vtep) => [destinationOf(addressOf(vtep)), vtep]));
  for (const one of sent) {
    if (one.destination === "") take(one.frame, ports.get(one.port)!, (number) => atPort(number, one.port), one.vnet.flags === 0);
    const vtep = vteps.get(one.destination) ?? 0;
    for (const datagram of one.datagrams) {
      const isSealed = one.port === ESP;
      const view = new DataView(datagram.buffer, datagram.byteOffset);
      if (isSealed) expect(view.getUint32(0)).toBe(SPI + vtep);
      const content = isSealed ? datagram.subarray(SEALED_FRONT, SEALED_FRONT - 8 + view.getUint16(SEALED_FRONT - 4)) : datagram;
      const domain = content[6]!; // of the VNI
      expect(isSealed).toBe(domain === ENCRYPTED);
      take(content.subarray(8), domain, (number) => atVtep(number, vtep), true);
    }
  }
  return all;
}

describe.each(BUILDS)("floods (%s)", (build) => {
  it(`reach whom they should, whole, ${ROUNDS} networks, seed ${SEED}`, { timeout: 60_000 + ROUNDS * 6000 }, () => {
    const r = random(SEED);
    const engine = new Engine(build);
    engine.cipher = (memory, ring, count) => {
      for (let i = 0; i < count; i++) memory.setUint32(ring + i * AEAD_OP_LENGTH + AEAD_STATUS, AEAD_DONE, true);
      return 0;
    };
    for (let round = 0; round < ROUNDS; round++) {
      const here = world(engine, r);
      const frames = Array.from({ length: r.pick([10, 60, 256]) }, (_, i) => frameOf(here, r, i + 1));
      const sent = engine.run(frames.map(({ input }) => input));
      const expected = new Map(frames.flatMap(({ expected }) => [...expected]));
      const difference = [...received(here, sent)].filter(([key, bytes]) => expected.get(key) !== bytes || !expected.delete(key));
      expect({ round, difference, missing: [...expected] }).toEqual({ round, difference: [], missing: [] });
      expect(Object.keys(engine.drops()).filter((name) => name !== "mtu-exceeded")).toEqual([]);
      expect(engine.lawDifference()).toBe(0);
    }
  });
});

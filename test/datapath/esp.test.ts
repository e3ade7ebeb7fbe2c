// Encrypted overlays in the engine: what goes into ESP comes out of it on the other host and nowhere else; everything that is
// not authentic, new and expected ends under its own name. The cipher is node:crypto's.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { keyBytes } from "../../src/datapath/esp-algorithms.ts";
import * as abi from "../../wasm/shared/abi.ts";
import { ESP_EVENTS, SAD } from "../../wasm/shared/layout.ts";
import { REPLAY_WINDOW } from "../../wasm/shared/limits.ts";
import { ESP_UDP_PORT } from "../../wasm/shared/protocol.ts";
import { type NodeKey, nodeCipher } from "../support/node-cipher.ts";
import { concat, frame, pattern, vnetHeader } from "../support/oracle.ts";
import { BUILDS, type Build, destinationOf, Engine, type SaOptions, type Sent, type UnderlayInput } from "../support/wasm.ts";

const DOMAIN = 1;
const VNI = 4097;
const UNDERLAY = 1;
const ESP = 2;
const TAP = 3;
const FLAGS = abi.DOMAIN_FLAG_LEARNING | abi.DOMAIN_FLAG_ENCRYPTED;
const [A, B] = ["192.0.2.1", "192.0.2.2"];
const [OUT, IN] = [1, 2];
const SPI = 0x80001234;
const RETURN_SPI = 0x80004321;

interface Options {
  readonly algorithm?: NodeKey["algorithm"];
  readonly icvBytes?: number;
  readonly esn?: boolean;
  readonly out?: Partial<SaOptions>;
}

/** A host with a sandbox behind TAP, MAC 02:..:<own>, and its peer's sandbox pinned behind the VTEP. */
function host(build: Build, peer: string, own: number, other: number): Engine {
  const engine = new Engine(build);
  engine.domain(DOMAIN, { vni: VNI, flags: FLAGS, mtuBytes: 1400 });
  engine.underlay(UNDERLAY);
  engine.esp(ESP);
  engine.tap(TAP, DOMAIN, 0, 1400);
  engine.vtep(1, peer, UNDERLAY, [DOMAIN]);
  engine.pin(DOMAIN, `02:00:00:00:00:${own.toString(16).padStart(2, "0")}`, { port: TAP });
  engine.pin(DOMAIN, `02:00:00:00:00:${other.toString(16).padStart(2, "0")}`, { vtep: 1 });
  return engine;
}

const datagram = (payload: number, seed = 1, sourcePort = 1000): Uint8Array =>
  frame({ family: 4, protocol: "udp", sourceMac: 2, destinationMac: 0x20, sourcePort, payload: pattern(payload, seed) });

/** What left host A as host B receives it. */
function arriving(sent: readonly Sent[]): UnderlayInput[] {
  return sent
    .filter(({ port }) => port === ESP)
    .map(({ datagrams }) => ({ port: ESP, datagrams: datagrams.map((one) => one.slice()), from: A, fromPort: ESP_UDP_PORT, local: B }));
}

interface Pair {
  readonly a: Engine;
  readonly b: Engine;
  readonly key: NodeKey;
}

function pair(build: Build, options: Options = {}): Pair {
  const algorithm = options.algorithm ?? "aes-256-gcm";
  const key: NodeKey = { algorithm, key: randomBytes(keyBytes(algorithm)), salt: randomBytes(4) };
  const slots = new Map([
    [OUT, key],
    [IN, key],
  ]);
  const a = host(build, B, 2, 0x20);
  const b = host(build, A, 0x20, 2);
  for (const engine of [a, b]) engine.cipher = nodeCipher(slots);
  const esn = options.esn === true ? abi.SA_FLAG_ESN : 0;
  const common = { vtep: 1, port: ESP, icvBytes: options.icvBytes ?? 16 };
  a.sa(OUT, { ...common, spi: SPI, flags: abi.SA_FLAG_OUTBOUND | esn, ...options.out });
  b.sa(IN, { ...common, spi: SPI, flags: esn });
  return { a, b, key };
}

const sequenceOf = (engine: Engine, sa: number): bigint => engine.view.getBigUint64(SAD + sa * abi.SA_LENGTH + abi.SA_SEQUENCE, true);
const setSequence = (engine: Engine, sa: number, value: bigint): void =>
  engine.view.setBigUint64(SAD + sa * abi.SA_LENGTH + abi.SA_SEQUENCE, value, true);

/** Kinds of the events that wait, which are then forgotten. */
function events(engine: Engine): { kind: number; spi: number; bytes: Uint8Array; sender: string; port: number }[] {
  const out: { kind: number; spi: number; bytes: Uint8Array; sender: string; port: number }[] = [];
  const end = ESP_EVENTS + engine.view.getUint32(ESP_EVENTS, true);
  for (let at = ESP_EVENTS + 8; at < end; ) {
    const length = engine.view.getUint32(at + abi.ESP_EVENT_BYTES, true);
    const start = at + abi.ESP_EVENT_HEADER_LENGTH;
    out.push({
      kind: engine.view.getUint32(at + abi.ESP_EVENT_KIND, true),
      spi: engine.view.getUint32(at + abi.ESP_EVENT_SPI, true),
      bytes: engine.bytes.slice(start, start + length),
      sender: Buffer.from(engine.bytes.slice(at + abi.ESP_EVENT_SENDER, at + abi.ESP_EVENT_SENDER + 16)).toString("hex"),
      port: engine.view.getUint16(at + abi.ESP_EVENT_PORT, true),
    });
    at = start + ((length + 7) & ~7);
  }
  engine.exports.espEventsClear();
  return out;
}

/** A datagram sealed here, by RFC 4303 and RFC 4106, around any plaintext. */
function sealed(key: NodeKey, sequence: number, plaintext: Uint8Array, spi = SPI): Uint8Array {
  const header = Buffer.alloc(16);
  header.writeUInt32BE(spi, 0);
  header.writeUInt32BE(sequence, 4);
  header.writeBigUInt64BE(BigInt(sequence), 8);
  const nonce = Buffer.concat([key.salt, header.subarray(8)]);
  const cipher = createCipheriv("aes-256-gcm", key.key, nonce).setAAD(header.subarray(0, 8));
  return concat(header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
}

const fromA = (...datagrams: Uint8Array[]): UnderlayInput => ({ port: ESP, datagrams, from: A, fromPort: ESP_UDP_PORT });

describe.each(BUILDS)("ESP (%s)", (build) => {
  describe("there and back", () => {
    it.each([
      ["aes-128-gcm", 16, false],
      ["aes-256-gcm", 16, true],
      ["aes-256-gcm", 12, false],
      ["aes-128-gcm", 8, true],
      ["chacha20-poly1305", 16, true],
    ] as const)("%s, ICV of %i bytes, ESN %s: frames of every length come through", (algorithm, icvBytes, esn) => {
      const { a, b } = pair(build, { algorithm, icvBytes, esn });
      for (let payload = 1; payload < 1372; payload += payload < 80 ? 1 : 97) {
        const sent = a.run([{ port: TAP, frame: datagram(payload) }]);
        expect(sent).toHaveLength(1);
        expect(sent[0]).toMatchObject({ port: ESP, destination: destinationOf(B), destinationPort: ESP_UDP_PORT });
        expect(sent[0]!.bytes.length % 4).toBe((16 + 16 + icvBytes) % 4);
        const received = b.run(arriving(sent));
        expect(received.map(({ port, frame }) => ({ port, frame }))).toEqual([{ port: TAP, frame: datagram(payload) }]);
      }
      expect([a.lawDifference(), b.lawDifference(), a.drops(), b.drops()]).toEqual([0, 0, {}, {}]);
    });

    it("is on the wire what RFC 4303 and RFC 4106 say", () => {
      const { a, key } = pair(build);
      const inner = datagram(101);
      const wire = Buffer.from(a.run([{ port: TAP, frame: inner }])[0]!.bytes);
      expect(wire.readUInt32BE(0)).toBe(SPI);
      expect(wire.readUInt32BE(4)).toBe(1);
      const nonce = Buffer.concat([key.salt, wire.subarray(8, 16)]);
      const decipher = createDecipheriv("aes-256-gcm", key.key, nonce).setAAD(wire.subarray(0, 8)).setAuthTag(wire.subarray(-16));
      const plain = Buffer.concat([decipher.update(wire.subarray(16, -16)), decipher.final()]);
      const [pad, next] = [plain.at(-2)!, plain.at(-1)!];
      expect(next).toBe(17);
      expect([...plain.subarray(-2 - pad, -2)]).toEqual(Array.from({ length: pad }, (_, i) => i + 1));
      expect(plain.length % 4).toBe(0);
      const udp = plain.subarray(0, -2 - pad);
      expect(udp.readUInt16BE(0)).toBeGreaterThanOrEqual(49152);
      expect([udp.readUInt16BE(2), udp.readUInt16BE(4), udp.readUInt16BE(6)]).toEqual([4789, udp.length, 0]);
      expect(udp.subarray(8, 16).toString("hex")).toBe(`08000000${VNI.toString(16).padStart(6, "0")}00`);
      expect(new Uint8Array(udp.subarray(16))).toEqual(inner);
    });

    it("seals a super-frame as one run and opens it as one super-frame", () => {
      const { a, b } = pair(build, { esn: true });
      const whole = {
        family: 4,
        protocol: "tcp",
        sourceMac: 2,
        destinationMac: 0x20,
        payload: pattern(40_000),
        checksum: "partial",
      } as const;
      const sent = a.run([{ port: TAP, frame: frame(whole), bytes: concat(vnetHeader(whole, 1346), frame(whole)) }]);
      expect(sent).toHaveLength(1);
      expect(sent[0]!.datagrams).toHaveLength(Math.ceil(40_000 / 1346));
      const received = b.run(arriving(sent));
      expect(received).toHaveLength(1);
      expect(received[0]!.vnet.gsoSize).toBe(1346);
      expect(received[0]!.frame.subarray(-40_000)).toEqual(pattern(40_000));
      expect([a.lawDifference(), b.lawDifference(), b.drops()]).toEqual([0, 0, {}]);
    });

    it.each([16, 17, 40, 100, 257, 270, 1346])(
      "sends a batch of super-frames cut into %i bytes by raw ESP, a descriptor each, whole",
      (size) => {
        const { a } = pair(build, { esn: true, out: { udpPort: 0 } });
        const payload = Math.min(65_000, size * 4095);
        const whole = {
          ...({ family: 4, protocol: "tcp", sourceMac: 2, destinationMac: 0x20, checksum: "partial" } as const),
          payload: pattern(payload),
        };
        const bytes = concat(vnetHeader(whole, size), frame(whole));
        const plain = { port: TAP, frame: datagram(64) };
        // As much as one poll brings: a MiB; plain frames between, so that none begins with empty rings but the first.
        const count = Math.ceil(2 ** 20 / payload);
        const inputs = Array.from({ length: Math.min(count, 120) }, () => [{ port: TAP, frame: frame(whole), bytes }, plain]).flat();
        const sent = a.run(inputs);
        expect([a.lawDifference(), a.drops()]).toEqual([0, {}]);
        expect(sent).toHaveLength((inputs.length / 2) * (Math.ceil(payload / size) + 1));
        expect(sequenceOf(a, OUT)).toBe(BigInt(sent.length));
        expect(sent.every(({ segment }) => segment === 0)).toBe(true);
      },
    );

    it("floods a broadcast into ESP and leaves the shared frame as it was", () => {
      const { a, b } = pair(build);
      a.tap(4, DOMAIN, 0, 1400);
      const broadcast = datagram(300);
      broadcast.fill(0xff, 0, 6);
      const sent = a.run([{ port: TAP, frame: broadcast }]);
      expect(sent.find(({ port }) => port === 4)?.frame).toEqual(broadcast);
      expect(b.run(arriving(sent)).map(({ frame }) => frame)).toEqual([broadcast]);
    });

    it("speaks protocol 50 by a raw socket that gives the IPv4 header too", () => {
      const { a, b } = pair(build, { out: { udpPort: 0 } });
      b.esp(ESP, abi.PORT_FLAG_IPV4_HEADER);
      const sent = a.run([{ port: TAP, frame: datagram(64) }]);
      expect(sent[0]!.destinationPort).toBe(0);
      const header = Uint8Array.from([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 50, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
      expect(b.run([fromA(concat(header, sent[0]!.bytes))]).map(({ frame }) => frame)).toEqual([datagram(64)]);
    });
  });

  describe("fails closed", () => {
    it("sends nothing without an association, and nothing in the clear", () => {
      const { a } = pair(build);
      a.exports.saDelete(OUT);
      expect(a.run([{ port: TAP, frame: datagram(64) }])).toEqual([]);
      expect(a.drops()).toEqual({ "esp-no-sa": 1 });
    });

    it("drops plaintext VXLAN of an encrypted network", () => {
      const { b } = pair(build);
      const vxlan = concat(Uint8Array.from([8, 0, 0, 0, 0, VNI >> 8, VNI & 0xff, 0]), datagram(64));
      expect(b.run([{ port: UNDERLAY, datagrams: [vxlan], from: A }])).toEqual([]);
      expect(b.drops()).toEqual({ "esp-plaintext": 1 });
    });

    it("drops what came out of ESP for a network that is not encrypted", () => {
      const { a, b } = pair(build);
      b.domain(DOMAIN, { vni: VNI, flags: abi.DOMAIN_FLAG_LEARNING });
      expect(b.run(arriving(a.run([{ port: TAP, frame: datagram(64) }])))).toEqual([]);
      expect(b.drops()).toEqual({ "esp-unexpected": 1 });
    });

    it("stops at the limits of a key, having told in time", () => {
      const { a } = pair(build, { out: { packetLimit: 16n } });
      for (let i = 0; i < 20; i++) a.run([{ port: TAP, frame: datagram(64) }]);
      expect(sequenceOf(a, OUT)).toBe(16n);
      expect(a.drops()).toEqual({ "esp-exhausted": 4 });
      expect(events(a).map(({ kind }) => kind)).toEqual([abi.ESP_EVENT_NEARLY_EXHAUSTED]);
      const bytes = pair(build, { out: { byteLimit: 1000n } }).a;
      for (let i = 0; i < 20; i++) bytes.run([{ port: TAP, frame: datagram(64) }]);
      expect(bytes.drops()["esp-exhausted"]).toBeGreaterThan(5);
    });

    it("tells of a key that has room left, but none for what is to be sent", () => {
      const whole = {
        family: 4,
        protocol: "tcp",
        sourceMac: 2,
        destinationMac: 0x20,
        payload: pattern(40_000),
        checksum: "partial",
      } as const;
      const large = { port: TAP, frame: frame(whole), bytes: concat(vnetHeader(whole, 1346), frame(whole)) };
      for (const out of [{ packetLimit: 50n }, { byteLimit: 70_000n }, { packetLimit: 10n, first: 2049n }]) {
        const { a } = pair(build, { out });
        for (let i = 0; i < 3; i++) a.run([large]);
        expect(a.drops()["esp-exhausted"]).toBeGreaterThan(1);
        expect(events(a).map(({ kind }) => kind)).toEqual([abi.ESP_EVENT_NEARLY_EXHAUSTED]);
        expect(a.lawDifference()).toBe(0);
      }
    });

    it("never sends a sequence number again after a reset, nor takes one again", () => {
      const { a, b } = pair(build);
      const first = arriving(a.run([{ port: TAP, frame: datagram(64) }]));
      expect(b.run(first)).toHaveLength(1);
      const before = sequenceOf(a, OUT);
      for (const [engine, sa, flags] of [
        [a, OUT, abi.SA_FLAG_OUTBOUND],
        [b, IN, 0],
      ] as const) {
        engine.reset();
        engine.domain(DOMAIN, { vni: VNI, flags: FLAGS });
        engine.underlay(UNDERLAY);
        engine.esp(ESP);
        engine.tap(TAP, DOMAIN);
        engine.vtep(1, engine === a ? B : A, UNDERLAY, [DOMAIN]);
        engine.sa(sa, { vtep: 1, port: ESP, spi: SPI, flags });
      }
      expect(sequenceOf(a, OUT)).toBeGreaterThan(before);
      expect(b.run(first)).toEqual([]);
      expect(b.drops()).toEqual({ "esp-replayed": 1 });
      expect(b.run(arriving(a.run([{ port: TAP, frame: datagram(64) }])))).toHaveLength(1);
    });
  });

  it("goes on behind what an earlier life of the key may have sent, and takes nothing of it", () => {
    const { a, b } = pair(build, { out: { first: 2049n } });
    const sent = arriving(a.run([{ port: TAP, frame: datagram(64) }]));
    expect(sequenceOf(a, OUT)).toBe(2050n);
    expect(b.run(sent)).toHaveLength(1);
  });

  it.each([1n, 62n, 63n, 64n, 1000n, 1023n, 1024n, 8191n, 100_001n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 52n + 12345n])(
    "begins to receive right behind %d: nothing up to it, everything from the next one on, in any order",
    (first) => {
      const { a, b } = pair(build, { esn: true, out: { packetLimit: 2n ** 53n } });
      b.exports.saDelete(IN);
      b.sa(IN, { spi: SPI, vtep: 1, port: ESP, flags: abi.SA_FLAG_ESN, first });
      expect(sequenceOf(b, IN)).toBe(first);
      const at = (sequence: bigint): UnderlayInput[] => {
        setSequence(a, OUT, sequence - 1n);
        return arriving(a.run([{ port: TAP, frame: datagram(64) }]));
      };
      const before = [first, first - 1n, first - 70n].filter((sequence) => sequence > 0n);
      for (const sequence of before) expect(b.run(at(sequence))).toEqual([]);
      expect(b.drops()).toEqual({ "esp-replayed": before.length });
      for (const ahead of [1n, 5n, 3n, 80n, 2n]) expect(b.run(at(first + ahead))).toHaveLength(1);
      for (const again of [0n, 1n, 3n]) expect(b.run(at(first + again))).toEqual([]);
      expect(b.drops()).toEqual({ "esp-replayed": before.length + 3 });
      expect(sequenceOf(b, IN)).toBe(first + 80n);
    },
  );

  it("refuses numbers that begin beyond 32 bits without ESN", () => {
    const { a } = pair(build);
    const first = { vtep: 1, port: ESP, first: 2n ** 32n };
    expect(() => a.sa(9, { ...first, spi: SPI + 9 })).toThrow();
    expect(() => a.sa(9, { ...first, spi: SPI + 9, flags: abi.SA_FLAG_ESN })).not.toThrow();
  });

  describe("in", () => {
    let a: Engine;
    let b: Engine;
    let key: NodeKey;
    beforeEach(() => {
      ({ a, b, key } = pair(build));
    });

    it("drops a datagram with any one bit of any byte flipped, and forwards nothing of it", () => {
      const wire = a.run([{ port: TAP, frame: datagram(40) }])[0]!.bytes;
      for (let at = 0; at < wire.length; at++) {
        const bent = wire.slice();
        bent[at]! ^= 1 << (at % 8);
        expect(b.run([fromA(bent)])).toEqual([]);
      }
      const drops = b.drops();
      expect(Object.keys(drops).sort()).toEqual(["esp-forged", "esp-unknown-spi"]);
      expect(drops["esp-unknown-spi"]).toBe(4);
      expect(drops["esp-forged"]).toBe(wire.length - 4);
      expect(b.run([fromA(wire)])).toHaveLength(1); // nothing forged has moved the window
      expect(b.lawDifference()).toBe(0);
    });

    it("drops it truncated at any length", () => {
      const wire = a.run([{ port: TAP, frame: datagram(40) }])[0]!.bytes;
      for (let length = 1; length < wire.length; length++) expect(b.run([fromA(wire.slice(0, length))])).toEqual([]);
      const { "esp-short": short = 0, "esp-forged": forged = 0 } = b.drops();
      expect(short + forged).toBe(wire.length - 1);
      expect(short).toBe(16 + 4 + 16 - 1);
    });

    it("takes reordered datagrams as far as the window reaches, each once", () => {
      const wires = Array.from({ length: 6 }, (_, i) => a.run([{ port: TAP, frame: datagram(40, i, 2000 + i) }])[0]!.bytes.slice());
      for (const i of [5, 0, 3, 1]) expect(b.run([fromA(wires[i]!)])).toHaveLength(1);
      for (const i of [5, 0, 3, 1]) expect(b.run([fromA(wires[i]!)])).toEqual([]);
      // Two of one number in one batch: both are opened, one is delivered.
      expect(b.run([fromA(wires[2]!), fromA(wires[2]!)])).toHaveLength(1);
      expect(b.drops()).toEqual({ "esp-replayed": 5 });
      setSequence(a, OUT, BigInt(REPLAY_WINDOW) + 4n); // the next is window + 5: 5 is the oldest that may come
      b.run(arriving(a.run([{ port: TAP, frame: datagram(40) }])));
      expect(b.run([fromA(wires[4]!)])).toEqual([]);
      expect(b.drops()["esp-late"]).toBe(1);
    });

    it("ignores keepalives and IKE, and tells of an SPI that it does not know", () => {
      expect(b.run([fromA(Uint8Array.of(0xff)), fromA(new Uint8Array(60)), fromA(Uint8Array.of(1, 2, 3))])).toEqual([]);
      expect(b.drops()).toEqual({ "esp-keepalive": 1, "esp-not-esp": 1, "esp-short": 1 });
      const stranger = sealed(key, 1, new Uint8Array(8), 0x90000000);
      b.run([fromA(stranger)]);
      expect(b.drops()["esp-unknown-spi"]).toBe(1);
      expect(events(b)).toEqual([
        { kind: abi.ESP_EVENT_UNKNOWN_SPI, sender: destinationOf(A), port: ESP_UDP_PORT, spi: 0x90000000, bytes: stranger },
      ]);
    });

    it("names what is authentic and yet not allowed", () => {
      const udp = (length: number, port = 4789): Uint8Array =>
        Uint8Array.from([0xc0, 0, port >> 8, port & 0xff, length >> 8, length & 0xff, 0, 0]);
      const body = concat(udp(8 + 8), new Uint8Array(8));
      const cases: [string, Uint8Array][] = [
        ["esp-dummy", Uint8Array.of(1, 2, 2, 59)],
        ["esp-malformed", concat(body, Uint8Array.of(1, 3, 2, 17))], // padding that doesn't count
        ["esp-malformed", concat(body, Uint8Array.of(1, 2, 200, 17))], // padding longer than all
        ["esp-malformed", concat(udp(40), new Uint8Array(8), Uint8Array.of(1, 2, 2, 17))], // a length beyond the payload
        ["esp-selector", concat(body, Uint8Array.of(1, 2, 2, 4))], // tunnel mode
        ["esp-selector", concat(udp(16, 53), new Uint8Array(8), Uint8Array.of(1, 2, 2, 17))],
      ];
      cases.forEach(([name, plaintext], i) => {
        const before = b.drops()[name] ?? 0;
        expect(b.run([fromA(sealed(key, i + 1, plaintext))])).toEqual([]);
        expect([name, b.drops()[name]]).toEqual([name, before + 1]);
      });
    });

    it("takes TFC padding for what it is", () => {
      const inner = datagram(64);
      const vxlan = concat(Uint8Array.from([8, 0, 0, 0, 0, VNI >> 8, VNI & 0xff, 0]), inner);
      const length = 8 + vxlan.length;
      const udp = Uint8Array.from([0xc0, 0, 4789 >> 8, 4789 & 0xff, length >> 8, length & 0xff, 0, 0]);
      const plaintext = concat(udp, vxlan, new Uint8Array(333 + ((2 - length - 333 - 2) & 3)), Uint8Array.of(0, 17));
      expect(b.run([fromA(sealed(key, 1, plaintext))]).map(({ frame }) => frame)).toEqual([inner]);
    });

    it("tells of the first authentic datagram, and of where the newest came from, whenever that changes", () => {
      b.sa(IN, { spi: SPI, vtep: 1, port: ESP, flags: abi.SA_FLAG_NOTIFY });
      const wire = (): Uint8Array => a.run([{ port: TAP, frame: datagram(40) }])[0]!.bytes.slice();
      const from = (fromPort: number, bytes: Uint8Array, address = A): (string | number)[] => {
        b.run([{ ...fromA(bytes), from: address, fromPort }]);
        return events(b).flatMap(({ kind, sender, port }) => (kind === abi.ESP_EVENT_MOVED ? [sender, port] : [kind]));
      };
      const [ownPort, nat] = [ESP_UDP_PORT, "198.51.100.7"];
      const held = wire();
      expect(from(ownPort, wire())).toEqual([abi.ESP_EVENT_FIRST_USE, destinationOf(A), ownPort]);
      expect(from(ownPort, wire())).toEqual([]);
      const replayed = wire();
      expect(from(61000, replayed)).toEqual([destinationOf(A), 61000]);
      expect(from(61000, wire())).toEqual([]);
      expect(from(61000, wire(), nat)).toEqual([destinationOf(nat), 61000]);
      // Not by what came before, is no datagram of the peer's, or was overtaken by a newer one.
      expect(from(1, replayed, "192.0.2.66")).toEqual([]);
      const forged = wire();
      forged[30]! ^= 1;
      expect(from(2, forged, "192.0.2.66")).toEqual([]);
      expect(from(3, held, "192.0.2.66")).toEqual([]);
      expect(b.drops()).toEqual({ "esp-replayed": 1, "esp-forged": 1 });
      // Back where it was.
      expect(from(ownPort, wire())).toEqual([destinationOf(A), ownPort]);
    });

    it("sends to where the policy says, which may change while the association stands", () => {
      const sent = (): Partial<Sent> => a.run([{ port: TAP, frame: datagram(40) }])[0]!;
      const nat = "198.51.100.7";
      a.sa(OUT, { spi: SPI, vtep: 1, port: ESP, flags: abi.SA_FLAG_OUTBOUND, udpPort: 61000, remote: nat });
      expect(sent()).toMatchObject({ destination: destinationOf(nat), destinationPort: 61000 });
      expect(a.probe(1, abi.PROBE_KEEPALIVE)).toMatchObject([{ destination: destinationOf(nat), destinationPort: 61000 }]);
      a.sa(OUT, { spi: SPI, vtep: 1, port: ESP, flags: abi.SA_FLAG_OUTBOUND });
      expect(sent()).toMatchObject({ destination: destinationOf(B), destinationPort: ESP_UDP_PORT });
      expect(sequenceOf(a, OUT)).toBe(2n); // no number is used twice, none left out
    });

    it("goes on past 2^32 with extended sequence numbers", () => {
      ({ a, b } = pair(build, { esn: true, out: { packetLimit: 2n ** 63n } }));
      setSequence(a, OUT, 2n ** 32n - 3n);
      setSequence(b, IN, 2n ** 32n - 10n);
      for (let i = 0; i < 6; i++) expect(b.run(arriving(a.run([{ port: TAP, frame: datagram(40) }])))).toHaveLength(1);
      expect(sequenceOf(b, IN)).toBe(2n ** 32n + 3n);
      expect(b.drops()).toEqual({});
    });
  });

  it("proves itself alive by a dummy, and keeps a NAT open by a byte", () => {
    const { a, b } = pair(build);
    const dummy = a.probe(1, abi.PROBE_DUMMY);
    expect(b.run(arriving(dummy))).toEqual([]);
    expect(b.drops()).toEqual({ "esp-dummy": 1 });
    const keepalive = a.probe(1, abi.PROBE_KEEPALIVE);
    expect(keepalive.map(({ bytes }) => [...bytes])).toEqual([[0xff]]);
    expect([a.lawDifference(), a.counter("originated"), a.counter("tx")]).toEqual([0, 2, 2]);
    expect(a.exports.saSet(3, RETURN_SPI, 16 << 16, 1, 0, 0, 0)).toBe(0);
  });
});

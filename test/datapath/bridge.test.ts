// The bridge as a table: what comes in, what must go out or under which name it must end. A row says only what it is about;
// everything else is the network below.
//
//   domain 0   port 1 (A)   port 2 (B)   port 3 (C)   port 8 underlay ── VTEP 1 10.9.0.2, VTEP 2 10.9.0.3     VNI 100
//   domain 1   port 4 (D)   port 5 (E)                                                                         no VNI
import { describe, expect, it } from "vitest";
import {
  DOMAIN_FLAG_LEARNING,
  PORT_FLAG_ISOLATED,
  PORT_FLAG_NO_FLOOD,
  RX_FLAG_TRUNCATED,
  VNET_FLAG_NEEDS_CHECKSUM,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP,
  VNET_GSO_UDP_L4,
} from "../../wasm/shared/abi.ts";
import {
  arp,
  BROADCAST,
  checksumFault,
  concat,
  type EthernetFields,
  ethernet,
  icmp,
  ipv4,
  ipv6,
  type L4,
  type Layer3,
  mac,
  pattern,
  raw,
  rawL4,
  tcp,
  udp,
  vxlan,
} from "../support/packet-builder.ts";
import { BUILDS, destinationOf, Engine, type Input, type Sent, type TapInput } from "../support/wasm.ts";

const A = "02:00:00:00:00:0a";
const B = "02:00:00:00:00:0b";
const C = "02:00:00:00:00:0c";
const D = "02:00:00:00:00:0d";
const REMOTE = "02:00:00:00:99:01";
const STRANGER = "02:00:00:00:77:77";
const VNI = 100;

/** A UDP packet of 60 bytes or so under any Ethernet header. */
function datagram(source: string, destination: string, fields: Partial<EthernetFields> = {}): Uint8Array {
  return ethernet(
    { source, destination, ...fields },
    ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, udp({ source: 1000, destination: 2000 }, pattern(20))),
  );
}

const frame = (source: string, destination: string, payload: Layer3): Uint8Array => ethernet({ source, destination }, payload);
const v4 = (payload: L4): Layer3 => ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, payload);
const v6 = (payload: L4): Layer3 => ipv6({ source: "fd00::1", destination: "fd00::2" }, payload);
const port = (index: number, bytes: Uint8Array, rest: Partial<TapInput> = {}): TapInput => ({ port: index, frame: bytes, ...rest });
const tunnel = (bytes: Uint8Array, from = "10.9.0.2", vni = VNI): Input => ({ port: 8, datagrams: [vxlan(vni, bytes)], from });

/** "1", "3" for ports, "10.9.0.2" for VTEPs, with the frame: sorted, so that a flood's order doesn't matter. */
function reached(sent: readonly Sent[]): [string, string][] {
  const names = new Map([
    [destinationOf("10.9.0.2"), "10.9.0.2"],
    [destinationOf("10.9.0.3"), "10.9.0.3"],
  ]);
  return sent
    .flatMap((one): [string, string][] =>
      one.destination === ""
        ? [[String(one.port), Buffer.from(one.frame).toString("hex")]]
        : one.datagrams.map((bytes) => [names.get(one.destination) ?? one.destination, Buffer.from(bytes.subarray(8)).toString("hex")]),
    )
    .sort((left, right) => (left.join() < right.join() ? -1 : 1));
}

interface Row {
  readonly description: string;
  readonly setup?: (engine: Engine) => void;
  /** Received before, not looked at: who is to be known. */
  readonly before?: readonly Input[];
  readonly input: readonly Input[];
  /** [where, frame] in any order. */
  readonly expected?: readonly (readonly [string, Uint8Array])[];
  readonly drops?: Record<string, number>;
  readonly counters?: Record<string, number>;
}

const known = (index: number, address: string): Input => port(index, datagram(address, BROADCAST));
const knownRemote = tunnel(datagram(REMOTE, BROADCAST));

const toBroadcast = datagram(A, BROADCAST);
const aToB = datagram(A, B);

const rows: Row[] = [
  // ── where frames go ──
  {
    description: "a broadcast reaches all others of its domain, local and remote, and nobody else",
    input: [port(1, toBroadcast)],
    expected: [
      ["2", toBroadcast],
      ["3", toBroadcast],
      ["10.9.0.2", toBroadcast],
      ["10.9.0.3", toBroadcast],
    ],
    counters: { rx: 1, tx: 4, cloned: 3, flooded: 1, multicast: 1 },
  },
  {
    description: "unknown unicast floods",
    input: [port(1, aToB)],
    expected: [
      ["2", aToB],
      ["3", aToB],
      ["10.9.0.2", aToB],
      ["10.9.0.3", aToB],
    ],
    counters: { flooded: 1, multicast: 0 },
  },
  {
    description: "known unicast goes to its port alone",
    before: [known(2, B)],
    input: [port(1, aToB)],
    expected: [["2", aToB]],
    counters: { "fdb-learned": 2 },
  },
  {
    description: "the answer in the same batch finds its way: all is learned before any is forwarded",
    input: [port(1, aToB), port(2, datagram(B, A))],
    expected: [
      ["2", aToB],
      ["1", datagram(B, A)],
    ],
  },
  {
    description: "known unicast behind a VTEP goes through the tunnel alone",
    before: [knownRemote],
    input: [port(1, datagram(A, REMOTE))],
    expected: [["10.9.0.2", datagram(A, REMOTE)]],
  },
  {
    description: "from a VTEP a broadcast reaches local ports and no VTEP",
    input: [tunnel(datagram(REMOTE, BROADCAST))],
    expected: [
      ["1", datagram(REMOTE, BROADCAST)],
      ["2", datagram(REMOTE, BROADCAST)],
      ["3", datagram(REMOTE, BROADCAST)],
    ],
    counters: { rx: 1, cloned: 2 },
  },
  {
    description: "from a VTEP to a MAC behind another VTEP: split horizon",
    before: [knownRemote],
    input: [tunnel(datagram(STRANGER, REMOTE), "10.9.0.3")],
    drops: { "split-horizon": 1 },
  },
  {
    description: "a domain without VNI floods to its ports only",
    input: [port(4, datagram(D, BROADCAST))],
    expected: [["5", datagram(D, BROADCAST)]],
    counters: { cloned: 0 },
  },
  {
    description: "the same MAC may live in two domains",
    before: [known(2, B), known(5, B)],
    input: [port(1, aToB), port(4, datagram(D, B))],
    expected: [
      ["2", aToB],
      ["5", datagram(D, B)],
    ],
  },
  {
    description: "hairpin: the destination is behind the port that the frame came from",
    before: [known(1, B)],
    input: [port(1, aToB)],
    drops: { hairpin: 1 },
  },
  {
    description: "alone in the network",
    setup: (engine) => engine.exports.portDelete(5),
    input: [port(4, datagram(D, BROADCAST))],
    drops: { "no-members": 1 },
  },
  {
    description: "a MAC that moved is found at its new port",
    before: [known(2, B), known(3, B)],
    input: [port(1, aToB)],
    expected: [["3", aToB]],
    counters: { "fdb-moved": 1 },
  },
  {
    description: "a MAC that moved from a VTEP to a port",
    before: [knownRemote, known(3, REMOTE)],
    input: [port(1, datagram(A, REMOTE))],
    expected: [["3", datagram(A, REMOTE)]],
  },
  // ── static entries ──
  {
    description: "a pinned MAC is found without having been seen",
    setup: (engine) => engine.pin(0, B, { port: 3 }),
    input: [port(1, aToB)],
    expected: [["3", aToB]],
  },
  {
    description: "a pinned MAC behind a VTEP",
    setup: (engine) => engine.pin(0, B, { vtep: 2 }),
    input: [port(1, aToB)],
    expected: [["10.9.0.3", aToB]],
  },
  {
    description: "a local frame whose source is pinned elsewhere is spoofed",
    setup: (engine) => engine.pin(0, A, { port: 3 }),
    input: [port(1, toBroadcast)],
    drops: { "static-moved": 1 },
  },
  {
    description: "from its own port a pinned source passes",
    setup: (engine) => engine.pin(0, A, { port: 1 }),
    before: [known(2, B)],
    input: [port(1, aToB)],
    expected: [["2", aToB]],
  },
  {
    description: "from a VTEP a source that is pinned elsewhere passes, unlearned",
    setup: (engine) => engine.pin(0, REMOTE, { vtep: 2 }),
    before: [known(1, A), tunnel(datagram(REMOTE, A))],
    input: [port(1, datagram(A, REMOTE))],
    expected: [["10.9.0.3", datagram(A, REMOTE)]],
  },
  {
    description: "a pinned entry whose port is gone",
    setup: (engine) => {
      engine.pin(0, B, { port: 3 });
      engine.exports.portDelete(3);
    },
    input: [port(1, aToB)],
    drops: { "port-down": 1 },
  },
  {
    description: "a pinned entry whose port serves another network by now is no hole between networks",
    setup: (engine) => {
      engine.pin(0, B, { port: 3 });
      engine.tap(3, 1);
    },
    input: [port(1, aToB)],
    drops: { "port-down": 1 },
  },
  {
    description: "a pinned entry whose VTEP is gone",
    setup: (engine) => {
      engine.pin(0, B, { vtep: 2 });
      engine.exports.vtepDelete(2);
    },
    input: [port(1, aToB)],
    drops: { "vtep-unknown": 1 },
  },
  {
    description: "without learning everything unpinned floods",
    setup: (engine) => engine.domain(1, { flags: 0 }),
    before: [known(5, B)],
    input: [port(4, datagram(D, B))],
    expected: [["5", datagram(D, B)]],
    counters: { "fdb-learned": 0, flooded: 2 },
  },
  // ── isolation ──
  {
    description: "isolated ports don't reach each other by unicast",
    setup: isolate,
    before: [known(2, B)],
    input: [port(1, aToB)],
    drops: { isolated: 1 },
  },
  {
    description: "a flood of an isolated port passes isolated ones by",
    setup: isolate,
    input: [port(1, toBroadcast)],
    expected: [
      ["3", toBroadcast],
      ["10.9.0.2", toBroadcast],
      ["10.9.0.3", toBroadcast],
    ],
  },
  {
    description: "isolated and not isolated reach each other",
    setup: isolate,
    before: [known(3, C), known(1, A)],
    input: [port(1, datagram(A, C)), port(3, datagram(C, A))],
    expected: [
      ["3", datagram(A, C)],
      ["1", datagram(C, A)],
    ],
  },
  {
    description: "what comes by a tunnel reaches isolated ports",
    setup: isolate,
    input: [tunnel(datagram(REMOTE, BROADCAST))],
    expected: [
      ["1", datagram(REMOTE, BROADCAST)],
      ["2", datagram(REMOTE, BROADCAST)],
      ["3", datagram(REMOTE, BROADCAST)],
    ],
  },
  // ── ports whose MACs are all pinned ──
  {
    description: "unknown unicast passes a port by whose MACs are all pinned",
    setup: (engine) => engine.tap(2, 0, PORT_FLAG_NO_FLOOD),
    input: [port(1, datagram(A, STRANGER))],
    expected: [
      ["3", datagram(A, STRANGER)],
      ["10.9.0.2", datagram(A, STRANGER)],
      ["10.9.0.3", datagram(A, STRANGER)],
    ],
  },
  {
    description: "broadcasts reach it",
    setup: (engine) => engine.tap(5, 1, PORT_FLAG_NO_FLOOD),
    input: [port(4, datagram(D, BROADCAST))],
    expected: [["5", datagram(D, BROADCAST)]],
  },
  {
    description: "nothing is learned from it",
    setup: (engine) => engine.tap(5, 1, PORT_FLAG_NO_FLOOD),
    before: [known(5, B)],
    input: [port(4, datagram(D, B))],
    drops: { "no-members": 1 },
    counters: { "fdb-learned": 1 },
  },
  // ── frames are carried as they are ──
  {
    description: "a VLAN tag is carried untouched",
    before: [known(2, B)],
    input: [port(1, datagram(A, B, { tags: [{ vid: 42 }] }))],
    expected: [["2", datagram(A, B, { tags: [{ vid: 42 }] })]],
  },
  {
    description: "QinQ through the tunnel",
    before: [knownRemote],
    input: [port(1, datagram(A, REMOTE, { tags: [{ tpid: 0x88a8, vid: 7 }, { vid: 42 }] }))],
    expected: [["10.9.0.2", datagram(A, REMOTE, { tags: [{ tpid: 0x88a8, vid: 7 }, { vid: 42 }] })]],
  },
  {
    description: "padding behind the IP packet stays",
    before: [known(2, B)],
    input: [port(1, datagram(A, B, { padding: 18 }))],
    expected: [["2", datagram(A, B, { padding: 18 })]],
  },
  {
    description: "a protocol that nobody here knows",
    before: [known(2, B)],
    input: [port(1, frame(A, B, raw(0x88b5, pattern(100))))],
    expected: [["2", frame(A, B, raw(0x88b5, pattern(100)))]],
  },
  {
    description: "the shortest frame: nothing but a header",
    before: [known(2, B)],
    input: [port(1, frame(A, B, raw(0x88b5, new Uint8Array(0))))],
    expected: [["2", frame(A, B, raw(0x88b5, new Uint8Array(0)))]],
  },
  {
    description: "a tag and nothing behind it",
    before: [known(2, B)],
    input: [port(1, frame(A, B, raw(0x8100, new Uint8Array(0))))],
    expected: [["2", frame(A, B, raw(0x8100, new Uint8Array(0)))]],
  },
  {
    description: "an L4 header that contradicts its packet is the receiver's to refuse",
    before: [known(2, B)],
    input: [port(1, frame(A, B, v4(tcp({ source: 1, destination: 2, dataOffset: 15 }))))],
    expected: [["2", frame(A, B, v4(tcp({ source: 1, destination: 2, dataOffset: 15 })))]],
  },
  // ── what no bridge carries ──
  ...Array.from({ length: 16 }, (_, i): Row => {
    const reserved = `01:80:c2:00:00:0${i.toString(16)}`;
    return { description: `${reserved} ends here`, input: [port(1, datagram(A, reserved))], drops: { "reserved-multicast": 1 } };
  }),
  {
    description: "01:80:c2:00:00:10 is not reserved",
    input: [port(4, datagram(D, "01:80:c2:00:00:10"))],
    expected: [["5", datagram(D, "01:80:c2:00:00:10")]],
  },
  { description: "source multicast", input: [port(1, datagram("03:00:00:00:00:01", B))], drops: { "source-multicast": 1 } },
  { description: "source broadcast", input: [port(1, datagram(BROADCAST, B))], drops: { "source-multicast": 1 } },
  { description: "source zero", input: [port(1, datagram("00:00:00:00:00:00", B))], drops: { "source-zero": 1 } },
  { description: "inner source multicast", input: [tunnel(datagram("03:00:00:00:00:01", B))], drops: { "source-multicast": 1 } },
  { description: "a port that is not there", input: [port(77, aToB)], drops: { "port-unknown": 1 } },
  { description: "a port index beyond the table", input: [port(0xffff, aToB)], drops: { "port-unknown": 1 } },
  { description: "truncated by native", input: [port(1, aToB, { flags: RX_FLAG_TRUNCATED })], drops: { truncated: 1 } },
  ...[0, 1, 9, 10, 23].map(
    (length): Row => ({
      description: `${length} bytes are no vnet_hdr and Ethernet header`,
      input: [port(1, new Uint8Array(0), { bytes: concat(new Uint8Array(10), aToB).subarray(0, length) })],
      drops: { runt: 1 },
    }),
  ),
  {
    description: "longer than any frame",
    input: [port(1, frame(A, B, raw(0x88b5, new Uint8Array(65551 - 14))))],
    drops: { giant: 1 },
  },
  {
    description: "an IPv4 total length beyond the frame",
    input: [port(1, frame(A, B, ipv4({ source: "10.0.0.1", destination: "10.0.0.2", totalLength: 1000 }, rawL4(17, pattern(40)))))],
    drops: { "malformed-ip": 1 },
  },
  {
    description: "an IPv4 total length shorter than its header",
    input: [port(1, frame(A, B, ipv4({ source: "10.0.0.1", destination: "10.0.0.2", totalLength: 19 }, rawL4(17, pattern(40)))))],
    drops: { "malformed-ip": 1 },
  },
  {
    description: "IPv4 of version 5",
    input: [port(1, frame(A, B, raw(0x0800, concat(Uint8Array.of(0x55), pattern(40)))))],
    drops: { "malformed-ip": 1 },
  },
  {
    description: "an IPv4 header of 16 bytes",
    input: [port(1, frame(A, B, raw(0x0800, concat(Uint8Array.of(0x44, 0, 0, 40), new Uint8Array(36)))))],
    drops: { "malformed-ip": 1 },
  },
  {
    description: "an IPv6 payload length beyond the frame",
    input: [port(1, frame(A, B, ipv6({ source: "fd00::1", destination: "fd00::2", payloadLength: 100 }, rawL4(17, pattern(40)))))],
    drops: { "malformed-ip": 1 },
  },
  {
    description: "an IPv6 extension header beyond the packet",
    input: [
      port(
        1,
        frame(
          A,
          B,
          ipv6(
            { source: "fd00::1", destination: "fd00::2", extensions: [{ kind: 0, bytes: Uint8Array.of(9, 1, 4, 0, 0, 0, 0) }] },
            rawL4(17, pattern(8)),
          ),
        ),
      ),
    ],
    drops: { "malformed-ip": 1 },
  },
  // ── the virtio-net header ──
  {
    description: "a checksum field outside the frame",
    input: [port(1, aToB, { vnet: { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: aToB.length - 34 - 1 } })],
    drops: { "vnet-header": 1 },
  },
  {
    description: "a checksum that starts in the Ethernet header",
    input: [port(1, aToB, { vnet: { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 13, checksumOffset: 6 } })],
    drops: { "vnet-header": 1 },
  },
  { description: "flags that nobody negotiated", input: [port(1, aToB, { vnet: { flags: 0x80 } })], drops: { "vnet-header": 1 } },
  ...(
    [
      ["UFO", { gsoType: VNET_GSO_UDP, gsoSize: 8 }],
      ["a type that is none", { gsoType: 7, gsoSize: 8 }],
      ["no size", { gsoType: VNET_GSO_UDP_L4, gsoSize: 0 }],
      ["TCP over IPv4, the frame is UDP", { gsoType: VNET_GSO_TCPV4, gsoSize: 8 }],
      ["TCP over IPv6, the frame is UDP", { gsoType: VNET_GSO_TCPV6, gsoSize: 8 }],
      ["a finished checksum", { gsoType: VNET_GSO_UDP_L4, gsoSize: 8, flags: 0 }],
      ["a checksum elsewhere", { gsoType: VNET_GSO_UDP_L4, gsoSize: 8, checksumStart: 38 }],
      ["ECN on UDP", { gsoType: VNET_GSO_UDP_L4 | 0x80, gsoSize: 8 }],
    ] as const
  ).map(
    ([what, vnet]): Row => ({
      description: `segmentation offload: ${what}`,
      input: [
        port(1, aToB, { vnet: { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: 6, headerLength: 42, ...vnet } }),
      ],
      drops: { "bad-gso": 1 },
    }),
  ),
  {
    description: "segmentation offload: one-byte segments of 60 KB would empty every arena",
    input: [
      port(1, frame(A, B, v4(udp({ source: 1, destination: 2, checksum: "partial" }, pattern(60000)))), {
        vnet: {
          flags: VNET_FLAG_NEEDS_CHECKSUM,
          gsoType: VNET_GSO_UDP_L4,
          gsoSize: 1,
          headerLength: 42,
          checksumStart: 34,
          checksumOffset: 6,
        },
      }),
    ],
    drops: { "bad-gso": 1 },
  },
  {
    description: "segmentation offload: a header length beyond the frame",
    input: [
      port(1, frame(A, B, v4(udp({ source: 1, destination: 2, checksum: "partial" }, pattern(100)))), {
        vnet: {
          flags: VNET_FLAG_NEEDS_CHECKSUM,
          gsoType: VNET_GSO_UDP_L4,
          gsoSize: 50,
          headerLength: 1000,
          checksumStart: 34,
          checksumOffset: 6,
        },
      }),
    ],
    drops: { "vnet-header": 1 },
  },
];

function isolate(engine: Engine): void {
  engine.tap(1, 0, PORT_FLAG_ISOLATED);
  engine.tap(2, 0, PORT_FLAG_ISOLATED);
}

function network(build: "debug" | "release"): Engine {
  const engine = new Engine(build);
  engine.domain(0, { vni: VNI, flags: DOMAIN_FLAG_LEARNING });
  engine.domain(1);
  for (const index of [1, 2, 3]) engine.tap(index, 0);
  for (const index of [4, 5]) engine.tap(index, 1);
  engine.underlay(8);
  engine.vtep(1, "10.9.0.2", 8, [0]);
  engine.vtep(2, "10.9.0.3", 8, [0]);
  return engine;
}

describe.each(BUILDS)("bridge (%s)", (build) => {
  it.each(rows)("$description", ({ setup, before, input, expected, drops, counters }) => {
    const engine = network(build);
    setup?.(engine);
    // One at a time: within a chunk there is no order between ports.
    for (const one of before ?? []) engine.run([one]);
    expect(engine.drops()).toEqual({});
    const sent = engine.run(input);
    const want = (expected ?? []).map(([where, bytes]): [string, string] => [where, Buffer.from(bytes).toString("hex")]);
    // What a tunnel writes in front of a shared frame must not show in the header of a local copy.
    for (const one of sent) if (one.destination === "") expect(one.bytes.subarray(0, 10)).toEqual(new Uint8Array(10));
    const header = vxlan(VNI, new Uint8Array(0));
    for (const bytes of sent.flatMap((one) => one.datagrams)) expect(bytes.subarray(0, 8)).toEqual(header);
    expect(reached(sent)).toEqual(want.sort((left, right) => (left.join() < right.join() ? -1 : 1)));
    expect(engine.drops()).toEqual(drops ?? {});
    for (const [name, value] of Object.entries(counters ?? {})) expect([name, engine.counter(name)]).toEqual([name, value]);
    expect(engine.lawDifference()).toBe(0);
  });

  it("finishes a partial checksum once when a flood goes to the wire as well", () => {
    const engine = network(build);
    const partial = frame(A, BROADCAST, v4(udp({ source: 1, destination: 2, checksum: "partial" }, pattern(33))));
    const sent = engine.run([port(1, partial, { vnet: { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 34, checksumOffset: 6 } })]);
    const finished = frame(A, BROADCAST, v4(udp({ source: 1, destination: 2 }, pattern(33))));
    expect(reached(sent).map(([, bytes]) => bytes)).toEqual(new Array(4).fill(Buffer.from(finished).toString("hex")));
    for (const one of sent) if (one.destination === "") expect(one.vnet.flags).toBe(0);
    expect(checksumFault(finished)).toBe("");
  });

  it("hands a partial checksum on untouched to a local port", () => {
    const engine = network(build);
    engine.run([known(2, B)]);
    const partial = frame(A, B, v6(tcp({ source: 1, destination: 2, checksum: "partial" }, pattern(33))));
    const vnet = { flags: VNET_FLAG_NEEDS_CHECKSUM, checksumStart: 54, checksumOffset: 16 };
    const [one] = engine.run([port(1, partial, { vnet })]);
    expect(one?.frame).toEqual(partial);
    expect(one?.vnet).toMatchObject(vnet);
  });

  it("keeps the order of frames from one port to another across chunks and flushes", () => {
    const engine = network(build);
    engine.run([known(2, B)]);
    const inputs = Array.from({ length: 3000 }, (_, i) => port(1, frame(A, B, raw(0x88b5, Uint8Array.of(i >> 8, i & 255)))));
    const sent = engine.run(inputs, { batch: 4096 });
    expect(sent.map((one) => (one.frame[14]! << 8) | one.frame[15]!)).toEqual(inputs.map((_, i) => i));
    expect(engine.portCounters(1)).toMatchObject({ rx: 3000 });
    expect(engine.portCounters(2)).toMatchObject({ tx: 3000 });
  });

  // 6, 26 and 42 ports: the vector of 1024 is full when just the last copy of a frame is missing.
  it.each([6, 26, 42, 150])("floods a whole batch to %i ports, more copies than vectors and rings hold, losing none", (count) => {
    const engine = new Engine(build);
    engine.domain(0);
    const ports = Array.from({ length: count }, (_, i) => i + 1);
    for (const index of ports) engine.tap(index, 0);
    const inputs = Array.from({ length: 256 }, (_, i) => port(1, frame(A, BROADCAST, raw(0x88b5, Uint8Array.of(i)))));
    const sent = engine.run(inputs);
    expect(sent.length).toBe(256 * (count - 1));
    for (const index of ports.slice(1)) {
      expect(sent.filter((one) => one.port === index).map((one) => one.frame[14])).toEqual(inputs.map((_, i) => i));
    }
    expect(engine.drops()).toEqual({});
    expect(engine.counter("cloned")).toBe(256 * (count - 2));
    expect(engine.counter("flooded")).toBe(256);
    expect(engine.lawDifference()).toBe(0);
  });

  it("floods super-frames to many VTEPs, more segments than there are header slots", () => {
    const engine = new Engine(build);
    engine.domain(0, { vni: VNI });
    engine.tap(1, 0);
    engine.underlay(8);
    for (let i = 1; i <= 40; i++) engine.vtep(i, `10.9.1.${i}`, 8, [0]);
    const big = frame(A, BROADCAST, v4(udp({ source: 1, destination: 2, checksum: "partial" }, pattern(60000))));
    const vnet = {
      flags: VNET_FLAG_NEEDS_CHECKSUM,
      gsoType: VNET_GSO_UDP_L4,
      gsoSize: 1200,
      headerLength: 42,
      checksumStart: 34,
      checksumOffset: 6,
    };
    const sent = engine.run(Array.from({ length: 8 }, () => port(1, big, { vnet })));
    expect(sent.reduce((sum, one) => sum + one.datagrams.length, 0)).toBe(8 * 40 * 50);
    for (const bytes of sent.flatMap((one) => one.datagrams)) expect(checksumFault(bytes.subarray(8))).toBe("");
    expect(engine.drops()).toEqual({});
    expect(engine.lawDifference()).toBe(0);
  });

  // A hundred copies of six hundred segments, each with headers of its own: ten megabytes, in scratch of seven.
  it("floods super-frames of small segments to many VTEPs, losing none", () => {
    const engine = new Engine(build);
    engine.domain(0, { vni: VNI });
    engine.tap(1, 0);
    engine.underlay(8);
    for (let i = 1; i <= 100; i++) engine.vtep(i, `10.9.1.${i}`, 8, [0]);
    const big = frame(A, BROADCAST, v4(udp({ source: 1, destination: 2, checksum: "partial" }, pattern(60000))));
    const vnet = {
      flags: VNET_FLAG_NEEDS_CHECKSUM,
      gsoType: VNET_GSO_UDP_L4,
      gsoSize: 100,
      headerLength: 42,
      checksumStart: 34,
      checksumOffset: 6,
    };
    const sent = engine.run([port(1, big, { vnet })]);
    expect(engine.drops()).toEqual({});
    expect(sent.reduce((sum, one) => sum + one.datagrams.length, 0)).toBe(100 * 600);
    expect(engine.lawDifference()).toBe(0);
  });

  it("knows nobody by MAC 0, which free slots of the FDB have, whatever it has looked up before", () => {
    const engine = new Engine(build);
    engine.domain(0);
    for (const index of [0, 1, 2, 3]) engine.tap(index, 0);
    const nobody = datagram(A, "00:00:00:00:00:00");
    for (const before of [[], [datagram(A, STRANGER)]]) {
      const sent = engine.run([...before, nobody].map((bytes) => port(1, bytes)));
      expect(
        sent
          .slice(-3)
          .map((one) => one.port)
          .sort(),
      ).toEqual([0, 2, 3]);
    }
    expect(engine.lawDifference()).toBe(0);
  });

  it("takes a batch of super-frames in as many chunks as the header slots of their segments want", () => {
    const engine = network(build);
    engine.run([knownRemote]);
    const big = frame(A, REMOTE, v4(udp({ source: 1, destination: 2, checksum: "partial" }, pattern(60000))));
    const vnet = {
      flags: VNET_FLAG_NEEDS_CHECKSUM,
      gsoType: VNET_GSO_UDP_L4,
      gsoSize: 1200,
      headerLength: 42,
      checksumStart: 34,
      checksumOffset: 6,
    };
    // 12,800 segments: half as much again as there are slots.
    const sent = engine.run(Array.from({ length: 256 }, () => port(1, big, { vnet })));
    expect(sent.reduce((sum, one) => sum + one.datagrams.length, 0)).toBe(256 * 50);
    expect(engine.drops()).toEqual({});
    expect(engine.lawDifference()).toBe(0);
  });

  it("counts refused descriptors as drops", () => {
    const engine = network(build);
    engine.run([known(2, B)]);
    const frames = Array.from({ length: 10 }, (_, i) => port(1, frame(A, B, raw(0x88b5, Uint8Array.of(i)))));
    let n = 0;
    const errors = [11, 105, 100];
    engine.run(frames, { refuse: () => errors[n++] ?? 0 });
    expect(engine.drops()).toEqual({ "send-queue-full": 2, "send-refused": 1 });
    expect(engine.lawDifference()).toBe(0);
  });

  it("forgets what it learned on a port, from a VTEP, in a domain", () => {
    const engine = network(build);
    engine.pin(0, "02:00:00:00:00:ee", { port: 2 });
    engine.run([known(1, A), known(2, B), known(4, D), knownRemote]);
    const macs = (): string[] =>
      engine
        .dump("fdbDump", 16)
        .map((entry) => entry.getBigUint64(0, true).toString(16))
        .sort();
    const key = (domain: number, text: string): string =>
      ((BigInt(domain) << 48n) | BigInt(`0x${Buffer.from(mac(text)).toString("hex")}`)).toString(16);
    const pinned = key(0, "02:00:00:00:00:ee");
    expect(macs()).toEqual([key(0, A), key(0, B), key(0, REMOTE), key(1, D), pinned].sort());
    engine.exports.portDelete(2);
    expect(macs()).toEqual([key(0, A), key(0, REMOTE), key(1, D), pinned].sort());
    engine.exports.vtepDelete(1);
    expect(macs()).toEqual([key(0, A), key(1, D), pinned].sort());
    engine.tap(4, 0); // another domain
    expect(macs()).toEqual([key(0, A), pinned].sort());
    engine.exports.domainDelete(0);
    expect(macs()).toEqual([]);
    engine.run([known(1, A)]);
    expect(engine.drops()).toEqual({ "port-unknown": 1 });
  });

  it("sends nothing more to a VTEP that left a network, though it stays in another: who was behind it is looked for", () => {
    const engine = network(build);
    engine.domain(1, { vni: VNI + 1 });
    engine.exports.memberSet(1, 1);
    engine.run([knownRemote, tunnel(datagram(REMOTE, D), "10.9.0.2", VNI + 1)]);
    /** Where frames of both networks for one behind the VTEP go: peers by VNI, ports of the first network. */
    const speak = (): string[] =>
      engine
        .run([port(1, datagram(A, REMOTE)), port(4, datagram(D, REMOTE))])
        .flatMap((one) => (one.port === 8 ? one.datagrams.map((bytes) => `${bytes[6]} ${one.destination.slice(-2)}`) : `port ${one.port}`))
        .sort();
    expect(speak()).toEqual([`${VNI} 02`, `${VNI + 1} 02`]);
    engine.exports.memberDelete(0, 1);
    expect(speak()).toEqual([`${VNI} 03`, `${VNI + 1} 02`, "port 2", "port 3"]);
    expect(engine.lawDifference()).toBe(0);
  });

  it("carries ICMP and ARP like anything else in a domain that doesn't proxy", () => {
    const engine = network(build);
    engine.run([known(2, B)]);
    const echo = frame(A, B, v4(icmp(8, 0, pattern(12))));
    const reply = frame(A, B, arp({ operation: 2, senderMac: A, senderIp: "10.0.0.1", targetMac: B, targetIp: "10.0.0.2" }));
    expect(engine.run([port(1, echo), port(1, reply)]).map((one) => one.frame)).toEqual([echo, reply]);
  });
});

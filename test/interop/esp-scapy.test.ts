// scapy as the other end of an encrypted overlay, honest and hostile: it opens what Weft seals, and seals what Weft has to take,
// or to refuse under the right name: replayed, late, cut off, flipped, for nobody, wrapped, badly padded. Of what is
// refused nothing reaches the sandbox, which the sandbox's own kernel counts.
//
// ESP here is scapy's and AES-GCM OpenSSL's; cuts and flips are made from their bytes.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { REPLAY_WINDOW } from "../../wasm/shared/limits.ts";
import { eventually } from "../support/daemon.ts";
import { declared, drops, ESP_VNI, type EspEnd, espEnd, type TestAssociation, testAssociation } from "../support/esp-hosts.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { Scapy } from "../support/scapy.ts";

const [OURS, THEIRS] = ["10.9.0.1", "10.9.0.2"];
const OUR_MAC = "02:42:0a:2d:00:02";
const THEIR_MAC = "02:42:0a:2d:00:03";
/** Ethertype for local experiments: no kernel answers it. */
const FRAME = `Ether(src="${THEIR_MAC}",dst="${OUR_MAC}",type=0x88b5)/(b"inner"*20)`;
const VXLAN = `UDP(sport=50000,dport=4789)/VXLAN(vni=${ESP_VNI})/${FRAME}`;
const FRONT = 16; // SPI, sequence number, IV
const ICV = 16;
const LAST = 2 ** 32 - 1;

const lab = new Lab();
let underlay: Host;
let weft: EspEnd;
let peer: Scapy;
let inSandbox: Scapy;
let spi = 0xd0000000;
/** The association that the test sends by. */
let inbound: TestAssociation;

beforeAll(async () => {
  underlay = await lab.host("w");
  const peerHost = await lab.host("p");
  await lab.wire([underlay, "up0", `${OURS}/24`], [peerHost, "up0", `${THEIRS}/24`]);
  weft = await espEnd(lab, {
    host: underlay,
    name: "w",
    addresses: [OURS],
    peers: [THEIRS],
    inner: [],
    mac: OUR_MAC,
    mtuBytes: 1400,
  });
  // Its kernel says nothing of its own, so that all it receives is the test's.
  await weft.sandbox.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"]);
  [peer, inSandbox] = await Promise.all([Scapy.start(lab, peerHost), Scapy.start(lab, weft.sandbox)]);
});
afterEach(async () => {
  expect((await weft.datapath.stats()).lawDifference).toBe(0n);
});
afterAll(() => lab.dispose());

/** A new pair of associations: the one that comes in is `inbound`. */
async function key(more: { esn?: boolean; firstIn?: number; firstOut?: number } = {}): Promise<TestAssociation> {
  inbound = testAssociation(spi++, { esn: more.esn ?? true, algorithm: "aes-256-gcm" });
  const outbound = testAssociation(spi++, { esn: more.esn ?? true });
  await weft.datapath.declare("keys", {
    associations: [
      declared(inbound, "in", THEIRS, { firstSequence: more.firstIn ?? 0 }),
      declared(outbound, "out", THEIRS, { firstSequence: more.firstOut ?? 0 }),
    ],
  });
  return outbound;
}

const hex = (association: TestAssociation): string => `"${Buffer.from(association.key).toString("hex")}"`;
const high = (association: TestAssociation, value = 0): string => (association.esn ? `,high=${value}` : "");

/** ESP packets by numbers, in scapy's words: `range(1, 9)`. */
const seal = (numbers: string, payload = VXLAN, upper = 0): Promise<string[]> =>
  peer.bytes(`sealed(${hex(inbound)},${inbound.spi},${numbers},${payload}${high(inbound, upper)})`);

interface Outcome {
  /** Frames that the sandbox's kernel got. */
  readonly forwarded: number;
  /** Reasons that grew. */
  readonly drops: Readonly<Record<string, number>>;
}

async function received(): Promise<bigint> {
  const { ports } = await weft.datapath.stats();
  return ports.filter(({ port }) => port.startsWith("esp/") || port.startsWith("underlay/")).reduce((sum, one) => sum + one.rxPackets, 0n);
}

async function sandboxReceived(): Promise<number> {
  const text = await weft.sandbox.must(["ip", "-s", "-json", "link", "show", "dev", "eth0"]);
  return (JSON.parse(text) as { stats64: { rx: { packets: number } } }[])[0]!.stats64.rx.packets;
}

/** What became of datagrams, once the last of them was looked at. */
async function outcome(payloads: readonly string[], port = 4500): Promise<Outcome> {
  const [before, frames] = [await drops(weft.datapath), await sandboxReceived()];
  for (let i = 0; i < payloads.length; i += 200) {
    const wanted = (await received()) + BigInt(Math.min(200, payloads.length - i));
    await peer.sendDatagrams({ to: OURS, port, source: THEIRS, sourcePort: port, payloads: payloads.slice(i, i + 200) });
    await eventually("all datagrams are counted", async () => (await received()) >= wanted);
  }
  const after = await drops(weft.datapath);
  const grown = Object.entries(after).map(([name, value]) => [name, Number(value - (before[name] ?? 0n))] as const);
  return { forwarded: (await sandboxReceived()) - frames, drops: Object.fromEntries(grown.filter(([, by]) => by > 0)) };
}

describe.each([true, false])("what scapy seals, ESN %s", (esn) => {
  test("arrives once, in the order of sending or not, inside the window and not behind it", async () => {
    await key({ esn });
    const packets = await seal("range(1, 301)");
    expect(await outcome(packets)).toEqual({ forwarded: 300, drops: {} });
    expect(await outcome(packets)).toEqual({ forwarded: 0, drops: { "esp-replayed": 300 } });
    // The newest is far ahead: what the window still holds comes in, in whatever order; what it does not is late.
    const newest = 50_000;
    const edge = newest - REPLAY_WINDOW;
    expect(await outcome(await seal(`[${newest}]`))).toEqual({ forwarded: 1, drops: {} });
    const inside = await seal(`list(range(${edge + 1}, ${edge + 65}))[::-1] + [${newest - 1}, ${newest - 4000}]`);
    expect(await outcome(inside)).toEqual({ forwarded: 66, drops: {} });
    expect(await outcome(inside)).toEqual({ forwarded: 0, drops: { "esp-replayed": 66 } });
    // With ESN it is taken for one of the next 2^32, as RFC 4303 appendix A2.2 has it, by which its ICV is wrong.
    const reason = esn ? "esp-forged" : "esp-late";
    expect(await outcome(await seal(`[${edge}, ${edge - 1}, 301, 1]`))).toEqual({ forwarded: 0, drops: { [reason]: 4 } });
    const [entry] = (await weft.datapath.dumpAssociations()).filter(({ direction }) => direction === "in");
    const refused = { forged: esn ? 4n : 0n, late: esn ? 0n : 4n };
    expect(entry).toMatchObject({ packets: 367n, replayed: 366n, malformed: 0n, sequence: BigInt(newest), ...refused });
  });

  test("is refused when any byte of it was changed", async () => {
    await key({ esn });
    const [first, packet] = await seal("[5000, 9000]");
    await outcome([first!]);
    const bytes = Buffer.from(packet!, "hex");
    const flipped = (at: number, mask: number): string => {
      const copy = Buffer.from(bytes);
      copy[at]! ^= mask;
      return copy.toString("hex");
    };
    for (const mask of [0x01, 0x80, 0xff]) {
      const spiChanged = [0, 1, 2, 3].map((at) => flipped(at, mask));
      expect(await outcome(spiChanged)).toEqual({ forwarded: 0, drops: { "esp-unknown-spi": 4 } });
      // A number is another number: too old, or one by which the ICV is wrong.
      const { forwarded, drops: numbered } = await outcome([4, 5, 6, 7].map((at) => flipped(at, mask)));
      expect(forwarded).toBe(0);
      expect((numbered["esp-forged"] ?? 0) + (numbered["esp-late"] ?? 0)).toBe(4);
      const rest = Array.from({ length: bytes.length - 8 }, (_, i) => flipped(8 + i, mask));
      expect(await outcome(rest)).toEqual({ forwarded: 0, drops: { "esp-forged": bytes.length - 8 } });
    }
    // None of it moved the window, nor used the number up.
    expect(await outcome([packet!])).toEqual({ forwarded: 1, drops: {} });
  });

  test("is refused when it was cut off anywhere, or made longer", async () => {
    await key({ esn });
    const [packet] = await seal("[1]");
    const cut = (length: number): string => packet!.slice(0, 2 * length);
    const shortest = FRONT + 4 + ICV;
    const lengths = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => cut(from + i));
    const full = packet!.length / 2;
    expect(await outcome(lengths(0, shortest))).toEqual({ forwarded: 0, drops: { "esp-short": shortest } });
    expect(await outcome(lengths(shortest, full))).toEqual({ forwarded: 0, drops: { "esp-forged": full - shortest } });
    expect(await outcome([`${packet}00`, `${packet}${packet}`])).toEqual({ forwarded: 0, drops: { "esp-forged": 2 } });
    expect(await outcome([packet!])).toEqual({ forwarded: 1, drops: {} });
  });

  test("is refused when it is for nobody, or not ESP at all", async () => {
    await key({ esn });
    const [packet] = await seal("[1]");
    const to = (other: string): string => other + packet!.slice(8);
    expect(await outcome([to("00000000")])).toEqual({ forwarded: 0, drops: { "esp-not-esp": 1 } });
    expect(await outcome([to("00000001"), to("000000ff"), to("ffffffff")])).toEqual({ forwarded: 0, drops: { "esp-unknown-spi": 3 } });
    expect(await outcome(["ff"])).toEqual({ forwarded: 0, drops: { "esp-keepalive": 1 } });
    expect(await outcome(["00", "fe"])).toEqual({ forwarded: 0, drops: { "esp-short": 2 } });
    const [plain] = await peer.bytes(VXLAN.replace("UDP(sport=50000,dport=4789)/", ""));
    expect(await outcome([plain!], 4789)).toEqual({ forwarded: 0, drops: { "esp-plaintext": 1 } });
  });

  test("is refused when what is inside is not a datagram of the tunnel's, or its trailer lies", async () => {
    await key({ esn });
    let number = 1;
    const trailer = async (data: string, padding: string, padlen: number, next: number): Promise<string> => {
      const call = `${hex(inbound)},${inbound.spi},${number++},${data},${padding},${padlen},${next}${high(inbound)}`;
      return (await peer.bytes(`sealed_as_is(${call})`))[0]!;
    };
    const datagram = `(IP()/${VXLAN})`; // its length and checksum want an IP header before it
    const data = `bytes(IP(bytes(${datagram})).payload)`;
    const malformed = [
      await trailer(data, "bytes(2)", 2, 17), // zeroes
      await trailer(data, "bytes([1,2,4])", 3, 17),
      await trailer(data, "b''", 255, 17), // reaches into the payload, which counts no 1, 2, 3
      await trailer("b''", "bytes([1,2])", 3, 17), // longer than there is
      await trailer("b''", "bytes([1,2])", 255, 17),
      await trailer("b''", "bytes([1,2])", 2, 17), // no payload
      await trailer("bytes(7)", "bytes([1,2,3])", 3, 17), // less than a UDP header
      await trailer(`${data}[:-1]`, "bytes([1,2])", 2, 17), // its UDP length is longer than it
    ];
    expect(await outcome(malformed)).toEqual({ forwarded: 0, drops: { "esp-malformed": malformed.length } });
    const selector = [
      await trailer(data, "bytes([1,2])", 2, 6),
      await trailer(data, "bytes([1,2])", 2, 4),
      await trailer(`bytes(IP(bytes(${datagram.replace("dport=4789", "dport=4788")})).payload)`, "bytes([1,2])", 2, 17),
    ];
    expect(await outcome(selector)).toEqual({ forwarded: 0, drops: { "esp-selector": 3 } });
    expect(await outcome([await trailer("bytes(40)", "bytes([1,2])", 2, 59)])).toEqual({ forwarded: 0, drops: { "esp-dummy": 1 } });
    // More padding than needed, and padding behind the datagram that hides its length, are right.
    const right = [
      await trailer(data, "bytes(range(1,255))", 254, 17),
      await trailer(`${data}+bytes(333)`, "bytes([1,2])", 2, 17),
      await trailer(data, "b''", 0, 17),
    ];
    expect(await outcome(right)).toEqual({ forwarded: 3, drops: {} });
    const stranger = await seal(`[${number++}]`, VXLAN.replace(`vni=${ESP_VNI}`, "vni=77"));
    expect(await outcome(stranger)).toEqual({ forwarded: 0, drops: { "vni-unknown": 1 } });
  });
});

describe("the end of the numbers", () => {
  test("without ESN nothing comes in behind 2^32 - 1, and nothing is sent behind it", async () => {
    const outbound = await key({ esn: false, firstIn: LAST - 3000, firstOut: LAST - 1500 });
    expect(await outcome(await seal(`[${LAST - 1}, ${LAST}]`))).toEqual({ forwarded: 2, drops: {} });
    expect((await outcome(await seal("[1, 2]"))).drops).toEqual({ "esp-late": 2 });
    const left = 1500;
    const before = (await drops(weft.datapath))["esp-exhausted"] ?? 0n;
    const frame = `Ether(src="${OUR_MAC}",dst="${THEIR_MAC}",type=0x88b5)/(b"spent"*12)`;
    const filter = `p.haslayer(UDP) and p[UDP].dport == 4500 and raw[42:46] == (${outbound.spi}).to_bytes(4, "big")`;
    await underlay.ethtool("up0", { "tx-udp-segmentation": "off" });
    const seen = await peer.during({ interface: "up0", filter, count: left, seconds: 5 }, () =>
      inSandbox.send("eth0", `[${frame}] * ${left + 100}`),
    );
    const numbers = seen.map((one) => Number.parseInt(one.slice(2 * 46, 2 * 50), 16));
    expect(numbers).toEqual(Array.from({ length: left }, (_, i) => LAST - left + 1 + i));
    await eventually("the rest is refused", async () => ((await drops(weft.datapath))["esp-exhausted"] ?? 0n) - before === 100n);
  });

  test("with ESN the upper half goes up by itself, and must be right", async () => {
    await key({ firstIn: LAST - 3000 });
    expect(await outcome(await seal(`[${LAST - 1}]`))).toEqual({ forwarded: 1, drops: {} });
    expect(await outcome(await seal("[0, 5]", VXLAN, 1))).toEqual({ forwarded: 2, drops: {} });
    expect(await outcome(await seal(`[${LAST}]`))).toEqual({ forwarded: 1, drops: {} });
    expect((await outcome(await seal("[6]", VXLAN, 0))).drops).toEqual({ "esp-forged": 1 });
    expect((await outcome(await seal("[6]", VXLAN, 2))).drops).toEqual({ "esp-forged": 1 });
    expect((await outcome(await seal("[0, 5]", VXLAN, 1))).drops).toEqual({ "esp-replayed": 2 });
  });
});

test("scapy opens what Weft seals, of each length", async () => {
  const outbound = await key();
  await underlay.ethtool("up0", { "tx-udp-segmentation": "off" });
  const sizes = [...Array.from({ length: 70 }, (_, i) => i), 500, 1023, 1397, 1398, 1399, 1400];
  const frames = sizes.map((size) => `Ether(src="${OUR_MAC}",dst="${THEIR_MAC}",type=0x88b5)/Raw(bytes(i % 251 for i in range(${size})))`);
  const filter = `p.haslayer(UDP) and p[UDP].dport == 4500 and raw[42:46] == (${outbound.spi}).to_bytes(4, "big")`;
  const seen = await peer.during({ interface: "up0", filter, count: sizes.length, seconds: 5 }, () => inSandbox.send("eth0", ...frames));
  expect(seen).toHaveLength(sizes.length);
  for (const [i, frame] of seen.entries()) {
    const call = `opened(${hex(outbound)},${outbound.spi},raw[42:],high=0)`;
    const told = `(lambda d: [d[UDP].dport, d[UDP].chksum, VXLAN(bytes(d[UDP].payload)).vni, bytes(d[UDP].payload)[8:].hex()])(${call})`;
    const [sent] = await inSandbox.bytes(frames[i]!);
    expect(await peer.eval(frame, told.replace("raw[42:]", "bytes(p)[42:]"))).toEqual([4789, 0, ESP_VNI, sent]);
  }
});

// ICMP errors about VXLAN in the clear, many of them nearly right. Whatever comes: who is believed quoted what was sent, to the byte;
// and nothing that leaves is longer than what is believed.
import { describe, expect, it } from "vitest";
import * as abi from "../../wasm/shared/abi.ts";
import { VTEPS } from "../../wasm/shared/layout.ts";
import { concat, ethernet, icmp, icmpv6, ipv4, ipv6, tcp, u16, u32, udp } from "../support/packet-builder.ts";
import { type Random, random } from "../support/random.ts";
import { BUILDS, Engine, type Input, type Sent } from "../support/wasm.ts";
import { mutate } from "./templates.ts";

const ERRORS = Number(process.env.WEFT_FUZZ ?? 100_000) / 20;
const SEED = Number(process.env.WEFT_FUZZ_SEED ?? 1);
const MTU = 1430;
const [TAP, UNDERLAY4, UNDERLAY6, ERRORS4, ERRORS6] = [1, 8, 9, 10, 11];
const LOCAL = "02:00:00:00:00:01";
const PROOF = 88;

const PATHS = [
  { vtep: 1, mac: "02:00:00:00:00:11", from: "10.9.0.1", to: "10.9.0.2", outer: 28, underlay: UNDERLAY4 },
  { vtep: 2, mac: "02:00:00:00:00:12", from: "fd09::1", to: "fd09::2", outer: 48, underlay: UNDERLAY6 },
] as const;
type Path = (typeof PATHS)[number];

function network(engine: Engine): void {
  engine.reset(1024);
  engine.domain(1, { vni: 4097, flags: abi.DOMAIN_FLAG_CLAMP_MSS, mtuBytes: MTU });
  engine.tap(TAP, 1, 0, MTU);
  engine.pin(1, LOCAL, { port: TAP });
  engine.underlay(UNDERLAY4);
  engine.underlay(UNDERLAY6);
  engine.pathMtu(ERRORS4, abi.PORT_FLAG_IPV4_HEADER);
  engine.pathMtu(ERRORS6);
  for (const { vtep, mac, to, underlay } of PATHS) {
    engine.vtep(vtep, to, underlay, [1]);
    engine.pin(1, mac, { vtep });
  }
}

const known = (engine: Engine, { vtep }: Path): number => engine.view.getUint32(VTEPS + vtep * abi.VTEP_LENGTH + 36, true);

/** A frame or super-frame to a path's sandbox. */
function frame(r: Random, { mac }: Path): Input {
  const isSuper = r.chance(0.3);
  const payload = r.bytes(isSuper ? 1000 + r.below(8000) : 400 + r.below(1000));
  const l4 = tcp({ source: 1, destination: 2, sequence: r.below(2 ** 32), checksum: isSuper ? "partial" : "full" }, payload);
  const packet = ethernet({ source: LOCAL, destination: mac }, ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, l4));
  if (!isSuper) return { port: TAP, frame: packet };
  const gsoSize = 500 + r.below(MTU - 40 - 500);
  return { port: TAP, frame: packet, vnet: { flags: 1, gsoType: 1, headerLength: 54, gsoSize, checksumStart: 34, checksumOffset: 16 } };
}

/** An error about a datagram, and whether it quotes it as it was. */
function error(r: Random, path: Path, datagram: Uint8Array): { input: Input; quote: Uint8Array } {
  let content = datagram;
  if (r.chance(0.3)) {
    content = datagram.slice();
    content[r.below(PROOF)]! ^= 1 << r.below(8);
  }
  const ports = {
    source: r.chance(0.95) ? 49_152 + r.below(16_384) : r.below(49_152),
    destination: r.chance(0.95) ? 4789 : r.below(0x10000),
  };
  const isIpv4 = path.underlay === UNDERLAY4;
  const fields = { source: path.from, destination: path.to };
  const whole = (isIpv4 ? ipv4({ ...fields, dontFragment: true }, udp(ports, content)) : ipv6(fields, udp(ports, content))).bytes;
  const quote = whole.subarray(0, r.chance(0.9) ? 500 : r.below(200));
  const mtuBytes = r.chance(0.9) ? 1280 + r.below(200) : r.below(0x10000);
  const message = isIpv4
    ? ipv4({ source: "10.9.0.254", destination: path.from }, icmp(3, 4, concat(u16(0), u16(mtuBytes), quote))).bytes
    : icmpv6(2, 0, concat(u32(mtuBytes), quote)).build({ source: new Uint8Array(16), destination: new Uint8Array(16) });
  const bytes = r.chance(0.9) ? message : mutate(r, message);
  return { input: { port: isIpv4 ? ERRORS4 : ERRORS6, datagrams: [bytes], from: "10.9.0.254", fromPort: 0 }, quote: content };
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(0, PROOF)).toString("latin1");

describe.each(BUILDS)("errors about what was sent in the clear (%s)", (build) => {
  it(`${ERRORS} of them, seed ${SEED}`, { timeout: 60_000 + 10 * ERRORS }, () => {
    const r = random(SEED);
    const engine = new Engine(build);
    let learned = 0;
    let second = 0;
    let sent = new Set<string>();
    const last: Sent[] = [];
    for (let turn = 0; turn < ERRORS; turn++) {
      if (turn % 200 === 0) {
        network(engine);
        sent = new Set();
        last.length = 0;
      }
      const path = r.pick(PATHS);
      second += r.pick([0, 0, 0, 0, 1, 300]);
      engine.exports.tick(second * 1000);
      for (const one of engine.run([frame(r, path), frame(r, path)])) {
        if (one.port === TAP) continue;
        const most = known(engine, path);
        for (const datagram of one.datagrams) {
          if (most !== 0 && datagram.length + path.outer > most)
            throw new Error(`turn ${turn}: ${datagram.length} bytes on a path of ${most}`);
          sent.add(text(datagram));
        }
        last[path.vtep] = { ...one, datagrams: one.datagrams.map((datagram) => datagram.slice()) };
      }
      const before = known(engine, path);
      const datagrams = last[path.vtep]?.datagrams;
      if (datagrams === undefined) continue;
      const { input, quote } = error(r, path, r.chance(0.8) ? datagrams[0]! : r.pick(datagrams));
      engine.run([input]);
      const after = known(engine, path);
      if (after !== before) {
        learned++;
        if (!sent.has(text(quote))) throw new Error(`turn ${turn}: believed of what was not sent`);
        if (after > before && before !== 0) throw new Error(`turn ${turn}: ${before} grew to ${after}`);
      }
      if (engine.lawDifference() !== 0) throw new Error(`turn ${turn}: the law of packets is off by ${engine.lawDifference()}`);
      engine.exports.espEventsClear();
    }
    expect(learned).toBeGreaterThan(ERRORS / 2000);
  });
});

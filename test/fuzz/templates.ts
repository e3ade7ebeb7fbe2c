// What fuzzing starts from: a frame of each kind that the engine parses, and what is done to it. A host's A and B are in its
// own sandboxes, REMOTE is behind a tunnel.
import {
  arp,
  arpRequest,
  BROADCAST,
  concat,
  ethernet,
  extension,
  fragmentExtension,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  type L4,
  mssOption,
  neighborSolicitation,
  pattern,
  raw,
  SYN,
  tcp,
  udp,
  vxlan,
} from "../support/packet-builder.ts";
import type { Random } from "../support/random.ts";
import type { VnetHeader } from "../support/wasm.ts";

export const A = "02:00:00:00:00:0a";
export const B = "02:00:00:00:00:0b";
export const REMOTE = "02:00:00:00:99:01";
export const VNI = 100;

export const sourceOf = (isIpv6: boolean): string => (isIpv6 ? "fd00::1" : "10.0.0.1");
export const targetOf = (isIpv6: boolean): string => (isIpv6 ? "fd00::2" : "10.0.0.2");

function templates(): Uint8Array[] {
  const out: Uint8Array[] = [
    arpRequest(A, "10.0.0.1", "10.0.0.2"),
    ethernet(
      { source: A, destination: BROADCAST, tags: [{ vid: 5 }] },
      arp({ operation: 1, senderMac: A, senderIp: "10.0.0.1", targetIp: "10.0.0.2" }),
    ),
    neighborSolicitation(A, "fd00::1", "fd00::2"),
    neighborSolicitation(A, "::", "fd00::2"),
    ethernet({ source: A, destination: B }, raw(0x88b5, pattern(60))),
    ethernet({ source: A, destination: "01:80:c2:00:00:00" }, raw(0x26, pattern(60))),
  ];
  const payloads: L4[] = [
    udp({ source: 1000, destination: 2000 }, pattern(32)),
    udp({ source: 1000, destination: 2000, checksum: "partial" }, pattern(3000)),
    udp({ source: 1000, destination: 4789 }, vxlan(VNI, ethernet({ source: A, destination: B }, raw(0x88b5, pattern(60))))),
    tcp({ source: 1000, destination: 2000, checksum: "partial" }, pattern(4000)),
    tcp({ source: 1000, destination: 2000, sequence: 1 }, pattern(100)),
    tcp({ source: 1000, destination: 2000, sequence: 101 }, pattern(100)),
    tcp({
      source: 1000,
      destination: 80,
      flags: SYN,
      options: concat(Uint8Array.of(1, 1, 4, 2), mssOption(9000), Uint8Array.of(0, 0, 0, 0)),
    }),
    tcp({ source: 1000, destination: 80, flags: SYN, options: concat(Uint8Array.of(1), mssOption(9000), Uint8Array.of(3, 3, 7)) }),
    icmp(8, 0, pattern(60)),
    icmpv6(128, 0, pattern(60)),
    icmpv6(135, 0, pattern(28)),
  ];
  for (const payload of payloads) {
    for (const destination of [B, REMOTE]) {
      const header = { source: A, destination };
      out.push(ethernet(header, ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, payload)));
      out.push(ethernet(header, ipv6({ source: "fd00::1", destination: "fd00::2" }, payload)));
    }
    out.push(
      ethernet(
        { source: A, destination: B, tags: [{ tpid: 0x88a8, vid: 1 }, { vid: 2 }] },
        ipv4({ source: "10.0.0.1", destination: "10.0.0.2", options: new Uint8Array(40) }, payload),
      ),
    );
    const extensions = [extension(0), extension(43, 1), extension(60, 2)];
    out.push(ethernet({ source: A, destination: REMOTE }, ipv6({ source: "fd00::1", destination: "fd00::2", extensions }, payload)));
    out.push(
      ethernet(
        { source: A, destination: B },
        ipv6({ source: "fd00::1", destination: "fd00::2", extensions: [fragmentExtension(1480, true)] }, payload),
      ),
    );
    out.push(ethernet({ source: A, destination: B }, ipv4({ source: "10.0.0.1", destination: "10.0.0.2", moreFragments: true }, payload)));
  }
  return out;
}

export const TEMPLATES = templates();
const EXTREMES = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

export function mutate(r: Random, template: Uint8Array): Uint8Array {
  let frame: Uint8Array = template.slice();
  // A header's worth of places is where it hurts.
  const place = (): number => r.below(r.chance(0.8) ? Math.min(frame.length, 100) : frame.length);
  for (let n = r.below(4); n > 0 && frame.length > 0; n--) {
    const kind = r.below(6);
    if (kind === 0) frame[place()] = r.below(256);
    else if (kind === 1) frame[place()] = r.pick(EXTREMES);
    else if (kind === 2) frame[place()]! ^= 1 << r.below(8);
    else if (kind === 3) frame = frame.subarray(0, r.below(frame.length + 1));
    else if (kind === 4) frame = concat(frame, r.bytes(r.below(80)));
    else {
      const at = place();
      frame = concat(frame.subarray(0, at), r.bytes(r.below(9)), frame.subarray(at));
    }
  }
  return frame;
}

export function vnet(r: Random): Partial<VnetHeader> {
  if (r.chance(0.3)) return {};
  const isIpv6 = r.chance(0.5);
  const isUdp = r.chance(0.5);
  const start = isIpv6 ? 54 : 34;
  const honest: VnetHeader = {
    flags: 1,
    gsoType: r.chance(0.5) ? 0 : isUdp ? 5 : isIpv6 ? 4 : 1,
    headerLength: start + (isUdp ? 8 : 20),
    gsoSize: r.pick([0, 1, 2, 7, 16, 100, 1400, 65535]),
    checksumStart: start,
    checksumOffset: isUdp ? 6 : 16,
  };
  if (r.chance(0.6)) return honest;
  return {
    ...honest,
    flags: r.below(256),
    gsoType: r.below(256),
    headerLength: r.below(0x10000),
    gsoSize: r.below(0x10000),
    checksumStart: r.below(r.pick([100, 0x10000])),
    checksumOffset: r.below(r.pick([100, 0x10000])),
  };
}

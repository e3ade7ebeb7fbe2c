// Builds frames byte by byte from the RFCs' figures, and checksums by the plainest sum there is: what the engine does is
// held against this, so it shares no code with wasm/.
//
//   ethernet({ source, destination }, ipv4({ source: "10.0.0.1", destination: "10.0.0.2" }, udp({ source: 1, destination: 2 }, payload)))
//
// An L4 layer is a function: its checksum needs the addresses that only the IP layer around it knows.

/** Addresses and protocol as they stand in front of a checksummed L4 packet. */
export interface PseudoHeader {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
}

export interface L4 {
  readonly protocol: number;
  build(pseudo: PseudoHeader): Uint8Array;
}

export interface Layer3 {
  readonly ethertype: number;
  readonly bytes: Uint8Array;
}

/** How the checksum of an L4 packet is to be: right, wrong, absent, or as a kernel leaves it for the hardware to finish. */
export type ChecksumKind = "full" | "partial" | "wrong" | "zero";

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_ARP = 0x0806;
const ETHERTYPE_IPV6 = 0x86dd;
const ICMP = 1;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;

export const BROADCAST = "ff:ff:ff:ff:ff:ff";

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function mac(text: string): Uint8Array {
  return Uint8Array.from(text.split(":"), (byte) => Number.parseInt(byte, 16));
}

function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** "10.0.0.1" -> 4 bytes, "fd00::1" -> 16 bytes. */
export function address(text: string): Uint8Array {
  if (!text.includes(":")) return Uint8Array.from(text.split("."), Number);
  const [left = "", right] = text.split("::");
  const words = (part: string): number[] => (part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16)));
  const head = words(left);
  const tail = right === undefined ? [] : words(right);
  const all = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 255]));
}

/** 16 bytes, IPv4 as ::ffff:a.b.c.d: how addresses stand in the engine's tables. */
export function mappedAddress(text: string): Uint8Array {
  const bytes = address(text);
  return bytes.length === 16 ? bytes : concat(new Uint8Array(10), Uint8Array.of(255, 255), bytes);
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of((value >> 8) & 255, value & 255);
}

export function u32(value: number): Uint8Array {
  return Uint8Array.of((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

/** Payload whose bytes tell where they belong: wrong order or a lost byte shows. */
export function pattern(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed * 31) & 255);
}

/** One's complement sum of 16-bit big-endian words, folded (RFC 1071). */
function onesSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum;
}

function internetChecksum(bytes: Uint8Array): number {
  return ~onesSum(bytes) & 0xffff;
}

function pseudoBytes(pseudo: PseudoHeader, protocol: number, length: number): Uint8Array {
  return pseudo.source.length === 4
    ? concat(pseudo.source, pseudo.destination, Uint8Array.of(0, protocol), u16(length))
    : concat(pseudo.source, pseudo.destination, u32(length), Uint8Array.of(0, 0, 0, protocol));
}

/** Puts the checksum of `protocol` at `offset` of the packet, in place. */
function seal(packet: Uint8Array, offset: number, pseudo: PseudoHeader, protocol: number, kind: ChecksumKind): Uint8Array {
  const head = pseudoBytes(pseudo, protocol, packet.length);
  let value = 0;
  if (kind === "partial") value = onesSum(head);
  else if (kind !== "zero") {
    value = internetChecksum(concat(head, packet));
    if (protocol === UDP && value === 0) value = 0xffff;
    if (kind === "wrong") value ^= 0x5555;
  }
  packet.set(u16(value), offset);
  return packet;
}

// ── layer 2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface EthernetFields {
  readonly source: string;
  readonly destination: string;
  /** Outermost first. */
  readonly tags?: readonly { readonly tpid?: number; readonly vid: number }[];
  /** Bytes behind the packet, as Ethernet's minimum puts there. */
  readonly padding?: number;
}

export function ethernet(fields: EthernetFields, payload: Layer3): Uint8Array {
  const tags = (fields.tags ?? []).map((tag) => concat(u16(tag.tpid ?? 0x8100), u16(tag.vid)));
  return concat(
    mac(fields.destination),
    mac(fields.source),
    ...tags,
    u16(payload.ethertype),
    payload.bytes,
    new Uint8Array(fields.padding ?? 0),
  );
}

/** Any payload under any type. */
export function raw(ethertype: number, bytes: Uint8Array): Layer3 {
  return { ethertype, bytes };
}

export interface ArpFields {
  readonly operation: number;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac?: string;
  readonly targetIp: string;
}

export function arp(fields: ArpFields): Layer3 {
  return raw(
    ETHERTYPE_ARP,
    concat(
      Uint8Array.of(0, 1, 8, 0, 6, 4),
      u16(fields.operation),
      mac(fields.senderMac),
      address(fields.senderIp),
      mac(fields.targetMac ?? "00:00:00:00:00:00"),
      address(fields.targetIp),
    ),
  );
}

/** A broadcast "who has?". */
export function arpRequest(senderMac: string, senderIp: string, targetIp: string): Uint8Array {
  return ethernet({ source: senderMac, destination: BROADCAST }, arp({ operation: 1, senderMac, senderIp, targetIp }));
}

// ── layer 3 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Ipv4Fields {
  readonly source: string;
  readonly destination: string;
  readonly tos?: number;
  readonly id?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In bytes. */
  readonly fragmentOffset?: number;
  readonly ttl?: number;
  /** Multiple of 4 bytes. */
  readonly options?: Uint8Array;
  /** A lie about the length. */
  readonly totalLength?: number;
}

export function ipv4(fields: Ipv4Fields, payload: L4): Layer3 {
  const pseudo = { source: address(fields.source), destination: address(fields.destination) };
  const options = fields.options ?? new Uint8Array(0);
  const body = payload.build(pseudo);
  const headerLength = 20 + options.length;
  const fragment =
    (fields.dontFragment === true ? 0x4000 : 0) | (fields.moreFragments === true ? 0x2000 : 0) | ((fields.fragmentOffset ?? 0) >> 3);
  const header = concat(
    Uint8Array.of(0x40 | (headerLength >> 2), fields.tos ?? 0),
    u16(fields.totalLength ?? headerLength + body.length),
    u16(fields.id ?? 0),
    u16(fragment),
    Uint8Array.of(fields.ttl ?? 64, payload.protocol, 0, 0),
    pseudo.source,
    pseudo.destination,
    options,
  );
  header.set(u16(internetChecksum(header)), 10);
  return raw(ETHERTYPE_IPV4, concat(header, body));
}

export interface Ipv6Fields {
  readonly source: string;
  readonly destination: string;
  readonly trafficClass?: number;
  readonly flowLabel?: number;
  readonly hopLimit?: number;
  /** In order: their type and bytes behind "next header"; the first of those is the length byte (or 0 of a fragment header). */
  readonly extensions?: readonly { readonly kind: number; readonly bytes: Uint8Array }[];
  readonly payloadLength?: number;
}

export function ipv6(fields: Ipv6Fields, payload: L4): Layer3 {
  const pseudo = { source: address(fields.source), destination: address(fields.destination) };
  const extensions = fields.extensions ?? [];
  const chain = extensions.map((extension, i) => concat(Uint8Array.of(extensions[i + 1]?.kind ?? payload.protocol), extension.bytes));
  const body = concat(...chain, payload.build(pseudo));
  const header = concat(
    u32((6 * 2 ** 28 + (fields.trafficClass ?? 0) * 2 ** 20 + (fields.flowLabel ?? 0)) >>> 0),
    u16(fields.payloadLength ?? body.length),
    Uint8Array.of(extensions[0]?.kind ?? payload.protocol, fields.hopLimit ?? 64),
    pseudo.source,
    pseudo.destination,
  );
  return raw(ETHERTYPE_IPV6, concat(header, body));
}

/** A hop-by-hop (0), routing (43) or destination options (60) header of `units` * 8 bytes beyond the first 8, padded. */
export function extension(kind: 0 | 43 | 60, units = 0): { kind: number; bytes: Uint8Array } {
  const body = new Uint8Array(6 + units * 8);
  if (kind === 43)
    body[0] = 254; // experimental routing type, no segments left
  else body.set([1, body.length - 2]); // PadN
  return { kind, bytes: concat(Uint8Array.of(units), body) };
}

export function fragmentExtension(offset: number, more: boolean, id = 1): { kind: number; bytes: Uint8Array } {
  return { kind: 44, bytes: concat(Uint8Array.of(0), u16(offset | (more ? 1 : 0)), u32(id)) };
}

// ── layer 4 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export function rawL4(protocol: number, bytes: Uint8Array): L4 {
  return { protocol, build: () => bytes };
}

export interface UdpFields {
  readonly source: number;
  readonly destination: number;
  readonly checksum?: ChecksumKind;
  readonly length?: number;
}

export function udp(fields: UdpFields, payload: Uint8Array): L4 {
  return {
    protocol: UDP,
    build: (pseudo) => {
      const header = concat(u16(fields.source), u16(fields.destination), u16(fields.length ?? 8 + payload.length), u16(0));
      return seal(concat(header, payload), 6, pseudo, UDP, fields.checksum ?? "full");
    },
  };
}

export const SYN = 2;
export const ACK = 16;

export interface TcpFields {
  readonly source: number;
  readonly destination: number;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly flags?: number;
  readonly window?: number;
  /** Multiple of 4 bytes. */
  readonly options?: Uint8Array;
  readonly checksum?: ChecksumKind;
  /** In 4-byte words, a lie. */
  readonly dataOffset?: number;
}

export function tcp(fields: TcpFields, payload: Uint8Array = new Uint8Array(0)): L4 {
  return {
    protocol: TCP,
    build: (pseudo) => {
      const options = fields.options ?? new Uint8Array(0);
      const header = concat(
        u16(fields.source),
        u16(fields.destination),
        u32(fields.sequence ?? 0),
        u32(fields.acknowledgment ?? 0),
        Uint8Array.of((fields.dataOffset ?? 5 + (options.length >> 2)) << 4, fields.flags ?? ACK),
        u16(fields.window ?? 65535),
        u16(0),
        u16(0),
        options,
      );
      return seal(concat(header, payload), 16, pseudo, TCP, fields.checksum ?? "full");
    },
  };
}

/** MSS option, RFC 9293 section 3.7.1. */
export function mssOption(mss: number): Uint8Array {
  return concat(Uint8Array.of(2, 4), u16(mss));
}

export function icmp(type: number, code: number, rest: Uint8Array): L4 {
  return {
    protocol: ICMP,
    build: () => {
      const packet = concat(Uint8Array.of(type, code, 0, 0), rest);
      packet.set(u16(internetChecksum(packet)), 2);
      return packet;
    },
  };
}

export function icmpv6(type: number, code: number, rest: Uint8Array, checksum: ChecksumKind = "full"): L4 {
  return {
    protocol: ICMPV6,
    build: (pseudo) => seal(concat(Uint8Array.of(type, code, 0, 0), rest), 2, pseudo, ICMPV6, checksum),
  };
}

/** Neighbour solicitation with the source link-layer option, to the target's solicited-node group. */
export function neighborSolicitation(senderMac: string, senderIp: string, targetIp: string): Uint8Array {
  const target = address(targetIp);
  const low = target.slice(13);
  const group = `ff02::1:ff${macText(low.slice(0, 1))}:${macText(low.slice(1)).replace(":", "")}`;
  const option = senderIp === "::" ? new Uint8Array(0) : concat(Uint8Array.of(1, 1), mac(senderMac));
  return ethernet(
    { source: senderMac, destination: `33:33:ff:${macText(low)}` },
    ipv6({ source: senderIp, destination: group, hopLimit: 255 }, icmpv6(135, 0, concat(new Uint8Array(4), target, option))),
  );
}

// ── tunnel ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** VXLAN header and the frame in it: the payload of the outer datagram. */
export function vxlan(vni: number, frame: Uint8Array, flags = 0x08): Uint8Array {
  return concat(Uint8Array.of(flags, 0, 0, 0), u32((vni << 8) >>> 0), frame);
}

// ── taking apart ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** What is wrong with the IP and L4 checksums of an untagged, unfragmented frame without extension headers; "" if nothing. */
export function checksumFault(frame: Uint8Array): string {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const type = view.getUint16(12);
  let pseudo: PseudoHeader;
  let l4: Uint8Array;
  let protocol: number;
  if (type === ETHERTYPE_IPV4) {
    const headerLength = (view.getUint8(14) & 15) * 4;
    if (internetChecksum(frame.subarray(14, 14 + headerLength)) !== 0) return "IPv4 header checksum";
    protocol = view.getUint8(23);
    pseudo = { source: frame.subarray(26, 30), destination: frame.subarray(30, 34) };
    l4 = frame.subarray(14 + headerLength, 14 + view.getUint16(16));
  } else if (type === ETHERTYPE_IPV6) {
    protocol = view.getUint8(20);
    pseudo = { source: frame.subarray(22, 38), destination: frame.subarray(38, 54) };
    l4 = frame.subarray(54, 54 + view.getUint16(18));
  } else {
    return "";
  }
  if (protocol === ICMP) return internetChecksum(l4) === 0 ? "" : "ICMP checksum";
  if (protocol === UDP && l4[6] === 0 && l4[7] === 0) return type === ETHERTYPE_IPV6 ? "UDP checksum 0 over IPv6" : "";
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMPV6) return "";
  return internetChecksum(concat(pseudoBytes(pseudo, protocol, l4.length), l4)) === 0 ? "" : `protocol ${protocol} checksum`;
}

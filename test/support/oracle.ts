// What a super-frame means, written down a second time and as plainly as possible: bytes in, bytes out, one field after the
// other, no shortcuts. The engine's segmentation and GRO are compared with this, so it must share nothing with them.

export type Bytes = Uint8Array;

/** RFC 1071, word by word in network order. */
function checksum(bytes: Bytes, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

const complement = (sum: number): number => ~sum & 0xffff;

export interface Flow {
  family: 4 | 6;
  protocol: "tcp" | "udp";
  vlan?: number;
  sourcePort?: number;
  destinationPort?: number;
  source?: number; // last byte of the address
  destination?: number;
  sourceMac?: number; // last byte
  destinationMac?: number;
}

export interface Segment extends Flow {
  payload: Bytes;
  sequence?: number;
  acknowledgment?: number;
  flags?: number;
  window?: number;
  urgent?: number;
  options?: Bytes; // TCP, a multiple of 4
  ipOptions?: Bytes; // IPv4, a multiple of 4
  extension?: Bytes; // IPv6: one hop-by-hop header, a multiple of 8; its first byte is filled in
  identification?: number;
  dontFragment?: boolean;
  ttl?: number;
  tos?: number;
  /** "partial": the pseudo-header's sum, as a kernel leaves it; "none": zero (UDP); "wrong". */
  checksum?: "full" | "partial" | "none" | "wrong";
}

export interface Layout {
  l3: number;
  l4: number;
  payload: number;
  /** Where the checksum field is, from l4. */
  field: number;
}

export const FIN = 1;
export const SYN = 2;
export const PSH = 8;
export const ACK = 16;
export const ECE = 64;
export const CWR = 128;

export function layout(s: Segment): Layout {
  const l3 = s.vlan === undefined ? 14 : 18;
  const l4 = l3 + (s.family === 4 ? 20 + (s.ipOptions?.length ?? 0) : 40 + (s.extension?.length ?? 0));
  const payload = l4 + (s.protocol === "tcp" ? 20 + (s.options?.length ?? 0) : 8);
  return { l3, l4, payload, field: s.protocol === "tcp" ? 16 : 6 };
}

/** The frame of a segment, or of a super-frame (`payload` longer than any wire would take). */
export function frame(s: Segment): Bytes {
  const at = layout(s);
  const bytes = new Uint8Array(at.payload + s.payload.length);
  const view = new DataView(bytes.buffer);
  const number = s.protocol === "tcp" ? 6 : 17;
  bytes.set([0x02, 0, 0, 0, 0, s.destinationMac ?? 2, 0x02, 0, 0, 0, 0, s.sourceMac ?? 1]);
  if (s.vlan !== undefined) {
    view.setUint16(12, 0x8100);
    view.setUint16(14, s.vlan);
  }
  view.setUint16(at.l3 - 2, s.family === 4 ? 0x0800 : 0x86dd);
  const l4Length = bytes.length - at.l4;
  if (s.family === 4) {
    bytes[at.l3] = 0x40 | ((at.l4 - at.l3) / 4);
    bytes[at.l3 + 1] = s.tos ?? 0;
    view.setUint16(at.l3 + 2, bytes.length - at.l3);
    view.setUint16(at.l3 + 4, s.identification ?? 0x1234);
    view.setUint16(at.l3 + 6, s.dontFragment === false ? 0 : 0x4000);
    bytes[at.l3 + 8] = s.ttl ?? 64;
    bytes[at.l3 + 9] = number;
    bytes.set([10, 0, 0, s.source ?? 1], at.l3 + 12);
    bytes.set([10, 0, 0, s.destination ?? 2], at.l3 + 16);
    if (s.ipOptions) bytes.set(s.ipOptions, at.l3 + 20);
    view.setUint16(at.l3 + 10, complement(checksum(bytes.subarray(at.l3, at.l4))));
  } else {
    view.setUint32(at.l3, 0x60000000 | ((s.tos ?? 0) << 20) | 0x54321);
    view.setUint16(at.l3 + 4, bytes.length - at.l3 - 40);
    bytes[at.l3 + 6] = s.extension ? 0 : number;
    bytes[at.l3 + 7] = s.ttl ?? 64;
    bytes.set([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, s.source ?? 1], at.l3 + 8);
    bytes.set([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, s.destination ?? 2], at.l3 + 24);
    if (s.extension) {
      bytes.set(s.extension, at.l3 + 40);
      bytes[at.l3 + 40] = number;
    }
  }
  view.setUint16(at.l4, s.sourcePort ?? 40000);
  view.setUint16(at.l4 + 2, s.destinationPort ?? 5201);
  if (s.protocol === "tcp") {
    view.setUint32(at.l4 + 4, s.sequence ?? 1000);
    view.setUint32(at.l4 + 8, s.acknowledgment ?? 77);
    bytes[at.l4 + 12] = ((at.payload - at.l4) / 4) << 4;
    bytes[at.l4 + 13] = s.flags ?? ACK;
    view.setUint16(at.l4 + 14, s.window ?? 501);
    view.setUint16(at.l4 + 18, s.urgent ?? 0);
    if (s.options) bytes.set(s.options, at.l4 + 20);
  } else {
    view.setUint16(at.l4 + 4, l4Length);
  }
  bytes.set(s.payload, at.payload);
  const pseudo = pseudoSum(s, bytes, at);
  const full = complement(checksum(bytes.subarray(at.l4), pseudo));
  const never0 = full === 0 && s.protocol === "udp" ? 0xffff : full;
  const value = { full: never0, partial: pseudo, none: 0, wrong: never0 ^ 0x5555 }[s.checksum ?? "full"];
  view.setUint16(at.l4 + at.field, value);
  return bytes;
}

function pseudoSum(s: Segment, bytes: Bytes, at: Layout): number {
  const addresses = s.family === 4 ? bytes.subarray(at.l3 + 12, at.l3 + 20) : bytes.subarray(at.l3 + 8, at.l3 + 40);
  const tail = new Uint8Array(4);
  tail[1] = s.protocol === "tcp" ? 6 : 17;
  new DataView(tail.buffer).setUint16(2, bytes.length - at.l4);
  return checksum(tail, checksum(addresses));
}

/** What a network card would put on the wire for the super-frame `s`, cut at `size` bytes of payload. */
export function cut(s: Segment, size: number): Bytes[] {
  const frames: Bytes[] = [];
  for (let at = 0; at < s.payload.length; at += size) {
    const last = at + size >= s.payload.length;
    let flags = s.flags ?? ACK;
    if (!last) flags &= ~(FIN | PSH);
    if (at !== 0) flags &= ~CWR;
    frames.push(
      frame({
        ...s,
        payload: s.payload.subarray(at, at + size),
        sequence: ((s.sequence ?? 1000) + at) >>> 0,
        identification: ((s.identification ?? 0x1234) + at / size) & 0xffff,
        flags,
        checksum: "full",
      }),
    );
  }
  return frames;
}

/** The ten bytes before a TAP's frame. */
export function vnetHeader(s: Segment, gsoSize = 0): Bytes {
  const header = new Uint8Array(10);
  if (s.checksum !== "partial") return header;
  const view = new DataView(header.buffer);
  const at = layout(s);
  header[0] = 1;
  if (gsoSize !== 0) {
    header[1] = s.protocol === "udp" ? 5 : s.family === 4 ? 1 : 4;
    view.setUint16(2, at.payload, true);
    view.setUint16(4, gsoSize, true);
  }
  view.setUint16(6, at.l4, true);
  view.setUint16(8, at.field, true);
  return header;
}

/** Bytes that differ from their neighbours, so that a slice from the wrong place shows. */
export function pattern(length: number, seed = 1): Bytes {
  const bytes = new Uint8Array(length);
  let x = (seed * 2654435761) >>> 0;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

export function concat(...parts: Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The segment that `bytes` is the frame of: the inverse of `frame` for whatever that can build without IP options. */
function parse(bytes: Bytes): Segment {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const tagged = view.getUint16(12) === 0x8100;
  const l3 = tagged ? 18 : 14;
  const family = view.getUint16(l3 - 2) === 0x0800 ? 4 : 6;
  const protocol = bytes[family === 4 ? l3 + 9 : l3 + 6] === 6 ? "tcp" : "udp";
  const l4 = l3 + (family === 4 ? 20 : 40);
  const headers = protocol === "tcp" ? ((bytes[l4 + 12] ?? 0) >> 4) * 4 : 8;
  const byte = (at: number): number => bytes[at] ?? 0;
  return {
    family,
    protocol,
    ...(tagged ? { vlan: view.getUint16(14) } : {}),
    destinationMac: byte(5),
    sourceMac: byte(11),
    source: byte(family === 4 ? l3 + 15 : l3 + 23),
    destination: byte(family === 4 ? l3 + 19 : l3 + 39),
    tos: family === 4 ? byte(l3 + 1) : (view.getUint32(l3) >>> 20) & 0xff,
    ttl: byte(family === 4 ? l3 + 8 : l3 + 7),
    ...(family === 4 ? { identification: view.getUint16(l3 + 4), dontFragment: (byte(l3 + 6) & 0x40) !== 0 } : {}),
    sourcePort: view.getUint16(l4),
    destinationPort: view.getUint16(l4 + 2),
    ...(protocol === "tcp"
      ? {
          sequence: view.getUint32(l4 + 4),
          acknowledgment: view.getUint32(l4 + 8),
          flags: byte(l4 + 13),
          window: view.getUint16(l4 + 14),
          urgent: view.getUint16(l4 + 18),
          options: bytes.slice(l4 + 20, l4 + headers),
        }
      : {}),
    payload: bytes.slice(l4 + headers),
  };
}

/** What a kernel that gets `write` from a TAP takes it for: the frames of the wire that it stands for. */
export function expand(write: Bytes): Bytes[] {
  const header = new DataView(write.buffer, write.byteOffset, 10);
  const bytes = write.subarray(10);
  if (header.getUint8(0) === 0) return [bytes];
  const segment = parse(bytes);
  const size = header.getUint8(1) === 0 ? Math.max(segment.payload.length, 1) : header.getUint16(4, true);
  return segment.payload.length === 0 ? [frame(segment)] : cut(segment, size);
}

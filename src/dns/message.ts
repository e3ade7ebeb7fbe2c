// DNS messages as bytes (RFC 1035 section 4, RFC 6891 for EDNS): the format, as questions (query.ts), answers of our own (answer.ts)
// and what is passed on (forwarded.ts) share it.
//
//   header, 12 bytes: id · flags · counts of question, answer, authority, additional
//   question: name · type · class          record: name · type · class · ttl · length · data
//
// Answers of others are never decoded and encoded again: what we don't know of a record's type would be lost. They pass as the
// bytes they are. That is why this is no general codec: packages for that give neither the offsets nor name compression.
//
// The question goes back as the bytes it came in, so its case is kept (RFC 1035 2.3.3, and programs that randomise it insist).

export const HEADER_BYTES = 12;
/** Without EDNS, by UDP (RFC 1035 section 4.2.1). */
export const UDP_BYTES_MIN = 512;
/** What we tell others that we can take: passes every link unfragmented. */
export const EDNS_BYTES = 1232;
export const MESSAGE_BYTES_MAX = 65535;
/** More no IPv4 datagram holds, whatever the asker says that it takes. */
export const UDP_BYTES_MAX = 65507;

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export const TYPE = { A: 1, SOA: 6, PTR: 12, AAAA: 28, SRV: 33, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const CLASS = { IN: 1, ANY: 255 } as const;

export const FLAG_RESPONSE = 0x8000;
export const FLAG_TRUNCATED = 0x0200;
export const FLAG_RECURSION_DESIRED = 0x0100;
export const FLAG_RECURSION_AVAILABLE = 0x0080;
export const FLAG_AUTHENTIC_DATA = 0x0020;
export const FLAG_CHECKING_DISABLED = 0x0010;
export const OPCODE_MASK = 0x7800;
export const RCODE_MASK = 0x000f;
export const DNSSEC_OK = 0x8000;

export const NAME_BYTES_MAX = 255;
export const LABEL_BYTES_MAX = 63;
export const NOTHING = new Uint8Array(0);
export const POINTER = 0xc0;
/** A pointer to the question's name, which always starts behind the header. */
export const POINTER_TO_QUESTION = 0xc000 | HEADER_BYTES;
export const RECORD_FIXED_BYTES = 10;
export const OPT_BYTES = 11;

export interface Edns {
  /** Largest answer that the asker takes by UDP. */
  readonly size: number;
  readonly version: number;
  readonly dnssecOk: boolean;
}

export interface Query {
  readonly id: number;
  readonly flags: number;
  /** Name, type and class as they came. */
  readonly question: Uint8Array;
  /** In lower case, without the last dot; bytes that could be mistaken for a separator are escaped (`\046`). */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly edns: Edns | null;
}

/** A query that can't be answered but with an error; `question` is empty where it can't be read. */
export interface BadQuery {
  readonly id: number;
  readonly flags: number;
  readonly question: Uint8Array;
  readonly edns: Edns | null;
  readonly rcode: number;
}

export interface Resource {
  /** Encoded; absent: the question's name. */
  readonly owner?: Uint8Array;
  readonly type: number;
  readonly data: Uint8Array;
}

export const u16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
export const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) * 0x10000 + u16(bytes, at + 2);

export function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, Math.floor(value / 0x10000));
  putU16(bytes, at + 2, value % 0x10000);
}

/** The name at `at`, uncompressed: what comes first in a message has nothing to point to. */
export function readName(bytes: Uint8Array, at: number): { text: string; end: number } | null {
  let text = "";
  for (let next = at; ; ) {
    const length = bytes[next];
    if (length === undefined || length > LABEL_BYTES_MAX || next + 1 + length - at > NAME_BYTES_MAX) return null;
    next += 1;
    if (length === 0) return { text, end: next };
    if (next + length > bytes.length) return null;
    if (text !== "") text += ".";
    for (const end = next + length; next < end; next++) text += character(bytes[next]!);
  }
}

function character(byte: number): string {
  if (byte >= 0x41 && byte <= 0x5a) return String.fromCharCode(byte + 0x20);
  if (byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c) return String.fromCharCode(byte);
  return `\\${String(byte).padStart(3, "0")}`;
}

/** Behind the name at `at`; -1 if it runs out of the message. */
export function skipName(bytes: Uint8Array, at: number): number {
  for (let next = at; next < bytes.length; ) {
    const length = bytes[next]!;
    if (length >= POINTER) return next + 2;
    if (length === 0) return next + 1;
    next += 1 + length;
  }
  return -1;
}

export interface Found {
  readonly type: number;
  /** Of the part behind the name: type, class, ttl, length, data. */
  readonly at: number;
  readonly section: "answer" | "authority" | "additional";
}

/** Calls `visit` for each record; false if the message is cut off or malformed. */
export function eachRecord(bytes: Uint8Array, start: number, counts: readonly number[], visit: (record: Found) => void): boolean {
  const sections = ["answer", "authority", "additional"] as const;
  let next = start;
  for (const [index, section] of sections.entries()) {
    for (let count = counts[index]!; count > 0; count--) {
      const at = skipName(bytes, next);
      if (at < 0 || at + RECORD_FIXED_BYTES > bytes.length) return false;
      next = at + RECORD_FIXED_BYTES + u16(bytes, at + 8);
      if (next > bytes.length) return false;
      visit({ type: u16(bytes, at), at, section });
    }
  }
  return true;
}

export function putOpt(bytes: Uint8Array, at: number, size: number, extendedRcode: number, dnssecOk: boolean): void {
  bytes.fill(0, at, at + OPT_BYTES);
  putU16(bytes, at + 1, TYPE.OPT);
  putU16(bytes, at + 3, size);
  bytes[at + 5] = extendedRcode;
  putU16(bytes, at + 7, dnssecOk ? DNSSEC_OK : 0);
}

export const rcodeOf = (bytes: Uint8Array): number => u16(bytes, 2) & RCODE_MASK;

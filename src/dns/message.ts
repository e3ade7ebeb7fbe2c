// DNS messages as bytes (RFC 1035 section 4, RFC 6891 for EDNS): questions in, answers out, and the few places of a foreign
// answer that a forwarder must know: which question it answers, and where its times to live are.
//
//   header, 12 bytes: id · flags · counts of question, answer, authority, additional
//   question: name · type · class          record: name · type · class · ttl · length · data
//
// Answers of others are never decoded and encoded again: what we don't know of a record's type would be lost. They pass as the
// bytes they are. That is why this is no general codec: packages for that give neither the offsets nor name compression.
//
// The question goes back as the bytes it came in, so its case is kept (RFC 1035 2.3.3, and programs that randomise it insist).

const HEADER_BYTES = 12;
/** Without EDNS, by UDP (RFC 1035 section 4.2.1). */
export const UDP_BYTES_MIN = 512;
/** What we tell others that we can take: passes every link unfragmented. */
const EDNS_BYTES = 1232;
export const MESSAGE_BYTES_MAX = 65535;
/** More no IPv4 datagram holds, whatever the asker says that it takes. */
export const UDP_BYTES_MAX = 65507;

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5, BADVERS: 16 } as const;
export const TYPE = { A: 1, SOA: 6, PTR: 12, AAAA: 28, SRV: 33, OPT: 41, IXFR: 251, AXFR: 252, ANY: 255 } as const;
export const CLASS = { IN: 1, ANY: 255 } as const;

const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const FLAG_AUTHENTIC_DATA = 0x0020;
const FLAG_CHECKING_DISABLED = 0x0010;
const OPCODE_MASK = 0x7800;
const RCODE_MASK = 0x000f;
const DNSSEC_OK = 0x8000;

const NAME_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;
const NOTHING = new Uint8Array(0);
const POINTER = 0xc0;
/** A pointer to the question's name, which always starts behind the header. */
const POINTER_TO_QUESTION = 0xc000 | HEADER_BYTES;
const RECORD_FIXED_BYTES = 10;
const OPT_BYTES = 11;

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

const u16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
const u32 = (bytes: Uint8Array, at: number): number => u16(bytes, at) * 0x10000 + u16(bytes, at + 2);

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  putU16(bytes, at, Math.floor(value / 0x10000));
  putU16(bytes, at + 2, value % 0x10000);
}

/** Null for what deserves no answer at all: too short to have an id, or itself an answer. */
export function parseQuery(bytes: Uint8Array): Query | BadQuery | null {
  if (bytes.length < HEADER_BYTES) return null;
  const id = u16(bytes, 0);
  const flags = u16(bytes, 2);
  if (flags & FLAG_RESPONSE) return null;
  const bad = (rcode: number, question: Uint8Array = NOTHING, edns: Edns | null = null): BadQuery => ({ id, flags, question, edns, rcode });
  if (flags & OPCODE_MASK) return bad(RCODE.NOTIMP);
  if (u16(bytes, 4) !== 1) return bad(RCODE.FORMERR);
  const name = readName(bytes, HEADER_BYTES);
  if (name === null || name.end + 4 > bytes.length) return bad(RCODE.FORMERR);
  const question = bytes.subarray(HEADER_BYTES, name.end + 4);
  const edns = readEdns(bytes, name.end + 4, u16(bytes, 6) + u16(bytes, 8) + u16(bytes, 10));
  if (edns === undefined) return bad(RCODE.FORMERR, question);
  if (edns !== null && edns.version > 0) return bad(RCODE.BADVERS, question, edns);
  return { id, flags, question, name: name.text, type: u16(bytes, name.end), class: u16(bytes, name.end + 2), edns };
}

export const isBad = (query: Query | BadQuery): query is BadQuery => "rcode" in query;

/** The name at `at`, uncompressed: what comes first in a message has nothing to point to. */
function readName(bytes: Uint8Array, at: number): { text: string; end: number } | null {
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
function skipName(bytes: Uint8Array, at: number): number {
  for (let next = at; next < bytes.length; ) {
    const length = bytes[next]!;
    if (length >= POINTER) return next + 2;
    if (length === 0) return next + 1;
    next += 1 + length;
  }
  return -1;
}

interface Found {
  readonly type: number;
  /** Of the part behind the name: type, class, ttl, length, data. */
  readonly at: number;
  readonly section: "answer" | "authority" | "additional";
}

/** Calls `visit` for each record; false if the message is cut off or malformed. */
function eachRecord(bytes: Uint8Array, start: number, counts: readonly number[], visit: (record: Found) => void): boolean {
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

/** Null: none; undefined: malformed. A query's records of other kinds (TSIG) are passed over. */
function readEdns(bytes: Uint8Array, start: number, count: number): Edns | null | undefined {
  let edns: Edns | null | undefined = null;
  const whole = eachRecord(bytes, start, [count, 0, 0], ({ type, at }) => {
    if (type !== TYPE.OPT) return;
    const size = Math.max(u16(bytes, at + 2), UDP_BYTES_MIN);
    edns = edns === null ? { size, version: bytes[at + 5]!, dnssecOk: (u16(bytes, at + 6) & DNSSEC_OK) !== 0 } : undefined;
  });
  return whole ? edns : undefined;
}

/** Encodes a dotted name of plain labels. */
export function encodeName(name: string): Uint8Array {
  const labels = name.split(".").map((label) => Buffer.from(label, "latin1"));
  return Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), label]), Buffer.of(0)]);
}

/** Whether `name` fits into a message. */
export const isEncodable = (name: string): boolean =>
  name.length <= NAME_BYTES_MAX - 2 && name.split(".").every((label) => label.length > 0 && label.length <= LABEL_BYTES_MAX);

const resourceBytes = ({ owner, data }: Resource): number => (owner?.length ?? 2) + RECORD_FIXED_BYTES + data.length;

/**
 * An answer of our own, of at most `limit` bytes: answers that don't fit make it truncated (the asker comes back by TCP), of
 * the additional records those that don't are left out.
 */
export function encodeAnswer(
  query: Query | BadQuery,
  rcode: number,
  ttlS: number,
  answers: readonly Resource[],
  additional: readonly Resource[],
  limit: number,
): Uint8Array {
  const { question, edns } = query;
  const room = limit - (edns === null ? 0 : OPT_BYTES);
  let length = HEADER_BYTES + question.length;
  const fits = (resource: Resource): boolean => {
    if (length + resourceBytes(resource) > room) return false;
    length += resourceBytes(resource);
    return true;
  };
  let answerCount = 0;
  while (answerCount < answers.length && fits(answers[answerCount]!)) answerCount++;
  const truncated = answerCount < answers.length;
  let additionalCount = 0;
  while (!truncated && additionalCount < additional.length && fits(additional[additionalCount]!)) additionalCount++;

  const bytes = Buffer.allocUnsafe(length + (edns === null ? 0 : OPT_BYTES));
  putU16(bytes, 0, query.id);
  const kept = query.flags & (OPCODE_MASK | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
  putU16(bytes, 2, FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | kept | (truncated ? FLAG_TRUNCATED : 0) | (rcode & RCODE_MASK));
  putU16(bytes, 4, question.length === 0 ? 0 : 1);
  putU16(bytes, 6, answerCount);
  putU16(bytes, 8, 0);
  putU16(bytes, 10, additionalCount + (edns === null ? 0 : 1));
  bytes.set(question, HEADER_BYTES);
  let at = HEADER_BYTES + question.length;
  for (let index = 0; index < answerCount; index++) at = putResource(bytes, at, answers[index]!, ttlS);
  for (let index = 0; index < additionalCount; index++) at = putResource(bytes, at, additional[index]!, ttlS);
  if (edns !== null) putOpt(bytes, at, EDNS_BYTES, rcode >>> 4, edns.dnssecOk);
  return bytes;
}

function putResource(bytes: Uint8Array, start: number, { owner, type, data }: Resource, ttlS: number): number {
  let at = start;
  if (owner === undefined) {
    putU16(bytes, at, POINTER_TO_QUESTION);
    at += 2;
  } else {
    bytes.set(owner, at);
    at += owner.length;
  }
  putU16(bytes, at, type);
  putU16(bytes, at + 2, CLASS.IN);
  putU32(bytes, at + 4, ttlS);
  putU16(bytes, at + 8, data.length);
  bytes.set(data, at + RECORD_FIXED_BYTES);
  return at + RECORD_FIXED_BYTES + data.length;
}

function putOpt(bytes: Uint8Array, at: number, size: number, extendedRcode: number, dnssecOk: boolean): void {
  bytes.fill(0, at, at + OPT_BYTES);
  putU16(bytes, at + 1, TYPE.OPT);
  putU16(bytes, at + 3, size);
  bytes[at + 5] = extendedRcode;
  putU16(bytes, at + 7, dnssecOk ? DNSSEC_OK : 0);
}

/**
 * The query as we pass it on, under an id of our own. EDNS options concern one hop only (RFC 6891 section 6.1.1: a cookie is
 * the asker's and ours), so they stay behind; size and DNSSEC wish go along.
 */
export function encodeForwarded(query: Query, id: number): Uint8Array {
  const { question, edns } = query;
  const bytes = Buffer.alloc(HEADER_BYTES + question.length + (edns === null ? 0 : OPT_BYTES));
  putU16(bytes, 0, id);
  putU16(bytes, 2, query.flags & (FLAG_RECURSION_DESIRED | FLAG_AUTHENTIC_DATA | FLAG_CHECKING_DISABLED));
  putU16(bytes, 4, 1);
  putU16(bytes, 10, edns === null ? 0 : 1);
  bytes.set(question, HEADER_BYTES);
  if (edns !== null) putOpt(bytes, HEADER_BYTES + question.length, edns.size, 0, edns.dnssecOk);
  return bytes;
}

/** What of a query decides its answer upstream; for the cache. */
export function cacheKey(query: Query): string {
  const { name, type, edns } = query;
  const wishes = query.flags & (FLAG_RECURSION_DESIRED | FLAG_AUTHENTIC_DATA | FLAG_CHECKING_DISABLED);
  return `${name} ${type} ${query.class} ${wishes} ${edns === null ? "-" : edns.dnssecOk ? "d" : "e"}`;
}

/** Whether `bytes` answers `asked`: same id, same question but for its case. */
export function answersTo(bytes: Uint8Array, asked: Uint8Array, query: Query): boolean {
  if (bytes.length < HEADER_BYTES || u16(bytes, 0) !== u16(asked, 0) || !(u16(bytes, 2) & FLAG_RESPONSE)) return false;
  // A server that could not even read the question sends none.
  if (u16(bytes, 4) === 0) return rcodeOf(bytes) === RCODE.FORMERR || rcodeOf(bytes) === RCODE.NOTIMP || rcodeOf(bytes) === RCODE.SERVFAIL;
  const name = readName(bytes, HEADER_BYTES);
  if (name === null || name.text !== query.name || name.end + 4 > bytes.length) return false;
  return u16(bytes, name.end) === query.type && u16(bytes, name.end + 2) === query.class;
}

export const rcodeOf = (bytes: Uint8Array): number => u16(bytes, 2) & RCODE_MASK;
const isTruncated = (bytes: Uint8Array): boolean => (u16(bytes, 2) & FLAG_TRUNCATED) !== 0;

/** An upstream answer as the asker of `query` gets it: its id, its spelling of the question, times to live less `ageS`. */
export function relayed(bytes: Uint8Array, query: Query, ttlOffsets: readonly number[] = [], ageS = 0): Uint8Array {
  const copy = Buffer.from(bytes);
  putU16(copy, 0, query.id);
  if (u16(copy, 4) === 1) copy.set(query.question, HEADER_BYTES);
  for (const at of ttlOffsets) putU32(copy, at, Math.max(0, u32(copy, at) - ageS));
  return copy;
}

/** Nothing but the question, marked as truncated: come back by TCP. */
export const truncatedAnswer = (query: Query): Uint8Array => {
  const bytes = encodeAnswer(query, RCODE.NOERROR, 0, [], [], MESSAGE_BYTES_MAX);
  putU16(bytes, 2, u16(bytes, 2) | FLAG_TRUNCATED);
  return bytes;
};

export interface Lifetime {
  /** Seconds for which the answer may be kept; 0: not at all. */
  readonly ttlS: number;
  /** Where its records' times to live are. */
  readonly ttlOffsets: readonly number[];
}

/** RFC 2181 section 5.2, RFC 2308 section 5: an answer lives as long as its shortest record, "there is none" as its SOA says. */
export function lifetimeOf(bytes: Uint8Array): Lifetime {
  const none: Lifetime = { ttlS: 0, ttlOffsets: [] };
  const rcode = rcodeOf(bytes);
  if (isTruncated(bytes) || u16(bytes, 4) !== 1 || (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN)) return none;
  const question = skipName(bytes, HEADER_BYTES);
  if (question < 0) return none;
  const ttlOffsets: number[] = [];
  let shortest = Number.POSITIVE_INFINITY;
  let answers = 0;
  let negativeS = 0;
  const whole = eachRecord(bytes, question + 4, [u16(bytes, 6), u16(bytes, 8), u16(bytes, 10)], ({ type, at, section }) => {
    if (type === TYPE.OPT) return;
    const ttl = u32(bytes, at + 4);
    ttlOffsets.push(at + 4);
    // The upper bit set means 0 (RFC 2181 section 8).
    shortest = Math.min(shortest, ttl > 0x7fffffff ? 0 : ttl);
    if (section === "answer") answers++;
    const length = u16(bytes, at + 8);
    // The SOA's last field.
    if (section === "authority" && type === TYPE.SOA && length >= 22) negativeS = u32(bytes, at + RECORD_FIXED_BYTES + length - 4);
  });
  if (!whole) return none;
  const positive = rcode === RCODE.NOERROR && answers > 0;
  return { ttlS: Math.min(shortest, positive ? Number.POSITIVE_INFINITY : negativeS), ttlOffsets };
}

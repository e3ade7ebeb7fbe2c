// What passes between an asker and a server outside, and the few places of a foreign answer that a forwarder must know: which
// question it answers, and where its times to live are.
import {
  eachRecord,
  FLAG_AUTHENTIC_DATA,
  FLAG_CHECKING_DISABLED,
  FLAG_RECURSION_DESIRED,
  FLAG_RESPONSE,
  FLAG_TRUNCATED,
  HEADER_BYTES,
  OPT_BYTES,
  putOpt,
  putU16,
  putU32,
  type Query,
  RCODE,
  RECORD_FIXED_BYTES,
  rcodeOf,
  readName,
  skipName,
  TYPE,
  u16,
  u32,
} from "./message.ts";

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

/** An upstream answer as the asker of `query` gets it: its id, its spelling of the question, times to live less `ageS`. */
export function relayed(bytes: Uint8Array, query: Query, ttlOffsets: readonly number[] = [], ageS = 0): Uint8Array {
  const copy = Buffer.from(bytes);
  putU16(copy, 0, query.id);
  if (u16(copy, 4) === 1) copy.set(query.question, HEADER_BYTES);
  for (const at of ttlOffsets) putU32(copy, at, Math.max(0, u32(copy, at) - ageS));
  return copy;
}

const isTruncated = (bytes: Uint8Array): boolean => (u16(bytes, 2) & FLAG_TRUNCATED) !== 0;

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

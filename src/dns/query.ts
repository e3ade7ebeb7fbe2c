// Questions as askers send them, and what of them deserves an answer.
import {
  type BadQuery,
  DNSSEC_OK,
  type Edns,
  eachRecord,
  FLAG_RESPONSE,
  HEADER_BYTES,
  NOTHING,
  OPCODE_MASK,
  type Query,
  RCODE,
  readName,
  TYPE,
  UDP_BYTES_MIN,
  u16,
} from "./message.ts";

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

// Answers of our own. Names point to the question where they can, and whatever the asker takes is the limit.
import {
  type BadQuery,
  CLASS,
  EDNS_BYTES,
  FLAG_CHECKING_DISABLED,
  FLAG_RECURSION_AVAILABLE,
  FLAG_RECURSION_DESIRED,
  FLAG_RESPONSE,
  FLAG_TRUNCATED,
  HEADER_BYTES,
  LABEL_BYTES_MAX,
  MESSAGE_BYTES_MAX,
  NAME_BYTES_MAX,
  OPCODE_MASK,
  OPT_BYTES,
  POINTER_TO_QUESTION,
  putOpt,
  putU16,
  putU32,
  type Query,
  RCODE,
  RCODE_MASK,
  RECORD_FIXED_BYTES,
  type Resource,
  u16,
} from "./message.ts";

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

/** Nothing but the question, marked as truncated: come back by TCP. */
export const truncatedAnswer = (query: Query): Uint8Array => {
  const bytes = encodeAnswer(query, RCODE.NOERROR, 0, [], [], MESSAGE_BYTES_MAX);
  putU16(bytes, 2, u16(bytes, 2) | FLAG_TRUNCATED);
  return bytes;
};

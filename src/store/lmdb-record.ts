// A record as text: CRC-32 of the rest, the revision, the JSON. The checksum is ours because LMDB has none: a page that a disk
// returns wrong would otherwise be a network with another subnet.
import { crc32 } from "node:zlib";
import type { Json } from "./store.ts";

export function encode(revision: number, json: string): string {
  const body = `${revision} ${json}`;
  return `${checksum(body)} ${body}`;
}

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, "0");

/** Null: it is damaged. */
export function decode(text: string): { readonly revision: number; readonly value: Json } | null {
  const match = /^([0-9a-f]{8}) (\d+) (.*)$/s.exec(text);
  if (match === null || checksum(text.slice(9)) !== match[1]) return null;
  return { revision: Number(match[2]), value: JSON.parse(match[3]!) as Json };
}

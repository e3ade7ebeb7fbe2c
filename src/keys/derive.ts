// Keys of a pair, derived from the secret that both hosts were given (RFC 5869):
//
//   HKDF-SHA256(ikm = seed, salt = "weft esp v1",
//               info = sender ‖ receiver ‖ ring index ‖ sender's epoch ‖ SPI ‖ algorithm, each behind its length)
//
// What comes out is AEAD key and salt. Whatever tells two keys apart is in `info`: direction, ring position, and the life of
// the sender. So a sender that counts from 1 again does it under another key.
import { hkdfSync } from "node:crypto";
import type { EspAlgorithm } from "../datapath/declarations.ts";
import { keyBytes, SALT_BYTES } from "../datapath/esp-algorithms.ts";

const SALT = Buffer.from("weft esp v1");
const FINGERPRINT_BYTES = 16;

export interface KeyName {
  readonly sender: string;
  readonly receiver: string;
  readonly index: number;
  readonly epoch: number;
  readonly spi: number;
  readonly algorithm: EspAlgorithm;
}

/** Fields behind 16-bit lengths: no two lists have the same bytes. */
function lengthPrefixed(fields: readonly string[]): Buffer {
  const parts = fields.flatMap((field) => {
    const bytes = Buffer.from(field);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(parts);
}

/** RFC 5869 with SHA-256. */
export function hkdf(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", ikm, salt, info, lengthBytes));
}

/** Key and, behind it, salt; the caller overwrites it. */
export function deriveKey(seed: Uint8Array, name: KeyName): Uint8Array {
  const { sender, receiver, index, epoch, spi, algorithm } = name;
  const info = lengthPrefixed([sender, receiver, String(index), String(epoch), String(spi), algorithm]);
  return hkdf(seed, SALT, info, keyBytes(algorithm) + SALT_BYTES);
}

/** Tells whether two secrets are the same one, and nothing else of them. */
export function fingerprint(secret: Uint8Array): string {
  return Buffer.from(hkdf(secret, SALT, Buffer.from("fingerprint"), FINGERPRINT_BYTES)).toString("hex");
}

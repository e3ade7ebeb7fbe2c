// Whether an ESP datagram was sealed by a key: the test that a guessed key has to pass before it is installed. Only of what a
// Weft sends: 16 bytes of ICV, and an extended sequence number whose whole stands in the IV.
import { type CipherGCMTypes, createDecipheriv } from "node:crypto";
import type { EspAlgorithm } from "../datapath/declarations.ts";
import { SALT_BYTES } from "../datapath/esp-algorithms.ts";

const HEADER_BYTES = 8;
const IV_BYTES = 8;
const ICV_BYTES = 16;
const FRONT_BYTES = HEADER_BYTES + IV_BYTES;

/** `material`: key and salt. */
export function isSealedBy(datagram: Uint8Array, algorithm: EspAlgorithm, material: Uint8Array): boolean {
  if (datagram.length < FRONT_BYTES + 4 + ICV_BYTES) return false;
  const keyBytes = material.length - SALT_BYTES;
  const header = Buffer.from(datagram.buffer, datagram.byteOffset, FRONT_BYTES);
  if (header.readUInt32BE(4) !== header.readUInt32BE(12)) return false;
  const nonce = Buffer.concat([material.subarray(keyBytes), header.subarray(HEADER_BYTES)]);
  const aad = Buffer.concat([header.subarray(0, 4), header.subarray(8, 12), header.subarray(4, 8)]);
  const text = datagram.subarray(FRONT_BYTES, -ICV_BYTES);
  // chacha20-poly1305 has the same interface, which its types don't say.
  const decipher = createDecipheriv(algorithm as CipherGCMTypes, material.subarray(0, keyBytes), nonce, { authTagLength: ICV_BYTES });
  decipher.setAAD(aad, { plaintextLength: text.length }).setAuthTag(datagram.subarray(-ICV_BYTES));
  try {
    decipher.update(text).fill(0);
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

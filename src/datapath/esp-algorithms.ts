// The algorithms of ESP by name (as node:crypto has them) and by the number that operations and slots know them by.
import { AEAD_ALGORITHM_NAMES, AEAD_KEY_BYTES, AEAD_SALT_BYTES } from "../../wasm/shared/aead.ts";
import type { EspAlgorithm } from "./declarations.ts";

const numberOf = (algorithm: EspAlgorithm): number => AEAD_ALGORITHM_NAMES.indexOf(algorithm);

export const ALGORITHM_NUMBERS: Readonly<Record<EspAlgorithm, number>> = {
  "aes-128-gcm": numberOf("aes-128-gcm"),
  "aes-256-gcm": numberOf("aes-256-gcm"),
  "chacha20-poly1305": numberOf("chacha20-poly1305"),
};

export const ALGORITHMS = Object.keys(ALGORITHM_NUMBERS) as EspAlgorithm[];

/** Behind each key (RFC 4106 section 4, RFC 7634 section 2). */
export const SALT_BYTES = AEAD_SALT_BYTES;

/** Bytes of a key, without its salt. */
export const keyBytes = (algorithm: EspAlgorithm): number => AEAD_KEY_BYTES[ALGORITHM_NUMBERS[algorithm]]!;

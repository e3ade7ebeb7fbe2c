// Keys as they might be written down by mistake, and the keys of a pair as a test computes them from the seed.

import { deriveKey } from "../../src/keys/derive.ts";
import { decodeSpi } from "../../src/keys/spi.ts";

/** Of 16 bytes or more: what any text or file that has them would contain. */
export function formsOf(key: Uint8Array): string[] {
  const bytes = Buffer.from(key.subarray(0, 16));
  const hex = bytes.toString("hex");
  const pairs = hex.match(/../g)!;
  return [
    bytes.toString("latin1"),
    ...[hex, hex.toUpperCase(), pairs.join(" "), pairs.join(":")],
    ...[0, 1, 2].map((skipped) => bytes.subarray(skipped).toString("base64").slice(0, 16)),
    ...[0, 1, 2].map((skipped) => bytes.subarray(skipped).toString("base64url").slice(0, 16)),
    ...[",", ", ", ":"].map((separator) => [...bytes].join(separator)),
  ];
}

export interface ShownAssociation {
  readonly Spi: string;
  readonly Direction: string;
}

/** Key and salt of each association that `weft sa` shows of a pair whose ring is at `index`; AES-256-GCM. */
export function keysOf(
  seed: Uint8Array,
  [local, peer]: readonly [string, string],
  index: number,
  shown: readonly ShownAssociation[],
): { readonly spi: number; readonly key: Uint8Array }[] {
  return shown.map(({ Spi, Direction }) => {
    const spi = Number(Spi);
    const said = decodeSpi(spi)!;
    // Those that stand are four at most, and so each other's index modulo 4.
    const own = [index - 2, index - 1, index, index + 1].find((one) => one % 4 === said.index)!;
    const [sender, receiver] = Direction === "out" ? [local, peer] : [peer, local];
    return { spi, key: deriveKey(seed, { sender, receiver, index: own, epoch: said.epoch, spi, algorithm: "aes-256-gcm" }) };
  });
}

// What a seeded peer's keys are derived from, lent for the time of a call: the copy of the seed does not outlive it.
import { unavailable } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import { fingerprint } from "./derive.ts";
import type { SeedSecret } from "./key-service.ts";
import type { PairIdentity } from "./pair.ts";
import { DEFAULT_ALGORITHM } from "./secrets.ts";

/** Who talks to whom: `address` is the peer's, `ownAddresses` are this host's. Throws UNAVAILABLE if it has none of that family. */
export function withIdentity<T>(
  { seed, algorithm = DEFAULT_ALGORITHM, localId, peerId }: SeedSecret,
  address: string,
  ownAddresses: readonly string[],
  use: (identity: PairIdentity) => T,
): T {
  const { family } = parseAddress(address);
  const own = localId ?? ownAddresses.find((one) => parseAddress(one).family === family);
  if (own === undefined) throw unavailable(`peer ${address} can't have keys: this host has no IPv${family} underlay address`);
  const copy = seed.copy();
  try {
    return use({ seed: copy, algorithm, localId: own, peerId: peerId ?? address });
  } finally {
    copy.fill(0);
  }
}

/** By which what is stored of a pair is known to be of this seed. */
export function seedFingerprint({ seed }: SeedSecret): string {
  const copy = seed.copy();
  try {
    return fingerprint(copy);
  } finally {
    copy.fill(0);
  }
}

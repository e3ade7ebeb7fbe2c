// What a seeded peer's keys are derived from, lent for the time of a call: the copy of the seed does not outlive it.
import { unavailable } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import { fingerprint } from "./derive.ts";
import type { SeedSecret } from "./key-service.ts";
import type { PairIdentity } from "./pair.ts";
import { DEFAULT_ALGORITHM } from "./secrets.ts";

type Names = Pick<SeedSecret, "localId" | "peerId">;

function namesOf({ localId, peerId }: Names, address: string, ownAddresses: readonly string[]): { own: string | undefined; peer: string } {
  const { family } = parseAddress(address);
  return { own: localId ?? ownAddresses.find((one) => parseAddress(one).family === family), peer: peerId ?? address };
}

/** Who talks to whom: `address` is the peer's, `ownAddresses` are this host's. Throws UNAVAILABLE if it has none of that family. */
export function withIdentity<T>(
  secret: SeedSecret,
  address: string,
  ownAddresses: readonly string[],
  use: (identity: PairIdentity) => T,
): T {
  const { algorithm = DEFAULT_ALGORITHM } = secret;
  const { own, peer } = namesOf(secret, address, ownAddresses);
  if (own === undefined)
    throw unavailable(`peer ${address} can't have keys: this host has no IPv${parseAddress(address).family} underlay address`);
  const copy = secret.seed.copy();
  try {
    return use({ seed: copy, algorithm, localId: own, peerId: peer });
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

/** The seed with both names, whichever of them sends (claims.ts). */
export function seededClaims(secret: SeedSecret, address: string, ownAddresses: readonly string[]): readonly string[] {
  const { own = "", peer } = namesOf(secret, address, ownAddresses);
  return [JSON.stringify([seedFingerprint(secret), ...[own, peer].sort()])];
}

// What is stored of a pair: how far its ring has come, the peer's session, where the peer is. It is of one seed, by whose
// fingerprint it is known; the seed itself is stored elsewhere.
import { espPairKey } from "../store/keys.ts";
import type { Json } from "../store/store.ts";
import type { SeedSecret } from "./key-service.ts";
import type { Session } from "./pair.ts";
import type { PeerHost } from "./peer.ts";
import type { Remote } from "./remote.ts";
import { seedFingerprint } from "./seeded-identity.ts";

export interface Ring {
  readonly index: number;
  readonly peer: Session | null;
  /** Absent: at home. */
  readonly remote?: Remote | null;
}

interface StoredRing extends Ring {
  readonly fingerprint: string;
}

/** As stored; of another seed nothing counts. */
export async function readRing(host: Pick<PeerHost, "get">, address: string, secret: SeedSecret): Promise<Ring> {
  const stored = (await host.get(espPairKey(address))) as unknown as StoredRing | null;
  return stored?.fingerprint === seedFingerprint(secret) ? stored : { index: 0, peer: null };
}

/** Resolves when a crash can't lose it any more. */
export async function storeRing(host: Pick<PeerHost, "put">, address: string, secret: SeedSecret, ring: Ring): Promise<void> {
  const value: StoredRing = { fingerprint: seedFingerprint(secret), ...ring };
  await host.put([{ key: espPairKey(address), value: value as unknown as Json }]);
}

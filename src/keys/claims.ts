// What no two peers of this host may have in common. A nonce is a number under a key, and each peer counts for itself: two of one
// key would both begin with the same number, which gives away what they say and lets anybody forge it.
//
//   by hand   the keys of both directions: what one peer is sent by, another must not be, nor send by
//   a seed    with both names: what is derived from it for other names are other keys, so that pairs may share a seed
//
// A claim is a fingerprint: it tells nothing of the secret. Not here: that another host has the same key, which nobody can see.
import { forbidden } from "../errors.ts";
import type { PeerSecret } from "./key-service.ts";

export interface Claimant {
  readonly address: string;
  readonly view: { readonly kind: PeerSecret["kind"] };
  readonly claims: readonly string[];
}

const RULES = {
  hand: (address: string, other: string) =>
    `peer ${address} can't have a key that peer ${other} has: both would be counted from the same number; give each direction with each peer a key of its own`,
  seed: (address: string, other: string) =>
    `peer ${address} can't have the seed and the names that peer ${other} has: their keys would be the same; remove that peer, or make a seed with \`weft cluster keys new\` for this one`,
} as const;

export class Claims {
  readonly #holders = new Map<string, string>();

  /** Throws FORBIDDEN if another peer has one of its. */
  check({ address, view, claims }: Claimant): void {
    const other = claims.map((claim) => this.#holders.get(claim)).find((holder) => holder !== undefined && holder !== address);
    if (other !== undefined) throw forbidden(RULES[view.kind](address, other));
  }

  take({ address, claims }: Claimant): void {
    for (const claim of claims) this.#holders.set(claim, address);
  }

  giveUp({ claims }: Claimant): void {
    for (const claim of claims) this.#holders.delete(claim);
  }
}

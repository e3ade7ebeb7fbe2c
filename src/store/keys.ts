// The names of things in the store. Ids and addresses hold no slash, so a key splits without ambiguity.
import type { Id } from "../records/records.ts";

export const NETWORK_PREFIX = "network/";
export const ENDPOINT_PREFIX = "endpoint/";
export const SANDBOX_PREFIX = "sandbox/";
export const PEER_PREFIX = "peer/";
export const IPAM_PREFIX = "ipam/";

export const networkKey = (id: Id): string => `${NETWORK_PREFIX}${id}`;
export const endpointKey = (id: Id): string => `${ENDPOINT_PREFIX}${id}`;
export const sandboxKey = (id: Id): string => `${SANDBOX_PREFIX}${id}`;
/** `networkId` null: a peer of every overlay network. */
export const peerKey = (networkId: Id | null, address: string): string => `${PEER_PREFIX}${networkId ?? "all"}/${address}`;
/** Where a pool's serial allocation stands; `pool` is its range, "10.0.0.0/24". */
export const ipamKey = (space: string, pool: string): string => `${IPAM_PREFIX}${space}/${pool}`;
/** The 40 random bits of this host's unique local prefix (RFC 4193), made when they are first needed. */
export const ULA_KEY = `${IPAM_PREFIX}ula/global-id`;

/** Number of the newest life of any pair of hosts that share keys: how often this host began one. */
export const ESP_EPOCH_KEY = "esp/epoch";
export const PEER_SECRET_PREFIX = "secret/peer/";
export const peerSecretKey = (address: string): string => `${PEER_SECRET_PREFIX}${address}`;
/** Where a pair's key ring stands. Outlives the peer: the same seed may come again. */
export const espPairKey = (address: string): string => `esp/pair/${address}`;
/** How far a key given by hand may have been used; by the key's fingerprint, for the same reason. */
export const espHandKey = (fingerprint: string): string => `esp/hand/${fingerprint}`;

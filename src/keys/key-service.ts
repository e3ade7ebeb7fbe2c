// What the rest of the daemon knows of keys: that a peer has some, and of what kind. The secrets go in here and come out again
// only as associations of the datapath, which the service declares and renews by itself.
//
//   controller ── setPeer, removePeer, hasPeer ──> keys ── associations ──> datapath
//   API ───────── rotate, peers, list ───────────> keys
//
// A peer is a VTEP's address and has one secret, whatever networks it is in. Secrets are stored apart from what is shown of
// peers (`secret/peer/<address>`), by the service: setPeer resolves when a crash can't lose it any more.
import type { AssociationFigures } from "../datapath/datapath-api.ts";
import type { EspAlgorithm } from "../datapath/declarations.ts";
import type { KeyMaterial } from "../datapath/key-material.ts";
import type { Remote } from "./remote.ts";

export type EspTransport = "udp" | "raw";

/** What both hosts were given: keys of both directions are derived from it, and renewed. */
export interface SeedSecret {
  readonly kind: "seed";
  /** 32 random bytes or more. */
  readonly seed: KeyMaterial;
  readonly algorithm?: EspAlgorithm;
  readonly transport: EspTransport;
  /** How the two hosts name themselves where they don't agree on addresses (NAT); null: by underlay address. */
  readonly localId: string | null;
  readonly peerId: string | null;
}

/** One direction with a peer that is not Weft, as its administrator has set it up. */
export interface HandAssociation {
  readonly spi: number;
  readonly algorithm: EspAlgorithm;
  /** Key and, behind it, 4 bytes of salt. */
  readonly key: KeyMaterial;
  readonly esn: boolean;
  readonly icvBytes: 8 | 12 | 16;
  readonly transport: EspTransport;
  /** UDP port of the peer's ESP; means nothing where the transport is raw. */
  readonly port: number;
}

export interface HandSecret {
  readonly kind: "hand";
  readonly out: HandAssociation;
  readonly in: HandAssociation;
}

export type PeerSecret = SeedSecret | HandSecret;

/** What may be shown of a peer's secret. */
export interface KeyedPeer {
  readonly address: string;
  readonly kind: PeerSecret["kind"];
  readonly transport: EspTransport;
  /** UDP port at which the peer's tunnel listens, inside ESP. */
  readonly vxlanPort: number;
  /** Ring position that seals; null: keyed by hand. */
  readonly index: number | null;
  /** Since when the key that seals does so, RFC 3339; null: there is none. */
  readonly since: string | null;
  /** Whether an authentic datagram of it has come since the start. */
  readonly heard: boolean;
  /** Where its ESP is sent to; null: not by UDP. */
  readonly remote: Remote | null;
}

/** A security association, without its key. */
export interface AssociationView extends AssociationFigures {
  readonly spi: number;
  readonly peer: string;
  readonly direction: "in" | "out";
  readonly algorithm: EspAlgorithm;
  readonly icvBytes: number;
  readonly esn: boolean;
  readonly transport: EspTransport;
  /** Of two of one direction, whether it is what is sent by. */
  readonly current: boolean;
  readonly ageS: number;
}

export interface KeyService {
  /** Reads what is stored; declares associations of all peers. Before networks are declared. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** The secret is taken over: the caller keeps no copy. Rejects with a WeftError and changes nothing. */
  setPeer(address: string, vxlanPort: number, secret: PeerSecret): Promise<void>;
  /** None there: fine. */
  removePeer(address: string): Promise<void>;
  hasPeer(address: string): boolean;
  /** Those that have a secret, by address. */
  peers(): readonly KeyedPeer[];
  /** New keys for all pairs that have a seed; no packet is lost over it. */
  rotate(): Promise<void>;
  list(): Promise<readonly AssociationView[]>;
}

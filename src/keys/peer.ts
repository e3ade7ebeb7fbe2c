// What the service asks of a peer, however it is keyed. Methods of it run one at a time.
import type { Clock } from "../clock.ts";
import type { DatapathLog, DatapathService, EspEvent } from "../datapath/datapath-api.ts";
import type { AssociationDeclaration } from "../datapath/declarations.ts";
import type { Json, Put } from "../store/store.ts";
import type { KeyedPeer } from "./key-service.ts";

/** What peers are given of the service. */
export interface PeerHost {
  readonly datapath: Pick<DatapathService, "declare" | "probe" | "dumpAssociations">;
  readonly clock: Clock;
  readonly log: DatapathLog;
  readonly underlayAddresses: readonly string[];
  readonly limits: KeyLimits;
  /** 21 random bits. */
  randomTag(): number;
  get(key: string): Promise<Json>;
  list(prefix: string): Promise<readonly Json[]>;
  /** Resolves when a crash can't lose them any more. */
  put(puts: readonly Put[]): Promise<void>;
  /** The epoch of lives that begin now. */
  epoch(): Promise<number>;
}

export interface KeyLimits {
  readonly rekeyS: number;
  readonly packetLimit: number;
  readonly byteLimit: number;
  /** Between two datagrams that keep a NAT open; 0: none. */
  readonly keepaliveS: number;
}

export interface Peer {
  readonly address: string;
  readonly view: KeyedPeer;
  /** What no other peer may have: see claims.ts. */
  readonly claims: readonly string[];
  /** What is declared is not what should be, or how far it was used is unknown: a new life has to begin. */
  readonly isStale: boolean;
  /** The worker died. At once, not in turn: a declaration that is under way must not bring back a key that was used. */
  lose(): void;
  /** Stores that a new life begins, then declares it. Nothing is declared whose state is not stored. */
  renew(): Promise<void>;
  /** Since when its association seals or opens, on the monotonic clock; null: not ours. */
  sinceMs(association: string): number | null;
  /** Whether its datagrams may come from addresses that nobody has told us of. */
  readonly roams: boolean;
  /** False: a datagram of an unknown key that is none of its. */
  event(event: Exclude<EspEvent, { kind: "lost" | "path-mtu" }>): Promise<boolean>;
  tick(): Promise<void>;
  rotate(): Promise<void>;
  /** The service stops in order. */
  stop(): Promise<void>;
  /** Overwrites what it knows of keys. */
  destroy(): void;
}

export const ownerOf = (address: string): string => `keys/${address}`;

/** Made associations by id, with the time. The same object as long as it stands: the datapath tells new keys by identity. */
export class Made {
  readonly #clock: Clock;
  #losses = 0;
  #entries = new Map<string, { readonly association: AssociationDeclaration; readonly sinceMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ensure(id: string, make: () => AssociationDeclaration): AssociationDeclaration {
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = { association: make(), sinceMs: this.#clock.monotonicMs() };
      this.#entries.set(id, entry);
    }
    return entry.association;
  }

  /** How often all was lost. */
  get losses(): number {
    return this.#losses;
  }

  lose(): void {
    this.#losses++;
    this.keep([]);
  }

  sinceMs(id: string): number | null {
    return this.#entries.get(id)?.sinceMs ?? null;
  }

  /** Overwrites the keys of all but these. */
  keep(kept: readonly AssociationDeclaration[]): void {
    const ids = new Set(kept.map(({ id }) => id));
    for (const [id, { association }] of this.#entries) {
      if (ids.has(id)) continue;
      association.key.destroy();
      this.#entries.delete(id);
    }
  }
}

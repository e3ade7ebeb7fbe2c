// The key service: peers by address, each with its secret, in one queue. It takes what the datapath tells of keys, the clock's
// ticks and the operator's words one after the other, so that a peer's state is stored, then declared, then the next thing done.
//
//   setPeer      secret and first state are stored, then declared; refused: the secret is taken back
//   lost         the worker died with all keys: a new life for all pairs
//   tick         each second: what could not be done is tried again, probes, rekeying
//
// Fails closed: a peer whose state can't be stored has no association, and no traffic.
import type { Clock } from "../clock.ts";
import type { AssociationEntry, DatapathLog, DatapathService, EspEvent } from "../datapath/datapath-api.ts";
import { alreadyExists, invalidArgument } from "../errors.ts";
import { PEER_SECRET_PREFIX, peerSecretKey } from "../store/keys.ts";
import type { Entry, Put, Store } from "../store/store.ts";
import { Asked } from "./asked.ts";
import { Attempts } from "./attempts.ts";
import { Claims } from "./claims.ts";
import { Epochs } from "./epochs.ts";
import { HandPeer } from "./hand-peer.ts";
import type { AssociationView, KeyedPeer, KeyService, PeerSecret } from "./key-service.ts";
import { type KeyLimits, ownerOf, type Peer, type PeerHost } from "./peer.ts";
import { readSecret, secretJson } from "./secrets.ts";
import { SeededPeer } from "./seeded-peer.ts";
import { TAG_BITS } from "./spi.ts";

const SEED_BYTES_MIN = 32;
const RETRY_FIRST_MS = 1000;
const RETRY_LAST_MS = 60_000;

export interface KeysOptions {
  readonly store: Store;
  readonly datapath: Pick<DatapathService, "declare" | "withdraw" | "probe" | "dumpAssociations" | "onEspEvent">;
  readonly clock: Clock;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly underlayAddresses: readonly string[];
  readonly limits: KeyLimits;
  readonly log: DatapathLog;
  /** Called when secrets are, or are about to be, in this process's memory; more than once. */
  readonly onSecrets?: () => void;
}

interface Held {
  readonly peer: Peer;
  retry: { readonly atMs: number; readonly waitMs: number } | null;
  /** By association, where the datapath has seen the peer last: only that counts, however often it moves. */
  readonly moves: Map<string, Moved>;
}

type Moved = EspEvent & { readonly kind: "moved" };

export class Keys implements KeyService {
  readonly #options: KeysOptions;
  readonly #held = new Map<string, Held>();
  readonly #host: PeerHost;
  readonly #epochs: Epochs;
  #queue: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #isStopped = false;
  readonly #asked = new Asked();
  readonly #claims = new Claims();
  readonly #attempts: Attempts;

  constructor(options: KeysOptions) {
    this.#options = options;
    const { store, datapath, clock, log, underlayAddresses, limits } = options;
    this.#epochs = new Epochs(store);
    this.#attempts = new Attempts(log);
    this.#host = {
      datapath,
      clock,
      log,
      underlayAddresses,
      limits,
      randomTag: () => Buffer.from(options.randomBytes(4)).readUInt32BE() >>> (32 - TAG_BITS),
      get: async (key) => (await store.get(key))?.value ?? null,
      list: async (prefix) => (await store.list(prefix)).map(({ value }) => value),
      put: (puts) => this.#commit(puts),
      epoch: () => this.#epochs.current(),
    };
  }

  async #commit(puts: readonly Put[], deletes: readonly string[] = []): Promise<void> {
    await this.#options.store.commit({ puts, deletes });
  }

  /** One thing after the other. */
  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async start(): Promise<void> {
    const stored = await this.#options.store.list(PEER_SECRET_PREFIX);
    if (stored.length > 0) this.#options.onSecrets?.();
    for (const entry of stored) this.#read(entry);
    this.#options.datapath.onEspEvent((event) => this.#event(event));
    await this.#serially(() => this.#renewStale());
  }

  /** A secret that can't be read, or is another's, is none: its peer stays out of encrypted networks, and is there to be removed. */
  #read(entry: Entry): void {
    try {
      const { address, vxlanPort, secret } = readSecret(entry);
      const peer = this.#make(address, vxlanPort, secret);
      this.#claims.check(peer);
      this.#hold(peer);
    } catch (error) {
      this.#options.log("error", (error as Error).message);
    }
  }

  #hold(peer: Peer): void {
    this.#claims.take(peer);
    this.#held.set(peer.address, { peer, retry: null, moves: new Map() });
  }

  #make(address: string, vxlanPort: number, secret: PeerSecret): Peer {
    if (secret.kind === "seed") return new SeededPeer(this.#host, address, vxlanPort, secret);
    return new HandPeer(this.#host, address, vxlanPort, secret);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#serially(async () => {
      for (const { peer } of this.#held.values()) await this.#attempts.once(peer, () => peer.stop());
    });
  }

  async #renewStale(): Promise<void> {
    const now = this.#options.clock.monotonicMs();
    for (const held of this.#held.values()) {
      const { peer, retry } = held;
      if (!peer.isStale) {
        held.retry = null;
        continue;
      }
      if (retry !== null && now < retry.atMs) continue;
      const waitMs = retry === null ? RETRY_FIRST_MS : Math.min(retry.waitMs * 2, RETRY_LAST_MS);
      held.retry = { atMs: now + waitMs, waitMs };
      await this.#attempts.again(peer, "renew");
    }
  }

  // ── peers ──

  async setPeer(address: string, vxlanPort: number, secret: PeerSecret): Promise<void> {
    this.#options.onSecrets?.();
    await this.#serially(async () => {
      if (this.#held.has(address)) throw alreadyExists(`peer ${address} has keys already: remove the peer and add it anew`);
      if (secret.kind === "seed" && secret.seed.lengthBytes < SEED_BYTES_MIN)
        throw invalidArgument(`a seed of ${secret.seed.lengthBytes} bytes: ${SEED_BYTES_MIN} random bytes or more are needed`);
      const peer = this.#make(address, vxlanPort, secret);
      this.#claims.check(peer);
      await this.#epochs.next();
      const key = peerSecretKey(address);
      await this.#commit([{ key, value: secretJson(vxlanPort, secret) }]);
      try {
        await peer.renew();
      } catch (error) {
        await this.#commit([], [key]);
        await this.#options.datapath.withdraw(ownerOf(address)).catch(() => {});
        peer.destroy();
        throw error;
      }
      this.#hold(peer);
    });
  }

  async removePeer(address: string): Promise<void> {
    await this.#serially(async () => {
      const held = this.#held.get(address);
      if (held === undefined) return await this.#forget(address);
      await this.#attempts.once(held.peer, () => held.peer.stop());
      await this.#commit([], [peerSecretKey(address)]);
      this.#held.delete(address);
      this.#claims.giveUp(held.peer);
      await this.#options.datapath.withdraw(ownerOf(address));
      held.peer.destroy();
    });
  }

  /** A secret that was left out at the start. */
  async #forget(address: string): Promise<void> {
    const key = peerSecretKey(address);
    if ((await this.#options.store.get(key)) !== null) await this.#commit([], [key]);
  }

  hasPeer(address: string): boolean {
    return this.#held.has(address);
  }

  peers(): readonly KeyedPeer[] {
    return [...this.#held.values()].map(({ peer }) => peer.view).sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  async rotate(): Promise<void> {
    await this.#serially(async () => {
      for (const { peer } of this.#held.values()) if (!peer.isStale) await peer.rotate();
    });
  }

  async list(): Promise<readonly AssociationView[]> {
    const now = this.#options.clock.monotonicMs();
    const entries = await this.#options.datapath.dumpAssociations();
    return entries.flatMap((entry) => {
      const sinceMs = this.#held.get(entry.peer)?.peer.sinceMs(entry.id) ?? null;
      if (sinceMs === null) return [];
      return [viewOf(entry, Math.floor((now - sinceMs) / 1000))];
    });
  }

  // ── time and events ──

  /** Once a second. */
  async tick(): Promise<void> {
    await this.#serially(async () => {
      if (this.#isStopped) return;
      await this.#renewStale();
      for (const { peer } of this.#held.values()) if (!peer.isStale) await this.#attempts.again(peer, "tick");
    });
  }

  #event(event: EspEvent): void {
    if (event.kind === "lost") {
      for (const held of this.#held.values()) {
        held.peer.lose();
        held.retry = null;
      }
      void this.#serially(() => this.#renewStale());
      return;
    }
    if (this.#isStopped) return;
    if (event.kind === "unknown-spi") {
      this.#unknown(event);
      return;
    }
    const held = this.#held.get(event.association.slice(0, event.association.indexOf("/")));
    if (held === undefined) return;
    if (event.kind === "path-mtu") this.#narrowed(held.peer, event);
    else if (event.kind === "moved") this.#moved(held, event);
    else void this.#serially(() => this.#tell(held, event));
  }

  #narrowed({ address }: Peer, { router, bytes }: EspEvent & { kind: "path-mtu" }): void {
    this.#options.log("warn", `the path to ${address} carries packets of ${bytes} bytes only, says ${router}`, { peer: address, bytes });
  }

  #moved(held: Held, event: Moved): void {
    const { moves } = held;
    const isWaiting = moves.has(event.association);
    moves.set(event.association, event);
    if (isWaiting) return;
    void this.#serially(async () => {
      const latest = moves.get(event.association)!;
      moves.delete(event.association);
      await this.#tell(held, latest);
    });
  }

  /** False: it did not concern the peer, or could not be told. */
  async #tell({ peer }: Held, event: Exclude<EspEvent, { kind: "lost" | "path-mtu" }>): Promise<boolean> {
    if (peer.isStale || this.#held.get(peer.address)?.peer !== peer) return false;
    let isTaken = false;
    await this.#attempts.once(peer, async () => {
      isTaken = await peer.event(event);
    });
    return isTaken;
  }

  /** A datagram of an unknown key: the peer's of that address; or one's that has names and may be anywhere. */
  #unknown(event: EspEvent & { kind: "unknown-spi" }): void {
    // Unknown keys are many when somebody makes them up; the engine's own events are few, and told once.
    if (this.#waiting > this.#held.size + 16) return;
    const asked = this.#asked.among(this.#held.values(), event.sender, this.#options.clock.monotonicMs());
    if (asked.length === 0) return;
    this.#waiting++;
    void this.#serially(async () => {
      this.#waiting--;
      for (const held of asked) if (await this.#tell(held, event)) return;
    });
  }
}

function viewOf(entry: AssociationEntry, ageS: number): AssociationView {
  const { spi, peer, direction, algorithm, icvBytes, esn, udpPort, current, sequence, packets, bytes } = entry;
  const { replayed, late, forged, malformed, pathMtuBytes } = entry;
  const transport = udpPort === null ? "raw" : "udp";
  const shown = { spi, peer, direction, algorithm, icvBytes, esn, transport, current, ageS, sequence, packets, bytes } as const;
  return { ...shown, replayed, late, forged, malformed, pathMtuBytes };
}

// A peer with a seed: pair.ts's states stored, declared and moved on by events and time. It is also spoken to by dummies:
//
//   not heard, or behind a NAT   as probing.ts says
//   we rotated                   the peer follows
//   the peer is behind           some a second at most; if it stays behind, by another session (deaf.ts)
//
// What can't be done now, because the store or the datapath refuses, is wanted still and tried again by the next ticks.
import type { EspEvent } from "../datapath/datapath-api.ts";
import type { AssociationDeclaration } from "../datapath/declarations.ts";
import { Deafness } from "./deaf.ts";
import type { KeyedPeer, SeedSecret } from "./key-service.ts";
import * as pair from "./pair.ts";
import { associationOf, idOf } from "./pair-association.ts";
import { Made, ownerOf, type Peer, type PeerHost } from "./peer.ts";
import { Probing } from "./probing.ts";
import { Quota } from "./quota.ts";
import { followed, homeOf, isSame, type Remote } from "./remote.ts";
import { seededClaims, withIdentity } from "./seeded-identity.ts";
import { readRing, storeRing } from "./seeded-ring.ts";
import { TAG_BITS } from "./spi.ts";

const CONTEND_MS = 10_000;
/** Datagrams of unknown keys that are looked at, a second. */
const LOOKS_A_SECOND = 10;

export class SeededPeer implements Peer {
  readonly address: string;
  readonly claims: readonly string[];
  isStale = true;
  readonly #vxlanPort: number;
  readonly #secret: SeedSecret;
  readonly #host: PeerHost;
  readonly #made: Made;
  /** Null: nothing is declared. */
  #state: pair.PairState | null = null;
  readonly #home: Remote;
  /** Where we send to, and what is stored of it. */
  #remote: Remote;
  #stored: Remote;
  #isHeard = false;
  #since: string | null = null;
  #sinceMs = 0;
  #wanted: { rotation: boolean; heard: number; remote: Remote | null } = { rotation: false, heard: 0, remote: null };
  readonly #probing = new Probing();
  #contendedMs = Number.NEGATIVE_INFINITY;
  readonly #looks = new Quota(LOOKS_A_SECOND);
  /** Of this epoch. */
  readonly #tags = new Set<number>();
  readonly #deafness: Deafness;

  constructor(host: PeerHost, address: string, vxlanPort: number, secret: SeedSecret) {
    this.address = address;
    this.#host = host;
    this.#vxlanPort = vxlanPort;
    this.#secret = secret;
    this.claims = seededClaims(secret, address, host.underlayAddresses);
    this.#made = new Made(host.clock);
    this.#home = homeOf(address);
    this.#remote = this.#home;
    this.#stored = this.#home;
    this.#deafness = new Deafness(
      () => this.#now(),
      () => this.#opened(),
    );
  }

  get view(): KeyedPeer {
    const { kind, transport } = this.#secret;
    const index = this.#state?.index ?? null;
    const shown = { address: this.address, kind, transport, vxlanPort: this.#vxlanPort, index, since: this.#since, heard: this.#isHeard };
    return { ...shown, remote: this.#isUdp ? this.#remote : null };
  }

  get #isUdp(): boolean {
    return this.#secret.transport === "udp";
  }

  get roams(): boolean {
    return this.#isUdp && this.#secret.peerId !== null;
  }

  sinceMs(association: string): number | null {
    return this.#made.sinceMs(association);
  }

  async renew(): Promise<void> {
    this.#identity((identity) => identity); // throws if there can't be one
    const ring = await readRing(this.#host, this.address, this.#secret);
    const epoch = await this.#host.epoch();
    const own = { epoch, tag: this.#freshTag() };
    const state = pair.renewed({ index: Math.max(ring.index, this.#state?.index ?? 0), peer: ring.peer }, own);
    this.#isHeard = false;
    this.#wanted = { rotation: false, heard: 0, remote: null };
    this.#probing.restart(this.#now());
    this.#stored = ring.remote ?? this.#home;
    await this.#become(state, this.#stored);
  }

  #freshTag(): number {
    let tag = this.#host.randomTag();
    while (this.#tags.has(tag)) tag = (tag + 1) % 2 ** TAG_BITS;
    this.#tags.add(tag);
    return tag;
  }

  /** Datagrams of the peer's that were authentic and new, by the associations that stand. */
  async #opened(): Promise<bigint> {
    const entries = await this.#host.datapath.dumpAssociations();
    return entries.reduce((sum, { peer, direction, packets }) => sum + (peer === this.address && direction === "in" ? packets : 0n), 0n);
  }

  #identity<T>(use: (identity: pair.PairIdentity) => T): T {
    return withIdentity(this.#secret, this.address, this.#host.underlayAddresses, use);
  }

  /** Stores what has to be, then declares what follows. When that fails, a new life has to begin: what was sent is unknown. */
  async #become(next: pair.PairState, remote: Remote = this.#remote): Promise<void> {
    const { losses } = this.#made;
    const before = this.#state;
    const isKnown = before !== null && before.index === next.index && before.peer === next.peer && before.own === next.own;
    // Before the peer is heard, it may be a recording of it that says where it is.
    const stays = this.#isHeard ? remote : this.#stored;
    if (!isKnown || !isSame(stays, this.#stored)) {
      await storeRing(this.#host, this.address, this.#secret, { index: next.index, peer: next.peer, remote: stays });
    }
    this.#state = next;
    this.#stored = stays;
    if (!isSame(remote, this.#remote)) this.#host.log("info", "peer is sent to at another place", { peer: this.address, ...remote });
    this.#remote = remote;
    if (losses !== this.#made.losses) return; // what we meant to go on with is gone
    if (before?.index !== next.index || before.own !== next.own) {
      this.#since = this.#host.clock.nowIso();
      this.#sinceMs = this.#now();
    }
    const associations = this.#associations(next);
    this.isStale = true;
    await this.#host.datapath.declare(ownerOf(this.address), { associations });
    if (losses !== this.#made.losses) return;
    this.isStale = false;
    this.#made.keep(associations);
  }

  #associations(state: pair.PairState): AssociationDeclaration[] {
    const { address, port } = this.#remote;
    const made = this.#identity((identity) => {
      const terms = { peer: this.address, vxlanPort: this.#vxlanPort, udpPort: this.#isUdp ? this.#home.port : null, ...this.#host.limits };
      return pair.slotsOf(state).map((slot) => this.#made.ensure(idOf(this.address, slot), () => associationOf(identity, slot, terms)));
    });
    // Where it is sent to is no part of an association's protection, and changes while it stands.
    return made.map((one) => (one.direction === "out" && this.#isUdp ? { ...one, udpPort: port, remote: address } : one));
  }

  async event(event: Exclude<EspEvent, { kind: "lost" | "path-mtu" }>): Promise<boolean> {
    if (this.#state === null) return false;
    if (event.kind === "unknown-spi") return await this.#unknown(event.spi, event.datagram, seenAt(event));
    const slot = pair.slotsOf(this.#state).find((one) => idOf(this.address, one) === event.association);
    if (slot === undefined) return true;
    if (event.kind === "first-use") {
      this.#isHeard = true;
      this.#deafness.forget();
      this.#wanted.heard = Math.max(this.#wanted.heard, slot.index);
    } else if (event.kind === "nearly-exhausted") {
      this.#wanted.rotation = slot.direction === "out";
    } else if (this.#isUdp && slot.index >= Math.max(this.#state.peerIndex, this.#wanted.heard)) {
      this.#wanted.remote = seenAt(event);
    }
    await this.#catchUp();
    return true;
  }

  /** False: it is none of the peer's, or was not looked at. */
  async #unknown(spi: number, datagram: Uint8Array, seen: Remote): Promise<boolean> {
    const state = this.#state!;
    if (!this.#looks.take(this.#now())) return false;
    const from = this.#identity((identity) => pair.recognize(state, identity, spi, datagram));
    if (from === null) return false;
    const verdict = pair.judge(state, from);
    const remote = this.#isUdp ? followed(this.#remote, seen, this.roams) : this.#remote;
    if (verdict.kind === "accept") {
      this.#isHeard = true;
      this.#deafness.forget();
      await this.#become(verdict.state, remote);
    } else if (verdict.kind === "contend") {
      if (this.#now() - this.#contendedMs < CONTEND_MS) return true;
      this.#contendedMs = this.#now();
      await this.#become(pair.rotated(state));
    } else {
      const isDeaf = !verdict.isLate && (await this.#deafness.isFound());
      // Where we have started anew and not heard it yet, it speaks by what it knows of our former life: the best guess there is.
      const place = this.#isHeard ? this.#remote : remote;
      if (isDeaf || !isSame(place, this.#remote)) await this.#become(isDeaf ? pair.retagged(state, this.#freshTag()) : state, place);
    }
    await this.#dummy();
    return true;
  }

  /** What events asked for and could not be stored when they came. */
  async #catchUp(): Promise<void> {
    const { heard, rotation } = this.#wanted;
    const { index, peerIndex } = this.#state!;
    const remote = this.#wanted.remote === null ? this.#remote : followed(this.#remote, this.#wanted.remote, this.roams);
    const next = heard > peerIndex ? pair.heard(this.#state!, heard) : this.#state!;
    if (next !== this.#state || !isSame(remote, this.#remote) || (this.#isHeard && !isSame(remote, this.#stored)))
      await this.#become(next, remote);
    this.#wanted.remote = null;
    if (this.#state!.index > index) await this.#dummy(); // the peer hears that we followed
    if (rotation) await this.rotate();
  }

  async tick(): Promise<void> {
    if (this.#state === null) return;
    const now = this.#now();
    await this.#catchUp();
    // A key that nobody has answered by has nothing to protect, and running ahead would make finding each other harder.
    const isDue = now - this.#sinceMs >= this.#host.limits.rekeyS * 1000;
    if (isDue && pair.hasFollowed(this.#state)) await this.rotate();
    if (!this.#isHeard && this.#probing.isDue(now)) await this.#dummy();
    await this.#keepNatOpen(now);
  }

  /** RFC 3948 section 4, where there may be a NAT. */
  async #keepNatOpen(now: number): Promise<void> {
    const { keepaliveS } = this.#host.limits;
    const isBehindNat = this.#secret.localId !== null || !isSame(this.#remote, this.#home);
    if (!this.#isUdp || !isBehindNat || keepaliveS === 0) return;
    const kind = this.#probing.keepalive(now, keepaliveS * 1000);
    if (kind !== null) await this.#host.datapath.probe(this.address, kind);
  }

  /** By an operator's word, time or use. One that the peer has not followed yet is under way: another would leave it behind. */
  async rotate(): Promise<void> {
    const state = this.#state;
    if (state === null) return;
    const isUnderWay = this.#isHeard ? !pair.hasFollowed(state) : !pair.isWithinReach(state);
    if (!this.#wanted.rotation && isUnderWay) return await this.#dummy();
    await this.#become(pair.rotated(state));
    this.#wanted.rotation = false;
    await this.#dummy();
  }

  async #dummy(): Promise<void> {
    await this.#host.datapath.probe(this.address, "dummy");
  }

  #now(): number {
    return this.#host.clock.monotonicMs();
  }

  lose(): void {
    this.isStale = true;
    this.#made.lose();
  }

  async stop(): Promise<void> {}

  destroy(): void {
    this.#made.keep([]);
    this.#secret.seed.destroy();
  }
}

const seenAt = ({ sender, senderPort }: { readonly sender: string; readonly senderPort: number }): Remote => {
  return { address: sender, port: senderPort };
};

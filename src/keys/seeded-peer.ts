// A peer with a seed: pair.ts's states stored, declared and moved on by events and time. Also when to speak without being asked:
//
//   not heard in this life    a dummy after 1 s, then ever more slowly, every 10 s in the end
//   we rotated                a dummy: the peer follows
//   the peer is behind        a dummy, some a second at most; if it stays behind, by another session (deaf.ts)
//   behind a NAT              a keepalive every 20 s (RFC 3948 section 4)
//
// What can't be done now, because the store or the datapath refuses, is wanted still and tried again by the next ticks.
import { ESP_UDP_PORT } from "../../wasm/shared/protocol.ts";
import type { EspEvent } from "../datapath/datapath-api.ts";
import type { AssociationDeclaration } from "../datapath/declarations.ts";
import { KeyMaterial } from "../datapath/key-material.ts";
import { unavailable } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import { espPairKey } from "../store/keys.ts";
import type { Json } from "../store/store.ts";
import { Deafness } from "./deaf.ts";
import { fingerprint } from "./derive.ts";
import type { KeyedPeer, SeedSecret } from "./key-service.ts";
import * as pair from "./pair.ts";
import { Made, ownerOf, type Peer, type PeerHost } from "./peer.ts";
import { DEFAULT_ALGORITHM } from "./secrets.ts";
import { TAG_BITS } from "./spi.ts";

const PROBE_FIRST_MS = 1000;
const PROBE_LAST_MS = 10_000;
const KEEPALIVE_MS = 20_000;
const CONTEND_MS = 10_000;
/** Datagrams of unknown keys that are looked at, a second. */
const LOOKS = 10;

interface Ring {
  readonly fingerprint: string;
  readonly index: number;
  readonly peer: pair.Session | null;
}

export class SeededPeer implements Peer {
  readonly address: string;
  isStale = true;
  readonly #vxlanPort: number;
  readonly #secret: SeedSecret;
  readonly #host: PeerHost;
  readonly #made: Made;
  /** Null: nothing is declared. */
  #state: pair.PairState | null = null;
  #udpPort: number | null;
  #moved = false;
  #isHeard = false;
  #since: string | null = null;
  #sinceMs = 0;
  #wanted = { rotation: false, heard: 0 };
  #probe = { atMs: 0, waitMs: PROBE_FIRST_MS };
  #keepaliveMs = 0;
  #contendedMs = Number.NEGATIVE_INFINITY;
  #looks = { left: LOOKS, atMs: 0 };
  /** Of this epoch. */
  readonly #tags = new Set<number>();
  readonly #deafness: Deafness;

  constructor(host: PeerHost, address: string, vxlanPort: number, secret: SeedSecret) {
    this.address = address;
    this.#host = host;
    this.#vxlanPort = vxlanPort;
    this.#secret = secret;
    this.#made = new Made(host.clock);
    this.#udpPort = secret.transport === "udp" ? ESP_UDP_PORT : null;
    this.#deafness = new Deafness(
      () => this.#now(),
      () => this.#opened(),
    );
  }

  get view(): KeyedPeer {
    const { kind, transport } = this.#secret;
    const index = this.#state?.index ?? null;
    return { address: this.address, kind, transport, vxlanPort: this.#vxlanPort, index, since: this.#since, heard: this.#isHeard };
  }

  sinceMs(association: string): number | null {
    return this.#made.sinceMs(association);
  }

  async renew(): Promise<void> {
    this.#identity((identity) => identity); // throws if there can't be one
    const ring = await this.#ring();
    const epoch = await this.#host.epoch();
    const own = { epoch, tag: this.#freshTag() };
    const state = pair.renewed({ index: Math.max(ring.index, this.#state?.index ?? 0), peer: ring.peer }, own);
    this.#isHeard = false;
    this.#wanted = { rotation: false, heard: 0 };
    this.#probe = { atMs: this.#now() + PROBE_FIRST_MS, waitMs: PROBE_FIRST_MS };
    await this.#become(state);
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

  /** As stored; of another seed nothing counts. */
  async #ring(): Promise<Ring> {
    const mine = this.#fingerprint();
    const stored = (await this.#host.get(espPairKey(this.address))) as unknown as Ring | null;
    return stored?.fingerprint === mine ? stored : { fingerprint: mine, index: 0, peer: null };
  }

  #fingerprint(): string {
    const seed = this.#secret.seed.copy();
    const text = fingerprint(seed);
    seed.fill(0);
    return text;
  }

  /** Lends the identity: the seed's copy does not outlive the call. */
  #identity<T>(use: (identity: pair.PairIdentity) => T): T {
    const { seed, algorithm = DEFAULT_ALGORITHM, localId, peerId } = this.#secret;
    const { family } = parseAddress(this.address);
    const own = localId ?? this.#host.underlayAddresses.find((address) => parseAddress(address).family === family);
    if (own === undefined) throw unavailable(`peer ${this.address} can't have keys: this host has no IPv${family} underlay address`);
    const copy = seed.copy();
    try {
      return use({ seed: copy, algorithm, localId: own, peerId: peerId ?? this.address });
    } finally {
      copy.fill(0);
    }
  }

  /** Stores what has to be, then declares what follows. When that fails, a new life has to begin: what was sent is unknown. */
  async #become(next: pair.PairState): Promise<void> {
    const { losses } = this.#made;
    const before = this.#state;
    const isStored = before !== null && before.index === next.index && before.peer === next.peer && before.own === next.own;
    if (!isStored) {
      const ring: Ring = { fingerprint: this.#fingerprint(), index: next.index, peer: next.peer };
      await this.#host.put([{ key: espPairKey(this.address), value: ring as unknown as Json }]);
    }
    this.#state = next;
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
    return this.#identity((identity) => {
      return pair.slotsOf(state).map((slot) => this.#made.ensure(this.#id(slot), () => this.#association(identity, slot)));
    });
  }

  #id({ direction, epoch, index, tag }: pair.Slot): string {
    return `${this.address}/${direction}/${epoch}.${tag}/${index}`;
  }

  #association(identity: pair.PairIdentity, slot: pair.Slot): AssociationDeclaration {
    const { packetLimit, byteLimit } = this.#host.limits;
    const isIn = slot.direction === "in";
    return {
      id: this.#id(slot),
      direction: slot.direction,
      peer: this.address,
      vxlanPort: this.#vxlanPort,
      spi: slot.spi,
      algorithm: identity.algorithm,
      icvBytes: 16,
      esn: true,
      udpPort: this.#udpPort,
      innerChecksum: false,
      packetLimit: isIn ? Number.MAX_SAFE_INTEGER : packetLimit,
      byteLimit: isIn ? Number.MAX_SAFE_INTEGER : byteLimit,
      firstSequence: 0,
      notify: isIn,
      current: !isIn,
      key: new KeyMaterial(pair.keyOf(identity, slot)),
    };
  }

  async event(event: Exclude<EspEvent, { kind: "lost" }>): Promise<void> {
    if (this.#state === null) return;
    if (event.kind === "unknown-spi") return await this.#unknown(event.spi, event.datagram);
    const slot = pair.slotsOf(this.#state).find((one) => this.#id(one) === event.association);
    if (slot === undefined) return;
    if (event.kind === "first-use") {
      this.#isHeard = true;
      this.#deafness.forget();
      this.#wanted.heard = Math.max(this.#wanted.heard, slot.index);
    } else if (event.kind === "nearly-exhausted") {
      this.#wanted.rotation = slot.direction === "out";
    } else if (event.sender === this.address && this.#udpPort !== null && event.senderPort !== this.#udpPort) {
      // Sent to another port, by another key: no standing association is changed.
      this.#udpPort = event.senderPort;
      this.#moved = true;
      this.#wanted.rotation = true;
      this.#host.log("info", "peer's UDP port changed", { peer: this.address, port: event.senderPort });
    }
    await this.#catchUp();
  }

  async #unknown(spi: number, datagram: Uint8Array): Promise<void> {
    const state = this.#state!;
    if (!this.#mayLook()) return;
    const from = this.#identity((identity) => pair.recognize(state, identity, spi, datagram));
    if (from === null) return;
    const verdict = pair.judge(state, from);
    if (verdict.kind === "accept") {
      this.#isHeard = true;
      this.#deafness.forget();
      await this.#become(verdict.state);
    } else if (verdict.kind === "contend") {
      if (this.#now() - this.#contendedMs < CONTEND_MS) return;
      this.#contendedMs = this.#now();
      await this.#become(pair.rotated(state));
    } else if (!verdict.isLate && (await this.#deafness.isFound())) {
      await this.#become(pair.retagged(state, this.#freshTag()));
    }
    await this.#dummy();
  }

  #mayLook(): boolean {
    if (this.#now() - this.#looks.atMs >= 1000) this.#looks = { left: LOOKS, atMs: this.#now() };
    return this.#looks.left-- > 0;
  }

  /** What events asked for and could not be stored when they came. */
  async #catchUp(): Promise<void> {
    const { heard, rotation } = this.#wanted;
    const { index, peerIndex } = this.#state!;
    if (heard > peerIndex) await this.#become(pair.heard(this.#state!, heard));
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
    if (!this.#isHeard && now >= this.#probe.atMs) {
      const waitMs = Math.min(this.#probe.waitMs * 2, PROBE_LAST_MS);
      this.#probe = { atMs: now + waitMs, waitMs };
      await this.#dummy();
    }
    const isBehindNat = this.#moved || this.#secret.localId !== null;
    if (isBehindNat && this.#udpPort !== null && now - this.#keepaliveMs >= KEEPALIVE_MS) {
      this.#keepaliveMs = now;
      await this.#host.datapath.probe(this.address, "keepalive");
    }
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

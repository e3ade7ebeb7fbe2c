// A peer that is keyed by hand: one association each way, exactly as its administrator has set them up, for as long as they
// stand. Its keys live across restarts, and so its numbers have to go on:
//
//   out   numbers are reserved in the store a block at a time, before they are used. The engine stops at the block's end, the
//         next is reserved when half of it is used. A new life goes on behind the block
//   in    the newest number is stored every second and at the stop, and the window begins right behind it: the peer's next
//         datagram is taken, and what is recorded within a crash's last second is all that could come again
//
// What is stored goes by the key's fingerprint and the SPI and outlives the peer: whoever adds the same key again goes on, too. Under
// another SPI as well: an SPI is no part of the nonce, so what we send begins behind all that any association of the key has used.
import type { EspEvent } from "../datapath/datapath-api.ts";
import type { AssociationDeclaration } from "../datapath/declarations.ts";
import { KeyMaterial } from "../datapath/key-material.ts";
import { exhausted } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import { espHandKey } from "../store/keys.ts";
import type { Json } from "../store/store.ts";
import { fingerprint } from "./derive.ts";
import type { HandAssociation, HandSecret, KeyedPeer } from "./key-service.ts";
import { Made, ownerOf, type Peer, type PeerHost } from "./peer.ts";

/** Numbers reserved at a time: seconds of the fastest sender. A new life skips so many at most. */
export const BLOCK = 2 ** 22;
/** No key is used further: RFC 4303's last number without ESN; with it, the last that a JavaScript number tells from the next. */
const LAST = { esn: Number.MAX_SAFE_INTEGER, plain: 2 ** 32 - 1 };

interface Numbers {
  /** Out: the end of the reserved block. In: the newest received. */
  readonly number: number;
}

export class HandPeer implements Peer {
  readonly address: string;
  readonly claims: readonly string[];
  isStale = true;
  readonly #vxlanPort: number;
  readonly #secret: HandSecret;
  /** Of the key that we send by. */
  readonly #last: number;
  readonly #host: PeerHost;
  readonly #made: Made;
  readonly #keys: { readonly out: string; readonly in: string };
  #life = 0;
  #first = { out: 0, in: 0 };
  #reserved = 0;
  #newest = 0;
  #udpPort: number | null;
  readonly roams = false;
  #isHeard = false;
  #since: string | null = null;

  constructor(host: PeerHost, address: string, vxlanPort: number, secret: HandSecret) {
    this.address = address;
    this.#host = host;
    this.#vxlanPort = vxlanPort;
    this.#secret = secret;
    this.#last = secret.out.esn ? LAST.esn : LAST.plain;
    this.#made = new Made(host.clock);
    this.claims = [printOf(secret.out), printOf(secret.in)];
    this.#keys = { out: recordOf(secret.out), in: recordOf(secret.in) };
    this.#udpPort = secret.out.transport === "udp" ? secret.out.port : null;
  }

  get view(): KeyedPeer {
    const { transport } = this.#secret.out;
    return {
      address: this.address,
      kind: "hand",
      transport,
      vxlanPort: this.#vxlanPort,
      index: null,
      since: this.#since,
      heard: this.#isHeard,
      remote: this.#udpPort === null ? null : { address: this.address, port: this.#udpPort },
    };
  }

  sinceMs(association: string): number | null {
    return this.#made.sinceMs(association);
  }

  async renew(): Promise<void> {
    const used = await this.#host.list(espHandKey(`${printOf(this.#secret.out)}-`));
    const out = Math.max(this.#reserved, ...used.map(numberOf));
    const newest = Math.max(numberOf(await this.#host.get(this.#keys.in)), this.#newest);
    const { losses } = this.#made;
    await this.#reserve(out);
    this.#first = { out, in: newest };
    this.#newest = newest;
    this.#life++;
    this.#isHeard = false;
    this.#since = this.#host.clock.nowIso();
    await this.#declare(losses);
  }

  /** The block behind `number` is ours to use. */
  async #reserve(number: number): Promise<void> {
    if (number >= this.#last) throw exhausted(`the key for peer ${this.address} is used up: agree on another with its administrator`);
    const end = Math.min(number + BLOCK, this.#last);
    await this.#host.put([{ key: this.#keys.out, value: { number: end } }]);
    this.#reserved = end;
  }

  /** `losses`: when it was decided; after another loss the keys may have been used further than this says. */
  async #declare(losses: number): Promise<void> {
    if (losses !== this.#made.losses) return;
    const associations = [
      { ...this.#association("out", this.#secret.out), packetLimit: this.#reserved, udpPort: this.#udpPort },
      this.#association("in", this.#secret.in),
    ];
    this.isStale = true;
    await this.#host.datapath.declare(ownerOf(this.address), { associations });
    if (losses !== this.#made.losses) return;
    this.isStale = false;
    this.#made.keep(associations);
  }

  #association(direction: "in" | "out", given: HandAssociation): AssociationDeclaration {
    const id = `${this.address}/${direction}/hand/${this.#life}`;
    return this.#made.ensure(id, () => ({
      id,
      direction,
      peer: this.address,
      vxlanPort: this.#vxlanPort,
      spi: given.spi,
      algorithm: given.algorithm,
      icvBytes: given.icvBytes,
      esn: given.esn,
      udpPort: given.transport === "udp" ? given.port : null,
      innerChecksum: parseAddress(this.address).family === 6,
      packetLimit: given.esn ? Number.MAX_SAFE_INTEGER : 2 ** 32 - 1,
      byteLimit: Number.MAX_SAFE_INTEGER,
      firstSequence: this.#first[direction],
      notify: direction === "in",
      current: direction === "out",
      key: new KeyMaterial(given.key.copy()),
    }));
  }

  /** It is followed to another port, not to another address: an administrator's peer is where they said. */
  async event(event: Exclude<EspEvent, { kind: "lost" | "path-mtu" }>): Promise<boolean> {
    if (event.kind === "unknown-spi") return false;
    if (event.kind === "first-use") this.#isHeard = true;
    if (event.kind !== "moved" || this.isStale || event.sender !== this.address) return true;
    const { senderPort } = event;
    if (this.#udpPort === null || this.#udpPort === senderPort || senderPort === 0) return true; // nothing can be sent to port 0
    this.#udpPort = senderPort;
    await this.#declare(this.#made.losses);
    return true;
  }

  async tick(): Promise<void> {
    if (this.isStale) return;
    const { losses } = this.#made;
    const { out, newest } = await this.#figures();
    if (losses !== this.#made.losses) return;
    if (newest > this.#newest) {
      await this.#host.put([{ key: this.#keys.in, value: { number: newest } }]);
      this.#newest = newest;
    }
    // The last block is used to its end.
    const isDue = this.#reserved < this.#last ? out > this.#reserved - BLOCK / 2 : out >= this.#last;
    if (isDue) {
      await this.#reserve(this.#reserved);
      await this.#declare(losses);
    }
  }

  async #figures(): Promise<{ readonly out: number; readonly newest: number }> {
    const mine = (await this.#host.datapath.dumpAssociations()).filter(({ peer }) => peer === this.address);
    const number = (direction: "in" | "out"): number => Number(mine.find((one) => one.direction === direction)?.sequence ?? 0n);
    return { out: number("out"), newest: number("in") };
  }

  async rotate(): Promise<void> {}

  lose(): void {
    this.isStale = true;
    this.#made.lose();
  }

  async stop(): Promise<void> {
    if (this.isStale) return;
    const mine = await this.#figures();
    const newest = Math.max(this.#newest, mine.newest);
    await this.#host.put([{ key: this.#keys.in, value: { number: newest } }]);
  }

  destroy(): void {
    this.#made.keep([]);
    this.#secret.out.key.destroy();
    this.#secret.in.key.destroy();
  }
}

const numberOf = (stored: Json): number => (stored as unknown as Numbers | null)?.number ?? 0;

function printOf({ key }: HandAssociation): string {
  const copy = key.copy();
  const text = fingerprint(copy);
  copy.fill(0);
  return text;
}

const recordOf = (association: HandAssociation): string => espHandKey(`${printOf(association)}-${association.spi}`);

// Hosts with key services over a network that loses, repeats, delays and plays back; time is moved by hand. The datapath is a
// model: it really seals and opens (node:crypto), keeps every number it has seen, and notes what must never happen. Pairs of
// hosts are cut off from each other for a time, and each host has clocks of its own, that jump.
import { createCipheriv, createDecipheriv } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import type { AssociationEntry, EspEvent, EspListener } from "../../src/datapath/datapath-api.ts";
import type { AssociationDeclaration, Declaration } from "../../src/datapath/declarations.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import type { SeedSecret } from "../../src/keys/key-service.ts";
import { Keys } from "../../src/keys/service.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import type { CommitResult, Entry, Json, Transaction } from "../../src/store/store.ts";
import type { Random } from "./random.ts";

const ESP_PORT = 4500;

export interface Sent {
  readonly from: string;
  readonly to: string;
  /** UDP ports of ESP: another than 4500 is a NAT's. */
  readonly fromPort: number;
  readonly toPort: number;
  readonly bytes: Buffer;
  /** What it carries; null: a dummy. */
  readonly payload: string | null;
}

/** A store whose disk can be full. */
class FillableStore extends MemoryStore {
  isFull: () => boolean = () => false;

  override async commit(transaction: Transaction): Promise<CommitResult> {
    if ((transaction.puts?.length ?? 0) > 0 && this.isFull()) throw new Error("no space left on device");
    return await super.commit(transaction);
  }
}

interface Standing {
  readonly declared: AssociationDeclaration;
  readonly key: Buffer;
  sequence: bigint;
  packets: bigint;
  told: Set<string>;
  readonly seen: Set<bigint>;
  newest: bigint;
  /** Where its newest datagram came from; "": there was none. */
  place: string;
}

export class World {
  readonly random: Random;
  readonly hosts = new Map<string, SimHost>();
  readonly wire: Sent[] = [];
  readonly recorded: Sent[] = [];
  /** What must not happen, as it happened. */
  readonly violations: string[] = [];
  readonly logged: string[] = [];
  readonly sealedBy = new Set<string>();
  nowMs = 1000;
  /** Until when two hosts don't reach each other. */
  readonly #cuts = new Map<string, number>();

  constructor(random: Random) {
    this.random = random;
  }

  cut(a: string, b: string, untilMs: number): void {
    this.#cuts.set([a, b].sort().join(), untilMs);
  }

  mend(): void {
    this.#cuts.clear();
  }

  deliver(sent: Sent): void {
    const until = this.#cuts.get([sent.from, sent.to].sort().join()) ?? 0;
    if (this.nowMs >= until) this.#at(sent.to, sent.toPort)?.arrive(sent);
  }

  /** Address and port that a NAT has given to hosts behind it. */
  readonly nat = new Map<string, { readonly address: string; readonly port: number }>();

  #at(address: string, port: number): SimHost | undefined {
    for (const [inside, outside] of this.nat) if (outside.address === address && outside.port === port) return this.hosts.get(inside);
    return this.nat.has(address) ? undefined : this.hosts.get(address);
  }

  send(sent: Sent): void {
    this.wire.push(sent);
    if (this.recorded.length < 3000) this.recorded.push(sent);
    else this.recorded[this.random.below(3000)] = sent;
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 3; i++) await turn();
  }

  /** A second passes on all hosts, and all that is on the wire arrives. */
  async second(): Promise<void> {
    this.nowMs += 1000;
    for (const host of this.hosts.values()) await host.keys?.tick();
    for (let round = 0; round < 6; round++) {
      await this.settle();
      for (const sent of this.wire.splice(0)) this.deliver(sent);
    }
    await this.settle();
  }
}

export class SimHost {
  readonly address: string;
  readonly world: World;
  store = new FillableStore();
  keys: Keys | null = null;
  declareFails: () => boolean = () => false;
  /** Whether the worker dies while it is told of associations. */
  diesDeclaring: () => boolean = () => false;
  /** What the host's clocks are ahead of the world's time: the wall's as somebody sets it, the other since the machine's start. */
  ahead = { wallMs: 0, monotonicMs: 0 };
  /** The state directory as it was before the last start; null: nobody has a copy. */
  copy: readonly Entry[] | null = null;
  /** Payloads that came out, all lives. */
  readonly received: string[] = [];
  /** Keys and numbers that were taken, all lives. */
  #taken = new Set<string>();
  #owners = new Map<string, Map<string, Standing>>();
  #listener: EspListener = () => {};
  #counter = 0;

  constructor(world: World, address: string) {
    this.world = world;
    this.address = address;
    world.hosts.set(address, this);
  }

  async start(): Promise<void> {
    this.keys = new Keys({
      store: this.store,
      datapath: {
        declare: (owner, declaration) => this.#declare(owner, declaration),
        withdraw: async (owner) => void this.#owners.delete(owner),
        probe: async (peer, what) => what === "dummy" && this.#seal(peer, null),
        dumpAssociations: async () => this.entries(),
        onEspEvent: (listener) => {
          this.#listener = listener;
        },
      },
      clock: {
        nowIso: () => new Date(this.world.nowMs + this.ahead.wallMs).toISOString(),
        monotonicMs: () => this.world.nowMs + this.ahead.monotonicMs,
      },
      randomBytes: (count) => this.world.random.bytes(count),
      underlayAddresses: [this.address],
      limits: { rekeyS: 600, packetLimit: 2 ** 32, byteLimit: 2 ** 38, keepaliveS: 20 },
      log: (level, message, fields) => void this.world.logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
    });
    await this.keys.start();
  }

  /** kill -9: what is not in the store is gone. */
  crash(): void {
    this.keys = null;
    this.#owners.clear();
    this.#listener = () => {};
  }

  loseWorker(): void {
    this.#owners.clear();
    this.#listener({ kind: "lost" });
  }

  /** The state directory is put back as it was: what it knew of numbers received since is gone, too. */
  restore(entries: readonly { readonly key: string; readonly value: Json }[]): Promise<unknown> {
    this.crash();
    this.store = new FillableStore();
    this.#taken = new Set();
    return this.store.commit({ puts: entries });
  }

  standing(): Standing[] {
    return [...this.#owners.values()].flatMap((one) => [...one.values()]);
  }

  entries(): AssociationEntry[] {
    return this.standing().map(({ declared: { key: _, ...rest }, sequence, packets }) => {
      return { ...rest, sequence, packets, bytes: 0n, replayed: 0n, late: 0n, forged: 0n, malformed: 0n, pathMtuBytes: null };
    });
  }

  async #declare(owner: string, { associations = [] }: Declaration): Promise<void> {
    if (this.declareFails()) throw new Error("the worker died");
    const before = this.#owners.get(owner);
    const after = new Map<string, Standing>();
    for (const declared of associations) {
      const known = before?.get(declared.id);
      const isSame = known !== undefined && known.declared.key === declared.key;
      const fresh = (): Standing => {
        const key = Buffer.from(declared.key.copy());
        return {
          declared,
          key,
          sequence: BigInt(declared.firstSequence),
          packets: 0n,
          told: new Set(),
          seen: new Set(),
          newest: -1n,
          place: "",
        };
      };
      after.set(declared.id, isSame ? { ...known, declared } : fresh());
    }
    this.#owners.set(owner, after);
    await this.#checkStored(owner, associations);
    if (this.diesDeclaring()) this.loseWorker();
  }

  /** Nothing is declared whose epoch and index are not stored. */
  async #checkStored(owner: string, associations: readonly AssociationDeclaration[]): Promise<void> {
    const address = owner.slice(owner.indexOf("/") + 1);
    const ring = (await this.store.get(`esp/pair/${address}`))?.value as { index: number } | undefined;
    const epoch = Number((await this.store.get("esp/epoch"))?.value ?? 0);
    for (const { id, direction } of associations) {
      const [, said, index] = /\/(\d+)\.\d+\/(\d+)$/.exec(id) ?? [];
      if (said === undefined) continue;
      const most = (ring?.index ?? 0) + (direction === "in" ? 1 : 0);
      if (Number(index) > most || (direction === "out" && Number(said) > epoch))
        this.world.violations.push(`${this.address} declared ${id} before it was stored`);
    }
  }

  /** False if nothing stands to send by. */
  send(peer: string): boolean {
    return this.#seal(peer, `${this.address}#${this.#counter++}`);
  }

  #seal(peer: string, payload: string | null): boolean {
    const out = this.standing().find(({ declared }) => declared.current && declared.peer === peer);
    if (out === undefined) return false;
    const number = ++out.sequence;
    out.packets++;
    const nonce = `${out.key.toString("hex")} ${number}`;
    if (this.world.sealedBy.has(nonce)) this.world.violations.push(`${this.address} used number ${number} of ${out.declared.id} twice`);
    this.world.sealedBy.add(nonce);
    const front = Buffer.alloc(16);
    front.writeUInt32BE(out.declared.spi);
    front.writeUInt32BE(Number(number & 0xffffffffn), 4);
    front.writeBigUInt64BE(number, 8);
    const cipher = createCipheriv("aes-256-gcm", out.key.subarray(0, 32), Buffer.concat([out.key.subarray(32), front.subarray(8)]));
    cipher.setAAD(aadOf(front));
    const text = Buffer.from((payload ?? "").padEnd(8));
    const bytes = Buffer.concat([front, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
    const from = this.world.nat.get(this.address) ?? { address: this.address, port: ESP_PORT };
    const to = { to: out.declared.remote ?? peer, toPort: out.declared.udpPort ?? ESP_PORT };
    this.world.send({ from: from.address, fromPort: from.port, ...to, bytes, payload });
    return true;
  }

  arrive({ from, fromPort, bytes, payload }: Sent): void {
    if (this.keys === null) return;
    const spi = bytes.readUInt32BE(0);
    const found = this.standing().find(({ declared }) => declared.direction === "in" && declared.spi === spi);
    if (found === undefined) {
      const event: EspEvent = { kind: "unknown-spi", spi, sender: from, senderPort: fromPort, local: this.address, datagram: bytes };
      this.#listener(event);
      return;
    }
    const number = bytes.readBigUInt64BE(8);
    if (found.seen.has(number) || !opens(bytes, found.key)) return;
    const isNewest = number > found.newest;
    if (isNewest) found.newest = number;
    found.seen.add(number);
    found.packets++;
    const name = `${found.key.toString("hex")} ${number}`;
    if (this.#taken.has(name)) this.world.violations.push(`${this.address} took number ${number} of ${found.declared.id} twice`);
    this.#taken.add(name);
    if (payload !== null) this.received.push(payload);
    if (!found.told.has("first")) {
      found.told.add("first");
      this.#listener({ kind: "first-use", association: found.declared.id });
    }
    if (!isNewest || found.place === `${from} ${fromPort}`) return;
    found.place = `${from} ${fromPort}`;
    this.#listener({ kind: "moved", association: found.declared.id, sender: from, senderPort: fromPort });
  }
}

const aadOf = (front: Buffer): Buffer => Buffer.concat([front.subarray(0, 4), front.subarray(8, 12), front.subarray(4, 8)]);

function opens(bytes: Buffer, key: Buffer): boolean {
  const decipher = createDecipheriv("aes-256-gcm", key.subarray(0, 32), Buffer.concat([key.subarray(32), bytes.subarray(8, 16)]));
  decipher.setAAD(aadOf(bytes)).setAuthTag(bytes.subarray(-16));
  try {
    decipher.update(bytes.subarray(16, -16));
    decipher.final();
    return true;
  } catch {
    return false;
  }
}

export const seedSecret = (seed: Uint8Array, localId: string | null = null, peerId: string | null = null): SeedSecret => ({
  ...({ kind: "seed", transport: "udp" } as const),
  seed: new KeyMaterial(seed.slice()),
  localId,
  peerId,
});

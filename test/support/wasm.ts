// The engine without its host: loads the debug or release module and plays native's part. Frames are written to the receive
// arena as native would, run/resume are called until the batch is used up, and what the transmit ring says is read back as
// bytes before the next call may overwrite it.
import { readFileSync } from "node:fs";
import type { EngineExports } from "../../src/datapath/engine.ts";
import { ENGINE_DEBUG_PATH, ENGINE_RELEASE_PATH } from "../../src/paths.ts";
import {
  ABI_VERSION,
  IOVEC_BYTES,
  IOVEC_LENGTH,
  IOVEC_OFFSET,
  PORT_DROPS,
  PORT_ESP,
  PORT_LENGTH,
  PORT_PACKET,
  PORT_PATH_MTU,
  PORT_RX_PACKETS,
  PORT_TAP,
  PORT_TX_PACKETS,
  PORT_UNDERLAY,
  PORT_UPLINK,
  RX_DESCRIPTOR_LENGTH,
  RX_FLAGS,
  RX_LENGTH,
  RX_LOCAL_ADDRESS,
  RX_OFFSET,
  RX_PORT,
  RX_SEGMENT,
  RX_SENDER_ADDRESS,
  RX_SENDER_PORT,
  RX_VLAN_TCI,
  SA_FLAG_OUTBOUND,
  TX_DESCRIPTOR_LENGTH,
  TX_DESTINATION,
  TX_DESTINATION_PORT,
  TX_ERRNO,
  TX_IOVEC,
  TX_IOVECS,
  TX_LENGTH,
  TX_PACKETS,
  TX_PORT,
  TX_SEGMENT,
  TX_SOCKET,
  VNET_HEADER_LENGTH,
  VNI_NONE,
  VTEP_ADDRESS,
  VTEP_LENGTH,
} from "../../wasm/shared/abi.ts";
import { COUNTER_COUNT, COUNTER_NAMES, DROP_BASE, DROP_COUNT, DROP_NAMES } from "../../wasm/shared/counters.ts";
import {
  ARGUMENTS,
  COUNTERS,
  IOVECS,
  MEMORY_PAGES,
  OPEN_OPS,
  PORTS,
  RX_ARENA,
  RX_ARENA_LENGTH,
  RX_RING,
  SEAL_OPS,
  TX_RING,
  VTEPS,
} from "../../wasm/shared/layout.ts";
import { FDB_AGE_S_DEFAULT, FDB_DOMAIN_LIMIT_DEFAULT, HEADROOM, MTU_MAX, RX_BATCH_MAX, TAILROOM } from "../../wasm/shared/limits.ts";
import { ESP_UDP_PORT, VXLAN_PORT } from "../../wasm/shared/protocol.ts";
import { concat, mac, mappedAddress } from "./packet-builder.ts";

export type Build = "debug" | "release";
/** For `describe.each`: every engine test runs on both. */
export const BUILDS: readonly Build[] = ["debug", "release"];

export interface VnetHeader {
  readonly flags: number;
  readonly gsoType: number;
  readonly headerLength: number;
  readonly gsoSize: number;
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

const PLAIN: VnetHeader = { flags: 0, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 };

/** A frame from a TAP. */
export interface TapInput {
  readonly port: number;
  readonly frame: Uint8Array;
  readonly vnet?: Partial<VnetHeader>;
  /** RX_FLAG_* */
  readonly flags?: number;
  /** At a packet port: the TCI of the tag that the kernel took out of the frame; `flags` say that there was one. */
  readonly tci?: number;
  /** Puts exactly these bytes where the vnet_hdr begins, whatever they are. */
  readonly bytes?: Uint8Array;
}

/** Datagrams from an underlay port: several of equal size (but the last) arrive as one UDP_GRO buffer. */
export interface UnderlayInput {
  readonly port: number;
  readonly datagrams: readonly Uint8Array[];
  readonly from: string;
  readonly fromPort?: number;
  readonly local?: string;
  readonly flags?: number;
  /** The size of each datagram as the descriptor says it, right or wrong. */
  readonly segment?: number;
}

export type Input = TapInput | UnderlayInput;

export interface Sent {
  readonly port: number;
  readonly socket: number;
  /** All iovecs in one. */
  readonly bytes: Uint8Array;
  /** Of a TAP: the header ... */
  readonly vnet: VnetHeader;
  /** ... and the frame behind it. Of an underlay port: empty. */
  readonly frame: Uint8Array;
  /** UDP_SEGMENT size, 0 for one datagram. */
  readonly segment: number;
  /** Of an underlay port: what the kernel would put on the wire. Of a TAP: empty. */
  readonly datagrams: readonly Uint8Array[];
  /** Where to: 16 bytes as text of `mappedAddress`'s hex; "" for a TAP. */
  readonly destination: string;
  readonly destinationPort: number;
  readonly packets: number;
}

export interface DomainOptions {
  readonly vni?: number;
  readonly flags?: number;
  readonly mtuBytes?: number;
  readonly fdbLimit?: number;
  readonly fdbAgeS?: number;
}

export interface SaOptions {
  readonly spi: number;
  readonly vtep: number;
  /** ESP port to send by. */
  readonly port: number;
  readonly flags?: number;
  readonly icvBytes?: number;
  readonly udpPort?: number;
  readonly pseudo?: number;
  /** Behind which its numbers go on. */
  readonly first?: bigint;
  readonly packetLimit?: bigint;
  readonly byteLimit?: bigint;
  /** Where it is sent to, if that is not the VTEP's own address. */
  readonly remote?: string;
}

export interface RunOptions {
  /** The errno with which native refuses a descriptor, 0 to take it. */
  readonly refuse?: (sent: Sent) => number;
  /** Descriptors a batch; 256 unless given. */
  readonly batch?: number;
}

const modules = new Map<string, WebAssembly.Module>();

function compiled(path: string): WebAssembly.Module {
  let module = modules.get(path);
  if (module === undefined) {
    module = new WebAssembly.Module(readFileSync(path));
    modules.set(path, module);
  }
  return module;
}

/** Instantiates a module of build/wasm over a memory of its own: the testing module's internals, for instance. */
export function instantiate<T>(path: string): { exports: T; memory: WebAssembly.Memory } {
  const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
  const instance = new WebAssembly.Instance(compiled(path), { env: { memory } });
  return { exports: instance.exports as T, memory };
}

/** `wasm/testing/index.ts`'s module. */
export function instantiateTesting<T>(build: Build): { exports: T; memory: WebAssembly.Memory } {
  return instantiate<T>(ENGINE_RELEASE_PATH.replace("engine.release", `testing.${build}`));
}

/** "::ffff:10.0.0.1" and "10.0.0.1" are the same destination: compare by this. */
export function destinationOf(address: string): string {
  return Buffer.from(mappedAddress(address)).toString("hex");
}

/** Runs AEAD operations as the daemon's cipher would; answers how many did not succeed. */
export type Cipher = (memory: DataView, ring: number, count: number) => number;

export class Engine {
  /** For engines with ESP ports. */
  cipher: Cipher | undefined;
  readonly exports: EngineExports;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #arena = 0;

  constructor(build: Build, fdbSlots = 1024) {
    const { exports, memory } = instantiate<EngineExports>(build === "debug" ? ENGINE_DEBUG_PATH : ENGINE_RELEASE_PATH);
    this.exports = exports;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    if (exports.abiVersion() !== ABI_VERSION)
      throw new Error(`the built engine has ABI ${exports.abiVersion()}, the sources ${ABI_VERSION}`);
    this.reset(fdbSlots);
  }

  /** Back to an empty engine, at time 0: for tests that run many short lives. */
  reset(fdbSlots = 1024): void {
    this.exports.reset(fdbSlots);
    this.exports.tick(0);
  }

  // ── tables ──

  domain(domain: number, options: DomainOptions = {}): void {
    const { vni = VNI_NONE, flags = 1, mtuBytes = 1450, fdbLimit = FDB_DOMAIN_LIMIT_DEFAULT, fdbAgeS = FDB_AGE_S_DEFAULT } = options;
    done(this.exports.domainSet(domain, vni, flags, mtuBytes, fdbLimit, fdbAgeS));
  }

  tap(port: number, domain: number, flags = 0, mtuBytes = 1450): void {
    done(this.exports.portSet(port, PORT_TAP, domain, flags, mtuBytes));
  }

  underlay(port: number, udpPort = VXLAN_PORT, sockets = 4): void {
    done(this.exports.portSet(port, PORT_UNDERLAY, 0, 0, 1500));
    done(this.exports.underlaySet(port, udpPort, sockets));
  }

  /** A packet port, the parent of uplinks. */
  packetPort(port: number): void {
    done(this.exports.portSet(port, PORT_PACKET, 0, 0, MTU_MAX));
  }

  /** The uplink of a domain: VLAN `vid` (0: what is untagged) of a packet port. */
  uplink(port: number, domain: number, parent: number, vid: number, flags = 0): void {
    done(this.exports.portSet(port, PORT_UPLINK, domain, flags, MTU_MAX));
    done(this.exports.uplinkSet(port, parent, vid));
  }

  /** Sets the VTEP and makes it a member of the domains. */
  vtep(vtep: number, address: string, underlayPort: number, domains: readonly number[] = [], udpPort = VXLAN_PORT): void {
    this.argument(mappedAddress(address));
    done(this.exports.vtepSet(vtep, udpPort, underlayPort));
    for (const domain of domains) done(this.exports.memberSet(domain, vtep));
  }

  /** A port of the underlay's ESP: `vxlanPort` is the tunnel's inside. */
  esp(port: number, flags = 0, vxlanPort = VXLAN_PORT): void {
    done(this.exports.portSet(port, PORT_ESP, 0, flags, 1500));
    done(this.exports.underlaySet(port, vxlanPort, 1));
  }

  /** A port at which ICMP "too big" arrives; with PORT_FLAG_IPV4_HEADER as IPv4's raw sockets give it. */
  pathMtu(port: number, flags = 0): void {
    done(this.exports.portSet(port, PORT_PATH_MTU, 0, flags, 1500));
  }

  /** A security association; an outbound one becomes its VTEP's. */
  sa(sa: number, options: SaOptions): void {
    const {
      spi,
      vtep,
      port,
      flags = 0,
      icvBytes = 16,
      udpPort = ESP_UDP_PORT,
      packetLimit = 2n ** 32n - 1n,
      byteLimit = 2n ** 38n,
      first = 0n,
    } = options;
    this.view.setBigUint64(ARGUMENTS, packetLimit);
    this.view.setBigUint64(ARGUMENTS + 8, byteLimit);
    done(
      this.exports.saSet(
        sa,
        spi,
        flags | (icvBytes << 16),
        vtep | (port << 16),
        udpPort | ((options.pseudo ?? 0) << 16),
        Number(first & 0xffffffffn),
        Number(first >> 32n),
      ),
    );
    if ((flags & SA_FLAG_OUTBOUND) === 0) return;
    const own = VTEPS + vtep * VTEP_LENGTH + VTEP_ADDRESS;
    this.argument(options.remote === undefined ? this.bytes.slice(own, own + 16) : mappedAddress(options.remote));
    done(this.exports.spdSet(vtep, sa));
  }

  pin(domain: number, macText: string, to: { port: number } | { vtep: number }): void {
    const [high, low] = macWords(macText);
    done(this.exports.fdbSet(domain, high, low, "port" in to ? to.port : 0, "vtep" in to ? to.vtep : 0));
  }

  neighbor(domain: number, address: string, macText: string): void {
    this.argument(mappedAddress(address));
    const [high, low] = macWords(macText);
    done(this.exports.neighborSet(domain, high, low));
  }

  argument(bytes: Uint8Array): void {
    this.bytes.set(bytes, ARGUMENTS);
  }

  /** All entries of a table by its dump call, `length` bytes each. */
  dump(call: "fdbDump" | "neighborDump" | "memberDump" | "permitDump", length: number): DataView[] {
    const entries: DataView[] = [];
    let cursor = 0;
    do {
      const count = this.exports[call](cursor);
      cursor = this.exports.nextCursor();
      const copy = this.bytes.slice(ARGUMENTS, ARGUMENTS + count * length);
      for (let i = 0; i < count; i++) entries.push(new DataView(copy.buffer, i * length, length));
    } while (cursor !== 0);
    return entries;
  }

  // ── the batch ──

  /** Receives everything, in batches, and answers what was sent, in order. */
  run(inputs: readonly Input[], options: RunOptions = {}): Sent[] {
    const sent: Sent[] = [];
    const batch = options.batch ?? RX_BATCH_MAX;
    let from = 0;
    while (from < inputs.length) {
      this.#arena = RX_ARENA;
      let count = 0;
      while (count < batch && from + count < inputs.length && this.#write(count, inputs[from + count]!)) count++;
      if (count === 0) throw new Error("an input is longer than the receive arena");
      const opens = this.exports.espPrepare(count);
      if (opens !== 0) this.#cipher(OPEN_OPS, opens);
      this.#collect(this.exports.run(count), sent, options);
      for (let turns = 0; this.exports.pending() !== 0; turns++) {
        if (turns === 100_000) throw new Error(`the engine makes no progress: ${this.exports.pending()} descriptors pending`);
        this.#collect(this.exports.resume(), sent, options);
      }
      from += count;
    }
    return sent;
  }

  /** Puts one input into the arena and the ring. False: no room. */
  #write(index: number, input: Input): boolean {
    const isTap = "frame" in input;
    const body = isTap ? (input.bytes ?? concat(vnetBytes({ ...PLAIN, ...input.vnet }), input.frame)) : concat(...input.datagrams);
    const offset = this.#arena + HEADROOM;
    const end = offset + body.length + TAILROOM;
    if (end > RX_ARENA + RX_ARENA_LENGTH) return false;
    // Neither headroom nor tailroom mean anything: whoever reads them as frame shall stumble.
    this.bytes.fill(0xa5, this.#arena, end);
    this.bytes.set(body, offset);
    this.#arena = (end + 15) & ~15;
    const descriptor = RX_RING + index * RX_DESCRIPTOR_LENGTH;
    this.view.setUint32(descriptor + RX_OFFSET, offset, true);
    this.view.setUint32(descriptor + RX_LENGTH, body.length, true);
    this.view.setUint16(descriptor + RX_PORT, input.port, true);
    this.view.setUint16(descriptor + RX_SEGMENT, 0, true);
    this.view.setUint32(descriptor + RX_FLAGS, input.flags ?? 0, true);
    if (isTap) this.view.setUint16(descriptor + RX_VLAN_TCI, input.tci ?? 0, true);
    if (!isTap) {
      if (input.datagrams.length > 1) this.view.setUint16(descriptor + RX_SEGMENT, input.datagrams[0]!.length, true);
      if (input.segment !== undefined) this.view.setUint16(descriptor + RX_SEGMENT, input.segment, true);
      this.bytes.set(mappedAddress(input.from), offset + RX_SENDER_ADDRESS);
      this.view.setUint16(offset + RX_SENDER_PORT, input.fromPort ?? 50000, true);
      this.bytes.set(input.local === undefined ? new Uint8Array(16) : mappedAddress(input.local), offset + RX_LOCAL_ADDRESS);
    }
    return true;
  }

  /** What the engine sends of itself: PROBE_*. */
  probe(vtep: number, kind: number): Sent[] {
    const sent: Sent[] = [];
    this.#collect(this.exports.espProbe(vtep, kind), sent, {});
    return sent;
  }

  #cipher(ring: number, count: number): number {
    if (this.cipher === undefined) throw new Error("the engine wants ciphers, and the test gave none");
    return this.cipher(this.view, ring, count);
  }

  #collect(count: number, sent: Sent[], options: RunOptions): void {
    const seals = this.exports.sealCount();
    if (seals !== 0) {
      if (this.#cipher(SEAL_OPS, seals) !== 0) throw new Error("an operation that seals did not succeed");
      this.exports.sealed();
    }
    let refused = 0;
    for (let i = 0; i < count; i++) {
      const descriptor = TX_RING + i * TX_DESCRIPTOR_LENGTH;
      const one = this.#read(descriptor);
      if (one === undefined) continue;
      const errno = options.refuse?.(one) ?? 0;
      if (errno !== 0) {
        this.view.setUint16(descriptor + TX_ERRNO, errno, true);
        refused++;
      } else {
        sent.push(one);
      }
    }
    if (refused !== 0) this.exports.settle(count);
  }

  #read(descriptor: number): Sent | undefined {
    const iovecs = this.view.getUint32(descriptor + TX_IOVECS, true);
    if (iovecs === 0) return undefined;
    const first = this.view.getUint32(descriptor + TX_IOVEC, true);
    const pieces: Uint8Array[] = [];
    for (let i = first; i < first + iovecs; i++) {
      const offset = this.view.getUint32(IOVECS + i * IOVEC_LENGTH + IOVEC_OFFSET, true);
      const length = this.view.getUint32(IOVECS + i * IOVEC_LENGTH + IOVEC_BYTES, true);
      if (offset + length > this.bytes.length) throw new Error(`iovec ${i} points outside the memory: ${offset} + ${length}`);
      pieces.push(this.bytes.subarray(offset, offset + length));
    }
    const bytes = concat(...pieces);
    const claimed = this.view.getUint32(descriptor + TX_LENGTH, true);
    if (claimed !== bytes.length) throw new Error(`a descriptor claims ${claimed} bytes, its iovecs have ${bytes.length}`);
    const destination = this.view.getUint32(descriptor + TX_DESTINATION, true);
    const segment = this.view.getUint32(descriptor + TX_SEGMENT, true);
    const isTap = destination === 0;
    const datagrams: Uint8Array[] = [];
    if (!isTap) {
      const step = segment === 0 ? bytes.length : segment;
      for (let at = 0; at < bytes.length; at += step) datagrams.push(bytes.subarray(at, at + step));
    }
    return {
      port: this.view.getUint16(descriptor + TX_PORT, true),
      socket: this.view.getUint16(descriptor + TX_SOCKET, true),
      bytes,
      vnet: isTap ? readVnet(bytes) : PLAIN,
      frame: isTap ? bytes.subarray(VNET_HEADER_LENGTH) : new Uint8Array(0),
      segment,
      datagrams,
      destination: isTap ? "" : Buffer.from(this.bytes.subarray(destination, destination + 16)).toString("hex"),
      destinationPort: this.view.getUint16(descriptor + TX_DESTINATION_PORT, true),
      packets: this.view.getUint16(descriptor + TX_PACKETS, true),
    };
  }

  // ── counters ──

  counter(name: string): number {
    const index = COUNTER_NAMES.indexOf(name);
    if (index < 0) throw new Error(`no counter is called ${name}`);
    return Number(this.#counter(index));
  }

  /** Reasons that have counted anything: { hairpin: 1 }. */
  drops(): Record<string, number> {
    const out: Record<string, number> = {};
    for (let reason = 0; reason < DROP_COUNT; reason++) {
      const value = this.#counter(DROP_BASE + reason);
      if (value !== 0n) out[DROP_NAMES[reason]!] = Number(value);
    }
    return out;
  }

  /** rx + cloned + originated - tx - drops: 0, or packets got lost or doubled. */
  lawDifference(): number {
    let dropped = 0n;
    for (let reason = 0; reason < DROP_COUNT; reason++) dropped += this.#counter(DROP_BASE + reason);
    const value = (name: string): bigint => this.#counter(COUNTER_NAMES.indexOf(name));
    return Number(value("rx") + value("cloned") + value("originated") - value("tx") - dropped);
  }

  portCounters(port: number): { rx: number; tx: number; drops: number } {
    const at = (field: number): number => Number(this.view.getBigUint64(PORTS + port * PORT_LENGTH + field, true));
    return { rx: at(PORT_RX_PACKETS), tx: at(PORT_TX_PACKETS), drops: at(PORT_DROPS) };
  }

  #counter(index: number): bigint {
    return this.view.getBigUint64(COUNTERS + 8 * index, true);
  }
}

if (COUNTER_NAMES.length !== COUNTER_COUNT) throw new Error("COUNTER_NAMES and COUNTER_COUNT disagree");
if (DROP_NAMES.length !== DROP_COUNT) throw new Error("DROP_NAMES and DROP_COUNT disagree");

function done(answer: number): void {
  if (answer !== 0) throw new Error(`the engine refused a table entry: REFUSED code ${answer}`);
}

/** The two arguments in which a MAC travels. */
export function macWords(text: string): [number, number] {
  const bytes = mac(text);
  const view = new DataView(bytes.buffer);
  return [view.getUint16(0), view.getUint32(2)];
}

function vnetBytes(header: VnetHeader): Uint8Array {
  const bytes = new Uint8Array(VNET_HEADER_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, header.flags);
  view.setUint8(1, header.gsoType);
  view.setUint16(2, header.headerLength, true);
  view.setUint16(4, header.gsoSize, true);
  view.setUint16(6, header.checksumStart, true);
  view.setUint16(8, header.checksumOffset, true);
  return bytes;
}

function readVnet(bytes: Uint8Array): VnetHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    flags: view.getUint8(0),
    gsoType: view.getUint8(1),
    headerLength: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
  };
}

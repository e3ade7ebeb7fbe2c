// An engine with one overlay network in it, and a way to hand it batches and to read what native would have sent: frames in,
// system calls out. Ports: 1 underlay (IPv4), 6 underlay (IPv6), 2 to 5 sandboxes with MACs 02:00:00:00:00:<port>; behind
// VTEP 1 (192.0.2.2, port 1) the MACs 02:00:00:00:00:20 to :2f, behind VTEP 2 (2001:db8::2, port 6) :60 to :6f.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { EngineExports } from "../../src/datapath/engine.ts";
import { ROOT } from "../../src/paths.ts";
import * as abi from "../../wasm/shared/abi.ts";
import * as counters from "../../wasm/shared/counters.ts";
import * as layout from "../../wasm/shared/layout.ts";
import * as limits from "../../wasm/shared/limits.ts";
import type { Bytes } from "./oracle.ts";

export const VNI = 4096;
export const DOMAIN = 1;
export const SOCKETS = 4;
export const UDP_PORT = 4789;
export const UNDERLAY = 1;
export const UNDERLAY6 = 6;
export const PEER = address4(192, 0, 2, 2);
export const LOCAL = address4(192, 0, 2, 1);
export const PEER6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

export type Target = "debug" | "release";

export function address4(a: number, b: number, c: number, d: number): number[] {
  return [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
}

export interface Sent {
  port: number;
  socket: number;
  segment: number;
  destination: number[];
  destinationPort: number;
  packets: number;
  iovecs: number;
  /** All pieces, one after the other. */
  bytes: Bytes;
}

export interface Received {
  port: number;
  bytes: Bytes;
  segment?: number;
  flags?: number;
  sender?: readonly number[];
  local?: readonly number[];
}

/** A module compiled by wasm/testing or wasm/index over a memory of its own. */
export function instantiate<Exports>(module: "engine" | "testing", target: Target): { exports: Exports; memory: WebAssembly.Memory } {
  const memory = new WebAssembly.Memory({ initial: layout.MEMORY_PAGES, maximum: layout.MEMORY_PAGES });
  const code = new WebAssembly.Module(readFileSync(join(ROOT, `build/wasm/${module}.${target}.wasm`)));
  const abort = (): void => {
    throw new Error("an assertion of the engine failed");
  };
  return { exports: new WebAssembly.Instance(code, { env: { memory, abort } }).exports as Exports, memory };
}

export class Batch {
  readonly exports: EngineExports;
  readonly bytes: Bytes;
  readonly view: DataView;
  private next = 0;
  private count = 0;

  constructor(target: Target, mtu = 1450) {
    const { exports, memory } = instantiate<EngineExports>("engine", target);
    this.exports = exports;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    exports.reset(limits.FDB_SLOTS_DEFAULT);
    exports.tick(0);
    exports.domainSet(DOMAIN, VNI, abi.DOMAIN_FLAG_LEARNING | abi.DOMAIN_FLAG_HAS_VNI, mtu, 1000, 300);
    for (const port of [UNDERLAY, UNDERLAY6]) {
      exports.portSet(port, abi.PORT_UNDERLAY, 0, 0, 1500);
      exports.underlaySet(port, UDP_PORT, SOCKETS);
    }
    this.vtep(1, PEER, UNDERLAY);
    this.vtep(2, PEER6, UNDERLAY6);
    for (let port = 2; port <= 5; port++) {
      exports.portSet(port, abi.PORT_TAP, DOMAIN, 0, mtu);
      exports.fdbSet(DOMAIN, 0x0200, port, port, 0);
    }
    for (let host = 0; host < 16; host++) {
      exports.fdbSet(DOMAIN, 0x0200, 0x20 + host, 0, 1);
      exports.fdbSet(DOMAIN, 0x0200, 0x60 + host, 0, 2);
    }
    this.begin();
  }

  vtep(vtep: number, address: readonly number[], port: number): void {
    this.bytes.set(address, layout.ARGUMENTS);
    this.exports.vtepSet(vtep, UDP_PORT, port);
    this.exports.memberSet(DOMAIN, vtep);
  }

  private begin(): void {
    this.count = 0;
    this.next = layout.RX_ARENA;
  }

  add(received: Received): void {
    const at = this.next + limits.HEADROOM;
    this.bytes.fill(0xee, this.next, at + received.bytes.length + limits.TAILROOM);
    this.bytes.set(received.bytes, at);
    if (received.sender) {
      this.bytes.set(received.sender, at + abi.RX_SENDER_ADDRESS);
      this.view.setUint16(at + abi.RX_SENDER_PORT, 50000, true);
      this.bytes.set(received.local ?? new Uint8Array(16), at + abi.RX_LOCAL_ADDRESS);
    }
    const descriptor = layout.RX_RING + abi.RX_DESCRIPTOR_LENGTH * this.count++;
    this.view.setUint32(descriptor + abi.RX_OFFSET, at, true);
    this.view.setUint32(descriptor + abi.RX_LENGTH, received.bytes.length, true);
    this.view.setUint16(descriptor + abi.RX_PORT, received.port, true);
    this.view.setUint16(descriptor + abi.RX_SEGMENT, received.segment ?? 0, true);
    this.view.setUint32(descriptor + abi.RX_FLAGS, received.flags ?? 0, true);
    this.next = (at + received.bytes.length + limits.TAILROOM + 15) & ~15;
  }

  /** A frame from a sandbox, behind `vnet`. */
  fromTap(port: number, frame: Bytes, vnet: Bytes = new Uint8Array(10)): void {
    const bytes = new Uint8Array(vnet.length + frame.length);
    bytes.set(vnet);
    bytes.set(frame, vnet.length);
    this.add({ port, bytes });
  }

  /** Datagrams of one sender in one buffer: all as long as the first but the last. */
  fromVtep(datagrams: readonly Bytes[], sender: readonly number[] = PEER, port: number = UNDERLAY): void {
    const bytes = new Uint8Array(datagrams.reduce((sum, datagram) => sum + datagram.length, 0));
    let at = 0;
    for (const datagram of datagrams) {
      bytes.set(datagram, at);
      at += datagram.length;
    }
    this.add({ port, bytes, segment: datagrams.length > 1 ? (datagrams[0]?.length ?? 0) : 0, sender, local: LOCAL });
  }

  /** Runs what was added, flushing as often as the engine wants it. `refuse` may give descriptors an errno, as native does. */
  run(refuse?: (sent: Sent) => number): Sent[] {
    const all: Sent[] = [];
    const flush = (filled: number): void => {
      let refused = false;
      for (let i = 0; i < filled; i++) {
        const sent = this.sent(i);
        const errno = refuse?.(sent) ?? 0;
        if (errno !== 0) {
          this.view.setUint16(layout.TX_RING + i * abi.TX_DESCRIPTOR_LENGTH + abi.TX_ERRNO, errno, true);
          refused = true;
        } else all.push(sent);
      }
      if (refused) this.exports.settle(filled);
    };
    flush(this.exports.run(this.count));
    for (let turns = 0; this.exports.pending() !== 0; turns++) {
      if (turns > 10000) throw new Error("the engine never finishes its batch");
      flush(this.exports.resume());
    }
    this.begin();
    return all;
  }

  private sent(index: number): Sent {
    const { view, bytes } = this;
    const at = layout.TX_RING + index * abi.TX_DESCRIPTOR_LENGTH;
    const iovecs = view.getUint32(at + abi.TX_IOVECS, true);
    const first = view.getUint32(at + abi.TX_IOVEC, true);
    const whole = new Uint8Array(view.getUint32(at + abi.TX_LENGTH, true));
    let filled = 0;
    for (let i = 0; i < iovecs; i++) {
      const iovec = layout.IOVECS + (first + i) * abi.IOVEC_LENGTH;
      const offset = view.getUint32(iovec + abi.IOVEC_OFFSET, true);
      const length = view.getUint32(iovec + abi.IOVEC_BYTES, true);
      if (length === 0 || offset + length > bytes.length) throw new Error(`iovec (${offset}, ${length}) is not in memory`);
      whole.set(bytes.subarray(offset, offset + length), filled);
      filled += length;
    }
    if (filled !== whole.length) throw new Error(`a descriptor says ${whole.length} bytes, its iovecs ${filled}`);
    const destination = view.getUint32(at + abi.TX_DESTINATION, true);
    return {
      port: view.getUint16(at + abi.TX_PORT, true),
      socket: view.getUint16(at + abi.TX_SOCKET, true),
      segment: view.getUint32(at + abi.TX_SEGMENT, true),
      destination: destination === 0 ? [] : [...bytes.subarray(destination, destination + 16)],
      destinationPort: view.getUint32(at + abi.TX_DESTINATION_PORT, true),
      packets: view.getUint16(at + abi.TX_PACKETS, true),
      iovecs,
      bytes: whole,
    };
  }

  counter(index: number): number {
    return Number(this.view.getBigUint64(layout.COUNTERS + 8 * index, true));
  }

  drops(reason: number): number {
    return this.counter(counters.DROP_BASE + reason);
  }

  /** Every reason with drops. */
  dropped(): Record<string, number> {
    const found: Record<string, number> = {};
    for (const [reason, name] of counters.DROP_NAMES.entries()) if (this.drops(reason) !== 0) found[name] = this.drops(reason);
    return found;
  }

  /** What the law says must be zero: rx + cloned + originated - tx - drops. */
  lost(): number {
    const dropped = Object.values(this.dropped()).reduce((sum, n) => sum + n, 0);
    return (
      this.counter(counters.COUNTER_RX) +
      this.counter(counters.COUNTER_CLONED) +
      this.counter(counters.COUNTER_ORIGINATED) -
      this.counter(counters.COUNTER_TX) -
      dropped
    );
  }
}

/** The datagrams of a message, as the kernel cuts it up. */
export function datagrams(sent: Sent): Bytes[] {
  if (sent.segment === 0) return [sent.bytes];
  const found: Bytes[] = [];
  for (let at = 0; at < sent.bytes.length; at += sent.segment) found.push(sent.bytes.subarray(at, at + sent.segment));
  return found;
}

export function vxlan(frame: Bytes, vni = VNI, flags = 0x08): Bytes {
  const datagram = new Uint8Array(8 + frame.length);
  const view = new DataView(datagram.buffer);
  datagram[0] = flags;
  view.setUint32(4, vni * 256);
  datagram.set(frame, 8);
  return datagram;
}

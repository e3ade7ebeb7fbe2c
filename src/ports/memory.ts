// The in-memory twin of the addon's poller: the same contract towards the engine's memory, frames from and to arrays in
// place of file descriptors. A whole shard runs over it in one thread, without root, and a test sees each frame that leaves
// and can have any send refused.
//
// TAP framing on every port: frames begin with their virtio-net header. An underlay port takes datagrams with their sender.
import {
  IOVEC_BYTES,
  IOVEC_LENGTH,
  IOVEC_OFFSET,
  RX_DESCRIPTOR_LENGTH,
  RX_FLAG_VLAN,
  RX_FLAG_VLAN_SERVICE,
  RX_FLAGS,
  RX_LENGTH,
  RX_LOCAL_ADDRESS,
  RX_OFFSET,
  RX_PORT,
  RX_SEGMENT,
  RX_SENDER_ADDRESS,
  RX_SENDER_PORT,
  RX_VLAN_TCI,
  TX_DESCRIPTOR_LENGTH,
  TX_DESTINATION,
  TX_DESTINATION_PORT,
  TX_ERRNO,
  TX_IOVEC,
  TX_IOVECS,
  TX_LENGTH,
  TX_PORT,
  TX_SEGMENT,
  TX_SOCKET,
} from "../../wasm/shared/abi.ts";
import type { Poller, PollerLayout, PollerStats } from "./native.ts";

export interface Arrival {
  readonly port: number;
  readonly bytes: Uint8Array;
  /** Of a datagram: who sent it, as 16 bytes and UDP port. */
  readonly sender?: { readonly address: Uint8Array; readonly port: number };
  /** Of a datagram: the address it reached, 16 bytes. */
  readonly local?: Uint8Array;
  /** UDP_GRO's datagram size, when `bytes` is several. */
  readonly segment?: number;
  /** Of a frame at a packet port: the tag that the kernel took out of it. */
  readonly tag?: { readonly tci: number; readonly service?: boolean };
}

export interface Departure {
  readonly port: number;
  readonly bytes: Uint8Array;
  readonly socket: number;
  readonly segment: number;
  /** Of a datagram: 16 bytes of address and the UDP port. */
  readonly destination: { readonly address: Uint8Array; readonly port: number } | null;
}

const ALIGNMENT = 64;
/** As the addon marks what is bound for a port that it does not have. */
const ENXIO = 6;

export class MemoryPoller implements Poller {
  readonly wakeFd = -1;
  /** What has left, in order; tests read and empty it. */
  readonly sent: Departure[] = [];
  /** Ports whose sends are refused, with the errno to mark. */
  readonly refusing = new Map<number, number>();
  readonly #arrivals: Arrival[] = [];
  readonly #fds = new Map<number, number[]>();
  readonly #failed: { port: number; error: string }[] = [];
  #memory: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #layout: PollerLayout | undefined;
  #woken = false;
  #polls = 0;
  #wakes = 0;
  #receiveCalls = 0;
  #sendCalls = 0;
  #spinUs = 0;

  attach(memory: Uint8Array, layout: PollerLayout): void {
    this.#memory = memory;
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    this.#layout = layout;
  }

  addTap(port: number, fd: number): void {
    this.#fds.set(port, [fd]);
  }

  addPacket(port: number, fd: number): void {
    this.#fds.set(port, [fd]);
  }

  addQuiet(port: number, fd: number): void {
    this.#fds.set(port, [fd]);
  }

  addUdp(port: number, fds: number[]): void {
    this.#fds.set(port, [...fds]);
  }

  remove(port: number): Promise<void> {
    if (this.#fds.has(port)) this.release(port);
    return Promise.resolve();
  }

  release(port: number): void {
    if (!this.#fds.delete(port)) throw new Error(`release: port ${port} is not polled`);
  }

  /** Frames of ports that are not added are lost, as in a queue whose reader has gone. */
  deliver(arrival: Arrival): void {
    this.#arrivals.push(arrival);
  }

  wake(): void {
    this.#woken = true;
    this.#wakes++;
  }

  /** Has `failed` report the port. */
  fail(port: number, error: string): void {
    this.#failed.push({ port, error });
  }

  poll(_timeoutMs: number): number {
    const layout = this.#layout;
    if (layout === undefined) throw new Error("poll before attach");
    this.#polls++;
    let count = 0;
    let at = layout.arena;
    const end = layout.arena + layout.arenaBytes - layout.tailroomBytes;
    while (this.#arrivals.length > 0 && count < layout.rxRingCount) {
      const arrival = this.#arrivals[0]!;
      const offset = at + layout.headroomBytes;
      if (offset + arrival.bytes.length > end) break;
      this.#arrivals.shift();
      if (!this.#fds.has(arrival.port)) continue;
      this.#receiveCalls++;
      this.#memory.set(arrival.bytes, offset);
      if (arrival.sender !== undefined) {
        this.#memory.set(arrival.sender.address, offset + RX_SENDER_ADDRESS);
        this.#view.setUint16(offset + RX_SENDER_PORT, arrival.sender.port, true);
        if (arrival.local === undefined) this.#memory.fill(0, offset + RX_LOCAL_ADDRESS, offset + RX_LOCAL_ADDRESS + 16);
        else this.#memory.set(arrival.local, offset + RX_LOCAL_ADDRESS);
      }
      const descriptor = layout.rxRing + count * RX_DESCRIPTOR_LENGTH;
      this.#view.setUint32(descriptor + RX_OFFSET, offset, true);
      this.#view.setUint32(descriptor + RX_LENGTH, arrival.bytes.length, true);
      this.#view.setUint16(descriptor + RX_PORT, arrival.port, true);
      this.#view.setUint16(descriptor + RX_SEGMENT, arrival.segment ?? 0, true);
      const { tag } = arrival;
      const flags = tag === undefined ? 0 : RX_FLAG_VLAN | (tag.service ? RX_FLAG_VLAN_SERVICE : 0);
      this.#view.setUint32(descriptor + RX_FLAGS, flags, true);
      this.#view.setUint16(descriptor + RX_VLAN_TCI, tag?.tci ?? 0, true);
      at = Math.ceil((offset + arrival.bytes.length) / ALIGNMENT) * ALIGNMENT;
      count++;
    }
    return count;
  }

  woken(): boolean {
    const woken = this.#woken;
    this.#woken = false;
    return woken;
  }

  flush(count: number): number {
    const layout = this.#layout;
    if (layout === undefined) throw new Error("flush before attach");
    let refused = 0;
    for (let i = 0; i < count; i++) {
      const at = layout.txRing + i * TX_DESCRIPTOR_LENGTH;
      const iovecs = this.#view.getUint32(at + TX_IOVECS, true);
      if (iovecs === 0) continue;
      const port = this.#view.getUint16(at + TX_PORT, true);
      this.#sendCalls++;
      const errno = this.refusing.get(port) ?? (this.#fds.has(port) ? 0 : ENXIO);
      this.#view.setUint16(at + TX_ERRNO, errno, true);
      if (errno !== 0) refused++;
      else this.sent.push(this.#departure(at, port, iovecs, layout));
    }
    return refused;
  }

  #departure(at: number, port: number, iovecs: number, layout: PollerLayout): Departure {
    const first = layout.iovecs + this.#view.getUint32(at + TX_IOVEC, true) * IOVEC_LENGTH;
    const bytes = new Uint8Array(this.#view.getUint32(at + TX_LENGTH, true));
    let filled = 0;
    for (let i = 0; i < iovecs; i++) {
      const offset = this.#view.getUint32(first + i * IOVEC_LENGTH + IOVEC_OFFSET, true);
      const length = this.#view.getUint32(first + i * IOVEC_LENGTH + IOVEC_BYTES, true);
      bytes.set(this.#memory.subarray(offset, offset + length), filled);
      filled += length;
    }
    if (filled !== bytes.length) throw new Error(`descriptor of port ${port} says ${bytes.length} bytes, its iovecs hold ${filled}`);
    const destination = this.#view.getUint32(at + TX_DESTINATION, true);
    return {
      port,
      bytes,
      socket: this.#view.getUint16(at + TX_SOCKET, true),
      segment: this.#view.getUint32(at + TX_SEGMENT, true),
      destination:
        destination === 0
          ? null
          : { address: this.#memory.slice(destination, destination + 16), port: this.#view.getUint16(at + TX_DESTINATION_PORT, true) },
    };
  }

  setSpinUs(us: number): void {
    this.#spinUs = us;
  }

  failed(): { port: number; error: string }[] {
    return this.#failed.splice(0);
  }

  stats(): PollerStats {
    return {
      polls: this.#polls,
      sleeps: 0,
      spinUs: this.#spinUs,
      wakes: this.#wakes,
      receiveCalls: this.#receiveCalls,
      sendCalls: this.#sendCalls,
      receiveErrors: {},
      sendErrors: {},
    };
  }
}

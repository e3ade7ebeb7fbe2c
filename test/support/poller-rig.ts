// A poller on a memory of its own, with the engine's part (reading and writing descriptors) played by the test.

import type { Poller, PollerLayout } from "../../src/ports/native.ts";
import { native } from "../../src/ports/native.ts";
import * as abi from "../../wasm/shared/abi.ts";

const PEERS = 0x1000;
const RX_RING = 0x2000;
const TX_RING = 0x4000;
const IOVECS = 0x8000;
const PAYLOAD = 0x20000;
const ARENA = 0x100000;
const MEMORY_LENGTH = 0x400000;

export const RIG_LAYOUT: PollerLayout = {
  rxRing: RX_RING,
  rxRingCount: 256,
  txRing: TX_RING,
  txRingCount: 256,
  iovecs: IOVECS,
  iovecCount: 4096,
  arena: ARENA,
  arenaBytes: MEMORY_LENGTH - ARENA,
  headroomBytes: 64,
  tailroomBytes: 64,
  perTap: 64,
  perUnderlay: 16,
  batchBytes: 1048576,
};

export interface Received {
  port: number;
  segment: number;
  flags: number;
  bytes: Buffer;
  /** 16 bytes as hex; of use on underlay ports only. */
  sender: string;
  senderPort: number;
  local: string;
}

export interface Sending {
  port: number;
  /** One iovec each. */
  parts: Uint8Array[];
  socket?: number;
  segment?: number;
  /** 16 bytes as hex. */
  destination?: string;
  destinationPort?: number;
}

export class PollerRig {
  readonly poller: Poller = new (native().Poller)();
  readonly memory: Uint8Array;
  readonly view: DataView;
  readonly #passedOver: Received[] = [];

  constructor(buffer: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(MEMORY_LENGTH), layout: PollerLayout = RIG_LAYOUT) {
    this.memory = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.poller.attach(this.memory, layout);
  }

  /** What one poll brings. */
  receive(timeoutMs: number): Received[] {
    const count = this.poller.poll(timeoutMs);
    return Array.from({ length: count }, (_, index) => {
      const at = RX_RING + index * abi.RX_DESCRIPTOR_LENGTH;
      const offset = this.view.getUint32(at + abi.RX_OFFSET, true);
      const address = (from: number): string => Buffer.from(this.memory.slice(from, from + 16)).toString("hex");
      return {
        port: this.view.getUint16(at + abi.RX_PORT, true),
        segment: this.view.getUint16(at + abi.RX_SEGMENT, true),
        flags: this.view.getUint32(at + abi.RX_FLAGS, true),
        bytes: Buffer.from(this.memory.slice(offset, offset + this.view.getUint32(at + abi.RX_LENGTH, true))),
        sender: address(offset + abi.RX_SENDER_ADDRESS),
        senderPort: this.view.getUint16(offset + abi.RX_SENDER_PORT, true),
        local: address(offset + abi.RX_LOCAL_ADDRESS),
      };
    });
  }

  /** The first that `wanted` accepts, of what was passed over before or comes within 2 s; the rest stays for later. */
  receiveUntil(wanted: (received: Received) => boolean): Received {
    const endMs = Date.now() + 2000;
    for (;;) {
      const index = this.#passedOver.findIndex(wanted);
      const [found] = index < 0 ? [] : this.#passedOver.splice(index, 1);
      if (found !== undefined) return found;
      if (Date.now() > endMs) throw new Error("nothing wanted was received within 2 s");
      this.#passedOver.push(...this.receive(100));
    }
  }

  /** The next `count` that come in by `port`. */
  receiveFrom(port: number, count: number): Received[] {
    return Array.from({ length: count }, () => this.receiveUntil((received) => received.port === port));
  }

  /** Sends by one flush; the errno of each descriptor. `refused` is held against what flush answers. */
  send(sendings: Sending[]): number[] {
    let payload = PAYLOAD;
    let iovec = 0;
    sendings.forEach((sending, index) => {
      const first = iovec;
      for (const part of sending.parts) {
        this.memory.set(part, payload);
        this.setIovec(iovec, payload, part.length);
        payload += part.length;
        iovec += 1;
      }
      const destination = sending.destination === undefined ? 0 : PEERS + index * 16;
      if (sending.destination !== undefined) this.memory.set(Buffer.from(sending.destination, "hex"), destination);
      this.setDescriptor(index, { ...sending, iovec: first, iovecs: sending.parts.length, destinationOffset: destination });
    });
    const refused = this.poller.flush(sendings.length);
    const errnos = sendings.map((_, index) => this.errno(index));
    if (errnos.filter((errno) => errno !== 0).length !== refused) throw new Error(`flush answered ${refused}, marked ${errnos}`);
    return errnos;
  }

  setIovec(index: number, offset: number, bytes: number): void {
    this.view.setUint32(IOVECS + index * abi.IOVEC_LENGTH + abi.IOVEC_OFFSET, offset, true);
    this.view.setUint32(IOVECS + index * abi.IOVEC_LENGTH + abi.IOVEC_BYTES, bytes, true);
  }

  setDescriptor(
    index: number,
    fields: {
      port: number;
      iovec: number;
      iovecs: number;
      socket?: number;
      segment?: number;
      destinationOffset?: number;
      destinationPort?: number;
    },
  ): void {
    const at = TX_RING + index * abi.TX_DESCRIPTOR_LENGTH;
    this.view.setUint16(at + abi.TX_PORT, fields.port, true);
    this.view.setUint16(at + abi.TX_SOCKET, fields.socket ?? 0, true);
    this.view.setUint32(at + abi.TX_IOVEC, fields.iovec, true);
    this.view.setUint32(at + abi.TX_IOVECS, fields.iovecs, true);
    this.view.setUint32(at + abi.TX_SEGMENT, fields.segment ?? 0, true);
    this.view.setUint32(at + abi.TX_DESTINATION, fields.destinationOffset ?? 0, true);
    this.view.setUint16(at + abi.TX_DESTINATION_PORT, fields.destinationPort ?? 0, true);
    // An emptied descriptor is skipped; any other must be marked one way or the other.
    this.view.setUint16(at + abi.TX_ERRNO, fields.iovecs === 0 ? 0 : 0xffff, true);
  }

  errno(index: number): number {
    return this.view.getUint16(TX_RING + index * abi.TX_DESCRIPTOR_LENGTH + abi.TX_ERRNO, true);
  }
}

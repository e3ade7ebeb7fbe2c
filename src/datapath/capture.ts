// Captures: copies of frames from the engine's capture ring to whoever subscribed, each as a pcapng file of its own.
//
//   ring ─> records ─> hub ─┬─> subscriber: filter, interface blocks as ports first show up, packet blocks ─> iterator
//                           └─> ...
//
// The engine copies what the union of all subscribers wants; each filters for itself. A subscriber that reads slowly loses
// packets of its file, never anybody else's, and never a frame on its way.
import { DIRECTION_RX } from "../../wasm/shared/abi.ts";
import { type CaptureRecord, captureRecords } from "./capture-records.ts";
import type { CaptureOptions } from "./datapath-api.ts";
import { concat, enhancedPacket, INBOUND, interfaceDescription, LINKTYPE_ETHERNET, OUTBOUND, sectionHeader } from "./pcapng.ts";
import type { CaptureMarks } from "./tables.ts";
import type { Names } from "./trace.ts";

export const SNAP_LENGTH_DEFAULT = 262144;
/** Bytes that wait for a subscriber's reader. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;

/** What a port is called in the file, beyond its id. */
export interface CaptureNames extends Names {
  /** "eth0" of a TAP; empty for others. */
  readonly interfaceName: (port: string) => string;
  readonly isUnderlay: (port: string) => boolean;
}

class Subscriber implements AsyncIterableIterator<Uint8Array> {
  readonly options: CaptureOptions;
  readonly everything: boolean;
  readonly snapLength: number;
  lost = 0;
  readonly #names: CaptureNames;
  readonly #leave: (subscriber: Subscriber) => void;
  readonly #ports: ReadonlySet<string>;
  readonly #domains: ReadonlySet<string>;
  readonly #interfaces = new Map<string, number>();
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #begun = false;
  #ended = false;
  #wanting: ((result: IteratorResult<Uint8Array>) => void) | null = null;

  constructor(options: CaptureOptions, names: CaptureNames, leave: (subscriber: Subscriber) => void) {
    this.options = options;
    this.everything = options.ports === undefined && options.domains === undefined && options.underlay !== true;
    this.snapLength = options.snapLengthBytes ?? SNAP_LENGTH_DEFAULT;
    this.#ports = new Set(options.ports);
    this.#domains = new Set(options.domains);
    this.#names = names;
    this.#leave = leave;
  }

  /** The engine copies now what is wanted here: the file's first bytes say so to a reader that waits for them. */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#push(sectionHeader("weft"));
    this.flush();
  }

  offer(record: CaptureRecord): void {
    if (!this.#begun) return;
    const port = this.#names.port(record.port) ?? `#${record.port}`;
    if (!this.everything && !this.#wants(port, record.domain)) return;
    if (this.#queuedBytes > QUEUE_BYTES_MAX) {
      this.lost++;
      return;
    }
    let interfaceId = this.#interfaces.get(port);
    if (interfaceId === undefined) {
      interfaceId = this.#interfaces.size;
      this.#interfaces.set(port, interfaceId);
      const interfaceName = this.#names.interfaceName(port);
      this.#push(interfaceDescription(interfaceName === "" ? port : interfaceName, LINKTYPE_ETHERNET, this.snapLength, port));
    }
    const bytes = record.bytes.subarray(0, this.snapLength);
    const direction = record.direction === DIRECTION_RX ? INBOUND : OUTBOUND;
    this.#push(enhancedPacket({ interfaceId, timeNs: record.timeNs, bytes, originalLength: record.bytes.length, direction }));
  }

  #wants(port: string, domain: number): boolean {
    if (this.#ports.has(port)) return true;
    if (this.options.underlay === true && this.#names.isUnderlay(port)) return true;
    const name = this.#names.domain(domain);
    return name !== undefined && this.#domains.has(name);
  }

  #push(chunk: Uint8Array): void {
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
  }

  /** Hands what waits to a reader that waits. */
  flush(): void {
    if (this.#wanting === null || this.#queue.length === 0) return;
    const wanting = this.#wanting;
    this.#wanting = null;
    wanting({ done: false, value: this.#take() });
  }

  #take(): Uint8Array {
    const chunk = concat(this.#queue);
    this.#queue = [];
    this.#queuedBytes = 0;
    return chunk;
  }

  end(): void {
    this.#ended = true;
    this.#wanting?.({ done: true, value: undefined });
    this.#wanting = null;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#queue.length > 0) return Promise.resolve({ done: false, value: this.#take() });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#wanting = resolve;
    });
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#queue = [];
    this.#leave(this);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

export class CaptureHub {
  readonly #names: CaptureNames;
  /** Called when what is to be captured has changed; resolves when the engine does so. */
  readonly #changed: () => Promise<void>;
  readonly #subscribers = new Set<Subscriber>();

  constructor(names: CaptureNames, changed: () => Promise<void>) {
    this.#names = names;
    this.#changed = changed;
  }

  subscribe(options: CaptureOptions): AsyncIterableIterator<Uint8Array> {
    const subscriber = new Subscriber(options, this.#names, (gone) => this.#leave(gone));
    if (options.signal?.aborted) {
      subscriber.end();
      return subscriber;
    }
    this.#subscribers.add(subscriber);
    options.signal?.addEventListener("abort", () => this.#leave(subscriber), { once: true });
    this.#changed().then(
      () => subscriber.begin(),
      () => this.#leave(subscriber),
    );
    return subscriber;
  }

  #leave(subscriber: Subscriber): void {
    if (!this.#subscribers.delete(subscriber)) return;
    subscriber.end();
    this.#changed().catch(() => undefined); // logged where it is made true; at worst the engine copies for nobody
  }

  endAll(): void {
    for (const subscriber of [...this.#subscribers]) this.#leave(subscriber);
  }

  /** Whether all frames are wanted, and how many bytes of each; 0: none. */
  get wanted(): { readonly all: boolean; readonly snapLength: number } {
    const subscribers = [...this.#subscribers];
    return { all: subscribers.some((one) => one.everything), snapLength: Math.max(0, ...subscribers.map((one) => one.snapLength)) };
  }

  /** Whose frames the engine shall copy when it does not copy all. */
  get marks(): CaptureMarks {
    const subscribers = [...this.#subscribers];
    return {
      ports: new Set(subscribers.flatMap((one) => one.options.ports ?? [])),
      domains: new Set(subscribers.flatMap((one) => one.options.domains ?? [])),
      underlay: subscribers.some((one) => one.options.underlay === true),
    };
  }

  /** Hands records of the ring to those who want them. */
  take(records: Uint8Array): void {
    for (const record of captureRecords(records)) for (const subscriber of this.#subscribers) subscriber.offer(record);
    for (const subscriber of this.#subscribers) subscriber.flush();
  }
}

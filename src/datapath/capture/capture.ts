// Captures: copies of frames from the engine's capture ring to whoever subscribed, each as a pcapng file of its own.
//
//   ring ─> records ─> hub ─┬─> subscriber: filter, interface blocks as ports first show up, packet blocks ─> iterator
//                           └─> ...
//
// The engine copies what the union of all subscribers wants; each filters for itself. A subscriber that reads slowly loses
// packets of its file, never anybody else's, and never a frame on its way.
//
// An underlay port shows two things: to who captures it, the datagrams, as IP packets; to who captures a bridge domain, the
// frames in them. Those are two interfaces of the file, for an interface has one link type. A capture that shows the underlay
// `opened` has the frames of encrypted domains there, and leaves out the ESP that they crossed in.
import { DIRECTION_RX } from "../../../wasm/shared/abi.ts";
import { IP_PROTOCOL_ESP } from "../../../wasm/shared/protocol.ts";
import type { CaptureOptions } from "../datapath-api.ts";
import type { CaptureMarks } from "../tables/marks.ts";
import type { Names } from "../trace/trace.ts";
import { type CaptureRecord, captureRecords, type DatagramRecord } from "./capture-records.ts";
import { ipHeader, isMapped, outerHeaders } from "./outer-headers.ts";
import {
  concat,
  enhancedPacket,
  INBOUND,
  interfaceDescription,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  OUTBOUND,
  sectionHeader,
} from "./pcapng.ts";

const SNAP_LENGTH_DEFAULT = 262144;
/** Bytes that wait for a subscriber's reader. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;

/** What a port is called in the file, beyond its id. */
export interface CaptureNames extends Names {
  /** "eth0" of a TAP; empty for others. */
  readonly interfaceName: (port: string) => string;
  /** Of an underlay port, else undefined. */
  readonly underlay: (port: string) => UnderlayEnd | undefined;
}

/** What of an underlay port's datagrams is not in their records. */
export interface UnderlayEnd {
  /** 16 bytes. */
  readonly address: Uint8Array;
  readonly port: number;
  /** Of its transmit sockets. */
  readonly sourcePorts: readonly number[];
  /** VXLAN in UDP unless it says otherwise: ESP in UDP, or bare ESP, which has no ports. */
  readonly framing?: "udp-esp" | "raw-esp";
}

const REBUILT = "outer addresses, ports and lengths are the wire's; hop limit, identification and UDP checksum are made up";
const UNKNOWN_ADDRESS = new Uint8Array(16);

/** IP packets begin with a version; ESP begins with an SPI, which says nothing. */
const hasIpv4Header = ({ direction, bytes }: CaptureRecord, { framing }: UnderlayEnd, remote: Uint8Array): boolean =>
  framing === "raw-esp" && direction === DIRECTION_RX && isMapped(remote) && (bytes[0] ?? 0) >> 4 === 4;

const NONE = new Uint8Array(0);

function outerHeadersOf(record: CaptureRecord, datagram: DatagramRecord, underlay: UnderlayEnd | undefined): Uint8Array {
  const known = datagram.localAddress.some((byte) => byte !== 0);
  const local = known ? datagram.localAddress : (underlay?.address ?? UNKNOWN_ADDRESS);
  const remote = datagram.remoteAddress;
  if (underlay?.framing === "raw-esp") {
    // Raw sockets of IPv4 give the header as it came (raw(7)); those of IPv6 keep it, as UDP sockets do.
    if (hasIpv4Header(record, underlay, remote)) return NONE;
    const ends = record.direction === DIRECTION_RX ? { source: remote, destination: local } : { source: local, destination: remote };
    return ipHeader({ ...ends, protocol: IP_PROTOCOL_ESP, payloadLength: record.originalLength });
  }
  const { remotePort, socket, sum: payloadSum } = datagram;
  const payload = { payloadLength: record.originalLength, payloadSum };
  if (record.direction === DIRECTION_RX) {
    return outerHeaders({ source: remote, sourcePort: remotePort, destination: local, destinationPort: underlay?.port ?? 0, ...payload });
  }
  const sourcePorts = underlay?.sourcePorts ?? [];
  const sourcePort = sourcePorts[socket % sourcePorts.length] ?? 0;
  return outerHeaders({ source: local, sourcePort, destination: remote, destinationPort: remotePort, ...payload });
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
  readonly #opened: ReadonlySet<string>;
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
    this.#opened = new Set(options.opened);
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
    const underlay = this.#names.underlay(port);
    if (!this.#wants(port, underlay, record)) return;
    if (this.#queuedBytes > QUEUE_BYTES_MAX) {
      this.lost++;
      return;
    }
    const { datagram } = record;
    const headers = datagram === null ? null : outerHeadersOf(record, datagram, underlay);
    this.#push(
      enhancedPacket({
        interfaceId: this.#interface(port, datagram === null ? LINKTYPE_ETHERNET : LINKTYPE_RAW),
        timeNs: record.timeNs,
        bytes: (headers === null ? record.bytes : concat([headers, record.bytes])).subarray(0, this.snapLength),
        originalLength: (headers?.length ?? 0) + record.originalLength,
        direction: record.direction === DIRECTION_RX ? INBOUND : OUTBOUND,
      }),
    );
  }

  #interface(port: string, linkType: number): number {
    const key = `${linkType} ${port}`;
    let id = this.#interfaces.get(key);
    if (id === undefined) {
      id = this.#interfaces.size;
      this.#interfaces.set(key, id);
      const name = this.#names.interfaceName(port);
      const description = linkType === LINKTYPE_RAW ? `${port}: ${REBUILT}` : port;
      this.#push(interfaceDescription(name === "" ? port : name, linkType, this.snapLength, description));
    }
    return id;
  }

  #wants(port: string, underlay: UnderlayEnd | undefined, { domain, datagram }: CaptureRecord): boolean {
    if (datagram !== null) {
      if (this.options.opened !== undefined && underlay?.framing !== undefined) return false;
      return this.everything || this.options.underlay === true || this.#ports.has(port);
    }
    const name = this.#names.domain(domain);
    if (name !== undefined && (this.#domains.has(name) || (underlay !== undefined && this.#opened.has(name)))) return true;
    return underlay === undefined && (this.everything || this.#ports.has(port));
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
      domains: new Set(subscribers.flatMap((one) => [...(one.options.domains ?? []), ...(one.options.opened ?? [])])),
      underlay: subscribers.some((one) => one.options.underlay === true),
    };
  }

  /** Hands records of the ring to those who want them. */
  take(records: Uint8Array): void {
    for (const record of captureRecords(records)) for (const subscriber of this.#subscribers) subscriber.offer(record);
    for (const subscriber of this.#subscribers) subscriber.flush();
  }
}

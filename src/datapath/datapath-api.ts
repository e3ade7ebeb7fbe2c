// What the daemon, the API and the CLI see of the data plane besides declarations: life cycle, figures, tables as they are in
// the engine, traces and captures. Ports, domains and VTEPs bear the names of the declarations ("<network id>",
// "<endpoint id>", "10.9.0.2"); engine indexes never leave the datapath. All values are plain data, fit for JSON.
//
// Counters are bigint: they are 64 bits in the engine and a 100 Gbit/s host passes 2^53 bytes within days.

import type { AddressText, AssociationDeclaration, Datapath, MacText } from "./declarations.ts";
import type { CipherInfo } from "./messages.ts";
import type { CryptoChoice } from "./shard/aead.ts";

/** Called for what an operator should know; the daemon hands it to its logger. */
export type DatapathLog = (level: "debug" | "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;

export interface DatapathOptions {
  /** Addresses of this host that VXLAN is sent from and received on: at most one IPv4 and one IPv6; none: local bridges only. */
  readonly underlayAddresses?: readonly AddressText[];
  /** UDP port that VXLAN is received on, and the default of VTEPs. 4789 unless given. */
  readonly vxlanPort?: number;
  /** Namespace whose sockets the underlay uses; the daemon's own unless given. */
  readonly underlayNamespacePath?: string | null;
  /** Slots of the forwarding database: a power of two up to FDB_SLOTS_MAX. */
  readonly fdbSlots?: number;
  /** How long the worker polls before it sleeps while traffic is recent, in microseconds. 0: never spin. */
  readonly spinUs?: number;
  /** Who seals and opens ESP; "auto" unless given: native, or the engine where native is missing or wrong. */
  readonly crypto?: CryptoChoice;
  /** Folder under which `traps/` is made for batches that trapped the engine. */
  readonly stateDir: string;
  readonly log?: DatapathLog;
  /** Seconds between audits of the tables; 60 unless given, 0: only on demand. */
  readonly auditIntervalS?: number;
}

export interface StopOptions {
  /** Leave the TAPs in their namespaces, for the next daemon to attach to. */
  readonly keepInterfaces: boolean;
}

// ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface CounterStats {
  readonly name: string;
  readonly value: bigint;
}

export interface DropStats {
  /** "vni-unknown" */
  readonly name: string;
  /** One sentence: what happened to such a packet. */
  readonly text: string;
  readonly value: bigint;
}

export interface PortStats {
  /** The declaration's id; of the underlay's own ports "underlay/<address>", and "esp/" or "esp-raw/<address>" once there is ESP. */
  readonly port: string;
  readonly kind: "tap" | "underlay" | "packet" | "uplink" | "memory";
  /** Empty for underlay and packet ports. */
  readonly domain: string;
  /** Of a TAP or packet port, else empty. */
  readonly interfaceName: string;
  /** From the engine's view: rx came in from the sandbox. */
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
  readonly txPackets: bigint;
  readonly txBytes: bigint;
  readonly drops: bigint;
}

export interface PollerFigures {
  readonly polls: number;
  readonly sleeps: number;
  readonly spinUs: number;
  readonly wakes: number;
  readonly receiveCalls: number;
  readonly sendCalls: number;
  /** By errno name. */
  readonly receiveErrors: Readonly<Record<string, number>>;
  readonly sendErrors: Readonly<Record<string, number>>;
}

export interface DatapathStats {
  readonly counters: readonly CounterStats[];
  /** Every reason, also those at 0. */
  readonly drops: readonly DropStats[];
  readonly ports: readonly PortStats[];
  readonly poller: PollerFigures;
  /** rx + cloned + originated - tx - sum(drops): 0, or a bug of ours. */
  readonly lawDifference: bigint;
  /** Times that the engine was rebuilt after a trap. */
  readonly rebuilds: number;
  readonly audits: number;
  /** Table entries that audits had to mend since the start. */
  readonly mended: number;
}

// ── tables as they are in the engine ─────────────────────────────────────────────────────────────────────────────────

export interface FdbEntry {
  readonly domain: string;
  readonly mac: MacText;
  readonly to: { readonly port: string } | { readonly vtep: AddressText };
  readonly static: boolean;
  /** Seconds since it was last seen; 0 for static entries. */
  readonly ageS: number;
}

export interface NeighborEntry {
  readonly domain: string;
  readonly address: AddressText;
  readonly mac: MacText;
}

export interface VtepEntry {
  readonly domain: string;
  readonly vni: number | null;
  readonly address: AddressText;
  readonly port: number;
}

/** How far a security association is used, and what it refused. */
export interface AssociationFigures {
  /** The last number sent, or the newest received. */
  readonly sequence: bigint;
  readonly packets: bigint;
  /** Of frames, without what ESP adds. */
  readonly bytes: bigint;
  readonly replayed: bigint;
  readonly late: bigint;
  readonly forged: bigint;
  readonly malformed: bigint;
  /** Of one that goes out: the longest IP packet that the path to the peer carries, if a router told of a narrow link lately. */
  readonly pathMtuBytes: number | null;
}

/** A security association as it is in the engine; no key. */
export interface AssociationEntry extends Omit<AssociationDeclaration, "key">, AssociationFigures {}

/** What ESP has to say; ids are of declarations. Addresses as senders showed them: a NAT's, maybe. */
export type EspEvent =
  | {
      /** ESP for an SPI that nothing is declared for; `datagram` as it came, ESP header first. */
      readonly kind: "unknown-spi";
      readonly spi: number;
      readonly sender: AddressText;
      /** 0: IP protocol 50. */
      readonly senderPort: number;
      readonly local: AddressText;
      readonly datagram: Uint8Array;
    }
  /** The first authentic datagram of an association that asked to `notify`. */
  | { readonly kind: "first-use"; readonly association: string }
  /** Seven eighths of a limit are used. */
  | { readonly kind: "nearly-exhausted"; readonly association: string }
  /** Where the peer is, by UDP: the newest authentic datagram is the first, or came from elsewhere than the one before. */
  | { readonly kind: "moved"; readonly association: string; readonly sender: AddressText; readonly senderPort: number }
  /** The path to an outbound association's peer carries no more than `bytes` in one IP packet, as `router` says. */
  | { readonly kind: "path-mtu"; readonly association: string; readonly router: AddressText; readonly bytes: number }
  /** All associations are gone, with the worker that had their keys: none of their keys may be declared again. */
  | { readonly kind: "lost" };

export type EspListener = (event: EspEvent) => void;

export interface DatapathInfo {
  readonly abiVersion: number;
  readonly underlay: readonly { readonly address: AddressText; readonly port: number; readonly sourcePorts: readonly number[] }[];
  readonly vxlanPort: number;
  readonly fdbSlots: number;
  readonly spinUs: number;
  readonly domains: number;
  readonly ports: number;
  readonly vteps: number;
  readonly startedAt: string; // ISO 8601
  /** Interfaces that ports wait for, in words: they were deleted, or are not there yet. */
  readonly missing: readonly string[];
  readonly engineBytes: number;
  readonly cipher: CipherInfo;
}

export interface AuditReport {
  /** Entries compared. */
  readonly checked: number;
  /** Entries that were missing, wrong or left over, and are right now. */
  readonly mended: number;
}

// ── trace ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An echo request composed here and injected as if the port had received it. */
export interface EchoProbe {
  readonly kind: "echo";
  readonly sourceMac: MacText;
  readonly destinationMac: MacText;
  readonly source: AddressText;
  readonly destination: AddressText;
}

/** Any Ethernet frame, injected as if the port had received it. */
export interface FrameProbe {
  readonly kind: "frame";
  readonly frame: Uint8Array;
}

export interface TraceOptions {
  /** Id of the port whose frames are traced; absent: any port. A probe needs one. */
  readonly port?: string;
  /** Only frames to or from this address. */
  readonly address?: AddressText;
  /** Frames to trace before it ends: 1..64, 1 unless given. */
  readonly packets?: number;
  /** Without it, waits for real traffic. */
  readonly probe?: EchoProbe | FrameProbe;
  /** Ends after this long with what was seen; 1000 for probes, 10000 otherwise. */
  readonly timeoutMs?: number;
  /** Ends it early, with what was seen. */
  readonly signal?: AbortSignal;
}

export interface TraceLine {
  /** Numbers the packets of this trace from 1; clones have the number of their original. */
  readonly packet: number;
  /** Name of the graph node ("l2-forward"). */
  readonly node: string;
  /** "enter", "next", "drop", "fdb-hit", ... */
  readonly event: string;
  /** Name of the bridge domain, or empty before it is known. */
  readonly domain: string;
  /** The event in words, names resolved: "to port 3f2a... (eth0)". */
  readonly text: string;
}

export interface TraceResult {
  readonly lines: readonly TraceLine[];
  /** Lines that the ring overwrote before they were read. */
  readonly lost: number;
}

// ── capture ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** All absent: everything that crosses the engine, frames at TAPs and datagrams at the underlay. */
export interface CaptureOptions {
  /** Ids of ports. */
  readonly ports?: readonly string[];
  /** Ids of bridge domains. */
  readonly domains?: readonly string[];
  /** The underlay: VXLAN and ESP datagrams as they are on the wire, as IP packets (without link headers). */
  readonly underlay?: boolean;
  /** With `underlay`: ids of encrypted bridge domains. Their frames are shown as they are inside ESP, and no ESP is. */
  readonly opened?: readonly string[];
  /** Bytes kept of each frame, or of each datagram with its outer headers; 262144 (all of it) unless given. */
  readonly snapLengthBytes?: number;
  /** Ends the capture; the iterator then finishes. */
  readonly signal?: AbortSignal;
}

// ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface DatapathService extends Datapath {
  /** Loads the engine, opens the underlay, starts the worker. Rejects with a WeftError that names what is wrong on this host. */
  start(options: DatapathOptions): Promise<void>;
  stop(options: StopOptions): Promise<void>;
  info(): DatapathInfo;
  stats(): Promise<DatapathStats>;
  /** Of one domain (NOT_FOUND if unknown) or of all. */
  dumpFdb(domain?: string): Promise<readonly FdbEntry[]>;
  dumpNeighbors(domain?: string): Promise<readonly NeighborEntry[]>;
  dumpVteps(domain?: string): Promise<readonly VtepEntry[]>;
  dumpAssociations(): Promise<readonly AssociationEntry[]>;
  /** One listener: who declares associations. */
  onEspEvent(listener: EspListener): void;
  /** Sends an ESP dummy, or a NAT keepalive, to a peer; false if it has no current association. */
  probe(peer: AddressText, what: "dummy" | "keepalive"): Promise<boolean>;
  trace(options: TraceOptions): Promise<TraceResult>;
  /** Chunks of one pcapng file: the first begins with the section header. Ends by `signal`, by return() or when the datapath stops. */
  capture(options: CaptureOptions): AsyncIterableIterator<Uint8Array>;
  /** Reads all tables back and mends what differs from the declarations; tries again to make interfaces that went. */
  audit(): Promise<AuditReport>;
  /**
   * Called with the port's id when its interface had been deleted by somebody and is there again: without addresses and routes,
   * and down, for those are not the datapath's.
   */
  onInterfaceRecreated(listener: (port: string) => void): void;
}

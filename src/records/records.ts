// The objects of the Container Network Model as they are stored. Plain data: what is here is what survives a restart, and every
// forwarding table, rule and answer is computed from it. Whoever computes may know it; it knows nobody.
import type { Exposed, Protocol } from "../net/port-spec.ts";

/** 64 hexadecimal digits. */
export type Id = string;

export interface IpamConfig {
  readonly subnet: string; // "10.0.0.0/24"
  readonly ipRange: string | null;
  readonly gateway: string | null; // "10.0.0.1"
  readonly auxAddresses: Readonly<Record<string, string>>;
  /** What the plugin that gave it calls it; absent: it is nobody's but ours. */
  readonly poolId?: string | undefined;
}

export interface NetworkRecord {
  readonly id: Id;
  readonly name: string;
  readonly createdAt: string; // ISO 8601
  readonly driver: string;
  readonly scope: "local" | "global";
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  /** The one through which published ports of services come in. */
  readonly ingress: boolean;
  /** Nothing but settings that other networks are made from: no pools, no endpoints. */
  readonly configOnly: boolean;
  /** Name of the configuration-only network whose settings it took. */
  readonly configFrom: string | null;
  readonly ipamDriver: string;
  readonly ipamOptions: Readonly<Record<string, string>>;
  readonly ipam: readonly IpamConfig[];
  /** As the user gave them (`-o`). */
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** What the driver worked out at create and needs again (VNIs, bridge name); its own business. */
  readonly driverState: Readonly<Record<string, unknown>>;
}

/** Another sandbox's name for this endpoint's one alone. */
export interface EndpointLink {
  /** On the predefined network `bridge` the other's id, elsewhere a name of it on the network. */
  readonly target: string;
  readonly alias: string;
}

/** Addresses that the user chose; the others of an endpoint its pools did. */
export interface RequestedAddresses {
  readonly ipv4: string | null; // "10.0.0.2"
  readonly ipv6: string | null;
  /** `--link-local-ip`: of the link alone, beside the others. */
  readonly linkLocal: readonly string[];
}

export interface EndpointRecord {
  readonly id: Id;
  readonly networkId: Id;
  readonly sandboxId: Id | null;
  readonly name: string;
  /** Null: no interface of ours (drivers host and null). */
  readonly mac: string | null;
  /** With prefix length: "10.0.0.2/24"; null if the network has no such family. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly requested: RequestedAddresses;
  readonly aliases: readonly string[];
  readonly links: readonly EndpointLink[];
  /** Name of the interface in the sandbox ("eth0"), once joined. */
  readonly interfaceName: string | null;
  /** Of those whose network has a gateway, the highest gives the default route. */
  readonly gwPriority: number;
  /** As the user gave them (`--driver-opt`). */
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly driverState: Readonly<Record<string, unknown>>;
}

export interface SandboxRecord {
  readonly id: Id;
  readonly name: string;
  readonly createdAt: string;
  readonly hostname: string;
  /** The namespace's path; ours (made and removed by us) or the user's. */
  readonly namespacePath: string;
  readonly ownsNamespace: boolean;
  /** The sandbox whose network stack this one shares, which has one of its own; it may have been removed since. */
  readonly joinedTo: Id | null;
  readonly labels: Readonly<Record<string, string>>;
  /** Removed when its process ends or the daemon stops (`run --rm`). */
  readonly removeOnExit: boolean;
  readonly dns: DnsSettings;
  readonly ports: readonly PublishedPort[];
  /** Ports that it is said to serve; published only by `-P`. */
  readonly exposed: readonly Exposed[];
  /** What `weft run` runs in it, or ran; null: it was made without. */
  readonly program: ProgramRecord | null;
  readonly extraHosts: readonly ExtraHost[];
  /** Of its network namespace. */
  readonly sysctls: Readonly<Record<string, string>>;
  /** Empty: none. */
  readonly domainname: string;
  /** Variables of its programs: "NAME=value", or a name alone of one that they don't get; in the order given. */
  readonly environment: readonly string[];
}

/** A line of /etc/hosts. */
export interface ExtraHost {
  readonly name: string;
  /** Or "host-gateway". */
  readonly address: string;
}

/** A pid alone names nobody for long: the kernel gives it to others. */
export interface ProcessId {
  readonly pid: number;
  /** Of its start, in clock ticks since boot. */
  readonly start: number;
}

export interface ProgramRecord {
  readonly argv: readonly string[];
  readonly startedAt: string;
  /** Null: not heard of yet. */
  readonly process: ProcessId | null;
  /** Who started it and waits for its end. */
  readonly supervisor: ProcessId | null;
}

/** `count` ports of the sandbox from `port` on, reached at as many ports of the host from `hostPort` on. */
export interface PublishedPort {
  readonly protocol: Protocol;
  /** Null: any of the host's, of both families. */
  readonly hostAddress: string | null;
  /** 0: none, for the network is routed. */
  readonly hostPort: number;
  readonly port: number;
  readonly count: number;
}

/** What a sandbox's resolver does not take from the host; empty: it does. */
export interface DnsSettings {
  /** Addresses of servers, asked from inside the sandbox. */
  readonly servers: readonly string[];
  /** Search list; "." alone: none. */
  readonly search: readonly string[];
  /** Of resolv.conf(5): "ndots:2". */
  readonly options: readonly string[];
}

/** A static VTEP: of one network, or of all overlay networks (networkId null). */
export interface PeerRecord {
  readonly address: string;
  readonly port: number;
  readonly networkId: Id | null;
  readonly createdAt: string;
}

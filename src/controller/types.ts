// The CNM objects as they are stored and shown. Plain data: what is here is what survives a restart, and every forwarding
// table is computed from it.
import type { KeyedPeer, PeerSecret } from "../keys/key-service.ts";
import type { Exposed, PortSpec, Protocol } from "../net/port-spec.ts";
import type { ProgramState, StartedProgram } from "./programs.ts";
import type { StopRequest } from "./stop.ts";

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

export interface CreateNetworkRequest {
  name: string;
  driver?: string;
  ipam?: { subnet?: string; ipRange?: string; gateway?: string; auxAddresses?: Record<string, string> }[];
  ipamDriver?: string;
  ipamOptions?: Record<string, string>;
  enableIpv4?: boolean;
  enableIpv6?: boolean;
  internal?: boolean;
  attachable?: boolean;
  scope?: string;
  ingress?: boolean;
  configOnly?: boolean;
  /** Name of a configuration-only network. */
  configFrom?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
}

export interface AttachRequest {
  /** Name, id or unique id prefix; at createSandbox also `sandbox:` and such a reference of a sandbox to share the stack of. */
  network: string;
  ipv4?: string;
  ipv6?: string;
  mac?: string;
  aliases?: string[];
  links?: LinkRequest[];
  gwPriority?: number;
  driverOptions?: Record<string, string>;
}

export interface LinkRequest {
  /** Name, id or unique id prefix. */
  sandbox: string;
  /** Absent: the sandbox's name. */
  alias?: string;
}

export interface CreateSandboxRequest {
  /** Empty: one is made up. */
  name?: string;
  /** Absent: the predefined network `bridge`, if the daemon has it; empty: none at all. */
  networks?: AttachRequest[];
  /** An existing namespace's path; absent: we make one. */
  namespacePath?: string;
  hostname?: string;
  labels?: Record<string, string>;
  removeOnExit?: boolean;
  dns?: { servers?: string[]; search?: string[]; options?: string[] };
  publish?: PortSpec[];
  expose?: Exposed[];
  /** All exposed ports, at ports of the host that are free. */
  publishAll?: boolean;
  /** A program is about to be started in it, by this process. */
  program?: { argv: string[]; supervisor: ProcessId };
  extraHosts?: ExtraHost[];
  sysctls?: Record<string, string>;
  domainname?: string;
}

/** Ports that are removed are named as they were published, or by the sandbox's port alone. */
export interface UpdateSandboxRequest {
  publishAdd?: PortSpec[];
  publishRemove?: PortSpec[];
}

export interface NetworkView {
  readonly network: NetworkRecord;
  readonly endpoints: readonly { endpoint: EndpointRecord; sandbox: SandboxRecord | null }[];
  readonly peers: readonly PeerRecord[];
  /** Whether its frames leave the host inside ESP only. */
  readonly encrypted: boolean;
  /** Options that were not given, as the driver has settled them. */
  readonly chosenOptions: Readonly<Record<string, string>>;
  /** What is not as its user may believe. */
  readonly warnings: readonly string[];
  /** Its bridge domains in the data plane. On a parent interface it may share one with other networks. */
  readonly domains: readonly string[];
  /** cidr -> how full it is. */
  readonly subnets: Readonly<Record<string, { ipsInUse: number; dynamicIpsAvailable: number }>>;
}

export interface PeerView extends PeerRecord {
  /** Null: it has no keys, and is in no encrypted network. */
  readonly keyed: KeyedPeer | null;
  /** Names of encrypted networks that it would be in if it had. */
  readonly leftOutOf: readonly string[];
}

export interface SandboxView {
  readonly sandbox: SandboxRecord;
  /** By links on the network `bridge`. */
  readonly linked: readonly { readonly alias: string; readonly sandbox: SandboxRecord }[];
  /** What these links tell programs. */
  readonly linkEnvironment: Readonly<Record<string, string>>;
  readonly endpoints: readonly {
    endpoint: EndpointRecord;
    network: NetworkRecord;
    gatewayIpv4: string | null;
    gatewayIpv6: string | null;
  }[];
}

/** What the API calls. Each mutating call is atomic: done and stored, or refused and nothing changed. Throws WeftError. */
export interface Controller {
  createNetwork(request: CreateNetworkRequest): Promise<NetworkRecord>;
  /** `reference`: name, id or unique prefix of an id. */
  removeNetwork(reference: string): Promise<NetworkRecord>;
  /** Removes what is unused, ours to remove and passes `match`; answers what was removed, by name. */
  pruneNetworks(match: (network: NetworkRecord) => boolean): Promise<readonly NetworkRecord[]>;
  listNetworks(): readonly NetworkRecord[];
  inspectNetwork(reference: string): NetworkView;

  connect(sandbox: string, request: AttachRequest): Promise<EndpointRecord>;
  disconnect(sandbox: string, network: string, force: boolean): Promise<void>;

  createSandbox(request: CreateSandboxRequest): Promise<SandboxView>;
  updateSandbox(reference: string, request: UpdateSandboxRequest): Promise<SandboxView>;
  removeSandbox(reference: string, force: boolean): Promise<SandboxRecord>;
  renameSandbox(reference: string, name: string): Promise<SandboxRecord>;
  /** Ends its program; resolves when it has. */
  stopSandbox(reference: string, request: StopRequest): Promise<SandboxRecord>;
  /** The program of a sandbox runs. */
  programStarted(reference: string, started: StartedProgram): Promise<SandboxRecord>;
  programState(sandbox: SandboxRecord): ProgramState;
  /** What is not as it should be with the sandbox on this host. */
  sandboxWarnings(sandbox: SandboxRecord): readonly string[];
  listSandboxes(): readonly SandboxView[];
  inspectSandbox(reference: string): SandboxView;

  /** `secret`: for encrypted networks. */
  addPeer(address: string, port: number | undefined, network: string | undefined, secret?: PeerSecret): Promise<PeerRecord>;
  removePeer(address: string, network: string | undefined): Promise<PeerRecord>;
  listPeers(): readonly PeerView[];
  /** What the daemon's operator should know while it is so. */
  warnings(): readonly string[];
}

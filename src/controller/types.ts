// What the controller is asked for and what it shows. What it stores is in records/.
import type { KeyedPeer, PeerSecret } from "../keys/key-service.ts";
import type { Exposed, PortSpec } from "../net/port-spec.ts";
import type { ProgramExit } from "../netns/program-host.ts";
import type { EndpointRecord, ExtraHost, NetworkRecord, PeerRecord, ProcessId, SandboxRecord } from "../records/records.ts";

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
  linkLocalIps?: string[];
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
  environment?: string[];
}

export interface StopRequest {
  /** "SIGTERM", "term" or "15"; absent: SIGTERM. */
  readonly signal?: string;
  /** Negative: it has all the time it takes. */
  readonly timeoutS?: number;
}

export interface StartedProgram {
  readonly process: ProcessId;
  readonly supervisor: ProcessId | null;
}

/** Ports that are removed are named as they were published, or by the sandbox's port alone. */
export interface UpdateSandboxRequest {
  publishAdd?: PortSpec[];
  publishRemove?: PortSpec[];
}

export type ProgramState =
  | { readonly state: "created" | "running" }
  /** `exit` null: it has ended, and nobody was left to note how. */
  | { readonly state: "exited"; readonly exit: ProgramExit | null };

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

/** The host's address and port, or, where the network is routed, the sandbox's own. */
export interface PortPlace {
  readonly address: string;
  readonly port: number;
}

export interface SandboxView {
  readonly sandbox: SandboxRecord;
  /** Of each of its ports, where clients reach the first of them now. */
  readonly portPlaces: readonly (readonly PortPlace[])[];
  /** By links on the network `bridge`. */
  readonly linked: readonly { readonly alias: string; readonly sandbox: SandboxRecord }[];
  /** What was asked for at its making and is without effect; told once. */
  readonly discarded?: readonly string[];
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
  /** The sandbox whose stack and files it has: itself, unless it shares those of another that is there. */
  stackOwner(sandbox: SandboxRecord): SandboxRecord;
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

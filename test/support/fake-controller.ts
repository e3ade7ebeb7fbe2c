// The controller's in-memory twin: records in maps, no drivers, no datapath. It keeps the contract's refusals that the API
// and the CLI have to carry (names, references, active endpoints), and can be told to fail with any error.
import { createHash } from "node:crypto";
import type {
  AttachRequest,
  Controller,
  CreateNetworkRequest,
  CreateSandboxRequest,
  NetworkView,
  PeerView,
  ProgramState,
  SandboxView,
  StartedProgram,
  StopRequest,
  UpdateSandboxRequest,
} from "../../src/controller/types.ts";
import { alreadyExists, forbidden, invalidArgument, notFound } from "../../src/errors.ts";
import type { PeerSecret } from "../../src/keys/key-service.ts";
import type { EndpointRecord, NetworkRecord, PeerRecord, SandboxRecord } from "../../src/records/records.ts";

const CREATED_AT = "2026-01-02T03:04:05.000Z";
const idOf = (text: string): string => createHash("sha256").update(text).digest("hex");

export class FakeController implements Controller {
  readonly networks = new Map<string, NetworkRecord>();
  readonly sandboxes = new Map<string, SandboxRecord>();
  readonly endpoints = new Map<string, EndpointRecord>();
  readonly peers: PeerRecord[] = [];
  /** Thrown by the next call that changes something. */
  failNext: unknown;
  /** The last requests as they arrived. */
  readonly requests: unknown[] = [];

  async createNetwork(request: CreateNetworkRequest): Promise<NetworkRecord> {
    this.#arrive(request);
    if (!request.name) throw invalidArgument("a network needs a name");
    if ([...this.networks.values()].some(({ name }) => name === request.name)) {
      throw alreadyExists(`network with name ${request.name} already exists`);
    }
    const subnet = request.ipam?.[0]?.subnet ?? "172.17.0.0/16";
    const record: NetworkRecord = {
      id: idOf(`network ${request.name}`),
      name: request.name,
      createdAt: CREATED_AT,
      driver: request.driver ?? "bridge",
      scope: request.scope === "global" ? "global" : "local",
      enableIpv4: request.enableIpv4 ?? true,
      enableIpv6: request.enableIpv6 ?? false,
      internal: request.internal ?? false,
      attachable: request.attachable ?? false,
      ingress: request.ingress ?? false,
      configOnly: request.configOnly ?? false,
      configFrom: request.configFrom ?? null,
      ipamDriver: request.ipamDriver ?? "default",
      ipamOptions: request.ipamOptions ?? {},
      ipam: (request.ipam ?? [{ subnet }]).map((one) => ({
        subnet: one.subnet ?? subnet,
        ipRange: one.ipRange ?? null,
        gateway: one.gateway ?? (one.subnet ?? subnet).replace(/[0-9]+\/.*/, "1").replace(/::\/.*/, "::1"),
        auxAddresses: one.auxAddresses ?? {},
      })),
      options: request.options ?? {},
      labels: request.labels ?? {},
      driverState: {},
    };
    this.networks.set(record.id, record);
    return record;
  }

  async removeNetwork(reference: string): Promise<NetworkRecord> {
    this.#arrive({ removeNetwork: reference });
    const network = this.#network(reference);
    const active = [...this.endpoints.values()].filter(({ networkId }) => networkId === network.id);
    if (active.length > 0) {
      throw forbidden(
        `network ${network.name} has active endpoints (${active.map(({ name, id }) => `name:"${name}" id:"${id}"`).join(", ")})`,
      );
    }
    this.networks.delete(network.id);
    return network;
  }

  async pruneNetworks(match: (network: NetworkRecord) => boolean): Promise<readonly NetworkRecord[]> {
    this.#arrive({ pruneNetworks: true });
    const pruned = [...this.networks.values()].filter(
      (network) => this.inspectNetwork(network.id).endpoints.length === 0 && match(network),
    );
    for (const { id } of pruned) this.networks.delete(id);
    return pruned;
  }

  listNetworks(): readonly NetworkRecord[] {
    return [...this.networks.values()];
  }

  inspectNetwork(reference: string): NetworkView {
    const network = this.#network(reference);
    const endpoints = [...this.endpoints.values()]
      .filter(({ networkId }) => networkId === network.id)
      .map((endpoint) => ({ endpoint, sandbox: this.sandboxes.get(endpoint.sandboxId ?? "") ?? null }));
    const subnets = Object.fromEntries(
      network.ipam.map(({ subnet }) => [subnet, { ipsInUse: 3 + endpoints.length, dynamicIpsAvailable: 250 }]),
    );
    const peers = this.peers.filter(({ networkId }) => networkId === null || networkId === network.id);
    return {
      network,
      endpoints,
      peers: network.driver === "overlay" ? peers : [],
      encrypted: network.options.encrypted !== undefined,
      chosenOptions: this.chosenOptions,
      warnings: this.networkWarnings,
      domains: [network.id, `${network.id}/1`],
      subnets,
    };
  }

  async connect(sandbox: string, request: AttachRequest): Promise<EndpointRecord> {
    this.#arrive(request);
    return this.#attach(this.#sandbox(sandbox), request);
  }

  async disconnect(sandbox: string, network: string, force: boolean): Promise<void> {
    this.#arrive({ disconnect: network, force });
    const { id, name } = this.#sandbox(sandbox);
    const { id: networkId, name: networkName } = this.#network(network);
    const endpoint = [...this.endpoints.values()].find((one) => one.sandboxId === id && one.networkId === networkId);
    if (endpoint === undefined) throw forbidden(`container ${name} is not connected to network ${networkName}`);
    this.endpoints.delete(endpoint.id);
  }

  async createSandbox(request: CreateSandboxRequest): Promise<SandboxView> {
    this.#arrive(request);
    const name = request.name ?? `sandbox_${this.sandboxes.size + 1}`;
    if ([...this.sandboxes.values()].some((one) => one.name === name)) throw alreadyExists(`sandbox with name ${name} already exists`);
    const sandbox: SandboxRecord = {
      id: idOf(`sandbox ${name}`),
      name,
      createdAt: CREATED_AT,
      hostname: request.hostname ?? name,
      namespacePath: request.namespacePath ?? `/run/netns/${name}`,
      ownsNamespace: request.namespacePath === undefined,
      joinedTo: null,
      labels: request.labels ?? {},
      removeOnExit: request.removeOnExit ?? false,
      dns: { servers: [], search: [], options: [], ...request.dns },
      ports: (request.publish ?? []).map(({ protocol, hostAddress, hostPorts, ports }) => ({
        ...{ protocol, hostAddress, hostPort: hostPorts?.first ?? 49153, port: ports.first, count: ports.last - ports.first + 1 },
      })),
      exposed: request.expose ?? [],
      extraHosts: request.extraHosts ?? [],
      sysctls: request.sysctls ?? {},
      domainname: request.domainname ?? "",
      environment: request.environment ?? [],
      program: request.program === undefined ? null : { ...request.program, startedAt: CREATED_AT, process: null },
    };
    this.sandboxes.set(sandbox.id, sandbox);
    for (const one of request.networks ?? []) this.#attach(sandbox, one);
    return this.inspectSandbox(sandbox.id);
  }

  async updateSandbox(reference: string, request: UpdateSandboxRequest): Promise<SandboxView> {
    this.#arrive(request);
    const { sandbox } = this.inspectSandbox(reference);
    const added = (request.publishAdd ?? []).map(({ protocol, hostAddress, hostPorts, ports }) => ({
      ...{ protocol, hostAddress, hostPort: hostPorts?.first ?? 49153, port: ports.first, count: ports.last - ports.first + 1 },
    }));
    const isRemoved = (port: number): boolean => (request.publishRemove ?? []).some(({ ports }) => ports.first === port);
    this.sandboxes.set(sandbox.id, { ...sandbox, ports: [...sandbox.ports.filter(({ port }) => !isRemoved(port)), ...added] });
    return this.inspectSandbox(reference);
  }

  async removeSandbox(reference: string, force: boolean): Promise<SandboxRecord> {
    this.#arrive({ removeSandbox: reference, force });
    const sandbox = this.#sandbox(reference);
    for (const endpoint of [...this.endpoints.values()]) if (endpoint.sandboxId === sandbox.id) this.endpoints.delete(endpoint.id);
    this.sandboxes.delete(sandbox.id);
    return sandbox;
  }

  async renameSandbox(reference: string, name: string): Promise<SandboxRecord> {
    this.#arrive({ renameSandbox: reference, name });
    const renamed = { ...this.#sandbox(reference), name };
    this.sandboxes.set(renamed.id, renamed);
    return renamed;
  }

  async stopSandbox(reference: string, request: StopRequest): Promise<SandboxRecord> {
    this.#arrive({ stopSandbox: reference, ...request });
    return this.#sandbox(reference);
  }

  async programStarted(reference: string, started: StartedProgram): Promise<SandboxRecord> {
    this.#arrive({ programStarted: reference, started });
    return this.#sandbox(reference);
  }

  stackOwner(sandbox: SandboxRecord): SandboxRecord {
    return sandbox;
  }

  sandboxWarnings(): readonly string[] {
    return [];
  }

  programState({ program }: SandboxRecord): ProgramState {
    return { state: program === null ? "created" : "running" };
  }

  listSandboxes(): readonly SandboxView[] {
    return [...this.sandboxes.keys()].map((id) => this.inspectSandbox(id));
  }

  inspectSandbox(reference: string): SandboxView {
    const sandbox = this.#sandbox(reference);
    const endpoints = [...this.endpoints.values()]
      .filter(({ sandboxId }) => sandboxId === sandbox.id)
      .map((endpoint) => {
        const network = this.networks.get(endpoint.networkId)!;
        return { endpoint, network, gatewayIpv4: network.ipam[0]?.gateway ?? null, gatewayIpv6: null };
      });
    // As on a network of both families.
    const portPlaces = sandbox.ports.map(({ hostAddress, hostPort: port }) =>
      (hostAddress === null ? ["0.0.0.0", "::"] : [hostAddress]).map((address) => ({ address, port })),
    );
    return { sandbox, portPlaces, endpoints, linked: [], linkEnvironment: {} };
  }

  /** Of the peers that were added with one. */
  readonly secrets = new Map<string, PeerSecret>();

  async addPeer(address: string, port: number | undefined, network: string | undefined, secret?: PeerSecret): Promise<PeerRecord> {
    this.#arrive({ addPeer: address, port, network });
    if (secret !== undefined) this.secrets.set(address, secret);
    const peer = {
      address,
      port: port ?? 4789,
      networkId: network === undefined ? null : this.#network(network).id,
      createdAt: CREATED_AT,
    };
    this.peers.push(peer);
    return peer;
  }

  async removePeer(address: string, network: string | undefined): Promise<PeerRecord> {
    this.#arrive({ removePeer: address, network });
    const networkId = network === undefined ? null : this.#network(network).id;
    const at = this.peers.findIndex((peer) => peer.address === address && peer.networkId === networkId);
    if (at < 0) throw notFound(`no static peer ${address}`);
    return this.peers.splice(at, 1)[0]!;
  }

  listPeers(): readonly PeerView[] {
    return this.peers.map((peer) => {
      const secret = this.secrets.get(peer.address);
      if (secret === undefined) return { ...peer, keyed: null, leftOutOf: this.leftOutOf };
      const transport = secret.kind === "seed" ? secret.transport : secret.out.transport;
      const keyed = { address: peer.address, kind: secret.kind, transport, vxlanPort: peer.port, index: null, since: null, heard: false };
      return { ...peer, keyed: { ...keyed, remote: this.remote }, leftOutOf: [] };
    });
  }

  /** Where all peers with keys are sent to. */
  remote: { readonly address: string; readonly port: number } | null = null;
  /** Of every network and of every peer without keys. */
  leftOutOf: string[] = [];
  chosenOptions: Record<string, string> = {};
  networkWarnings: string[] = [];

  readonly warned: string[] = [];

  warnings(): readonly string[] {
    return this.warned;
  }

  #arrive(request: unknown): void {
    this.requests.push(request);
    const failure = this.failNext;
    this.failNext = undefined;
    if (failure !== undefined) throw failure;
  }

  #attach(sandbox: SandboxRecord, request: AttachRequest): EndpointRecord {
    const network = this.#network(request.network);
    const own = [...this.endpoints.values()].filter(({ networkId }) => networkId === network.id).length;
    const ifs = [...this.endpoints.values()].filter(({ sandboxId }) => sandboxId === sandbox.id).length;
    const subnet = network.ipam[0]?.subnet ?? "172.17.0.0/16";
    const length = subnet.split("/")[1];
    const endpoint: EndpointRecord = {
      id: idOf(`endpoint ${sandbox.name} ${network.name}`),
      networkId: network.id,
      sandboxId: sandbox.id,
      name: sandbox.name,
      mac: request.mac ?? `02:42:0a:00:00:${(own + 2).toString(16).padStart(2, "0")}`,
      ipv4: `${request.ipv4 ?? subnet.replace(/[0-9]+\/.*/, String(own + 2))}/${length}`,
      ipv6: request.ipv6 === undefined ? null : `${request.ipv6}/64`,
      requested: { ipv4: request.ipv4 ?? null, ipv6: request.ipv6 ?? null, linkLocal: request.linkLocalIps ?? [] },
      aliases: request.aliases ?? [],
      links: (request.links ?? []).map(({ sandbox: target, alias }) => ({ target, alias: alias ?? target })),
      interfaceName: `eth${ifs}`,
      gwPriority: request.gwPriority ?? 0,
      driverOptions: request.driverOptions ?? {},
      driverState: {},
    };
    this.endpoints.set(endpoint.id, endpoint);
    return endpoint;
  }

  #find<T extends { readonly id: string; readonly name: string }>(all: Iterable<T>, reference: string): T | undefined {
    const list = [...all];
    const exact = list.find(({ id, name }) => name === reference || id === reference);
    return exact ?? (reference === "" ? undefined : list.find(({ id }) => id.startsWith(reference)));
  }

  #network(reference: string): NetworkRecord {
    const found = this.#find(this.networks.values(), reference);
    if (found === undefined) throw notFound(`network ${reference} not found`);
    return found;
  }

  #sandbox(reference: string): SandboxRecord {
    const found = this.#find(this.sandboxes.values(), reference);
    if (found === undefined) throw notFound(`sandbox ${reference} not found`);
    return found;
  }
}

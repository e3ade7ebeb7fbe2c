// Between the controller's records and the API's messages. The wire has no null: what is absent is the empty string.
import { join } from "node:path";
import { sandboxExitPath, sandboxFilesPath, sandboxLogPath } from "../config/defaults.ts";
import { isPredefined } from "../controller/names.ts";
import type { AttachRequest, NetworkView, PeerView, SandboxView } from "../controller/types.ts";
import { OWN_NAMESPACE } from "../paths.ts";
import { ownFiles } from "../records/own-files.ts";
import type { EndpointRecord, IpamConfig, NetworkRecord, SandboxRecord } from "../records/records.ts";
import type { Attachment__Output } from "./generated/weft/v1/Attachment.ts";
import type { Endpoint } from "./generated/weft/v1/Endpoint.ts";
import type { IpamConfig as IpamConfigMessage } from "./generated/weft/v1/IpamConfig.ts";
import type { Network } from "./generated/weft/v1/Network.ts";
import type { NetworkEndpoint } from "./generated/weft/v1/NetworkEndpoint.ts";
import type { Sandbox } from "./generated/weft/v1/Sandbox.ts";
import type { StaticPeer } from "./generated/weft/v1/StaticPeer.ts";
import { encryptionText, espRemoteText } from "./key.ts";

/** For objects with optional fields: the fields whose text is empty are left out. */
export function present<T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== "" && value !== undefined)) as never;
}

function ipamMessage(config: IpamConfig): IpamConfigMessage {
  return {
    subnet: config.subnet,
    ipRange: config.ipRange ?? "",
    gateway: config.gateway ?? "",
    auxAddresses: { ...config.auxAddresses },
  };
}

export function networkMessage(record: NetworkRecord): Network {
  return {
    id: record.id,
    name: record.name,
    createdAt: record.createdAt,
    driver: record.driver,
    scope: record.scope,
    enableIpv4: record.enableIpv4,
    enableIpv6: record.enableIpv6,
    internal: record.internal,
    attachable: record.attachable,
    ipamDriver: record.ipamDriver,
    ipamOptions: { ...record.ipamOptions },
    ipam: record.ipam.map(ipamMessage),
    options: { ...record.options },
    labels: { ...record.labels },
    ingress: record.ingress,
    configOnly: record.configOnly,
    configFrom: record.configFrom ?? "",
    predefined: isPredefined(record),
  };
}

export function networkEndpointMessage({ endpoint, sandbox }: NetworkView["endpoints"][number]): NetworkEndpoint {
  return {
    endpointId: endpoint.id,
    endpointName: endpoint.name,
    sandboxId: endpoint.sandboxId ?? "",
    sandboxName: sandbox?.name ?? "",
    mac: endpoint.mac ?? "",
    ipv4: endpoint.ipv4 ?? "",
    ipv6: endpoint.ipv6 ?? "",
    interfaceName: endpoint.interfaceName ?? "",
    aliases: [...endpoint.aliases],
    gwPriority: endpoint.gwPriority,
  };
}

export function endpointMessage(record: EndpointRecord): Endpoint {
  return {
    id: record.id,
    networkId: record.networkId,
    sandboxId: record.sandboxId ?? "",
    name: record.name,
    mac: record.mac ?? "",
    ipv4: record.ipv4 ?? "",
    ipv6: record.ipv6 ?? "",
    aliases: [...record.aliases],
    interfaceName: record.interfaceName ?? "",
    gwPriority: record.gwPriority,
    links: record.links.map(({ target, alias }) => ({ target, alias })),
    requestedIpv4: record.requested.ipv4 ?? "",
    requestedIpv6: record.requested.ipv6 ?? "",
    linkLocalIps: [...record.requested.linkLocal],
    driverOptions: { ...record.driverOptions },
  };
}

/** As another process of this host calls it. */
const namespacePath = ({ namespacePath: path }: SandboxRecord): string => (path === OWN_NAMESPACE ? `/proc/${process.pid}/ns/net` : path);

/** `owner`: of the stack, whose files its programs see. */
export function filePaths(owner: SandboxRecord, stateDir: string): Pick<Sandbox, "resolvConfPath" | "hostsPath" | "hostnamePath"> {
  const own = ownFiles(owner);
  const path = (has: boolean, name: string): string => (has ? join(sandboxFilesPath(stateDir, owner.id), name) : "");
  return {
    resolvConfPath: path(own.resolvConf, "resolv.conf"),
    hostsPath: path(own.hosts, "hosts"),
    hostnamePath: path(own.hostname, "hostname"),
  };
}

/** What is known of a sandbox besides its record; none in answers about the record alone, as of one that is gone. */
type Surroundings = Pick<SandboxView, "endpoints" | "portPlaces">;

export function sandboxMessage(
  record: SandboxRecord,
  stateDir: string,
  { endpoints, portPlaces }: Surroundings = { endpoints: [], portPlaces: [] },
): Sandbox {
  return {
    id: record.id,
    name: record.name,
    createdAt: record.createdAt,
    hostname: record.hostname,
    namespacePath: namespacePath(record),
    ownsNamespace: record.ownsNamespace,
    labels: { ...record.labels },
    removeOnExit: record.removeOnExit,
    joinedTo: record.joinedTo ?? "",
    dns: { servers: [...record.dns.servers], search: [...record.dns.search], options: [...record.dns.options] },
    ports: record.ports.map((port, at) => ({ ...port, hostAddress: port.hostAddress ?? "", places: [...(portPlaces[at] ?? [])] })),
    exposed: record.exposed.map(({ protocol, ports }) => ({ protocol, portFirst: ports.first, portLast: ports.last })),
    extraHosts: record.extraHosts.map(({ name, address }) => ({ name, address })),
    sysctls: { ...record.sysctls },
    domainname: record.domainname,
    environment: [...record.environment],
    logPath: sandboxLogPath(stateDir, record.id),
    exitPath: sandboxExitPath(stateDir, record.id),
    endpoints: endpoints.map((one) => ({
      endpoint: endpointMessage(one.endpoint),
      network: networkMessage(one.network),
      gatewayIpv4: one.gatewayIpv4 ?? "",
      gatewayIpv6: one.gatewayIpv6 ?? "",
    })),
  };
}

/** `networks` gives the peer's network its name. */
export function staticPeerMessage(record: PeerView, networks: readonly NetworkRecord[]): StaticPeer {
  return {
    address: record.address,
    port: record.port,
    networkId: record.networkId ?? "",
    networkName: networks.find((one) => one.id === record.networkId)?.name ?? "",
    createdAt: record.createdAt,
    encryption: encryptionText(record.keyed),
    espTransport: record.keyed?.transport ?? "",
    leftOutOf: [...record.leftOutOf],
    espRemote: espRemoteText(record.keyed),
  };
}

export function attachRequest(message: Attachment__Output): AttachRequest {
  return {
    network: message.network,
    ...present({ ipv4: message.ipv4, ipv6: message.ipv6, mac: message.mac }),
    ...(message.linkLocalIps.length > 0 ? { linkLocalIps: message.linkLocalIps } : {}),
    ...(message.aliases.length > 0 ? { aliases: message.aliases } : {}),
    ...(message.links.length > 0 ? { links: message.links.map(({ target, alias }) => ({ sandbox: target, ...present({ alias }) })) } : {}),
    ...(message.gwPriority === 0 ? {} : { gwPriority: message.gwPriority }),
    ...(Object.keys(message.driverOptions).length === 0 ? {} : { driverOptions: message.driverOptions }),
  };
}

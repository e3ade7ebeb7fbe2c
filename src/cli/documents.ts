// What `inspect` and `ls --format` show: objects with Docker's field names, so that scripts written for Docker work. Fields
// that Weft doesn't have yet stand there empty where Docker always has them.
import type { Endpoint__Output } from "../api/generated/weft/v1/Endpoint.ts";
import type { InspectNetworkResponse__Output } from "../api/generated/weft/v1/InspectNetworkResponse.ts";
import type { Network__Output } from "../api/generated/weft/v1/Network.ts";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import type { SandboxEndpoint__Output } from "../api/generated/weft/v1/SandboxEndpoint.ts";
import { portBindings, portsText } from "./port-text.ts";
import { ago, stateDocument, statusText } from "./status-text.ts";
import { METHODS, openMap, textMap } from "./template/values.ts";
import { figure, shortId } from "./values.ts";

const [hostPart, lengthPart] = [(cidr: string) => cidr.split("/")[0] ?? "", (cidr: string) => Number(cidr.split("/")[1] ?? 0)];

/**
 * Takes those of the fields that are empty out of the JSON, as Docker does: a script that tests for a key finds what it
 * expects. Templates still see them, as they do in Docker.
 */
function withoutEmpty<T extends object>(object: T, fields: readonly (keyof T)[]): T {
  for (const name of fields) {
    const value: unknown = object[name];
    const empty = typeof value === "object" ? Object.keys(value ?? {}).length === 0 : value === "";
    if (empty) Object.defineProperty(object, name, { enumerable: false });
  }
  return object;
}

/** Whether it is the sandbox's way out of the host, which Docker shows with the network and not with the sandbox. */
const isEgress = ({ network }: Pick<SandboxEndpoint__Output, "network">): boolean => network!.name === "weft_gwbridge";

/** `verbose`: with what Docker's JSON has no place for. */
export function networkDocument(response: InspectNetworkResponse__Output, verbose = false) {
  const network = response.network!;
  const containers = response.endpoints.map((one) => [
    one.sandboxId || `ep-${one.endpointId}`,
    {
      Name: isEgress({ network }) ? one.endpointName : one.sandboxName || one.endpointName,
      EndpointID: one.endpointId,
      MacAddress: one.mac,
      IPv4Address: one.ipv4,
      IPv6Address: one.ipv6,
      ...(verbose ? { Aliases: one.aliases, InterfaceName: one.interfaceName, GwPriority: one.gwPriority } : {}),
    },
  ]);
  const subnets = Object.entries(response.subnets).map(([cidr, usage]) => [
    cidr,
    { IPsInUse: figure(usage.ipsInUse), DynamicIPsAvailable: figure(usage.dynamicIpsAvailable) },
  ]);
  const document = {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt,
    Scope: network.scope,
    Driver: network.driver,
    EnableIPv4: network.enableIpv4,
    EnableIPv6: network.enableIpv6,
    IPAM: {
      Driver: network.ipamDriver,
      Options: textMap(network.ipamOptions),
      Config: network.ipam.map((one) =>
        withoutEmpty({ Subnet: one.subnet, IPRange: one.ipRange, Gateway: one.gateway, AuxiliaryAddresses: textMap(one.auxAddresses) }, [
          "IPRange",
          "Gateway",
          "AuxiliaryAddresses",
        ]),
      ),
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: network.ingress,
    ConfigFrom: { Network: network.configFrom },
    ConfigOnly: network.configOnly,
    Containers: openMap(Object.fromEntries(containers)),
    Options: textMap(network.options),
    Labels: textMap(network.labels),
    Peers: response.peers.map((peer) => ({ Name: peer.address, IP: peer.address, Port: peer.port })),
    Status: { IPAM: { Subnets: openMap(Object.fromEntries(subnets)) } },
    Warnings: response.warnings,
  };
  return withoutEmpty(document, ["Peers", "Warnings"]);
}

const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");

/** `{{.Label "team"}}` of a row: the label's value, nothing where it has none. */
const labelMethods = (labels: Readonly<Record<string, string>>) => ({
  [METHODS]: { Label: (key: string): string => (Object.hasOwn(labels, key) ? labels[key]! : "") },
});

/** A row of `network ls`. */
export function networkRow(network: Network__Output) {
  return {
    ID: shortId(network.id),
    Name: network.name,
    Driver: network.driver,
    Scope: network.scope,
    Subnets: network.ipam.map(({ subnet }) => subnet).join(", "),
    // Text, as in Docker's rows.
    IPv4: String(network.enableIpv4),
    IPv6: String(network.enableIpv6),
    Internal: String(network.internal),
    Labels: labelText(network.labels),
    CreatedAt: network.createdAt,
    ...labelMethods(network.labels),
  };
}

const ownEndpoints = ({ endpoints }: Sandbox__Output): SandboxEndpoint__Output[] => endpoints.filter((one) => !isEgress(one));

/** What the user chose; null: nothing. */
function requestedAddresses({ requestedIpv4, requestedIpv6, linkLocalIps }: Endpoint__Output) {
  const chosen = { IPv4Address: requestedIpv4, IPv6Address: requestedIpv6, LinkLocalIPs: linkLocalIps };
  if (requestedIpv4 === "" && requestedIpv6 === "" && linkLocalIps.length === 0) return null;
  return withoutEmpty(chosen, ["IPv4Address", "IPv6Address", "LinkLocalIPs"]);
}

/** Docker's EndpointSettings. */
function endpointSettings(one: SandboxEndpoint__Output, sandbox: Sandbox__Output) {
  const endpoint = one.endpoint!;
  return {
    IPAMConfig: requestedAddresses(endpoint),
    Links:
      endpoint.links.length === 0 || one.network!.name === "bridge" ? null : endpoint.links.map((link) => `${link.target}:${link.alias}`),
    Aliases: endpoint.aliases,
    DriverOpts: Object.keys(endpoint.driverOptions).length === 0 ? null : textMap(endpoint.driverOptions),
    GwPriority: one.endpoint!.gwPriority,
    NetworkID: endpoint.networkId,
    EndpointID: endpoint.id,
    Gateway: hostPart(one.gatewayIpv4),
    IPAddress: hostPart(endpoint.ipv4),
    MacAddress: endpoint.mac,
    IPPrefixLen: lengthPart(endpoint.ipv4),
    IPv6Gateway: hostPart(one.gatewayIpv6),
    GlobalIPv6Address: hostPart(endpoint.ipv6),
    GlobalIPv6PrefixLen: lengthPart(endpoint.ipv6),
    DNSNames: [...new Set([endpoint.name, ...endpoint.aliases, shortId(sandbox.id), sandbox.hostname])],
    InterfaceName: endpoint.interfaceName,
  };
}

/** Docker's word for whose stack it is: another's, or that of the first network. */
function networkMode(sandbox: Sandbox__Output): string {
  if (sandbox.joinedTo !== "") return `container:${sandbox.joinedTo}`;
  return ownEndpoints(sandbox)[0]?.network?.name ?? "none";
}

export function sandboxDocument(sandbox: Sandbox__Output) {
  const networks = ownEndpoints(sandbox).map((one) => [one.network!.name, endpointSettings(one, sandbox)]);
  return {
    Id: sandbox.id,
    Name: sandbox.name,
    Created: sandbox.createdAt,
    State: stateDocument(sandbox),
    Path: sandbox.program?.argv[0] ?? "",
    Args: sandbox.program?.argv.slice(1) ?? [],
    LogPath: sandbox.logPath,
    Warnings: sandbox.warnings,
    Hostname: sandbox.hostname,
    Domainname: sandbox.domainname,
    ExtraHosts: sandbox.extraHosts.map(({ name, address }) => `${name}:${address}`),
    Sysctls: textMap(sandbox.sysctls),
    AutoRemove: sandbox.removeOnExit,
    Dns: sandbox.dns?.servers ?? [],
    DnsSearch: sandbox.dns?.search ?? [],
    DnsOptions: sandbox.dns?.options ?? [],
    ResolvConfPath: sandbox.resolvConfPath,
    HostsPath: sandbox.hostsPath,
    HostnamePath: sandbox.hostnamePath,
    Labels: textMap(sandbox.labels),
    Config: { Env: sandbox.environment },
    HostConfig: { NetworkMode: networkMode(sandbox), Links: sandbox.links.length === 0 ? null : sandbox.links },
    NetworkSettings: {
      SandboxID: sandbox.id,
      SandboxKey: sandbox.namespacePath,
      OwnsNamespace: sandbox.ownsNamespace,
      Networks: openMap(Object.fromEntries(networks)),
      Ports: openMap(portBindings(sandbox)),
    },
  };
}

/** A row of `sandbox ls`. */
export function sandboxRow(sandbox: Sandbox__Output, nowMs: number) {
  const addresses = ownEndpoints(sandbox).flatMap(({ endpoint }) =>
    [endpoint!.ipv4, endpoint!.ipv6].filter((cidr) => cidr !== "").map(hostPart),
  );
  return {
    ID: shortId(sandbox.id),
    Name: sandbox.name,
    Networks:
      sandbox.joinedTo === ""
        ? ownEndpoints(sandbox)
            .map(({ network }) => network!.name)
            .join(", ")
        : `sandbox:${shortId(sandbox.joinedTo)}`,
    Addresses: addresses.join(", "),
    Ports: portsText(sandbox),
    Command: JSON.stringify(sandbox.program?.argv.join(" ") ?? ""),
    State: sandbox.program?.state ?? "created",
    Status: statusText(sandbox, nowMs),
    RunningFor: ago(sandbox.createdAt, nowMs),
    Namespace: sandbox.namespacePath,
    Labels: labelText(sandbox.labels),
    CreatedAt: sandbox.createdAt,
    ...labelMethods(sandbox.labels),
  };
}

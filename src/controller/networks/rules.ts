// What a request for a network may combine, in Docker's words: scope, ingress, and configuration-only networks, whose settings
// (subnets, options, labels) other networks take over by name.
//
//   weft network create --config-only --subnet 10.1.0.0/24 -o k=v settings
//   weft network create --config-from settings -d overlay web
//
// A configuration network is stored and no more: it takes no address, overlaps nothing and its options are not looked at until
// a driver reads them for a network that is made from it.
import type { Driver } from "../../drivers/driver.ts";
import { alreadyExists, forbidden, invalidArgument, notFound } from "../../errors.ts";
import { DEFAULT_IPAM, type SubnetRequest } from "../../ipam/ipam.ts";
import { planSubnets } from "../../ipam/subnets.ts";
import { formatPrefix, parsePrefix } from "../../net/prefix.ts";
import type { IpamConfig, NetworkRecord } from "../../records/records.ts";
import type { CreateNetworkRequest } from "../types.ts";

/** Of configuration-only networks. */
export const CONFIGURATION_DRIVER = "null";

const isEmpty = (entries: Readonly<Record<string, string>> | undefined): boolean => Object.keys(entries ?? {}).length === 0;

/** What can be said without looking at the networks there are. */
export function checkRequest(request: CreateNetworkRequest): void {
  if (request.configOnly) {
    if (request.ingress || request.internal || request.attachable || request.scope) {
      throw forbidden(
        "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
      );
    }
    if (request.configFrom) throw forbidden("a configuration network cannot depend on another configuration network");
  }
  if (request.configFrom && hasSettings(request)) {
    throw forbidden("user-specified configurations are not supported if the network depends on a configuration network");
  }
  if (request.configFrom && !isEmpty(request.options)) {
    throw forbidden("network driver options are not supported if the network depends on a configuration network");
  }
  if (request.ingress && request.attachable) throw invalidArgument("ingress network cannot be attachable");
}

function hasSettings(request: CreateNetworkRequest): boolean {
  return (
    (request.ipamDriver !== undefined && request.ipamDriver !== "" && request.ipamDriver !== DEFAULT_IPAM) ||
    request.enableIpv4 === false ||
    request.enableIpv6 === true ||
    (request.ipam ?? []).length > 0 ||
    !isEmpty(request.ipamOptions) ||
    !isEmpty(request.labels)
  );
}

export function checkScope(request: Pick<CreateNetworkRequest, "scope" | "ingress">, driver: Pick<Driver, "name" | "scope">): void {
  const { scope, ingress } = request;
  // "swarm" is what Docker calls it.
  const asked = scope === "swarm" ? "global" : scope || driver.scope;
  if (asked !== "local" && asked !== "global") throw invalidArgument(`invalid scope ${JSON.stringify(scope)}: give local or global`);
  if (asked === "local" && driver.scope === "global") {
    throw forbidden(`cannot downgrade network scope for ${driver.name} networks: leave out --scope`);
  }
  if (asked !== driver.scope) throw invalidArgument(`invalid scope ${scope}: networks of driver ${driver.name} have scope ${driver.scope}`);
  if (ingress && driver.scope !== "global") throw forbidden("Ingress network can only be global scope network: give -d overlay");
}

export function checkOnlyIngress(networks: Iterable<NetworkRecord>): void {
  for (const network of networks) {
    if (network.ingress) throw alreadyExists(`ingress network (${network.name}) is already present: remove it first`);
  }
}

/** `request` with the settings of the configuration network that it names. */
export function withConfiguration(request: CreateNetworkRequest, configuration: NetworkRecord | undefined): CreateNetworkRequest {
  if (!request.configFrom) return request;
  if (configuration?.configOnly !== true) throw notFound(`configuration network "${request.configFrom}" does not exist`);
  const { enableIpv4, enableIpv6, ipam, ipamDriver, ipamOptions, options, labels } = configuration;
  const subnets = ipam.map(({ subnet, ipRange, gateway, auxAddresses }) => ({
    subnet,
    ...(ipRange === null ? {} : { ipRange }),
    ...(gateway === null ? {} : { gateway }),
    auxAddresses,
  }));
  return { ...request, enableIpv4, enableIpv6, ipam: subnets, ipamDriver, ipamOptions, options, labels };
}

/** The networks that a configuration network can't be removed for. */
export function refuseUsedConfiguration(network: NetworkRecord, networks: Iterable<NetworkRecord>): void {
  if (!network.configOnly) return;
  const users = [...networks].filter(({ configFrom }) => configFrom === network.name).map(({ name }) => name);
  if (users.length > 0)
    throw forbidden(`configuration network "${network.name}" is in use: by ${users.sort().join(", ")}; remove them first`);
}

/** A configuration network's subnets: held to all rules but those that concern other networks, and stored as they were asked. */
export function configurationSubnets(requests: readonly SubnetRequest[], enableIpv4: boolean, enableIpv6: boolean): IpamConfig[] {
  const given = requests.map((request) => {
    if (!request.subnet) throw invalidArgument("every ip-range or gateway must have a corresponding subnet: give --subnet");
    return { ...request, subnet: formatPrefix(parsePrefix(request.subnet)) };
  });
  if (given.length === 0) return [];
  const planned = planSubnets({
    space: "local",
    requests: given,
    // A family without a subnet gets one when a network is made from this, not now.
    enableIpv4: enableIpv4 && given.some(({ subnet }) => !subnet.includes(":")),
    enableIpv6: enableIpv6 && given.some(({ subnet }) => subnet.includes(":")),
    networks: [],
    hostRoutes: [],
    ulaGlobalId: "0000000000",
  });
  return planned.map((config, index) => ({
    ...config,
    subnet: given[index]!.subnet,
    gateway: given[index]!.gateway ? config.gateway : null,
  }));
}

// From what the user asked (subnets, ranges, gateways, or nothing) to the subnets a network gets: a pure function of the
// request, the networks there are and the host's routes. The words of its refusals are Docker's, with value and remedy behind.
//
// Host routes: a subnet that we choose avoids all of them. One that the user names may lie inside a prefix that the host
// reaches by a router (10.0.0.0/8 through a VPN: the network takes its part away, which is what was asked for), but not on one
// where the host itself has an address: that host would lose its neighbours.

import { addressInUse, invalidArgument } from "../errors.ts";
import { type Address, addressRange, type Family, formatAddress, parseAddress, sameAddress } from "../net/address.ts";
import { containsAddress, containsPrefix, firstAddress, formatPrefix, type Prefix, parsePrefix, prefixesOverlap } from "../net/prefix.ts";
import type { IpamConfig } from "../records/records.ts";
import { chooseDefaultSubnet } from "./default-pools.ts";
import type { SubnetPlan, SubnetRequest } from "./ipam.ts";
import { defaultGateway, reservedAddresses, reservedAs } from "./pool.ts";

export interface WantedSubnet {
  readonly request: SubnetRequest;
  /** isAny: whichever is free. */
  readonly subnet: Prefix;
}

/** What is asked for: the subnets that are named, and one of each family that is on and has none. Throws INVALID_ARGUMENT. */
export function wantedSubnets(plan: Pick<SubnetPlan, "requests" | "enableIpv4" | "enableIpv6" | "withoutGateway">): WantedSubnet[] {
  const wanted = plan.requests.map((request) => ({ request, subnet: namedSubnet(request) }));
  for (const { request, subnet } of wanted) {
    if (subnet?.family === 6 && !plan.enableIpv6) {
      throw invalidArgument(`subnet ${request.subnet} is IPv6, but IPv6 is not enabled on this network: add --ipv6`);
    }
    if (subnet?.family === 4 && !plan.enableIpv4) {
      throw invalidArgument(`subnet ${request.subnet} is IPv4, but IPv4 is disabled on this network: leave out --ipv4=false`);
    }
  }
  // A range or a gateway without a subnet can't be placed: which pool it lies in is not for us to guess.
  const unplaced = wanted.find(({ request, subnet }) => subnet === null && (request.ipRange || request.gateway || hasAux(request)));
  if (unplaced !== undefined) {
    const { ipRange, gateway } = unplaced.request;
    const what = ipRange ? `ip-range ${ipRange}` : gateway ? `gateway ${gateway}` : "auxiliary addresses";
    throw invalidArgument(`invalid ${what}: a subnet must be given with it (--subnet)`);
  }
  const named = wanted.filter((entry): entry is WantedSubnet => entry.subnet !== null);
  if (plan.enableIpv4 && !named.some(({ subnet }) => subnet.family === 4)) named.unshift({ request: {}, subnet: anySubnet(4) });
  if (plan.enableIpv6 && !named.some(({ subnet }) => subnet.family === 6)) named.push({ request: {}, subnet: anySubnet(6) });
  return named.map(({ request, subnet }) => ({
    request: plan.withoutGateway?.[subnet.family] ? { ...request, withoutGateway: true } : request,
    subnet,
  }));
}

/** Throws INVALID_ARGUMENT, ADDRESS_IN_USE or RESOURCE_EXHAUSTED. */
export function planSubnets(plan: SubnetPlan): IpamConfig[] {
  const named = wantedSubnets(plan);
  const configs: IpamConfig[] = [];
  const chosen: Prefix[] = named.map(({ subnet }) => subnet).filter((subnet) => !isAny(subnet));
  chosen.forEach((subnet, index) => {
    checkSubnet(subnet, plan);
    const twin = chosen.slice(0, index).find((other) => prefixesOverlap(other, subnet));
    if (twin !== undefined) throw overlap(subnet, `${formatPrefix(twin)} of the same network`);
  });
  for (const { request, subnet } of named) {
    let final = subnet;
    if (isAny(subnet)) {
      const taken = [...plan.networks.map(({ prefix }) => prefix), ...plan.hostRoutes.map(({ prefix }) => prefix), ...chosen];
      const length = request.subnet === undefined ? undefined : subnet.length;
      final = chooseDefaultSubnet(plan.space, subnet.family, taken, plan.ulaGlobalId, length);
      chosen.push(final);
    }
    configs.push(configure(final, request));
  }
  return configs;
}

const hasAux = (request: SubnetRequest): boolean => Object.keys(request.auxAddresses ?? {}).length > 0;

/** 0.0.0.0/N or ::/N: "any of this size". */
export const isAny = (subnet: Prefix): boolean => subnet.value === 0n;
const anySubnet = (family: Family): Prefix => ({ family, value: 0n, length: 0 });

function namedSubnet(request: SubnetRequest): Prefix | null {
  return request.subnet ? parsePrefix(request.subnet) : null;
}

/** Throws INVALID_ARGUMENT if no network can have this subnet. */
export function checkRange(subnet: Prefix): void {
  const kind = addressRange(firstAddress(subnet));
  if (kind === "multicast" || kind === "loopback" || kind === "broadcast" || (subnet.family === 4 && subnet.value >> 28n === 15n)) {
    throw invalidArgument(`invalid subnet ${formatPrefix(subnet)}: ${kind} addresses can't be given to interfaces; choose a private one`);
  }
  if (subnet.length < 8 || (subnet.family === 6 && subnet.length < 32)) {
    throw invalidArgument(
      `invalid subnet ${formatPrefix(subnet)}: larger than a ${subnet.family === 4 ? "/8" : "/32"}; choose a smaller one`,
    );
  }
}

/** Throws if a network can't have this subnet, or not beside what there is. */
export function checkSubnet(subnet: Prefix, plan: SubnetPlan): void {
  checkRange(subnet);
  const network = plan.networks.find(({ prefix }) => prefixesOverlap(prefix, subnet));
  if (network !== undefined) throw overlap(subnet, `${formatPrefix(network.prefix)} of network ${network.name}`);
  const route = plan.hostRoutes.find(({ prefix, onLink }) => onLink && prefixesOverlap(prefix, subnet));
  if (route !== undefined) throw overlap(subnet, `${formatPrefix(route.prefix)}, which this host is attached to`);
}

function overlap(subnet: Prefix, other: string): Error {
  return addressInUse(
    `Pool overlaps with other one on this address space: ${formatPrefix(subnet)} overlaps ${other}; choose another --subnet or leave it out to have one chosen`,
  );
}

/** Throws INVALID_ARGUMENT or ADDRESS_IN_USE where range, gateway or auxiliary addresses don't fit. */
export function configure(subnet: Prefix, request: SubnetRequest): IpamConfig {
  let ipRange: string | null = null;
  if (request.ipRange) {
    const range = parsePrefix(request.ipRange, "ip-range");
    if (range.family !== subnet.family)
      throw invalidArgument(`invalid ip-range ${request.ipRange}: parent subnet is an IPv${subnet.family} block`);
    if (range.length < subnet.length) {
      throw invalidArgument(`invalid ip-range ${request.ipRange}: CIDR block is bigger than its parent subnet ${formatPrefix(subnet)}`);
    }
    if (!containsPrefix(subnet, range)) {
      throw invalidArgument(`invalid ip-range ${request.ipRange}: parent subnet ${formatPrefix(subnet)} doesn't contain ip-range`);
    }
    ipRange = formatPrefix(range);
  }
  const chosen = request.withoutGateway ? null : defaultGateway(subnet);
  const gateway = request.gateway ? inside(subnet, request.gateway, "gateway") : chosen;
  const auxAddresses: Record<string, string> = Object.create(null); // names are the user's, `__proto__` among them
  const seen: Address[] = gateway === null ? [] : [gateway];
  for (const [name, text] of Object.entries(request.auxAddresses ?? {})) {
    const address = inside(subnet, text, "auxiliary address");
    if (seen.some((other) => sameAddress(other, address))) {
      throw addressInUse(
        `Address already in use: auxiliary address ${name}=${text} is the gateway's or another auxiliary one's; choose another`,
      );
    }
    seen.push(address);
    auxAddresses[name] = formatAddress(address);
  }
  return { subnet: formatPrefix(subnet), ipRange, gateway: gateway === null ? null : formatAddress(gateway), auxAddresses };
}

function inside(subnet: Prefix, text: string, what: string): Address {
  const address = parseAddress(text, what);
  if (address.family !== subnet.family) throw invalidArgument(`invalid ${what} ${text}: parent subnet is an IPv${subnet.family} block`);
  if (!containsAddress(subnet, address)) {
    throw invalidArgument(`invalid ${what} ${text}: parent subnet ${formatPrefix(subnet)} doesn't contain this address`);
  }
  if (reservedAddresses(subnet).some((reserved) => reserved.value === address.value)) {
    throw invalidArgument(`invalid ${what} ${text}: it is ${reservedAs(subnet)}; choose another`);
  }
  return address;
}

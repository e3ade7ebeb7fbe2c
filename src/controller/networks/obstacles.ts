// What the subnets of a network to be must keep clear of: those of the networks there are, and what the host routes. Asked at each
// creation of a network, and nearly the same as the last time, so what a text means is remembered.
import type { HostRoute } from "../../ipam/ipam.ts";
import { NULL_IPAM } from "../../ipam/ipam.ts";
import { addressRange } from "../../net/address.ts";
import { firstAddress, type Prefix, parsePrefix, tryParsePrefix } from "../../net/prefix.ts";
import type { NetworkRecord } from "../../records/records.ts";
import type { Context } from "../context.ts";

interface Subnet {
  readonly name: string;
  readonly prefix: Prefix;
}

/** By record, of which a changed network has another. */
const subnetsOf = new WeakMap<NetworkRecord, readonly Subnet[]>();

export function takenSubnets(context: Pick<Context, "state">): Subnet[] {
  const others = [...context.state.networks.values()].filter(({ configOnly, ipamDriver }) => !configOnly && ipamDriver !== NULL_IPAM);
  return others.flatMap((network) => {
    const known = subnetsOf.get(network) ?? network.ipam.map(({ subnet }) => ({ name: network.name, prefix: parsePrefix(subnet) }));
    subnetsOf.set(network, known);
    return known;
  });
}

/** Destinations of the last look; null: they mean no part of the world. */
let destinations = new Map<string, Prefix | null>();

/** Destinations that mean part of the world: not the default route, link-local or multicast. */
export async function hostRoutes(context: Pick<Context, "namespaces">): Promise<HostRoute[]> {
  const routes: HostRoute[] = [];
  const seen = new Map<string, Prefix | null>();
  for (const { destination, gateway, interfaceIndex } of await context.namespaces.hostRoutes()) {
    const known = destinations.get(destination);
    const prefix = known === undefined ? partOfTheWorld(destination) : known;
    seen.set(destination, prefix);
    if (prefix !== null) routes.push({ prefix, onLink: gateway === null && interfaceIndex !== null });
  }
  destinations = seen;
  return routes;
}

function partOfTheWorld(destination: string): Prefix | null {
  const prefix = tryParsePrefix(destination);
  if (prefix === null || prefix.length === 0) return null;
  return ["linkLocal", "multicast", "loopback", "unspecified"].includes(addressRange(firstAddress(prefix))) ? null : prefix;
}

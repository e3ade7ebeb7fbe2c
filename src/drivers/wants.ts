// Pieces of declarations that drivers share.

import type { Declaration, NeighborDeclaration } from "../datapath/declarations.ts";
import { WeftError } from "../errors.ts";
import { subnetPairs } from "../ipam/pairs.ts";
import { formatAddress } from "../net/address.ts";
import { containsAddress, parseInterfaceAddress, parsePrefix } from "../net/prefix.ts";
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../records/records.ts";

/**
 * A sandbox's end: a TAP, its MAC pinned to it, so that nobody else on the network can draw its frames to himself, and its
 * addresses as neighbours.
 */
export function tapEndpoint(
  endpoint: EndpointRecord,
  link: { readonly domain: string; readonly namespacePath: string; readonly mtuBytes: number; readonly isolated: boolean },
): Declaration {
  const { interfaceName, mac } = endpoint;
  if (interfaceName === null || mac === null) throw new WeftError("INTERNAL", `endpoint ${endpoint.id} has not joined`);
  const { domain, namespacePath, mtuBytes, isolated } = link;
  return {
    ports: [{ kind: "tap", id: endpoint.id, domain, namespacePath, interfaceName, mac, mtuBytes, isolated }],
    fdb: [{ domain, mac, to: { port: endpoint.id } }],
    neighbors: [
      ...neighbors(domain, mac, [endpoint.ipv4, endpoint.ipv6]),
      ...endpoint.requested.linkLocal.map((address) => ({ domain, address, mac })),
    ],
  };
}

/** `addresses`: with prefix length, or null. */
export function neighbors(domain: string, mac: string, addresses: readonly (string | null)[]): NeighborDeclaration[] {
  return addresses
    .filter((text) => text !== null)
    .map((text) => ({ domain, address: formatAddress(parseInterfaceAddress(text).address), mac }));
}

/** Which link an endpoint is on. */
export function pairIndex(network: Pick<NetworkRecord, "ipam">, endpoint: Pick<EndpointRecord, "ipv4" | "ipv6">): number {
  const index = subnetPairs(network.ipam).findIndex(({ ipv4, ipv6 }) => contains(ipv4, endpoint.ipv4) || contains(ipv6, endpoint.ipv6));
  return Math.max(index, 0);
}

function contains(config: IpamConfig | null, text: string | null): boolean {
  return config !== null && text !== null && containsAddress(parsePrefix(config.subnet), parseInterfaceAddress(text).address);
}

/** "10.0.0.1" in "10.0.0.0/24" -> "10.0.0.1/24". */
export function withLength(config: IpamConfig): string | null {
  return config.gateway === null ? null : `${config.gateway}/${parsePrefix(config.subnet).length}`;
}

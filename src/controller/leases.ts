// What a commit changes in the books that are kept for IPAM plugins (ipam/leases.ts): who enters a record leaves the leases,
// and the other way round, in one transaction.
import { endpointLeases, networkLeases } from "../ipam/leases.ts";
import type { EndpointRecord, NetworkRecord } from "../records/records.ts";
import { ENDPOINT_PREFIX, NETWORK_PREFIX } from "../store/keys.ts";
import type { Put } from "../store/store.ts";
import type { State } from "./state.ts";

export function leaseChanges(
  state: Pick<State, "networks" | "endpoints">,
  puts: readonly Put[],
  deletes: readonly string[],
): { readonly puts: readonly Put[]; readonly deletes: readonly string[] } {
  const ofEndpoint = (endpoint: EndpointRecord | undefined): Put[] => {
    const network = endpoint && state.networks.get(endpoint.networkId);
    return endpoint && network ? endpointLeases(network, endpoint) : [];
  };
  const entering = puts.flatMap(({ key, value }) => {
    if (key.startsWith(ENDPOINT_PREFIX)) return ofEndpoint(value as unknown as EndpointRecord);
    return key.startsWith(NETWORK_PREFIX) ? networkLeases(value as unknown as NetworkRecord) : [];
  });
  const leaving = deletes.flatMap((key) => {
    if (key.startsWith(ENDPOINT_PREFIX)) return ofEndpoint(state.endpoints.get(key.slice(ENDPOINT_PREFIX.length)));
    const network = key.startsWith(NETWORK_PREFIX) ? state.networks.get(key.slice(NETWORK_PREFIX.length)) : undefined;
    return network === undefined ? [] : networkLeases(network);
  });
  return { puts: leaving, deletes: entering.map(({ key }) => key) };
}

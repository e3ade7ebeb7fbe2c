// What the controller asks of address management. The embedded implementation is embedded.ts; drivers of other people
// (libnetwork's remote IPAM protocol) fit the same interface, which is why choosing and requesting are promises.
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../controller/types.ts";
import type { Prefix } from "../net/prefix.ts";
import type { Put } from "../store/store.ts";
import type { AddressSpace } from "./default-pools.ts";
import type { PoolUsage } from "./pool.ts";

export interface HostRoute {
  readonly prefix: Prefix;
  /** The host itself has an address there (no next hop). */
  readonly onLink: boolean;
}

export interface SubnetRequest {
  readonly subnet?: string | undefined;
  readonly ipRange?: string | undefined;
  readonly gateway?: string | undefined;
  readonly auxAddresses?: Readonly<Record<string, string>> | undefined;
}

export interface SubnetPlan {
  readonly space: AddressSpace;
  readonly requests: readonly SubnetRequest[];
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  /** Subnets of the networks there are. */
  readonly networks: readonly { readonly name: string; readonly prefix: Prefix }[];
  /** Empty where the host's own routing does not matter to the network. */
  readonly hostRoutes: readonly HostRoute[];
  /** 10 hexadecimal digits. */
  readonly ulaGlobalId: string;
}

export interface AddressRequest {
  /** By value, or null: the next one. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

export interface AddressLease {
  /** "10.0.0.2/24", or null: the network has no such family. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  /** To be stored together with the endpoint: where serial allocation stands. */
  readonly puts: readonly Put[];
}

export interface Ipam {
  readonly name: string;
  /** The subnets, ranges and gateways of a network to be. Reserves nothing: openNetwork does. */
  chooseSubnets(plan: SubnetPlan): Promise<readonly IpamConfig[]>;
  /** Takes a network's pools into use, with the addresses of the endpoints it has. `cursors`: what AddressLease.puts stored. */
  openNetwork(
    network: NetworkRecord,
    space: AddressSpace,
    endpoints: readonly EndpointRecord[],
    cursors: ReadonlyMap<string, unknown>,
  ): void;
  closeNetwork(networkId: string): void;
  requestAddresses(networkId: string, request: AddressRequest): Promise<AddressLease>;
  releaseAddresses(networkId: string, addresses: { readonly ipv4: string | null; readonly ipv6: string | null }): Promise<void>;
  /** By subnet. */
  usage(networkId: string): Readonly<Record<string, PoolUsage>>;
  /** Keys in the store that belong to this network's pools alone. */
  keysOf(network: NetworkRecord, space: AddressSpace): readonly string[];
}

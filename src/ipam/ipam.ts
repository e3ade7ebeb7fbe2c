// What the controller asks of address management. Whoever gives the addresses is a driver: `default` (embedded.ts), `null`
// (null.ts) or a plugin's (remote/). registry.ts sends each network's calls to its own, so the controller knows one Ipam.
//
// A driver of other people keeps books of its own, which ours must agree with across a crash of either. Hence two steps where
// one would do for us: what it gave is stored as a lease (leases.ts) at once, and the lease goes in the very commit that stores
// the network or endpoint; what is removed becomes a lease again in the commit that removes it, until the driver has it back.

import type { Prefix } from "../net/prefix.ts";
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../records/records.ts";
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
  /** None is chosen where none is given: nobody would have it. */
  readonly withoutGateway?: boolean;
  readonly auxAddresses?: Readonly<Record<string, string>> | undefined;
}

export type GatewaySkips = Readonly<Record<4 | 6, boolean>>;

export interface SubnetPlan {
  readonly space: AddressSpace;
  readonly requests: readonly SubnetRequest[];
  readonly enableIpv4: boolean;
  readonly enableIpv6: boolean;
  /** Families that need no gateway; absent: both do. */
  readonly withoutGateway?: GatewaySkips;
  /** Subnets of the networks there are. */
  readonly networks: readonly { readonly name: string; readonly prefix: Prefix }[];
  /** Empty where the host's own routing does not matter to the network. */
  readonly hostRoutes: readonly HostRoute[];
  /** 10 hexadecimal digits. */
  readonly ulaGlobalId: string;
}

/** For whom pools are chosen. */
export interface PoolOwner {
  readonly networkId: string;
  /** `--ipam-opt` */
  readonly options: Readonly<Record<string, string>>;
}

export interface AddressRequest {
  /** By value, or null: the next one. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  /** Of the endpoint, where it is known already. */
  readonly mac?: string | null;
}

export interface AddressLease {
  /** "10.0.0.2/24", or null: the network has no such family. */
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  /** To be stored together with the endpoint: where serial allocation stands. */
  readonly puts: readonly Put[];
}

export interface LeasedAddresses {
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

/** Addresses that were wrongly taken or wrongly free: a bug, made good. */
export interface Mended {
  readonly freed: readonly string[];
  readonly claimed: readonly string[];
}

/** What plugins were given back that a crash, or their absence, had left; and what still waits for them. */
export interface LeaseReport {
  readonly released: number;
  readonly waiting: number;
}

/** The calls for networks that are there, by their ids. */
export interface NetworkPools {
  /** Takes a network's pools into use, with the addresses of the endpoints it has. `cursors`: what AddressLease.puts stored. */
  openNetwork(
    network: NetworkRecord,
    space: AddressSpace,
    endpoints: readonly EndpointRecord[],
    cursors: ReadonlyMap<string, unknown>,
  ): void;
  closeNetwork(networkId: string): void;
  requestAddresses(networkId: string, request: AddressRequest): Promise<AddressLease>;
  /** Never fails: what can't be given back now is given back later. */
  releaseAddresses(networkId: string, addresses: LeasedAddresses): Promise<void>;
  /** By subnet. */
  usage(networkId: string): Readonly<Record<string, PoolUsage>>;
  /** Keys in the store that belong to this network's pools alone. */
  keysOf(network: NetworkRecord, space: AddressSpace): readonly string[];
}

export interface IpamDriver extends NetworkPools {
  readonly name: string;
  /** Addresses can be asked for only with the endpoint's MAC address. */
  requiresMac?(): Promise<boolean>;
  /** Throws INVALID_ARGUMENT. */
  checkOptions(options: Readonly<Record<string, string>>): void;
  /** The subnets, ranges and gateways of a network to be. Where openNetwork does not reserve them, they are leased. */
  chooseSubnets(plan: SubnetPlan, owner: PoolOwner): Promise<readonly IpamConfig[]>;
  /** Gives back what chooseSubnets took, of a network that is not, or no longer, stored. Never fails. */
  releaseSubnets?(networkId: string, subnets: readonly IpamConfig[]): Promise<void>;
  /** Makes what is taken be what these endpoints have. Nobody else is busy with the network. */
  reconcileNetwork?(networkId: string, endpoints: readonly EndpointRecord[]): Mended;
}

export interface Ipam extends NetworkPools {
  /** Empty: the default one. Throws NOT_FOUND where there is no such driver, UNAVAILABLE where it does not answer. */
  driver(name: string): Promise<IpamDriver>;
  requiresMac(networkId: string): Promise<boolean>;
  releaseSubnets(network: Pick<NetworkRecord, "id" | "ipam" | "ipamDriver">): Promise<void>;
  reconcileNetwork(networkId: string, endpoints: readonly EndpointRecord[]): Mended;
  reconcileLeases(): Promise<LeaseReport>;
}

export const DEFAULT_IPAM = "default";
export const NULL_IPAM = "null";

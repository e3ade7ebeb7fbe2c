// IPAM drivers by name, and each network's calls sent to the driver that the network was made with.
//
// A name that is not built in is a plugin's. For a new network the plugin must be there and answer; a network that has it keeps
// it, whether it answers now or not.

import { notFound, WeftError } from "../errors.ts";
import type { EndpointRecord, NetworkRecord } from "../records/records.ts";
import type { AddressSpace } from "./default-pools.ts";
import {
  type AddressLease,
  type AddressRequest,
  DEFAULT_IPAM,
  type Ipam,
  type IpamDriver,
  type LeasedAddresses,
  type LeaseReport,
  type Mended,
  type NetworkPools,
} from "./ipam.ts";

export interface IpamPlugins {
  /** Null: there is no plugin of this name. Throws UNAVAILABLE if it is there and does not answer. */
  find(name: string): Promise<IpamDriver | null>;
  /** For networks that are there already. */
  get(name: string): IpamDriver;
  /** Gives back what is left over from crashes and from plugins that were down; makes contact with all that networks have. */
  reconcile(): Promise<LeaseReport>;
}

export class IpamRegistry implements Ipam {
  readonly #builtin: ReadonlyMap<string, IpamDriver>;
  readonly #plugins: IpamPlugins | null;
  /** By network id. */
  readonly #networks = new Map<string, IpamDriver>();

  constructor(drivers: readonly IpamDriver[], plugins: IpamPlugins | null = null) {
    this.#builtin = new Map(drivers.map((driver) => [driver.name, driver]));
    this.#plugins = plugins;
  }

  async driver(name: string): Promise<IpamDriver> {
    const driver = this.#builtin.get(name || DEFAULT_IPAM) ?? (await this.#plugins?.find(name));
    if (driver) return driver;
    throw notFound(
      `plugin "${name}" not found: no IPAM driver has this name; ${[...this.#builtin.keys()].join(" and ")} are built in, a plugin must run and have its socket in /run/docker/plugins`,
    );
  }

  async requiresMac(networkId: string): Promise<boolean> {
    return (await this.#of(networkId).requiresMac?.()) ?? false;
  }

  openNetwork(
    network: NetworkRecord,
    space: AddressSpace,
    endpoints: readonly EndpointRecord[],
    cursors: ReadonlyMap<string, unknown>,
  ): void {
    const driver = this.#named(network.ipamDriver);
    this.#networks.set(network.id, driver);
    driver.openNetwork(network, space, endpoints, cursors);
  }

  closeNetwork(networkId: string): void {
    this.#networks.get(networkId)?.closeNetwork(networkId);
    this.#networks.delete(networkId);
  }

  requestAddresses(networkId: string, request: AddressRequest): Promise<AddressLease> {
    return this.#of(networkId).requestAddresses(networkId, request);
  }

  async releaseAddresses(networkId: string, addresses: LeasedAddresses): Promise<void> {
    await this.#networks.get(networkId)?.releaseAddresses(networkId, addresses);
  }

  async releaseSubnets(network: Pick<NetworkRecord, "id" | "ipam" | "ipamDriver">): Promise<void> {
    await this.#named(network.ipamDriver).releaseSubnets?.(network.id, network.ipam);
  }

  reconcileNetwork(networkId: string, endpoints: readonly EndpointRecord[]): Mended {
    return this.#of(networkId).reconcileNetwork?.(networkId, endpoints) ?? { freed: [], claimed: [] };
  }

  async reconcileLeases(): Promise<LeaseReport> {
    return (await this.#plugins?.reconcile()) ?? { released: 0, waiting: 0 };
  }

  usage(networkId: string): ReturnType<NetworkPools["usage"]> {
    return this.#of(networkId).usage(networkId);
  }

  keysOf(network: NetworkRecord, space: AddressSpace): readonly string[] {
    return this.#named(network.ipamDriver).keysOf(network, space);
  }

  #named(name: string): IpamDriver {
    const driver = this.#builtin.get(name) ?? this.#plugins?.get(name);
    if (driver === undefined) throw new WeftError("INTERNAL", `no IPAM driver ${name}`);
    return driver;
  }

  #of(networkId: string): IpamDriver {
    const driver = this.#networks.get(networkId);
    if (driver === undefined) throw new WeftError("INTERNAL", `address pools of network ${networkId} are not open`);
    return driver;
  }
}

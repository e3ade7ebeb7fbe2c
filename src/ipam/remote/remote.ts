// Addresses from a plugin (libnetwork's remote IPAM). The plugin keeps the books; here is how pools and addresses are asked of it
// and what of its answers is believed. What it gave is written down before anyone hears of it (holdings.ts), and it is told again
// what its networks have if it wants that after a restart (contact.ts).

import { invalidArgument, unavailable, WeftError } from "../../errors.ts";
import { type Address, formatAddress, parseAddress, parseFamilyAddress, sameAddress } from "../../net/address.ts";
import { containsAddress, formatPrefix, type Prefix, parseInterfaceAddress, parsePrefix, prefixesOverlap } from "../../net/prefix.ts";
import type { Plugin } from "../../plugins/plugin.ts";
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../../records/records.ts";
import type { AddressSpace } from "../default-pools.ts";
import type { AddressLease, AddressRequest, IpamDriver, LeasedAddresses, LeaseReport, PoolOwner, SubnetPlan } from "../ipam.ts";
import { addressLeaseKey, type LeaseEntry, type Leases, poolLeaseKey } from "../leases.ts";
import { subnetPairs } from "../pairs.ts";
import { outOfRange } from "../pool.ts";
import { checkRange, checkSubnet, configure, isAny, type WantedSubnet, wantedSubnets } from "../subnets.ts";
import { FirstContact } from "./contact.ts";
import { Holdings, type RemoteLog } from "./holdings.ts";
import type { OpenNetwork, OpenNetworks } from "./open-networks.ts";
import { ADDRESS_TYPE_OPTION, GATEWAY_TYPE, IpamPlugin, MAC_OPTION, type Pool } from "./protocol.ts";

/** Pools that we may hold back until the plugin gives one that no route of the host has. */
const POOLS_TRIED = 32;

export class RemoteIpam implements IpamDriver {
  readonly name: string;
  readonly #ipam: IpamPlugin;
  readonly #networks: OpenNetworks = new Map();
  readonly #contact: FirstContact;
  readonly #holdings: Holdings;

  constructor(plugin: Plugin, leases: Leases, log: RemoteLog) {
    this.name = plugin.name;
    this.#ipam = new IpamPlugin(plugin);
    this.#contact = new FirstContact(plugin, this.#ipam, this.#networks, log);
    this.#holdings = new Holdings(plugin.name, this.#ipam, leases, this.#networks, log);
  }

  /** Throws UNAVAILABLE if the plugin does not answer, or is no IPAM driver. */
  async connect(): Promise<void> {
    await this.#contact.made();
  }

  async requiresMac(): Promise<boolean> {
    return (await this.#contact.made()).requiresMac;
  }

  /** What options there are only the plugin knows. */
  checkOptions(): void {}

  async chooseSubnets(plan: SubnetPlan, owner: PoolOwner): Promise<readonly IpamConfig[]> {
    const { spaces } = await this.#contact.made();
    const wanted = wantedSubnets(plan);
    for (const { request, subnet } of wanted) {
      if (isAny(subnet)) continue;
      checkSubnet(subnet, plan);
      configure(subnet, request);
    }
    const keys: string[] = [];
    try {
      const configs: IpamConfig[] = [];
      for (const one of wanted) {
        const space = spaces[plan.space];
        configs.push(await this.#configure(one, await this.#pool(one, space, plan, owner, keys), owner.networkId, keys));
      }
      return configs;
    } catch (error) {
      // Addresses before the pools that they are of.
      for (const key of keys.reverse()) await this.#holdings.giveBack(key);
      throw error;
    }
  }

  async releaseSubnets(networkId: string, subnets: readonly IpamConfig[]): Promise<void> {
    const addresses = subnets.flatMap(({ gateway, auxAddresses }) => [
      ...(gateway === null ? [] : [gateway]),
      ...Object.values(auxAddresses),
    ]);
    for (const address of addresses) await this.#holdings.giveBack(addressLeaseKey(networkId, address));
    for (const { subnet } of subnets) await this.#holdings.giveBack(poolLeaseKey(networkId, subnet));
  }

  openNetwork(record: NetworkRecord, space: AddressSpace, endpoints: readonly EndpointRecord[]): void {
    const texts = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]).filter((text) => text !== null);
    this.#networks.set(record.id, { record, space, addresses: new Set(texts.map(withoutLength)) });
  }

  closeNetwork(networkId: string): void {
    this.#networks.delete(networkId);
  }

  async requestAddresses(networkId: string, request: AddressRequest): Promise<AddressLease> {
    const { requiresMac } = await this.#contact.made();
    const network = this.#networks.get(networkId);
    if (network === undefined) throw new WeftError("INTERNAL", `address pools of network ${networkId} are not open`);
    const options = requiresMac && request.mac ? { [MAC_OPTION]: request.mac } : null;
    const asked = { 4: familyAddress(request.ipv4, 4), 6: familyAddress(request.ipv6, 6) };
    const pairs = subnetPairs(network.record.ipam).filter(({ ipv4, ipv6 }) => holds(ipv4, asked[4]) && holds(ipv6, asked[6]));
    if (pairs.length === 0) throw unplaced(network.record, asked);
    let refusal: unknown;
    for (const { ipv4, ipv6 } of pairs) {
      const taken: string[] = [];
      try {
        const lease = {
          ipv4: await this.#address(network, ipv4, asked[4], options, taken),
          ipv6: await this.#address(network, ipv6, asked[6], options, taken),
        };
        return { ...lease, puts: [] };
      } catch (error) {
        for (const key of taken) await this.#holdings.giveBack(key);
        refusal ??= error;
        if ((error as WeftError).code === "UNAVAILABLE") break;
      }
    }
    throw refusal;
  }

  async releaseAddresses(networkId: string, { ipv4, ipv6 }: LeasedAddresses): Promise<void> {
    for (const text of [ipv4, ipv6]) {
      if (text === null) continue;
      const address = withoutLength(text);
      this.#networks.get(networkId)?.addresses.delete(address);
      await this.#holdings.giveBack(addressLeaseKey(networkId, address));
    }
  }

  usage(): Readonly<Record<string, never>> {
    return {}; // the plugin has it and doesn't say
  }

  keysOf(): readonly string[] {
    return [];
  }

  /** Makes contact where there is none, and gives back what is left over; answers how much that was. */
  async reconcile(left: readonly LeaseEntry[]): Promise<LeaseReport> {
    if (left.length === 0 && this.#networks.size === 0) return { released: 0, waiting: 0 };
    await this.#contact.made();
    let released = 0;
    for (const { key, revision } of left) if (await this.#holdings.giveBack(key, revision)) released++;
    return { released, waiting: left.length - released };
  }

  /** `keys` gets the leases. */
  async #pool({ request, subnet }: WantedSubnet, space: string, plan: SubnetPlan, owner: PoolOwner, keys: string[]): Promise<Pool> {
    const ask = {
      AddressSpace: space,
      Pool: request.subnet ?? "",
      SubPool: request.ipRange ?? "",
      Options: owner.options,
      V6: subnet.family === 6,
    };
    const obstacles = [...plan.networks, ...plan.hostRoutes].map(({ prefix }) => prefix);
    const unfit: string[] = [];
    const unusable = async (poolId: string): Promise<void> => {
      const key = poolLeaseKey(owner.networkId, "unusable");
      await this.#holdings.hold(key, { driver: this.name, poolId, address: null });
      await this.#holdings.giveBack(key);
    };
    try {
      for (let tries = 0; tries < POOLS_TRIED; tries++) {
        const pool = await this.#ipam.requestPool(ask, unusable);
        const key = poolLeaseKey(owner.networkId, formatPrefix(pool.prefix));
        await this.#holdings.hold(key, { driver: this.name, poolId: pool.id, address: null });
        if (!isAny(subnet) || !overlapsAny(pool.prefix, obstacles)) {
          keys.push(key);
          return pool;
        }
        // Kept until another is found, or it would be given again.
        unfit.push(key);
      }
    } finally {
      for (const key of unfit) await this.#holdings.giveBack(key);
    }
    throw new WeftError(
      "RESOURCE_EXHAUSTED",
      `plugin ${this.name} gives no pool that is free on this host: ${POOLS_TRIED} overlap networks or routes; name one by --subnet`,
    );
  }

  async #configure({ request, subnet }: WantedSubnet, pool: Pool, networkId: string, keys: string[]): Promise<IpamConfig> {
    if (!isAny(subnet) && formatPrefix(pool.prefix) !== formatPrefix(subnet)) {
      throw unavailable(`plugin ${this.name} gives pool ${formatPrefix(pool.prefix)} where ${formatPrefix(subnet)} was asked for`);
    }
    this.#checkPool(pool.prefix);
    const take = async (address: string, options: Readonly<Record<string, string>> | null): Promise<Address> => {
      const given = await this.#ipam.requestAddress(pool.id, address, options);
      const key = addressLeaseKey(networkId, formatAddress(given));
      await this.#holdings.hold(key, { driver: this.name, poolId: pool.id, address: formatAddress(given) });
      keys.push(key);
      return this.#asAsked(this.#inside(given, pool.prefix), address === "" ? null : parseAddress(address));
    };
    let { gateway } = pool;
    if (request.gateway || (gateway === null && !request.withoutGateway)) {
      try {
        gateway = await take(request.gateway ?? "", { [ADDRESS_TYPE_OPTION]: GATEWAY_TYPE });
      } catch (error) {
        if (!(error instanceof WeftError)) throw error;
        throw new WeftError(error.code, `failed to allocate gateway (${request.gateway ?? ""}): ${error.message}`, { cause: error });
      }
    }
    const auxAddresses: Record<string, string> = Object.create(null); // names are the user's, `__proto__` among them
    for (const [name, text] of Object.entries(request.auxAddresses ?? {})) auxAddresses[name] = formatAddress(await take(text, null));
    return {
      subnet: formatPrefix(pool.prefix),
      ipRange: request.ipRange ?? null,
      gateway: gateway === null ? null : formatAddress(this.#inside(gateway, pool.prefix)),
      auxAddresses,
      poolId: pool.id,
    };
  }

  async #address(
    network: OpenNetwork,
    config: IpamConfig | null,
    asked: Address | null,
    options: Readonly<Record<string, string>> | null,
    taken: string[],
  ): Promise<string | null> {
    if (config?.poolId === undefined) return null;
    const given = await this.#ipam.requestAddress(config.poolId, asked === null ? "" : formatAddress(asked), options);
    const address = formatAddress(given);
    const prefix = parsePrefix(config.subnet);
    const key = addressLeaseKey(network.record.id, address);
    // Somebody here has it: taking it back would take it from him.
    const holder = holderOf(network, config, address);
    if (holder !== null)
      throw unavailable(`plugin ${this.name} gives ${address} twice: ${holder} of network ${network.record.name} has it`);
    network.addresses.add(address); // before anything is waited for: the next answer may have it too
    try {
      await this.#holdings.hold(key, { driver: this.name, poolId: config.poolId, address });
    } catch (error) {
      network.addresses.delete(address);
      throw error;
    }
    taken.push(key);
    this.#asAsked(this.#inside(given, prefix), asked);
    return `${address}/${prefix.length}`;
  }

  #checkPool(prefix: Prefix): void {
    try {
      checkRange(prefix);
    } catch (error) {
      throw unavailable(`plugin ${this.name} gives a pool that no network can have: ${(error as Error).message}`);
    }
  }

  /** To the protocol an address is a preference, to who wrote --ip or --gateway it is none. */
  #asAsked(given: Address, asked: Address | null): Address {
    if (asked !== null && !sameAddress(given, asked)) {
      throw unavailable(`plugin ${this.name} gives address ${formatAddress(given)} where ${formatAddress(asked)} was asked for`);
    }
    return given;
  }

  #inside(address: Address, pool: Prefix): Address {
    if (!containsAddress(pool, address)) {
      throw unavailable(`plugin ${this.name} gives address ${formatAddress(address)}, which is not in its pool ${formatPrefix(pool)}`);
    }
    return address;
  }
}

/** Who has the address already; null: nobody. */
function holderOf({ addresses }: OpenNetwork, { gateway, auxAddresses }: IpamConfig, address: string): string | null {
  if (addresses.has(address)) return "an endpoint";
  if (gateway === address) return "the gateway";
  return Object.values(auxAddresses).includes(address) ? "an auxiliary address" : null;
}

const withoutLength = (text: string): string => formatAddress(parseInterfaceAddress(text).address);
const overlapsAny = (prefix: Prefix, others: readonly Prefix[]): boolean => others.some((other) => prefixesOverlap(other, prefix));

const familyAddress = (text: string | null, family: 4 | 6): Address | null => (text === null ? null : parseFamilyAddress(text, family));

const holds = (config: IpamConfig | null, address: Address | null): boolean =>
  address === null || (config !== null && containsAddress(parsePrefix(config.subnet), address));

function unplaced(network: NetworkRecord, asked: Readonly<Record<4 | 6, Address | null>>): WeftError {
  const subnets = network.ipam.map(({ subnet }) => parsePrefix(subnet));
  for (const address of [asked[4], asked[6]]) {
    if (address === null) continue;
    const own = subnets.filter(({ family }) => family === address.family);
    if (!own.some((prefix) => containsAddress(prefix, address))) return outOfRange(address, own);
  }
  return invalidArgument("the addresses are in subnets of this network that don't share a link; choose both from one pair");
}

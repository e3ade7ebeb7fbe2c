// Addresses from a plugin (libnetwork's remote IPAM). The plugin keeps the books; here is who has which address of the
// networks that are there, so that it can be told again after a restart (RequiresRequestReplay), and that what it gave is
// written down before anyone hears of it (leases.ts).
//
// First contact, once in the daemon's life: Activate, GetCapabilities, GetDefaultAddressSpaces, replay. Whoever comes meanwhile
// waits for it.
//
// Giving back never fails and never waits: an entry stays in the store until the plugin has taken it.
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../../controller/types.ts";
import { invalidArgument, unavailable, WeftError } from "../../errors.ts";
import { type Address, formatAddress, parseAddress } from "../../net/address.ts";
import { containsAddress, formatPrefix, type Prefix, parseInterfaceAddress, parsePrefix, prefixesOverlap } from "../../net/prefix.ts";
import { NotImplemented, type Plugin } from "../../plugins/plugin.ts";
import type { AddressSpace } from "../default-pools.ts";
import type { AddressLease, AddressRequest, IpamDriver, LeasedAddresses, LeaseReport, PoolOwner, SubnetPlan } from "../ipam.ts";
import { addressLeaseKey, type Lease, type LeaseEntry, type Leases, poolLeaseKey } from "../leases.ts";
import { subnetPairs } from "../pairs.ts";
import { outOfRange } from "../pool.ts";
import { checkSubnet, configure, isAny, type WantedSubnet, wantedSubnets } from "../subnets.ts";
import { ADDRESS_TYPE_OPTION, GATEWAY_TYPE, IPAM_KIND, IpamPlugin, MAC_OPTION, type Pool } from "./protocol.ts";

/** Pools that we may hold back until the plugin gives one that no route of the host has. */
const POOLS_TRIED = 32;

export type RemoteLog = (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;

interface Contact {
  readonly requiresMac: boolean;
  readonly spaces: Readonly<Record<AddressSpace, string>>;
}

interface OpenNetwork {
  readonly record: NetworkRecord;
  readonly space: AddressSpace;
  /** Without prefix length. */
  readonly addresses: Set<string>;
}

export class RemoteIpam implements IpamDriver {
  readonly name: string;
  readonly #plugin: Plugin;
  readonly #ipam: IpamPlugin;
  readonly #leases: Leases;
  readonly #log: RemoteLog;
  readonly #networks = new Map<string, OpenNetwork>();
  /** Keys of leases that are being given back. */
  readonly #returning = new Map<string, Promise<boolean>>();
  #contact: Promise<Contact> | null = null;
  #replayed = false;

  constructor(plugin: Plugin, leases: Leases, log: RemoteLog) {
    this.name = plugin.name;
    this.#plugin = plugin;
    this.#ipam = new IpamPlugin(plugin);
    this.#leases = leases;
    this.#log = log;
  }

  /** Throws UNAVAILABLE if the plugin does not answer, or is no IPAM driver. */
  async connect(): Promise<void> {
    await this.#connected();
  }

  async requiresMac(): Promise<boolean> {
    return (await this.#connected()).requiresMac;
  }

  /** What options there are only the plugin knows. */
  checkOptions(): void {}

  async chooseSubnets(plan: SubnetPlan, owner: PoolOwner): Promise<readonly IpamConfig[]> {
    const { spaces } = await this.#connected();
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
      for (const key of keys.reverse()) await this.#return(key);
      throw error;
    }
  }

  async releaseSubnets(networkId: string, subnets: readonly IpamConfig[]): Promise<void> {
    const addresses = subnets.flatMap(({ gateway, auxAddresses }) => [
      ...(gateway === null ? [] : [gateway]),
      ...Object.values(auxAddresses),
    ]);
    for (const address of addresses) await this.#return(addressLeaseKey(networkId, address));
    for (const { subnet } of subnets) await this.#return(poolLeaseKey(networkId, subnet));
  }

  openNetwork(record: NetworkRecord, space: AddressSpace, endpoints: readonly EndpointRecord[]): void {
    const texts = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]).filter((text) => text !== null);
    this.#networks.set(record.id, { record, space, addresses: new Set(texts.map(withoutLength)) });
  }

  closeNetwork(networkId: string): void {
    this.#networks.delete(networkId);
  }

  async requestAddresses(networkId: string, request: AddressRequest): Promise<AddressLease> {
    const { requiresMac } = await this.#connected();
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
        for (const key of taken) await this.#return(key);
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
      await this.#return(addressLeaseKey(networkId, address));
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
    await this.#connected();
    let released = 0;
    for (const { key } of left) if (await this.#return(key)) released++;
    return { released, waiting: left.length - released };
  }

  // ── contact ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async #connected(): Promise<Contact> {
    this.#contact ??= this.#greet();
    try {
      return await this.#contact;
    } catch (error) {
      this.#contact = null;
      throw error;
    }
  }

  async #greet(): Promise<Contact> {
    await this.#plugin.require(IPAM_KIND);
    const { requiresMac, requiresReplay } = await this.#ipam.capabilities();
    const spaces = await this.#ipam.addressSpaces();
    if (requiresReplay && !this.#replayed) for (const network of this.#networks.values()) await this.#replay(network, spaces);
    this.#replayed = true;
    return { requiresMac, spaces };
  }

  /** Tells the plugin what a network has, as it was told when the network was made. */
  async #replay({ record, space, addresses }: OpenNetwork, spaces: Contact["spaces"]): Promise<void> {
    try {
      for (const config of record.ipam) {
        const { subnet, ipRange, gateway, auxAddresses, poolId } = config;
        const prefix = parsePrefix(subnet);
        const request = {
          AddressSpace: spaces[space],
          Pool: subnet,
          SubPool: ipRange ?? "",
          Options: record.ipamOptions,
          V6: prefix.family === 6,
        };
        const pool = await this.#ipam.requestPool(request);
        if (pool.id !== poolId) throw unavailable(`pool ${subnet} was ${poolId} and is now ${pool.id}`);
        if (gateway !== null) await this.#ipam.requestAddress(pool.id, gateway, { [ADDRESS_TYPE_OPTION]: GATEWAY_TYPE });
        for (const address of Object.values(auxAddresses)) await this.#ipam.requestAddress(pool.id, address, null);
        for (const text of addresses) {
          if (containsAddress(prefix, parseAddress(text))) await this.#ipam.requestAddress(pool.id, text, null);
        }
      }
      this.#log("info", "an IPAM plugin was told again what a network has", { plugin: this.name, network: record.name });
    } catch (error) {
      const fields = { plugin: this.name, network: record.name, error: (error as Error).message };
      this.#log("warn", "an IPAM plugin does not take back what it gave a network: it may give its addresses to others", fields);
    }
  }

  // ── taking ───────────────────────────────────────────────────────────────────────────────────────────────────────

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
    try {
      for (let tries = 0; tries < POOLS_TRIED; tries++) {
        const pool = await this.#ipam.requestPool(ask);
        const key = poolLeaseKey(owner.networkId, formatPrefix(pool.prefix));
        await this.#hold(key, { driver: this.name, poolId: pool.id, address: null });
        if (!isAny(subnet) || !overlapsAny(pool.prefix, obstacles)) {
          keys.push(key);
          return pool;
        }
        // Kept until another is found, or it would be given again.
        unfit.push(key);
      }
    } finally {
      for (const key of unfit) await this.#return(key);
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
    const take = async (address: string, options: Readonly<Record<string, string>> | null): Promise<Address> => {
      const given = await this.#ipam.requestAddress(pool.id, address, options);
      const key = addressLeaseKey(networkId, formatAddress(given));
      await this.#hold(key, { driver: this.name, poolId: pool.id, address: formatAddress(given) });
      keys.push(key);
      return this.#inside(given, pool.prefix);
    };
    let { gateway } = pool;
    if (request.gateway || gateway === null) {
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
      gateway: formatAddress(this.#inside(gateway, pool.prefix)),
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
    if (network.addresses.has(address)) {
      throw unavailable(`plugin ${this.name} gives ${address} twice: an endpoint of network ${network.record.name} has it`);
    }
    await this.#hold(key, { driver: this.name, poolId: config.poolId, address });
    taken.push(key);
    this.#inside(given, prefix);
    network.addresses.add(address);
    return `${address}/${prefix.length}`;
  }

  /** What can't be written down is given back at once. */
  async #hold(key: string, lease: Lease): Promise<void> {
    try {
      await this.#leases.hold(key, lease);
    } catch (error) {
      await this.#tell(lease).catch(() => {});
      throw error;
    }
  }

  #inside(address: Address, pool: Prefix): Address {
    if (!containsAddress(pool, address)) {
      throw unavailable(`plugin ${this.name} gives address ${formatAddress(address)}, which is not in its pool ${formatPrefix(pool)}`);
    }
    return address;
  }

  // ── giving back ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether the lease is settled. */
  #return(key: string): Promise<boolean> {
    const busy = this.#returning.get(key);
    if (busy !== undefined) return busy;
    const work = this.#giveBack(key).finally(() => this.#returning.delete(key));
    this.#returning.set(key, work);
    return work;
  }

  async #giveBack(key: string): Promise<boolean> {
    const what = { plugin: this.name, lease: key };
    try {
      const entry = await this.#leases.get(key);
      if (entry === null) return true;
      const { address } = entry.lease;
      const networkId = key.split("/")[2]!;
      if (address !== null) this.#networks.get(networkId)?.addresses.delete(address);
      if (!this.#isUsed(entry.lease)) await this.#tell(entry.lease);
      await this.#leases.drop(entry);
      return true;
    } catch (error) {
      this.#log("warn", "an IPAM plugin could not be given back what it gave: it is tried again", {
        ...what,
        error: (error as Error).message,
      });
      return false;
    } finally {
      this.#leases.letGo(key);
    }
  }

  /** A plugin that says no has no such thing: that is as good as taken back. */
  async #tell({ poolId, address }: Lease): Promise<void> {
    try {
      if (address === null) await this.#ipam.releasePool(poolId);
      else await this.#ipam.releaseAddress(poolId, address);
    } catch (error) {
      if (error instanceof NotImplemented) return;
      if (!(error instanceof WeftError) || error.code === "UNAVAILABLE") throw error;
      this.#log("warn", "an IPAM plugin does not know what it is given back", { plugin: this.name, poolId, address, error: error.message });
    }
  }

  /** Whether a network has it: a plugin that forgot everything gave it anew. */
  #isUsed({ poolId, address }: Lease): boolean {
    for (const { record, addresses } of this.#networks.values()) {
      for (const config of record.ipam) {
        if (config.poolId !== poolId) continue;
        if (
          address === null ||
          config.gateway === address ||
          Object.values(config.auxAddresses).includes(address) ||
          addresses.has(address)
        )
          return true;
      }
    }
    return false;
  }
}

const withoutLength = (text: string): string => formatAddress(parseInterfaceAddress(text).address);
const overlapsAny = (prefix: Prefix, others: readonly Prefix[]): boolean => others.some((other) => prefixesOverlap(other, prefix));

function familyAddress(text: string | null, family: 4 | 6): Address | null {
  if (text === null) return null;
  const address = parseAddress(text, `IPv${family} address`);
  if (address.family !== family) throw invalidArgument(`invalid IPv${family} address: ${text}`);
  return address;
}

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

// The address management that comes with Weft ("default", as Docker calls its own).
//
// Who has which address is said by the stored networks and endpoints and by nothing else: the pools here are computed from
// them when a network is opened, so an address can't leak past a restart, and release is no more than forgetting. The one
// thing stored beside is where serial allocation stands, which is a wish (give released addresses late), not a fact.

import { invalidArgument, WeftError } from "../errors.ts";
import { type Address, formatAddress, parseFamilyAddress, tryParseAddress } from "../net/address.ts";
import { containsAddress, parseInterfaceAddress } from "../net/prefix.ts";
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../records/records.ts";
import { ipamKey } from "../store/keys.ts";
import type { Put } from "../store/store.ts";
import type { AddressSpace } from "./default-pools.ts";
import {
  type AddressLease,
  type AddressRequest,
  DEFAULT_IPAM,
  type IpamDriver,
  type LeasedAddresses,
  type Mended,
  type SubnetPlan,
} from "./ipam.ts";
import { subnetPairs } from "./pairs.ts";
import { AddressPool, outOfRange, type PoolUsage } from "./pool.ts";
import { planSubnets } from "./subnets.ts";

interface OpenPool {
  readonly config: IpamConfig;
  readonly pool: AddressPool;
  readonly cursorKey: string;
}

/** Subnets that belong together: endpoints of one pair share a link. */
interface Pair {
  readonly ipv4: OpenPool | null;
  readonly ipv6: OpenPool | null;
}

const SERIAL_OPTION = "com.docker.network.ipam.serial";

export class EmbeddedIpam implements IpamDriver {
  readonly name = DEFAULT_IPAM;
  readonly #networks = new Map<string, readonly Pair[]>();

  checkOptions(options: Readonly<Record<string, string>>): void {
    for (const [key, value] of Object.entries(options)) {
      if (key !== SERIAL_OPTION || value !== "true") {
        throw invalidArgument(
          `unknown IPAM option "${key}=${value}"; known options: ${SERIAL_OPTION}=true (addresses are always given serially)`,
        );
      }
    }
  }

  async chooseSubnets(plan: SubnetPlan): Promise<readonly IpamConfig[]> {
    return planSubnets(plan);
  }

  openNetwork(
    network: NetworkRecord,
    space: AddressSpace,
    endpoints: readonly EndpointRecord[],
    cursors: ReadonlyMap<string, unknown>,
  ): void {
    const pairs = subnetPairs(network.ipam).map(({ ipv4, ipv6 }) => ({ ipv4: openPool(ipv4, space), ipv6: openPool(ipv6, space) }));
    this.#networks.set(network.id, pairs);
    for (const endpoint of endpoints) {
      for (const text of [endpoint.ipv4, endpoint.ipv6]) {
        if (text !== null) poolFor(pairs, parseInterfaceAddress(text).address)?.pool.requestAddress(parseInterfaceAddress(text).address);
      }
    }
    for (const open of pairs.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])) {
      const last = open === null ? undefined : cursors.get(open.cursorKey);
      const address = typeof last === "string" ? tryParseAddress(last) : null;
      if (address !== null) open!.pool.resumeBehind(address);
    }
  }

  closeNetwork(networkId: string): void {
    this.#networks.delete(networkId);
  }

  async requestAddresses(networkId: string, request: AddressRequest): Promise<AddressLease> {
    const pairs = this.#pairs(networkId);
    const ipv4 = request.ipv4 === null ? null : parseFamilyAddress(request.ipv4, 4);
    const ipv6 = request.ipv6 === null ? null : parseFamilyAddress(request.ipv6, 6);
    const candidates = pairs.filter((pair) => (ipv4 === null || inPool(pair.ipv4, ipv4)) && (ipv6 === null || inPool(pair.ipv6, ipv6)));
    if (candidates.length === 0) {
      for (const address of [ipv4, ipv6]) {
        if (address !== null && poolFor(pairs, address) === null) throw outOfRange(address, subnetsOf(pairs, address.family));
      }
      throw invalidArgument(
        `addresses ${request.ipv4} and ${request.ipv6} are in subnets of this network that don't share a link; choose both from one pair`,
      );
    }
    let full: WeftError | undefined;
    for (const pair of candidates) {
      try {
        return leaseFrom(pair, ipv4, ipv6);
      } catch (error) {
        if (!(error instanceof WeftError) || error.code !== "RESOURCE_EXHAUSTED") throw error;
        full ??= error;
      }
    }
    throw full!;
  }

  async releaseAddresses(networkId: string, addresses: LeasedAddresses): Promise<void> {
    const pairs = this.#networks.get(networkId) ?? [];
    for (const text of [addresses.ipv4, addresses.ipv6]) {
      if (text === null) continue;
      const { address } = parseInterfaceAddress(text);
      poolFor(pairs, address)?.pool.release(address);
    }
  }

  reconcileNetwork(networkId: string, endpoints: readonly EndpointRecord[]): Mended {
    const texts = endpoints.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]).filter((text) => text !== null);
    const held = texts.map((text) => parseInterfaceAddress(text).address);
    const mended = this.#pairs(networkId)
      .flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])
      .filter((open) => open !== null)
      .map(({ pool }) => pool.reconcile(held.filter(({ family }) => family === pool.subnet.family)));
    return {
      freed: mended.flatMap(({ freed }) => freed.map(formatAddress)),
      claimed: mended.flatMap(({ claimed }) => claimed.map(formatAddress)),
    };
  }

  usage(networkId: string): Readonly<Record<string, PoolUsage>> {
    const usage: Record<string, PoolUsage> = {};
    for (const { ipv4, ipv6 } of this.#pairs(networkId)) {
      for (const open of [ipv4, ipv6]) if (open !== null) usage[open.config.subnet] = open.pool.usage();
    }
    return usage;
  }

  keysOf(network: NetworkRecord, space: AddressSpace): readonly string[] {
    return network.ipam.map((config) => cursorKey(config, space));
  }

  #pairs(networkId: string): readonly Pair[] {
    const pairs = this.#networks.get(networkId);
    if (pairs === undefined) throw new WeftError("INTERNAL", `address pools of network ${networkId} are not open`);
    return pairs;
  }
}

const cursorKey = (config: IpamConfig, space: AddressSpace): string => ipamKey(space, config.ipRange ?? config.subnet);

function openPool(config: IpamConfig | null, space: AddressSpace): OpenPool | null {
  return config === null ? null : { config, pool: new AddressPool(config), cursorKey: cursorKey(config, space) };
}

const inPool = (open: OpenPool | null, address: Address): boolean => open !== null && containsAddress(open.pool.subnet, address);

function poolFor(pairs: readonly Pair[], address: Address): OpenPool | null {
  for (const { ipv4, ipv6 } of pairs) {
    const open = address.family === 4 ? ipv4 : ipv6;
    if (inPool(open, address)) return open;
  }
  return null;
}

function subnetsOf(pairs: readonly Pair[], family: 4 | 6) {
  return pairs.flatMap(({ ipv4, ipv6 }) => {
    const open = family === 4 ? ipv4 : ipv6;
    return open === null ? [] : [open.pool.subnet];
  });
}

/** Both addresses or none. */
function leaseFrom(pair: Pair, ipv4: Address | null, ipv6: Address | null): AddressLease {
  const puts: Put[] = [];
  const take = (open: OpenPool | null, address: Address | null): Address | null => {
    if (open === null) return null;
    if (address !== null) {
      open.pool.requestAddress(address);
      return address;
    }
    const given = open.pool.request();
    puts.push({ key: open.cursorKey, value: formatAddress(given) });
    return given;
  };
  const first = take(pair.ipv4, ipv4);
  let second: Address | null;
  try {
    second = take(pair.ipv6, ipv6);
  } catch (error) {
    if (first !== null) pair.ipv4!.pool.release(first);
    throw error;
  }
  const text = (open: OpenPool | null, address: Address | null) =>
    open === null || address === null ? null : `${formatAddress(address)}/${open.pool.subnet.length}`;
  return { ipv4: text(pair.ipv4, first), ipv6: text(pair.ipv6, second), puts };
}

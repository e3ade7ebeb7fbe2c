// What a driver of other people has given us and no stored network or endpoint accounts for: a pool or an address that is on
// its way into a record, or on its way back. Each is an entry of the store:
//
//   ipam/lease/<network id>/<address>          {driver, poolId, address}
//   ipam/lease/<network id>/pool/<subnet>      {driver, poolId, address: null}
//
//   asked for     driver answers ─> entry ─> commit: entry goes, endpoint (or network) comes
//   given back    commit: endpoint goes, entry comes ─> driver has it back ─> entry goes
//
// An entry that nobody in this process is busy with is therefore left over from a crash, or from a driver that did not answer:
// it is to be given back. The one gap is between the driver's answer and our writing it down, which no order can close as long
// as the protocol has no way to ask what one holds. An intent, written before asking, would say at the next start that there may be
// such a thing: of "any address" not which one; of a certain one not whether it is ours, for giving it back frees it under whoever
// else has it at the plugin by then, and asking again is refused in both cases. So the address is lost there, not given twice.

import { formatAddress } from "../net/address.ts";
import { containsAddress, parseInterfaceAddress, parsePrefix } from "../net/prefix.ts";
import type { EndpointRecord, NetworkRecord } from "../records/records.ts";
import { IPAM_PREFIX } from "../store/keys.ts";
import type { Json, Put, Store } from "../store/store.ts";

export const LEASE_PREFIX = `${IPAM_PREFIX}lease/`;

export interface Lease {
  readonly driver: string;
  readonly poolId: string;
  /** Null: the pool itself. */
  readonly address: string | null;
}

export interface LeaseEntry {
  readonly key: string;
  readonly lease: Lease;
  readonly revision: number;
}

export const addressLeaseKey = (networkId: string, address: string): string => `${LEASE_PREFIX}${networkId}/${address}`;
export const poolLeaseKey = (networkId: string, subnet: string): string => `${LEASE_PREFIX}${networkId}/pool/${subnet}`;

const put = (key: string, lease: Lease): Put => ({ key, value: { ...lease } });

/** The pools of a network that come from a plugin, as they are to be given back: addresses first. */
export function networkLeases(network: Pick<NetworkRecord, "id" | "ipam" | "ipamDriver">): Put[] {
  return network.ipam.flatMap(({ subnet, gateway, auxAddresses, poolId }) => {
    if (poolId === undefined) return [];
    const addresses = [...(gateway === null ? [] : [gateway]), ...Object.values(auxAddresses)];
    const lease = { driver: network.ipamDriver, poolId };
    return [
      ...addresses.map((address) => put(addressLeaseKey(network.id, address), { ...lease, address })),
      put(poolLeaseKey(network.id, subnet), { ...lease, address: null }),
    ];
  });
}

export function endpointLeases(network: NetworkRecord, { ipv4, ipv6 }: Pick<EndpointRecord, "ipv4" | "ipv6">): Put[] {
  return [ipv4, ipv6].flatMap((text) => {
    if (text === null) return [];
    const { address } = parseInterfaceAddress(text);
    const pool = network.ipam.find(({ subnet }) => containsAddress(parsePrefix(subnet), address));
    if (pool?.poolId === undefined) return [];
    const lease = { driver: network.ipamDriver, poolId: pool.poolId, address: formatAddress(address) };
    return [put(addressLeaseKey(network.id, lease.address), lease)];
  });
}

export class Leases {
  readonly #store: Store;
  /** Keys of what this process is about to put into a record. */
  readonly #held = new Set<string>();

  constructor(store: Store) {
    this.#store = store;
    // Gone: it is in a record, or given back.
    store.watch(LEASE_PREFIX, (changes) => {
      for (const { key, deleted } of changes) if (deleted) this.#held.delete(key);
    });
  }

  /** Writes down what a driver gave. */
  async hold(key: string, lease: Lease): Promise<void> {
    this.#held.add(key);
    try {
      await this.#store.commit({ puts: [put(key, lease)] });
    } catch (error) {
      this.#held.delete(key);
      throw error;
    }
  }

  /** It won't be in a record. */
  letGo(key: string): void {
    this.#held.delete(key);
  }

  async get(key: string): Promise<LeaseEntry | null> {
    const entry = await this.#store.get(key);
    return entry === null ? null : read(entry.key, entry.value, entry.revision);
  }

  /** Those that nobody is busy with, addresses before pools. */
  async left(): Promise<LeaseEntry[]> {
    const entries = (await this.#store.list(LEASE_PREFIX)).map(({ key, value, revision }) => read(key, value, revision));
    const left = entries.filter((entry) => entry !== null).filter(({ key }) => !this.#held.has(key));
    return left.sort((a, b) => Number(a.lease.address === null) - Number(b.lease.address === null));
  }

  /** The driver has it back. Unless it was given out again in the meantime: then the entry is about that. */
  async drop({ key, revision }: LeaseEntry): Promise<void> {
    await this.#store.commit({ checks: [{ key, revision }], deletes: [key] });
  }
}

function read(key: string, value: Json, revision: number): LeaseEntry | null {
  const { driver, poolId, address } = (value ?? {}) as Record<string, unknown>;
  if (typeof driver !== "string" || typeof poolId !== "string") return null;
  return { key, revision, lease: { driver, poolId, address: typeof address === "string" ? address : null } };
}

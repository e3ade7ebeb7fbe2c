// The networks that are open, and which addresses of a plugin their endpoints have: what the plugin has to be told again when it
// forgot, and what must not be given back although a lease of the same name is left over.
import type { NetworkRecord } from "../../records/records.ts";
import type { AddressSpace } from "../default-pools.ts";
import type { Lease } from "../leases.ts";

export interface OpenNetwork {
  readonly record: NetworkRecord;
  readonly space: AddressSpace;
  /** Without prefix length. */
  readonly addresses: Set<string>;
}

/** By id. */
export type OpenNetworks = Map<string, OpenNetwork>;

/** Whether a network has it: a plugin that forgot everything gave it anew. */
export function isUsed(networks: OpenNetworks, { poolId, address }: Lease): boolean {
  for (const { record, addresses } of networks.values()) {
    for (const config of record.ipam) {
      if (config.poolId !== poolId) continue;
      if (
        address === null ||
        config.gateway === address ||
        Object.values(config.auxAddresses).includes(address) ||
        addresses.has(address)
      ) {
        return true;
      }
    }
  }
  return false;
}

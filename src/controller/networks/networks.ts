// Networks as they are: looked up, listed, shown. How one is made is making.ts, how one goes removal.ts.
import { notFound } from "../../errors.ts";
import type { AddressSpace } from "../../ipam/default-pools.ts";
import type { Id, NetworkRecord } from "../../records/records.ts";
import type { Context } from "../context.ts";
import { byName, DEFAULT_BRIDGE, DEFAULT_NETWORK, resolve } from "../names.ts";
import { admissiblePeers, isEncrypted, leftOut, leftOutText } from "../peers/peer-keys.ts";
import type { NetworkView } from "../types.ts";

/** Held by whatever changes what networks there are, or what all of them declare. */
export const NETWORKS_LOCK = "networks";
export const networkLock = (network: Pick<NetworkRecord, "id">): string => `network/${network.id}`;

export function findNetwork(context: Context, reference: string): NetworkRecord {
  const meant = reference === DEFAULT_NETWORK ? DEFAULT_BRIDGE : reference;
  return resolve("network", meant, context.state.networks, (name) => context.state.networkByName(name));
}

/**
 * The caller holds the network with this id, which `reference` meant. If it went while the lock was waited for, another may have its
 * name by now: that one is neither held nor meant.
 */
export function heldNetwork(context: Context, id: Id, reference: string): NetworkRecord {
  const network = context.state.networks.get(id);
  if (network === undefined) throw notFound(`network ${reference} not found`);
  return network;
}

export function listNetworks(context: Context): NetworkRecord[] {
  return [...context.state.networks.values()].filter(({ id }) => !context.pending.has(id)).sort(byName);
}

export function inspectNetwork(context: Context, reference: string): NetworkView {
  const { state, pending } = context;
  const network = findNetwork(context, reference);
  if (pending.has(network.id)) throw notFound(`network ${reference} not found`);
  const endpoints = state
    .endpointsOfNetwork(network.id)
    .filter(({ id, sandboxId }) => !pending.has(id) && (sandboxId === null || !pending.has(sandboxId)))
    .sort(byName)
    .map((endpoint) => ({ endpoint, sandbox: endpoint.sandboxId === null ? null : (state.sandboxes.get(endpoint.sandboxId) ?? null) }));
  const driver = context.drivers.get(network.driver);
  const domains = (driver.declareNetwork(network, []).domains ?? []).map(({ id }) => id);
  const peers = driver.hasPeers
    ? admissiblePeers(context, network).filter(({ networkId }) => networkId === null || networkId === network.id)
    : [];
  const subnets = addressSpaceOf(context, network) === null ? {} : context.ipam.usage(network.id);
  const chosenOptions = driver.chosenOptions?.(network) ?? {};
  const warnings = leftOut(context, network).map((address) => leftOutText(network, address));
  return { network, endpoints, peers, domains, subnets, encrypted: isEncrypted(context, network), chosenOptions, warnings };
}

/** Null: the network has no pools. */
export function addressSpaceOf(context: Pick<Context, "drivers">, network: Pick<NetworkRecord, "driver">): AddressSpace | null {
  return context.drivers.get(network.driver).addressSpace;
}

// Networks removed: when nobody uses them, with all that is stored of them. dropNetwork removes those that users can't, too.
import { forbidden, WeftError } from "../../errors.ts";
import type { Id, NetworkRecord } from "../../records/records.ts";
import { networkKey, peerKey } from "../../store/keys.ts";
import { attempt, type Context, commit, networkOwner } from "../context.ts";
import { exclusive } from "../locks.ts";
import { isEgress, isPredefined, refusePredefinedRemoval, shortId } from "../names.ts";
import { forgetKeys } from "../peers/peer-keys.ts";
import { rerouteHost } from "../ports/routing.ts";
import { addressSpaceOf, findNetwork, heldNetwork, listNetworks, NETWORKS_LOCK, networkLock } from "./networks.ts";
import { realizeNetwork } from "./presence.ts";
import { refuseUsedConfiguration } from "./rules.ts";

/** Removes networks that nobody uses. One that gets its first endpoint, or goes, in the meantime is passed over. */
export async function pruneNetworks(context: Context, match: (network: NetworkRecord) => boolean): Promise<NetworkRecord[]> {
  const pruned: NetworkRecord[] = [];
  for (const network of listNetworks(context)) {
    // One that waits for sandboxes may be what its user made of it.
    if (isPredefined(network) || isEgress(network) || network.configOnly || network.ingress || !match(network)) continue;
    if (context.state.endpointsOfNetwork(network.id).length > 0) continue;
    try {
      pruned.push(await removeNetwork(context, network.id));
    } catch (error) {
      const left = context.state.networks.has(network.id) && context.state.endpointsOfNetwork(network.id).length === 0;
      if (left || !(error instanceof WeftError) || (error.code !== "FORBIDDEN" && error.code !== "NOT_FOUND")) throw error;
    }
  }
  return pruned;
}

/** What its endpoints end by. */
function freed(network: NetworkRecord): string {
  if (!isEgress(network)) return "disconnect them first";
  return "sandboxes leave it by themselves: remove them, disconnect them from their overlays, or connect each to a bridge that is not internal";
}

export async function removeNetwork(context: Context, reference: string): Promise<NetworkRecord> {
  refusePredefinedRemoval(reference);
  const { id, name } = findNetwork(context, reference);
  refusePredefinedRemoval(name);
  return dropNetwork(context, id, reference);
}

/** removeNetwork for networks that users don't remove, too. */
export async function dropNetwork(context: Context, id: Id, reference: string = id): Promise<NetworkRecord> {
  return context.locks.run([exclusive(NETWORKS_LOCK), exclusive(networkLock({ id }))], async () => {
    const { state } = context;
    const network = heldNetwork(context, id, reference);
    refuseUsedConfiguration(network, state.networks.values());
    const endpoints = state.endpointsOfNetwork(id);
    if (endpoints.length > 0) {
      const list = endpoints.map((endpoint) => `(name:"${endpoint.name}" id:"${shortId(endpoint.id)}")`).join(", ");
      throw forbidden(`network ${network.name} has active endpoints ${list}; ${freed(network)}`);
    }
    await context.datapath.withdraw(networkOwner(id));
    const ownPeers = [...state.peers.values()].filter(({ networkId }) => networkId === id).map(({ address }) => peerKey(id, address));
    const addressSpace = addressSpaceOf(context, network);
    const poolKeys = addressSpace === null ? [] : context.ipam.keysOf(network, addressSpace);
    try {
      await commit(context, [], [networkKey(id), ...ownPeers, ...poolKeys]);
    } catch (error) {
      await attempt(context, `restoring network ${network.name}`, () => realizeNetwork(context, network));
      throw error;
    }
    context.ipam.closeNetwork(id);
    context.lastAddresses.forget(id);
    if (!network.configOnly) await context.ipam.releaseSubnets(network);
    if (ownPeers.length > 0) await attempt(context, "removing secrets of the network's peers", () => forgetKeys(context));
    await rerouteHost(context);
    context.log("info", "network removed", { name: network.name, id: shortId(id) });
    return network;
  });
}

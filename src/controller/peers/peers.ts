// Static VTEPs: the other hosts, named by the operator, of one overlay network or of all. Which of them have keys, and what
// follows from it, is in peer-keys.ts.
import { alreadyExists, invalidArgument, notFound, WeftError } from "../../errors.ts";
import type { PeerSecret } from "../../keys/key-service.ts";
import { addressRange, canonicalAddress, formatAddress, parseAddress } from "../../net/address.ts";
import type { NetworkRecord, PeerRecord } from "../../records/records.ts";
import { peerKey } from "../../store/keys.ts";
import { attempt, type Context, commit, put } from "../context.ts";
import { exclusive } from "../locks.ts";
import { byName } from "../names.ts";
import { findNetwork, NETWORKS_LOCK } from "../networks/networks.ts";
import { declareNetwork } from "../networks/presence.ts";
import type { PeerView } from "../types.ts";
import { checkPeerKeys, forgetKeys, leftOutOf, leftOutText } from "./peer-keys.ts";

/** Those of all networks first, then by network and address. */
export function listPeers(context: Context): PeerView[] {
  const keyed = new Map((context.keys?.peers() ?? []).map((one) => [one.address, one]));
  const named = [...context.state.peers.values()].map((peer) => {
    const network = peer.networkId === null ? "" : (context.state.networks.get(peer.networkId)?.name ?? "");
    return { name: `${network} ${peer.address}`, peer };
  });
  return named.sort(byName).map(({ peer }) => ({ ...peer, keyed: keyed.get(peer.address) ?? null, leftOutOf: leftOutOf(context, peer) }));
}

export async function addPeer(
  context: Context,
  addressText: string,
  port: number | undefined,
  networkReference: string | undefined,
  secret?: PeerSecret,
): Promise<PeerRecord> {
  const { underlay } = context;
  const address = checkAddress(context, addressText);
  const peerPort = port || underlay.vxlanPort;
  if (!Number.isInteger(peerPort) || peerPort < 1 || peerPort > 65535)
    throw invalidArgument(`invalid port ${port}: give a number from 1 to 65535`);
  return context.locks.run([exclusive(NETWORKS_LOCK)], async () => {
    const network = findPeerNetwork(context, networkReference);
    const key = peerKey(network?.id ?? null, address);
    if (context.state.peers.has(key))
      throw alreadyExists(`peer ${address} ${of(network)} already exists: to change its port or keys remove it first`);
    if (secret !== undefined) await forgetKeys(context); // one that a failure left behind is nobody's
    checkPeerKeys(context, address, peerPort, network, secret);
    const peer: PeerRecord = { address, port: peerPort, networkId: network?.id ?? null, createdAt: context.clock.nowIso() };
    if (secret !== undefined) await context.keys!.setPeer(address, peerPort, secret);
    try {
      await commit(context, [put(key, peer)]);
    } catch (error) {
      await attempt(context, "removing the peer's secret", () => forgetKeys(context));
      throw error;
    }
    try {
      await declareAffected(context, network);
    } catch (error) {
      if (!(await attempt(context, "removing the peer from the store", () => commit(context, [], [key])))) {
        throw new WeftError("UNAVAILABLE", `${(error as Error).message}; undoing it failed as well, so peer ${address} is stored`, {
          cause: error,
        });
      }
      if (secret !== undefined) await attempt(context, "removing the peer's secret", () => context.keys!.removePeer(address));
      await attempt(context, "withdrawing the peer", () => declareAffected(context, network));
      throw error;
    }
    context.log("info", "peer added", { address, port: peerPort, network: network?.name ?? "all", keys: secret?.kind ?? "none" });
    for (const name of leftOutOf(context, peer)) {
      context.log("warn", leftOutText(context.state.networkByName(name)!, address));
    }
    return peer;
  });
}

/** The commit comes first here: VTEPs are in the engine only, which dies with the daemon, so none can be left over. */
export async function removePeer(context: Context, addressText: string, networkReference: string | undefined): Promise<PeerRecord> {
  const address = canonicalAddress(addressText, "peer address");
  return context.locks.run([exclusive(NETWORKS_LOCK)], async () => {
    const network = findPeerNetwork(context, networkReference);
    const key = peerKey(network?.id ?? null, address);
    const peer = context.state.peers.get(key);
    if (peer === undefined) throw notFound(`peer ${address} ${of(network)} not found`);
    await commit(context, [], [key]);
    try {
      await declareAffected(context, network);
    } catch (error) {
      await attempt(context, "putting the peer back", async () => {
        await commit(context, [put(key, peer)]);
        await declareAffected(context, network);
      });
      throw error;
    }
    await attempt(context, "removing the peer's secret", () => forgetKeys(context, [address]));
    context.log("info", "peer removed", { address, network: network?.name ?? "all" });
    return peer;
  });
}

const of = (network: NetworkRecord | null): string => (network === null ? "of all networks" : `of network ${network.name}`);

function checkAddress(context: Context, text: string): string {
  const parsed = parseAddress(text, "peer address");
  const address = formatAddress(parsed);
  const kind = addressRange(parsed);
  if (kind === "multicast" || kind === "unspecified" || kind === "broadcast") {
    throw invalidArgument(`invalid peer address ${address}: it is ${kind}; give the address of one other host`);
  }
  if (parsed.family === 6 && kind === "linkLocal")
    throw invalidArgument(`invalid peer address ${address}: a link-local address doesn't say which link; give a routable one`);
  const own = context.underlay.addresses.map((other) => parseAddress(other));
  if (own.some((other) => formatAddress(other) === address)) {
    throw invalidArgument(`invalid peer address ${address}: it is this host's own underlay address; give the other host's`);
  }
  if (!own.some(({ family }) => family === parsed.family)) {
    throw invalidArgument(
      `invalid peer address ${address}: this host has no IPv${parsed.family} underlay address; start the daemon with one by --underlay-address`,
    );
  }
  return address;
}

function findPeerNetwork(context: Context, reference: string | undefined): NetworkRecord | null {
  if (!reference) return null;
  const network = findNetwork(context, reference);
  if (!context.drivers.get(network.driver).hasPeers) {
    throw invalidArgument(`network ${network.name} has driver ${network.driver}, which has no peers: name an overlay network`);
  }
  return network;
}

async function declareAffected(context: Context, network: NetworkRecord | null): Promise<void> {
  const networks = network === null ? [...context.state.networks.values()] : [network];
  for (const one of networks) if (context.drivers.get(one.driver).hasPeers) await declareNetwork(context, one);
}

// What an overlay network is in the data plane: for each pair of subnets a bridge domain with its VNI, a VTEP in it for each
// peer, a TAP per endpoint. Pure functions of records.
//
// Remote stations are learned from the frames they send (there is nobody yet who would tell us of them), so learning is on;
// ARP for known addresses is answered here and doesn't cross the underlay. MSS clamping is on because the MTU is smaller than
// what the stations' peers outside may believe.

import type { Declaration, VtepDeclaration } from "../../datapath/declarations.ts";
import type { EndpointRecord, NetworkRecord, PeerRecord } from "../../records/records.ts";
import { pairIndex, tapEndpoint } from "../wants.ts";
import { readOverlayOptions } from "./options.ts";

export interface OverlayState {
  /** One per pair of subnets. */
  readonly vnis: readonly number[];
  readonly mtuBytes: number;
  /** Absent: the network is of a time before encryption, and is not. */
  readonly encrypted?: boolean;
}

export const overlayState = (network: NetworkRecord): OverlayState => network.driverState as unknown as OverlayState;

export const isEncryptedOverlay = (network: NetworkRecord): boolean => overlayState(network).encrypted === true;

/** The network's id, with `/<n>` behind it where it has several. */
function overlayDomain(network: NetworkRecord, index: number): string {
  return overlayState(network).vnis.length === 1 ? network.id : `${network.id}/${index}`;
}

/** The peers of a network: its own, and those of all networks that it doesn't name itself. */
function effectivePeers(network: NetworkRecord, peers: readonly PeerRecord[]): PeerRecord[] {
  const own = peers.filter((peer) => peer.networkId === network.id);
  const named = new Set(own.map((peer) => peer.address));
  return [...own, ...peers.filter((peer) => peer.networkId === null && !named.has(peer.address))];
}

export function overlayNetwork(network: NetworkRecord, peers: readonly PeerRecord[]): Declaration {
  const { fdbAgeS, fdbLimit } = readOverlayOptions(network.options);
  const { vnis, mtuBytes } = overlayState(network);
  const members = effectivePeers(network, peers);
  const vteps: VtepDeclaration[] = vnis.flatMap((_, index) =>
    members.map(({ address, port }) => ({ domain: overlayDomain(network, index), address, port })),
  );
  return {
    domains: vnis.map((vni, index) => ({
      id: overlayDomain(network, index),
      vni,
      mtuBytes,
      learning: true,
      proxyNeighbors: true,
      clampMss: true,
      fdbLimit,
      fdbAgeS,
      ...(isEncryptedOverlay(network) ? { encrypted: true } : {}),
    })),
    vteps,
  };
}

export function overlayEndpoint(network: NetworkRecord, endpoint: EndpointRecord, namespacePath: string): Declaration {
  return tapEndpoint(endpoint, {
    domain: overlayDomain(network, pairIndex(network, endpoint)),
    namespacePath,
    mtuBytes: overlayState(network).mtuBytes,
    isolated: false,
  });
}

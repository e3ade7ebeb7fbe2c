// KeyService: rings of pairs and security associations, as the key service tells of them.
import type { Controller } from "../controller/types.ts";
import type { AssociationView, KeyedPeer, KeyService } from "../keys/key-service.ts";
import type { Association } from "./generated/weft/v1/Association.ts";
import type { KeyedPeer as KeyedPeerMessage } from "./generated/weft/v1/KeyedPeer.ts";
import type { AllHandlers } from "./server.ts";

export const encryptionText = (keyed: Pick<KeyedPeer, "kind"> | null): string =>
  keyed === null ? "none" : keyed.kind === "seed" ? "key" : "by-hand";

/** "192.0.2.2:4500", "[2001:db8::2]:4500"; "" if there is none. */
export function espRemoteText(keyed: Pick<KeyedPeer, "remote"> | null): string {
  if (keyed === null || keyed.remote === null) return "";
  const { address, port } = keyed.remote;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

const keyedPeerMessage = (peer: KeyedPeer): KeyedPeerMessage => ({
  address: peer.address,
  encryption: encryptionText(peer),
  espTransport: peer.transport,
  ...(peer.index === null ? {} : { index: peer.index }),
  since: peer.since ?? "",
  heard: peer.heard,
  espRemote: espRemoteText(peer),
});

const associationMessage = (one: AssociationView): Association => ({
  spi: one.spi,
  peer: one.peer,
  direction: one.direction,
  algorithm: one.algorithm,
  espTransport: one.transport,
  current: one.current,
  ageS: Math.round(one.ageS),
  packets: String(one.packets),
  bytes: String(one.bytes),
  sequence: String(one.sequence),
  replayed: String(one.replayed),
  late: String(one.late),
  forged: String(one.forged),
  malformed: String(one.malformed),
  esn: one.esn,
  icvBytes: one.icvBytes,
  pathMtuBytes: one.pathMtuBytes ?? 0,
});

const order = (a: AssociationView, b: AssociationView): number =>
  a.peer.localeCompare(b.peer) || a.direction.localeCompare(b.direction) || a.spi - b.spi;

/** Names of encrypted networks without a peer that has keys. */
function encryptedAlone(controller: Controller): string[] {
  const views = controller.listNetworks().map(({ id }) => controller.inspectNetwork(id));
  return views.filter(({ encrypted, peers }) => encrypted && peers.length === 0).map(({ network }) => network.name);
}

export function keyHandlers(controller: Controller, keys: KeyService): AllHandlers["key"] {
  return {
    async Rotate() {
      await keys.rotate();
      return { pairs: keys.peers().filter(({ kind }) => kind === "seed").length };
    },
    async List() {
      return { peers: keys.peers().map(keyedPeerMessage), networksAlone: encryptedAlone(controller) };
    },
    async Associations({ network }) {
      const peers = network === "" ? null : new Set(controller.inspectNetwork(network).peers.map(({ address }) => address));
      const all = [...(await keys.list())].filter(({ peer }) => peers === null || peers.has(peer)).sort(order);
      return { associations: all.map(associationMessage) };
    },
  };
}

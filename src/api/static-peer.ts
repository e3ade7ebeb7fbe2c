// StaticPeerService over the controller.
import type { Controller, PeerView } from "../controller/types.ts";
import type { PeerRecord } from "../records/records.ts";
import { staticPeerMessage } from "./convert.ts";
import type { StaticPeer } from "./generated/weft/v1/StaticPeer.ts";
import { destroySecret, peerSecret } from "./peer-secret.ts";
import type { AllHandlers } from "./server.ts";

export function staticPeerHandlers(controller: Controller): AllHandlers["staticPeer"] {
  const optional = (text: string): string | undefined => (text === "" ? undefined : text);
  const viewIn = (listed: readonly PeerView[], { address, networkId }: PeerRecord): PeerView =>
    listed.find((one) => one.address === address && one.networkId === networkId)!;
  const view = (peer: PeerRecord): StaticPeer => staticPeerMessage(viewIn(controller.listPeers(), peer), controller.listNetworks());
  return {
    async Add(request) {
      const port = request.port === 0 ? undefined : request.port;
      const secret = peerSecret(request);
      try {
        return { peer: view(await controller.addPeer(request.address, port, optional(request.network), secret)) };
      } catch (error) {
        if (secret !== undefined) destroySecret(secret);
        throw error;
      }
    },
    async Remove(request) {
      const listed = controller.listPeers();
      const networks = controller.listNetworks();
      const removed = await controller.removePeer(request.address, optional(request.network));
      return { peer: staticPeerMessage(viewIn(listed, removed), networks) };
    },
    async List() {
      return { peers: controller.listPeers().map((peer) => staticPeerMessage(peer, controller.listNetworks())) };
    },
  };
}

// StaticPeerService over the controller.
import type { Controller } from "../controller/types.ts";
import { staticPeerMessage } from "./convert.ts";
import type { AllHandlers } from "./server.ts";

export function staticPeerHandlers(controller: Controller): AllHandlers["staticPeer"] {
  const optional = (text: string): string | undefined => (text === "" ? undefined : text);
  return {
    async Add(request) {
      const port = request.port === 0 ? undefined : request.port;
      const peer = await controller.addPeer(request.address, port, optional(request.network));
      return { peer: staticPeerMessage(peer, controller.listNetworks()) };
    },
    async Remove(request) {
      const networks = controller.listNetworks();
      return { peer: staticPeerMessage(await controller.removePeer(request.address, optional(request.network)), networks) };
    },
    async List() {
      return { peers: controller.listPeers().map((peer) => staticPeerMessage(peer, controller.listNetworks())) };
    },
  };
}

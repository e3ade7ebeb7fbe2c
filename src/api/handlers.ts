// All services, one file each, over the two things they speak for.
import type { Controller } from "../controller/types.ts";
import type { DatapathService } from "../datapath/datapath-api.ts";
import { diagnosticsHandlers } from "./diagnostics.ts";
import { endpointHandlers } from "./endpoint.ts";
import { networkHandlers } from "./network.ts";
import { type NodeFacts, nodeHandlers } from "./node.ts";
import { sandboxHandlers } from "./sandbox.ts";
import type { AllHandlers } from "./server.ts";
import { staticPeerHandlers } from "./static-peer.ts";

export function allHandlers(controller: Controller, datapath: DatapathService, facts: NodeFacts): AllHandlers {
  return {
    network: networkHandlers(controller),
    endpoint: endpointHandlers(controller),
    sandbox: sandboxHandlers(controller, facts.stateDir),
    node: nodeHandlers(controller, datapath, facts),
    staticPeer: staticPeerHandlers(controller),
    diagnostics: diagnosticsHandlers(controller, datapath),
  };
}

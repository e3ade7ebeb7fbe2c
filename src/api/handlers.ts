// All services, one file each, over the things they speak for.
import type { Controller } from "../controller/types.ts";
import type { DatapathService } from "../datapath/datapath-api.ts";
import type { KeyService } from "../keys/key-service.ts";
import { diagnosticsHandlers } from "./diagnostics.ts";
import { endpointHandlers } from "./endpoint.ts";
import { keyHandlers } from "./key.ts";
import { networkHandlers } from "./network.ts";
import { type NodeFacts, nodeHandlers } from "./node.ts";
import { sandboxHandlers } from "./sandbox.ts";
import type { AllHandlers } from "./server.ts";
import { staticPeerHandlers } from "./static-peer.ts";

export function allHandlers(controller: Controller, datapath: DatapathService, keys: KeyService, facts: NodeFacts): AllHandlers {
  return {
    network: networkHandlers(controller),
    endpoint: endpointHandlers(controller),
    sandbox: sandboxHandlers(controller, facts.stateDir),
    node: nodeHandlers(controller, datapath, facts),
    staticPeer: staticPeerHandlers(controller),
    key: keyHandlers(controller, keys),
    diagnostics: diagnosticsHandlers(controller, datapath),
  };
}

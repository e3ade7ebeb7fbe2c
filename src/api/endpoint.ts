// EndpointService over the controller.
import type { Controller } from "../controller/types.ts";
import { invalidArgument } from "../errors.ts";
import { attachRequest, endpointMessage } from "./convert.ts";
import type { AllHandlers } from "./server.ts";

export function endpointHandlers(controller: Controller): AllHandlers["endpoint"] {
  return {
    async Connect(request) {
      if (request.attachment === null) throw invalidArgument("an attachment names the network: give `attachment.network`");
      return { endpoint: endpointMessage(await controller.connect(request.sandbox, attachRequest(request.attachment))) };
    },
    async Disconnect(request) {
      await controller.disconnect(request.sandbox, request.network, request.force);
      return {};
    },
  };
}

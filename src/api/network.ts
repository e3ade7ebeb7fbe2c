// NetworkService over the controller.
import { isPredefined } from "../controller/names.ts";
import type { Controller, CreateNetworkRequest } from "../controller/types.ts";
import { invalidArgument } from "../errors.ts";
import type { NetworkRecord } from "../records/records.ts";
import { networkEndpointMessage, networkMessage, present } from "./convert.ts";
import { filtered, hasLabel, type Matchers, on, pruneMatcher, yesOrNo } from "./filters.ts";
import type { CreateNetworkRequest__Output } from "./generated/weft/v1/CreateNetworkRequest.ts";
import type { IpamConfig__Output } from "./generated/weft/v1/IpamConfig.ts";
import { naturalOrder } from "./natural-order.ts";
import { matchesText } from "./patterns.ts";
import type { AllHandlers } from "./server.ts";

function ipamRequest(message: IpamConfig__Output): NonNullable<CreateNetworkRequest["ipam"]>[number] {
  return {
    ...present({ subnet: message.subnet, ipRange: message.ipRange, gateway: message.gateway }),
    ...(Object.keys(message.auxAddresses).length > 0 ? { auxAddresses: message.auxAddresses } : {}),
  };
}

function createRequest(message: CreateNetworkRequest__Output): CreateNetworkRequest {
  return {
    name: message.name,
    ...present({ driver: message.driver, ipamDriver: message.ipamDriver, scope: message.scope, configFrom: message.configFrom }),
    ...present({ enableIpv4: message.enableIpv4, enableIpv6: message.enableIpv6 }),
    ...(message.ipam.length > 0 ? { ipam: message.ipam.map(ipamRequest) } : {}),
    ipamOptions: message.ipamOptions,
    internal: message.internal,
    attachable: message.attachable,
    ingress: message.ingress,
    configOnly: message.configOnly,
    options: message.options,
    labels: message.labels,
  };
}

function matchers(controller: Controller): Matchers<NetworkRecord> {
  return {
    name: (value) => on(matchesText(value), ({ name }) => name),
    id: (value) => on(matchesText(value), ({ id }) => id),
    driver: (value) => (network) => network.driver === value,
    // "swarm" is what Docker calls it.
    scope: (value) => (network) => network.scope === (value === "swarm" ? "global" : value),
    label: (value) => (network) => hasLabel(network.labels, value),
    type: (value) => {
      if (value !== "builtin" && value !== "custom")
        throw invalidArgument(`invalid value for filter 'type': must be 'builtin' or 'custom', not '${value}'`);
      return (network) => isPredefined(network) === (value === "builtin");
    },
    dangling: (value) => {
      const wanted = yesOrNo("dangling", value);
      return (network) => (!isPredefined(network) && controller.inspectNetwork(network.id).endpoints.length === 0) === wanted;
    },
  };
}

export function networkHandlers(controller: Controller): AllHandlers["network"] {
  return {
    async Create(request) {
      return { network: networkMessage(await controller.createNetwork(createRequest(request))) };
    },
    async List(request) {
      const networks = filtered(controller.listNetworks(), request.filters, matchers(controller));
      return { networks: networks.sort((a, b) => naturalOrder(a.name, b.name)).map(networkMessage) };
    },
    async Inspect(request) {
      const view = controller.inspectNetwork(request.network);
      return {
        network: networkMessage({ ...view.network, options: { ...view.chosenOptions, ...view.network.options } }),
        endpoints: view.endpoints.map(networkEndpointMessage),
        peers: view.peers.map(({ address, port }) => ({ address, port })),
        subnets: view.subnets,
        warnings: [...view.warnings],
      };
    },
    async Remove(request) {
      return { network: networkMessage(await controller.removeNetwork(request.network)) };
    },
    async Prune(request) {
      const removed = await controller.pruneNetworks(pruneMatcher(request.filters, Date.now()));
      return { networks: removed.map(networkMessage) };
    },
  };
}

// Networks of one host: sandboxes reach each other and, by the gateway's interface, the host, which routes for them.
//
// The gateway's interface is a TAP and not a kernel bridge: what Docker puts on a bridge device (its name, the gateway's
// addresses) is there under the same name, so that routes and firewall rules written for Docker's bridges apply. How the host
// translates addresses for it is said in `translation`; the rules are made in src/nat.

import type { Declaration } from "../../datapath/declarations.ts";
import { addressInUse, invalidArgument } from "../../errors.ts";
import type { GatewaySkips } from "../../ipam/ipam.ts";
import { subnetPairs } from "../../ipam/pairs.ts";
import { randomMac } from "../../net/mac.ts";
import type { EndpointRecord, NetworkRecord } from "../../records/records.ts";
import { checkMtu } from "../common-options.ts";
import type {
  Driver,
  DriverHost,
  DriverState,
  EndpointDraft,
  HostInterface,
  Join,
  LinkPair,
  NetworkDraft,
  Translation,
} from "../driver.ts";
import { readBridgeOptions } from "./options.ts";
import {
  type BridgeState,
  bridgeEndpoint,
  bridgeGateways,
  bridgeHostInterface,
  bridgeLinks,
  bridgeMtu,
  bridgeNetwork,
  bridgeTranslation,
} from "./wants.ts";

/** The network that sandboxes are on which name none. */
const PREDEFINED_NAME = "bridge";

export class BridgeDriver implements Driver {
  readonly name = "bridge";
  readonly scope = "local";
  readonly stack = "interfaces";
  readonly addressSpace = "local";
  readonly avoidsHostRoutes = true;
  readonly hasPeers = false;

  /** As in Docker: an isolated network's host has no address, and nobody goes by that of one that is internal and has none. */
  skipsGateway({ options, internal }: Pick<NetworkRecord, "options" | "internal">): GatewaySkips {
    const { gatewayModeIpv4, gatewayModeIpv6, inhibitIpv4 } = readBridgeOptions(options);
    return { 4: gatewayModeIpv4 === "isolated" || (inhibitIpv4 && internal), 6: gatewayModeIpv6 === "isolated" };
  }

  async createNetwork(draft: NetworkDraft, host: DriverHost): Promise<DriverState> {
    const options = readBridgeOptions(draft.options);
    if (options.defaultBridge && draft.name !== PREDEFINED_NAME) {
      throw invalidArgument(`option com.docker.network.bridge.default_bridge is for the predefined network ${PREDEFINED_NAME} only`);
    }
    checkMtu(bridgeMtu(draft.options), draft.enableIpv6);
    if (subnetPairs(draft.ipam).length > 1) {
      throw invalidArgument(
        "bridge driver doesn't support multiple subnets: give at most one IPv4 and one IPv6 --subnet, or use the overlay driver",
      );
    }
    if ((options.gatewayModeIpv4 === "isolated" || options.gatewayModeIpv6 === "isolated") && !draft.internal) {
      throw invalidArgument("gateway mode 'isolated' can only be used for an internal network: add --internal");
    }
    const interfaceName = options.bridgeName ?? `br-${draft.id.slice(0, 12)}`;
    const user = host.networks.find((network) => network.driver === this.name && network.driverState.interfaceName === interfaceName);
    if (user !== undefined) {
      throw addressInUse(
        `bridge name ${interfaceName} is already used by network ${user.name}: choose another com.docker.network.bridge.name`,
      );
    }
    if (host.hasLink(interfaceName)) {
      throw addressInUse(`interface ${interfaceName} already exists on this host: choose another com.docker.network.bridge.name`);
    }
    const state: BridgeState = { interfaceName, gatewayMac: randomMac(host.randomBytes) };
    return { ...state };
  }

  declareNetwork(network: NetworkRecord): Declaration {
    return bridgeNetwork(network);
  }

  translation(network: NetworkRecord): Translation {
    return { ...bridgeTranslation(network), hostBindingIpv4: readBridgeOptions(network.options).hostBindingIpv4 };
  }

  hostInterfaces(network: NetworkRecord): readonly HostInterface[] {
    return [bridgeHostInterface(network)];
  }

  createEndpoint(network: NetworkRecord, draft: EndpointDraft, host: DriverHost): { mac: string; driverState: DriverState } {
    const taken = new Set([...draft.takenMacs, network.driverState.gatewayMac]);
    if (draft.mac !== null) {
      if (taken.has(draft.mac)) throw addressInUse(`MAC address ${draft.mac} is already used on network ${network.name}: choose another`);
      return { mac: draft.mac, driverState: {} };
    }
    let mac = randomMac(host.randomBytes);
    while (taken.has(mac)) mac = randomMac(host.randomBytes);
    return { mac, driverState: {} };
  }

  join(network: NetworkRecord): Join {
    return {
      interfacePrefix: readBridgeOptions(network.options).interfacePrefix,
      mtuBytes: bridgeMtu(network.options),
      ...bridgeGateways(network),
    };
  }

  declareEndpoint(network: NetworkRecord, endpoint: EndpointRecord, namespacePath: string): Declaration {
    return bridgeEndpoint(network, endpoint, namespacePath);
  }

  declareLinks(network: NetworkRecord, links: readonly LinkPair[]): Declaration {
    return bridgeLinks(network, links);
  }
}

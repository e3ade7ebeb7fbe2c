// What a bridge network is in the data plane: one bridge domain, the gateway's TAP in the daemon's own namespace, a TAP per
// endpoint. Pure functions of records.

import type { Declaration } from "../../datapath/declarations.ts";
import { subnetPairs } from "../../ipam/pairs.ts";
import type { GatewayMode, NatFamily, NatNetwork } from "../../nat/types.ts";
import { parseInterfaceAddress } from "../../net/prefix.ts";
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../../records/records.ts";
import type { HostInterface, LinkPair } from "../driver.ts";
import { neighbors, tapEndpoint, withLength } from "../wants.ts";
import { readBridgeOptions } from "./options.ts";

/** An Ethernet's. */
const BRIDGE_MTU_DEFAULT = 1500;

export interface BridgeState {
  readonly interfaceName: string;
  readonly gatewayMac: string;
}

const stateOf = (network: NetworkRecord): BridgeState => network.driverState as unknown as BridgeState;

export const bridgeMtu = (options: Readonly<Record<string, string>>): number => readBridgeOptions(options).mtuBytes ?? BRIDGE_MTU_DEFAULT;

/** Addresses of the gateway's interface. */
function gatewayAddresses(network: NetworkRecord): string[] {
  const { inhibitIpv4, gatewayModeIpv4, gatewayModeIpv6 } = readBridgeOptions(network.options);
  const without = { 4: inhibitIpv4 || gatewayModeIpv4 === "isolated", 6: gatewayModeIpv6 === "isolated" };
  return network.ipam
    .map(withLength)
    .filter((text) => text !== null)
    .filter((text) => !without[parseInterfaceAddress(text).address.family]);
}

/** What the host does for it as a router. */
export function bridgeTranslation(network: NetworkRecord): NatNetwork {
  const options = readBridgeOptions(network.options);
  const pair = subnetPairs(network.ipam)[0];
  const family = (config: IpamConfig | null | undefined, mode: GatewayMode, source: string | null): NatFamily | null =>
    config ? { subnet: config.subnet, mode, masquerade: options.masquerade, source } : null;
  return {
    interfaceName: stateOf(network).interfaceName,
    internal: network.internal,
    ipv4: family(pair?.ipv4, options.gatewayModeIpv4, options.hostIpv4),
    ipv6: family(pair?.ipv6, options.gatewayModeIpv6, options.hostIpv6),
  };
}

export function bridgeNetwork(network: NetworkRecord): Declaration {
  const options = readBridgeOptions(network.options);
  const { interfaceName, gatewayMac } = stateOf(network);
  const port = `${network.id}/gateway`;
  const domain = network.id;
  const mtuBytes = bridgeMtu(network.options);
  return {
    domains: [
      {
        id: domain,
        vni: null,
        mtuBytes,
        learning: true,
        // All stations are local: ARP reaches them as it is, and the answer comes from the one who is asked.
        proxyNeighbors: false,
        clampMss: false,
        fdbLimit: options.fdbLimit,
        fdbAgeS: options.fdbAgeS,
      },
    ],
    ports: [{ kind: "tap", id: port, domain, namespacePath: null, interfaceName, mac: gatewayMac, mtuBytes, isolated: false }],
    fdb: [{ domain, mac: gatewayMac, to: { port } }],
    neighbors: neighbors(domain, gatewayMac, gatewayAddresses(network)),
  };
}

export function bridgeHostInterface(network: NetworkRecord): HostInterface {
  const { gatewayModeIpv4, gatewayModeIpv6 } = readBridgeOptions(network.options);
  // Its link-local address would lead to the host, too: from any sandbox that has IPv6, or gives itself an address.
  const withoutIpv6 = (network.enableIpv6 ? gatewayModeIpv6 : gatewayModeIpv4) === "isolated";
  return {
    name: stateOf(network).interfaceName,
    addresses: gatewayAddresses(network),
    up: true,
    ...(withoutIpv6 ? { withoutIpv6 } : {}),
  };
}

export function bridgeEndpoint(network: NetworkRecord, endpoint: EndpointRecord, namespacePath: string): Declaration {
  return tapEndpoint(endpoint, {
    domain: network.id,
    namespacePath,
    mtuBytes: bridgeMtu(network.options),
    isolated: !readBridgeOptions(network.options).enableIcc,
  });
}

/** Without inter-container communication a link lets through what Docker's accepts: the ports that the other serves, both ways. */
export function bridgeLinks(network: NetworkRecord, links: readonly LinkPair[]): Declaration {
  if (readBridgeOptions(network.options).enableIcc) return {};
  const permits = links.flatMap(({ client, server, ports }) =>
    ports.map(({ protocol, ports: { first, last } }) => ({ client: client.id, server: server.id, protocol, first, last })),
  );
  return { permits };
}

/** An internal network has its gateway's interface too, but nobody routes by it. */
export function bridgeGateways(network: NetworkRecord): { gatewayIpv4: string | null; gatewayIpv6: string | null } {
  if (network.internal) return { gatewayIpv4: null, gatewayIpv6: null };
  const pair = subnetPairs(network.ipam)[0];
  const { inhibitIpv4 } = readBridgeOptions(network.options);
  return { gatewayIpv4: inhibitIpv4 ? null : (pair?.ipv4?.gateway ?? null), gatewayIpv6: pair?.ipv6?.gateway ?? null };
}

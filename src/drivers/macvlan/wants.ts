// What a macvlan network is in the data plane: a bridge domain with an uplink, which is a VLAN of the parent's packet socket, and
// a TAP per endpoint. Pure functions of records.
//
// Networks on one VLAN of one parent are one link, as they are to the parent's switch: so they have one bridge domain, named
// after the parent, which each of them declares in the same words. Nothing is learned there: the MACs of all sandboxes are
// pinned, and who else there is lies behind the uplink.
import { FDB_AGE_S_DEFAULT, FDB_DOMAIN_LIMIT_DEFAULT, MTU_MAX } from "../../../wasm/shared/limits.ts";
import type { Declaration, PortDeclaration } from "../../datapath/declarations.ts";
import { subnetPairs } from "../../ipam/pairs.ts";
import type { EndpointRecord, NetworkRecord } from "../../records/records.ts";
import { pairIndex, tapEndpoint } from "../wants.ts";
import type { Mode, Parent } from "./options.ts";

export interface MacvlanState {
  /** Null: there is none, sandboxes reach each other only. */
  readonly parent: Parent | null;
  readonly mode: Mode;
  readonly mtuBytes: number;
  /** In passthru: the parent's MAC, which is its sandbox's. */
  readonly mac: string | null;
}

export const macvlanState = (network: Pick<NetworkRecord, "driverState">): MacvlanState => network.driverState as unknown as MacvlanState;

/** "eth0", "eth0.100" */
export const parentText = ({ interfaceName, vid }: Parent): string => (vid === 0 ? interfaceName : `${interfaceName}.${vid}`);

/** Networks of one have one link. */
export function macvlanDomain(network: NetworkRecord): string {
  const { parent } = macvlanState(network);
  return parent === null ? network.id : `parent/${parentText(parent)}`;
}

export function macvlanNetwork(network: NetworkRecord): Declaration {
  const { parent, mode } = macvlanState(network);
  const domain = macvlanDomain(network);
  return {
    domains: [
      {
        id: domain,
        vni: null,
        // The interfaces at both ends have theirs; nothing here is measured by it.
        mtuBytes: MTU_MAX,
        learning: false,
        proxyNeighbors: false,
        clampMss: false,
        fdbLimit: FDB_DOMAIN_LIMIT_DEFAULT,
        fdbAgeS: FDB_AGE_S_DEFAULT,
      },
    ],
    ports: parent === null ? [] : uplink(parent, domain, mode === "passthru"),
  };
}

function uplink(parent: Parent, domain: string, passthru: boolean): PortDeclaration[] {
  const { interfaceName, vid } = parent;
  const socket = `parent/${interfaceName}`;
  return [
    { kind: "packet", id: socket, interfaceName },
    { kind: "uplink", id: `${socket}.${vid}`, domain, parent: socket, vid, passthru },
  ];
}

export function macvlanEndpoint(network: NetworkRecord, endpoint: EndpointRecord, namespacePath: string): Declaration {
  const { mode, mtuBytes } = macvlanState(network);
  const declaration = tapEndpoint(endpoint, { domain: macvlanDomain(network), namespacePath, mtuBytes, isolated: false });
  return { ...declaration, ports: (declaration.ports ?? []).map((port) => (port.kind === "tap" ? { ...port, macvlan: mode } : port)) };
}

/** Routers on the parent's network, by whatever subnet the endpoint is in. */
export function macvlanGateways(
  network: NetworkRecord,
  endpoint: Pick<EndpointRecord, "ipv4" | "ipv6">,
): { gatewayIpv4: string | null; gatewayIpv6: string | null } {
  if (network.internal || macvlanState(network).parent === null) return { gatewayIpv4: null, gatewayIpv6: null };
  const pair = subnetPairs(network.ipam)[pairIndex(network, endpoint)];
  return { gatewayIpv4: pair?.ipv4?.gateway ?? null, gatewayIpv6: pair?.ipv6?.gateway ?? null };
}

// What a kind of network is. A driver is a set of functions over stored objects: it checks what the user asked, works out what
// must be remembered (`driverState`) and says what the data plane shall make true. It holds no state, touches no engine table
// and no interface; that the same records give the same declarations is what makes restart, repair and rollback one thing.
//
//   create-network   createNetwork -> driverState, stored        then declareNetwork, hostInterfaces: made true
//   create-endpoint  createEndpoint -> MAC, driverState, stored
//   join             join -> name and gateway of the interface   then declareEndpoint: made true
//   leave, delete-endpoint, delete-network                       what is no longer declared goes away
//
// So there are no functions for the way back. A driver without interfaces of its own (host, null) declares nothing and joins
// with `interfacePrefix` null; one on a parent interface (macvlan) declares a port of another kind.

import type { AddressText, Declaration } from "../datapath/declarations.ts";
import type { CipherInfo } from "../datapath/messages.ts";
import type { AddressSpace } from "../ipam/default-pools.ts";
import type { GatewaySkips } from "../ipam/ipam.ts";
import type { NatNetwork } from "../nat/types.ts";
import type { Exposed } from "../net/port-spec.ts";
import type { InterfaceConfig, LinkInfo } from "../ports/native.ts";
import type { EndpointRecord, Id, NetworkRecord, PeerRecord } from "../records/records.ts";

export type DriverState = Readonly<Record<string, unknown>>;

/** The path that VXLAN takes from this host. */
export interface Underlay {
  /** This host's own; none: local networks only. */
  readonly addresses: readonly AddressText[];
  readonly mtuBytes: number;
  /** UDP port of VTEPs that don't say otherwise. */
  readonly vxlanPort: number;
}

/** An interface in the daemon's own namespace. */
export type HostLink = Pick<LinkInfo, "name" | "mac" | "mtuBytes">;

/** What a driver may know of its surroundings when something is created. */
export interface DriverHost {
  /** All there are, of every driver. */
  readonly networks: readonly NetworkRecord[];
  readonly underlay: Underlay;
  /** Whether an interface in the daemon's own namespace is called so. */
  hasLink(name: string): boolean;
  /** Those in the daemon's own namespace. */
  links(): Promise<readonly HostLink[]>;
  /** Who would seal and open encrypted networks' frames. */
  cipher(): CipherInfo;
  randomBytes(count: number): Uint8Array;
}

export type NetworkDraft = Omit<NetworkRecord, "driverState">;

export interface EndpointDraft {
  readonly id: Id;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  /** The user's wish, canonical, or null. */
  readonly mac: string | null;
  /** MACs on the network already, and on others of its link. */
  readonly takenMacs: ReadonlySet<string>;
  /** MACs of the host's own interfaces; empty where no MAC is wished, or the network is on none of them. */
  readonly hostMacs: ReadonlySet<string>;
}

export interface Join {
  /** Interfaces are called by this and a number; null: the sandbox gets none. */
  readonly interfacePrefix: string | null;
  /** Of the interface; 0 where there is none. */
  readonly mtuBytes: number;
  /** Next hops of the default routes, for a sandbox that has no better. */
  readonly gatewayIpv4: AddressText | null;
  readonly gatewayIpv6: AddressText | null;
}

/** An endpoint that was linked to another of its network, and the ports that the other serves. */
export interface LinkPair {
  readonly client: EndpointRecord;
  readonly server: EndpointRecord;
  readonly ports: readonly Exposed[];
}

export interface Translation extends NatNetwork {
  /** Where ports are published that say no address; null: at any. */
  readonly hostBindingIpv4: AddressText | null;
}

/** An interface of the daemon's own namespace. */
export interface HostInterface extends InterfaceConfig {
  /** The kernel gives it no IPv6 address either: whoever is on the network doesn't reach the host. */
  readonly withoutIpv6?: boolean;
}

export interface Driver {
  readonly name: string;
  readonly scope: "local" | "global";
  /**
   * What a sandbox on one of its networks has: interfaces of its own, one for each network; the loopback alone; or the daemon's
   * own stack. The latter two are only for sandboxes that are on no other network.
   */
  readonly stack: "interfaces" | "loopback" | "host";
  /** Which default pools its subnets come from; null: its networks have no subnets. */
  readonly addressSpace: AddressSpace | null;
  /** Its networks make sense where nobody gives addresses (`--ipam-driver null`). */
  readonly withoutAddresses?: boolean;
  /** The host has an address in its subnets, so they must not overlap what the host routes elsewhere. */
  readonly avoidsHostRoutes: boolean;
  /** Whether addresses of gateways, unless the user gives them, would be nobody's; absent: they wouldn't. */
  skipsGateway?(draft: Pick<NetworkRecord, "options" | "internal">): GatewaySkips;
  /** Its networks have no gateway: a sandbox that is on such ones only is given another way out of the host. */
  readonly leadsNowhere?: boolean;
  /** Whether static VTEPs mean anything to its networks. */
  readonly hasPeers: boolean;
  /** Whether frames of that network leave the host encrypted, so that only peers with keys are of it; absent: of none. */
  encrypts?(network: NetworkRecord): boolean;
  /** What the driver has settled of options that were not given, shown with those that were. */
  chosenOptions?(network: NetworkRecord): Readonly<Record<string, string>>;

  /** Throws a WeftError if the network can't be. */
  createNetwork(draft: NetworkDraft, host: DriverHost): Promise<DriverState>;
  declareNetwork(network: NetworkRecord, peers: readonly PeerRecord[]): Declaration;
  /** Interfaces of the network in the daemon's own namespace, to be configured once they are declared. */
  hostInterfaces(network: NetworkRecord): readonly HostInterface[];
  /** What the host does for it as a router between it and the world; absent: the host is none. */
  translation?(network: NetworkRecord): Translation;

  /** What other networks may have in common with it: all their stations hear each other. Absent: it has a link of its own. */
  linkOf?(network: NetworkRecord): string;
  createEndpoint(
    network: NetworkRecord,
    draft: EndpointDraft,
    host: DriverHost,
  ): { readonly mac: string | null; readonly driverState: DriverState };
  join(network: NetworkRecord, endpoint: Pick<EndpointRecord, "ipv4" | "ipv6">): Join;
  /** Of an endpoint that has joined: its interfaceName is set. */
  declareEndpoint(network: NetworkRecord, endpoint: EndpointRecord, namespacePath: string): Declaration;
  /** What links open between endpoints that have joined and don't reach each other; absent: they do. */
  declareLinks?(network: NetworkRecord, links: readonly LinkPair[]): Declaration;
}

/** Drivers by name; registry.ts has the real ones. */
export interface Drivers {
  /** Throws INVALID_ARGUMENT naming those there are. */
  get(name: string): Driver;
}

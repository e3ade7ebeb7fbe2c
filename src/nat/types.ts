// What the host shall do for networks that it routes: plain data, computed from records by drivers and the controller, turned
// into rules by rules.ts. Nothing here knows a sandbox or a network by name.
import type { Protocol } from "../net/port-spec.ts";

/**
 * How a family of a network meets the world (com.docker.network.bridge.gateway_mode_ipv4, _ipv6):
 *   nat              sources are rewritten on the way out, ports published by rewriting destinations; nothing else comes in
 *   nat-unprotected  the same, and whoever has a route to the sandboxes reaches all their ports
 *   routed           nothing is rewritten; published ports are reached at the sandboxes' own addresses
 *   isolated         the host has no address on the network
 */
export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

export interface NatFamily {
  /** "10.0.0.0/24" */
  readonly subnet: string;
  readonly mode: GatewayMode;
  /** Whether sources are rewritten on the way out (in the modes that do so at all). */
  readonly masquerade: boolean;
  /** The source that they get; null: that of the interface they leave by. */
  readonly source: string | null;
}

export interface NatNetwork {
  /** The gateway's interface on the host. */
  readonly interfaceName: string;
  /** Nothing is forwarded from or to it. */
  readonly internal: boolean;
  readonly ipv4: NatFamily | null;
  readonly ipv6: NatFamily | null;
}

/** Ports of the host: `count` of them from `hostPort` on. */
export interface HostPort {
  readonly protocol: Protocol;
  /** "0.0.0.0" and "::" are any of the host's. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly count: number;
}

/** Published ports, led to as many of a sandbox from `targetPort` on. */
export interface Publication extends HostPort {
  readonly family: 4 | 6;
  /** The network that the sandbox is reached by. */
  readonly interfaceName: string;
  readonly mode: GatewayMode;
  readonly target: string;
  readonly targetPort: number;
}

/** IPv6 ports of the host that lead to a sandbox without IPv6: by programs, for rules don't translate between families. */
export interface RelayedPorts extends HostPort {
  readonly target: string;
  readonly targetPort: number;
}

export interface NatPlan {
  readonly networks: readonly NatNetwork[];
  readonly publications: readonly Publication[];
  readonly relays: readonly RelayedPorts[];
}

/** The host's part of routed networks. */
export interface HostNat {
  /** What the host's kernel can't do for networks, and why, a sentence each. */
  readonly warnings: readonly string[];
  /** Makes the host do what `plan` says, and no more. Several calls at once are one: the last plan wins. */
  apply(plan: NatPlan): Promise<void>;
  /** To be told after `apply` when a gateway's interface is there, for the first time or made again. */
  interfaceMade(interfaceName: string): Promise<void>;
  /**
   * Throws ADDRESS_IN_USE if a program of the host has one of the ports. They are then kept from programs, as far as that can
   * be, until a plan is applied that doesn't have them.
   */
  reserve(ports: HostPort): Promise<void>;
  /** Ends the connections of sandboxes' addresses that are given up. */
  forget(addresses: readonly string[]): Promise<void>;
  /** Where ports are taken from that nobody chose, in the order to try. */
  ephemeralPorts(): Iterable<number>;
}

// Which ports of the host a sandbox gets: what was asked for, or free ones. Whether a port is free is a question to the stored
// sandboxes first and to the host's programs then. Callers hold PORTS_LOCK from here until the sandbox is stored.
//
// A port is taken for the time that its sandbox is there, whether or not the sandbox has a network to be reached by at the
// moment: ports follow it from network to network.
import type { Driver } from "../../drivers/driver.ts";
import { addressInUse, exhausted, invalidArgument, unavailable, WeftError } from "../../errors.ts";
import type { GatewayMode } from "../../nat/types.ts";
import { formatRange, type PortSpec, type Protocol, RELAYED_PORTS_MAX, rangeSize } from "../../net/port-spec.ts";
import type { EndpointRecord, Id, NetworkRecord, PublishedPort } from "../../records/records.ts";
import type { Context } from "../context.ts";
import { routeOrder } from "../endpoints/wants.ts";
import type { CreateSandboxRequest } from "../types.ts";

/** In place of a port of the host: clients reach the sandbox by its own addresses, on a network in routed mode. */
export const NO_PORT = 0;
export const PORTS_LOCK = "published-ports";

/** Whether there is anything to publish. Throws where the stack is another sandbox's. */
export function publishes(request: PublishRequest, joins: boolean): boolean {
  const named = (request.publish ?? []).length > 0;
  if (joins && (named || request.publishAll)) {
    throw invalidArgument("conflicting options: port publishing and the container type network mode");
  }
  return named || (request.publishAll === true && (request.expose ?? []).length > 0);
}

/** Docker's, of one that is made on the host's stack: programs there are reached at their own ports, whatever was asked for. */
export function discardedPorts({ publish = [] }: PublishRequest): string[] {
  return publish.length === 0 ? [] : ["Published ports are discarded when using host network mode"];
}

interface Candidate {
  readonly protocol: Protocol;
  readonly hostAddress: string | null;
  readonly port: number;
  readonly count: number;
  /** The first ports of the host, to be tried in this order. */
  readonly hostPorts: Iterable<number>;
  /** Whether there is no other choice: then the reason is told. */
  readonly fixed: boolean;
}

/** A network that the sandbox is on or will be. */
export interface Way {
  readonly network: NetworkRecord;
  readonly driver: Driver;
  readonly endpoint: Pick<EndpointRecord, "gwPriority">;
}

export type PublishRequest = Pick<CreateSandboxRequest, "publish" | "publishAll" | "expose">;

/**
 * Each reserved on the host; if it throws, the caller applies a plan without them. `kept`: ports that the sandbox has already;
 * the others that it is stored with are given up.
 */
export async function choosePorts(
  context: Context,
  request: PublishRequest,
  ways: readonly Way[],
  own: { readonly id: Id; readonly kept: readonly PublishedPort[] } | null = null,
): Promise<PublishedPort[]> {
  const others = [...context.state.sandboxes.values()].filter(({ id }) => id !== own?.id);
  const taken = [...others.flatMap(({ ports }) => ports), ...(own?.kept ?? [])];
  const modes = { 4: reachedBy(ways, "ipv4"), 6: reachedBy(ways, "ipv6") };
  const kept = taken.length;
  for (const candidate of candidates(context, request, hostBinding(ways), modes)) {
    taken.push(await choose(context, candidate, taken, modes));
  }
  return taken.slice(kept);
}

type Modes = Readonly<Record<4 | 6, GatewayMode | null>>;

const familyOf = (address: string): 4 | 6 => (address.includes(":") ? 6 : 4);

/** Whether a sandbox that is reached by IPv4 in this mode, and not by IPv6, has IPv6 ports of the host by relay. */
export const relays = (mode: GatewayMode | null): boolean => mode === "nat" || mode === "nat-unprotected";

/** Whether these ports can be relayed: each takes a socket of the daemon; SCTP's are not done. */
export const mayRelay = ({ protocol, count }: Pick<PublishedPort, "protocol" | "count">): boolean =>
  protocol !== "sctp" && count <= RELAYED_PORTS_MAX;

/** Addresses of the host that are needed. None: clients come to the sandbox's own. */
function hostAddresses(hostAddress: string | null, modes: Modes, ports: Pick<PublishedPort, "protocol" | "count">): string[] {
  if (hostAddress !== null) return modes[familyOf(hostAddress)] === "routed" ? [] : [hostAddress];
  const byIpv6 = modes[6] !== null ? modes[6] !== "routed" : relays(modes[4]) && mayRelay(ports);
  return [...(modes[4] === "routed" ? [] : ["0.0.0.0"]), ...(byIpv6 ? ["::"] : [])];
}

/** How the network that the sandbox is reached by does it. */
function reachedBy(ways: readonly Way[], family: "ipv4" | "ipv6"): GatewayMode | null {
  const modes = sortedWays(ways).map(({ network, driver }) => driver.translation?.(network)[family]?.mode);
  return modes.find((mode) => mode !== undefined) ?? null;
}

async function choose(context: Context, candidate: Candidate, taken: readonly PublishedPort[], modes: Modes): Promise<PublishedPort> {
  const { protocol, hostAddress, port, count, hostPorts, fixed } = candidate;
  for (const hostPort of hostPorts) {
    const wish: PublishedPort = { protocol, hostAddress, hostPort, port, count };
    const other = taken.find((one) => overlap(one, wish));
    if (other !== undefined) {
      if (!fixed) continue;
      const clash = Math.max(hostPort, other.hostPort);
      throw addressInUse(`Bind for ${shown(hostAddress)}:${clash} failed: port is already allocated`);
    }
    try {
      for (const address of hostPort === NO_PORT ? [] : hostAddresses(hostAddress, modes, wish))
        await context.nat?.reserve({ protocol, hostAddress: address, hostPort, count });
      return wish;
    } catch (error) {
      if (fixed || !(error instanceof WeftError) || error.code !== "ADDRESS_IN_USE") throw error;
    }
  }
  throw exhausted(
    `Bind for ${shown(hostAddress)} failed: all ports are allocated: none of those that may serve ${port}/${protocol} is free`,
  );
}

function* candidates(context: Context, request: PublishRequest, binding: string | null, modes: Modes): Iterable<Candidate> {
  for (const { protocol, hostAddress, hostPorts, ports } of specs(request)) {
    const common = { protocol, hostAddress: hostAddress ?? binding, port: ports.first, count: 1 };
    if (hostAddress?.includes(":") && modes[6] === null && relays(modes[4]) && !mayRelay({ protocol, count: rangeSize(ports) })) {
      throw invalidArgument(
        `${formatRange(ports)}/${protocol} can't be published at [${hostAddress}]: the sandbox has no IPv6, and only TCP and UDP are relayed to it, ` +
          `at most ${RELAYED_PORTS_MAX} ports of one -p: publish at an IPv4 address, in parts, or give its network IPv6`,
      );
    }
    if (hostAddresses(common.hostAddress, modes, { protocol, count: rangeSize(ports) }).length === 0) {
      yield { ...common, count: rangeSize(ports), hostPorts: [NO_PORT], fixed: true };
    } else if (hostPorts === null) {
      if (context.nat === undefined) throw unavailable("this daemon publishes no ports");
      for (let port = ports.first; port <= ports.last; port++) {
        yield { ...common, port, hostPorts: context.nat.ephemeralPorts(), fixed: false };
      }
    } else if (rangeSize(ports) === rangeSize(hostPorts)) {
      yield { ...common, count: rangeSize(ports), hostPorts: [hostPorts.first], fixed: true };
    } else {
      const all = Array.from({ length: rangeSize(hostPorts) }, (_, n) => hostPorts.first + n);
      yield { ...common, hostPorts: all, fixed: false };
    }
  }
}

/** With -P: exposed ports, but for those that -p names. */
function specs(request: PublishRequest): PortSpec[] {
  const named = request.publish ?? [];
  if (!request.publishAll) return named;
  const has = (protocol: Protocol, port: number): boolean =>
    named.some((spec) => spec.protocol === protocol && spec.ports.first <= port && port <= spec.ports.last);
  const exposed = (request.expose ?? []).flatMap(({ protocol, ports }) =>
    Array.from({ length: rangeSize(ports) }, (_, n) => ports.first + n)
      .filter((port) => !has(protocol, port))
      .map((port): PortSpec => ({ protocol, hostAddress: null, hostPorts: null, ports: { first: port, last: port } })),
  );
  return [...named, ...exposed];
}

/** Those that the host routes, in the order of the default route. */
function sortedWays(ways: readonly Way[]): Way[] {
  return ways.filter(({ network, driver }) => !network.internal && driver.translation !== undefined).sort(routeOrder);
}

/** host_binding_ipv4 of the network that the sandbox will be reached by. */
function hostBinding(ways: readonly Way[]): string | null {
  const reached = sortedWays(ways);
  const [first] = reached;
  const binding = first?.driver.translation?.(first.network).hostBindingIpv4 ?? null;
  return binding === "0.0.0.0" ? null : binding;
}

const ANYWHERE = ["0.0.0.0", "::"];
const shown = (address: string | null): string => (address === null ? "0.0.0.0" : address.includes(":") ? `[${address}]` : address);

function overlap(a: PublishedPort, b: PublishedPort): boolean {
  if (a.hostPort === NO_PORT || b.hostPort === NO_PORT) return false;
  if (a.protocol !== b.protocol || a.hostPort + a.count <= b.hostPort || b.hostPort + b.count <= a.hostPort) return false;
  if (a.hostAddress === null || b.hostAddress === null) return true;
  if (a.hostAddress.includes(":") !== b.hostAddress.includes(":")) return false;
  return a.hostAddress === b.hostAddress || ANYWHERE.includes(a.hostAddress) || ANYWHERE.includes(b.hostAddress);
}

// What a sandbox's interfaces shall be: a pure function of its endpoints and their networks.
//
// The default route goes through one endpoint for each family: of those whose network has a gateway, the one of the highest
// priority (`--gw-priority`), among equals the one whose network's name sorts first. So it depends on what is attached and not
// on when, and IPv4 and IPv6 may leave by different networks.
import type { Driver } from "../../drivers/driver.ts";
import type { InterfaceConfig } from "../../netns/namespaces.ts";
import type { EndpointRecord, NetworkRecord } from "../../records/records.ts";
import { byName, isEgress } from "../names.ts";
import { withLinkLength } from "./link-local.ts";

export interface Attachment {
  readonly endpoint: EndpointRecord;
  readonly network: NetworkRecord;
  readonly driver: Driver;
}

type Route = NonNullable<InterfaceConfig["routes"]>[number];

export interface SandboxInterface {
  readonly endpointId: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly ipv6: boolean;
  readonly routes: readonly Route[];
}

interface Candidate {
  readonly network: { readonly name: string };
  readonly endpoint: Pick<EndpointRecord, "gwPriority">;
}

/**
 * Which endpoint a default route leaves by: the first that has a gateway of its family. The way out for those that have no other
 * counts last: it may be there for a moment after another has come.
 */
export const routeOrder = (a: Candidate, b: Candidate): number =>
  Number(isEgress(a.network)) - Number(isEgress(b.network)) ||
  b.endpoint.gwPriority - a.endpoint.gwPriority ||
  byName(a.network, b.network);

/** Endpoints without an interface (networks of drivers that give none) are left out. */
export function sandboxInterfaces(attachments: readonly Attachment[]): SandboxInterface[] {
  const joined = attachments
    .filter(({ endpoint }) => endpoint.interfaceName !== null)
    .map((attachment) => ({ ...attachment, join: attachment.driver.join(attachment.network, attachment.endpoint) }))
    .sort(routeOrder);
  const ipv4Route = joined.find(({ join, endpoint }) => join.gatewayIpv4 !== null && endpoint.ipv4 !== null);
  const ipv6Route = joined.find(({ join, endpoint }) => join.gatewayIpv6 !== null && endpoint.ipv6 !== null);
  return joined.map((attachment) => {
    const { endpoint, join } = attachment;
    const addresses = [endpoint.ipv4, endpoint.ipv6, ...endpoint.requested.linkLocal.map(withLinkLength)].filter((text) => text !== null);
    const routes: Route[] = [];
    if (attachment === ipv4Route) routes.push({ destination: "0.0.0.0/0", gateway: join.gatewayIpv4! });
    if (attachment === ipv6Route) routes.push({ destination: "::/0", gateway: join.gatewayIpv6! });
    return {
      endpointId: endpoint.id,
      name: endpoint.interfaceName!,
      addresses,
      ipv6: addresses.some((text) => text.includes(":")),
      routes,
    };
  });
}

export interface RouteChanges {
  readonly add: readonly { readonly name: string; readonly routes: readonly Route[] }[];
  readonly remove: readonly { destination: string; gateway?: string }[];
}

/** How the default routes of interfaces that stay change between two states of a sandbox. */
export function routeChanges(before: readonly SandboxInterface[], after: readonly SandboxInterface[]): RouteChanges {
  const add: { name: string; routes: Route[] }[] = [];
  const remove: Route[] = [];
  for (const now of after) {
    const then = before.find(({ endpointId }) => endpointId === now.endpointId);
    if (then === undefined) continue;
    const added = now.routes.filter((route) => !then.routes.some((other) => sameRoute(route, other)));
    if (added.length > 0) add.push({ name: now.name, routes: added });
    remove.push(...then.routes.filter((route) => !now.routes.some((other) => sameRoute(route, other))));
  }
  return { add, remove };
}

const sameRoute = (a: Route, b: Route): boolean => a.destination === b.destination && a.gateway === b.gateway;

/** The lowest free number behind `prefix`. */
export function freeInterfaceName(prefix: string, taken: ReadonlySet<string>): string {
  for (let number = 0; ; number++) if (!taken.has(`${prefix}${number}`)) return `${prefix}${number}`;
}

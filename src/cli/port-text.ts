// Published ports as Docker shows them: "0.0.0.0:8080->80/tcp", and as inspect's map of lists.
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { RELAYED_PORTS_MAX } from "../net/port-spec.ts";

interface Binding {
  /** "80/tcp" */
  readonly key: string;
  readonly HostIp: string;
  readonly HostPort: string;
}

const hasIpv6 = (sandbox: Sandbox__Output): boolean => sandbox.endpoints.some(({ endpoint }) => endpoint!.ipv6 !== "");

/** By IPv6 a sandbox without it is reached too, by relay, but not by long ranges or SCTP. */
function addresses(sandbox: Sandbox__Output, { hostAddress, protocol, count }: Sandbox__Output["ports"][number]): string[] {
  if (hostAddress !== "") return [hostAddress];
  return hasIpv6(sandbox) || (protocol !== "sctp" && count <= RELAYED_PORTS_MAX) ? ["0.0.0.0", "::"] : ["0.0.0.0"];
}

/** The sandbox's own, by the networks of its default routes: where it is reached in routed mode. */
function ownAddresses(sandbox: Sandbox__Output, hostAddress: string): string[] {
  const sorted = [...sandbox.endpoints].sort(
    (a, b) => b.endpoint!.gwPriority - a.endpoint!.gwPriority || (a.network!.name < b.network!.name ? -1 : 1),
  );
  const own = [
    sorted.find((one) => one.gatewayIpv4 !== "")?.endpoint?.ipv4,
    sorted.find((one) => one.gatewayIpv6 !== "")?.endpoint?.ipv6,
  ].map((text) => text?.split("/")[0] ?? "");
  return own.filter((address) => address !== "" && (hostAddress === "" || address.includes(":") === hostAddress.includes(":")));
}

/** Where a port is reached: addresses and the first port there. */
function places(sandbox: Sandbox__Output, published: Sandbox__Output["ports"][number]): { address: string; first: number }[] {
  const { hostAddress, hostPort, port } = published;
  // A macvlan's stations are reached by their own addresses, and nothing is published for them.
  if (sandbox.endpoints.length > 0 && sandbox.endpoints.every(({ network }) => network!.driver === "macvlan")) return [];
  if (hostPort === 0) return ownAddresses(sandbox, hostAddress).map((address) => ({ address, first: port }));
  return addresses(sandbox, published).map((address) => ({ address, first: hostPort }));
}

/** One for each port and address. */
export function bindings(sandbox: Sandbox__Output): Binding[] {
  return sandbox.ports.flatMap((published) =>
    Array.from({ length: published.count }, (_, n) => n).flatMap((n) =>
      places(sandbox, published).map(({ address, first }) => ({
        ...{ key: `${published.port + n}/${published.protocol}`, HostIp: address, HostPort: String(first + n) },
      })),
    ),
  );
}

/** Docker's NetworkSettings.Ports: exposed ports that are not published have null. */
export function portBindings(sandbox: Sandbox__Output): Record<string, { HostIp: string; HostPort: string }[] | null> {
  const map: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  for (const { protocol, portFirst, portLast } of sandbox.exposed) {
    for (let port = portFirst; port <= portLast; port++) map[`${port}/${protocol}`] = null;
  }
  for (const { key, HostIp, HostPort } of bindings(sandbox)) {
    map[key] = [...(map[key] ?? []), { HostIp, HostPort }];
  }
  return map;
}

export const bracketed = (address: string): string => (address.includes(":") ? `[${address}]` : address);

/** For a table: ranges stay ranges. */
export function portsText(sandbox: Sandbox__Output): string {
  const range = (first: number, count: number): string => (count === 1 ? `${first}` : `${first}-${first + count - 1}`);
  return sandbox.ports
    .flatMap((published) => {
      const { port, count, protocol } = published;
      return places(sandbox, published).map(
        ({ address, first }) => `${bracketed(address)}:${range(first, count)}->${range(port, count)}/${protocol}`,
      );
    })
    .join(", ");
}

// Published ports as Docker shows them: "0.0.0.0:8080->80/tcp", and as inspect's map of lists.
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import type { SandboxEndpoint__Output } from "../api/generated/weft/v1/SandboxEndpoint.ts";
import { RELAYED_PORTS_MAX } from "../net/port-spec.ts";

/** Whether it is the sandbox's way out of the host, which Docker shows with the network and not with the sandbox. */
export const isEgress = ({ network }: Pick<SandboxEndpoint__Output, "network">): boolean => network!.name === "weft_gwbridge";

interface Binding {
  /** "80/tcp" */
  readonly key: string;
  readonly HostIp: string;
  readonly HostPort: string;
}

/** The endpoint that the default route of a family leaves by, and clients come in by, if its network publishes. */
function wayIn(sandbox: Sandbox__Output, gateway: "gatewayIpv4" | "gatewayIpv6"): SandboxEndpoint__Output | undefined {
  const [first] = sandbox.endpoints
    .filter((one) => one[gateway] !== "")
    .sort(
      (a, b) =>
        Number(isEgress(a)) - Number(isEgress(b)) ||
        b.endpoint!.gwPriority - a.endpoint!.gwPriority ||
        (a.network!.name < b.network!.name ? -1 : 1),
    );
  return first?.network?.driver === "bridge" ? first : undefined;
}

/**
 * Where a port is reached: addresses and the first port there. None: no network of the sandbox publishes (it is internal, or a
 * macvlan, whose stations are reached by their own addresses), though the port is its own for when one does.
 */
function places(sandbox: Sandbox__Output, published: Sandbox__Output["ports"][number]): { address: string; first: number }[] {
  const { hostAddress, hostPort, port, protocol, count } = published;
  const [ipv4, ipv6] = [wayIn(sandbox, "gatewayIpv4"), wayIn(sandbox, "gatewayIpv6")];
  // A sandbox without IPv6 is reached by it all the same, by relay, but not by long ranges or SCTP.
  const relayed = ipv4 !== undefined && protocol !== "sctp" && count <= RELAYED_PORTS_MAX;
  const ways = [
    ...(ipv4 === undefined ? [] : [{ anywhere: "0.0.0.0", own: ipv4.endpoint!.ipv4 }]),
    ...(ipv6 === undefined ? (relayed ? [{ anywhere: "::", own: "" }] : []) : [{ anywhere: "::", own: ipv6.endpoint!.ipv6 }]),
  ].filter(({ anywhere }) => hostAddress === "" || hostAddress.includes(":") === anywhere.includes(":"));
  // In routed mode it is the sandbox's own address.
  if (hostPort === 0) return ways.filter(({ own }) => own !== "").map(({ own }) => ({ address: own.split("/")[0]!, first: port }));
  return ways.map(({ anywhere }) => ({ address: hostAddress || anywhere, first: hostPort }));
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

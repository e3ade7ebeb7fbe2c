// Published ports as Docker shows them: "0.0.0.0:8080->80/tcp", and as inspect's map of lists.
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";

interface Binding {
  /** "80/tcp" */
  readonly key: string;
  readonly HostIp: string;
  readonly HostPort: string;
}

const hasIpv6 = (sandbox: Sandbox__Output): boolean => sandbox.endpoints.some(({ endpoint }) => endpoint!.ipv6 !== "");

function addresses(sandbox: Sandbox__Output, hostAddress: string): string[] {
  if (hostAddress !== "") return [hostAddress];
  return hasIpv6(sandbox) ? ["0.0.0.0", "::"] : ["0.0.0.0"];
}

/** One for each port and address. */
export function bindings(sandbox: Sandbox__Output): Binding[] {
  return sandbox.ports.flatMap(({ protocol, hostAddress, hostPort, port, count }) =>
    Array.from({ length: count }, (_, n) => n).flatMap((n) =>
      addresses(sandbox, hostAddress).map((HostIp) => ({ key: `${port + n}/${protocol}`, HostIp, HostPort: String(hostPort + n) })),
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
    .flatMap(({ protocol, hostAddress, hostPort, port, count }) =>
      addresses(sandbox, hostAddress).map(
        (address) => `${bracketed(address)}:${range(hostPort, count)}->${range(port, count)}/${protocol}`,
      ),
    )
    .join(", ");
}

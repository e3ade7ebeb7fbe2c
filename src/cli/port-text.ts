// Published ports as Docker shows them: "0.0.0.0:8080->80/tcp", and as inspect's map of lists. Where they are reached is the
// daemon's word.
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";

interface Binding {
  /** "80/tcp" */
  readonly key: string;
  readonly HostIp: string;
  readonly HostPort: string;
}

type Published = Pick<Sandbox__Output, "ports">;

/** One for each port and address. */
export function bindings({ ports }: Published): Binding[] {
  return ports.flatMap(({ port: first, count, protocol, places }) =>
    Array.from({ length: count }, (_, n) => n).flatMap((n) =>
      places.map(({ address, port }) => ({ key: `${first + n}/${protocol}`, HostIp: address, HostPort: String(port + n) })),
    ),
  );
}

/** Docker's NetworkSettings.Ports: exposed ports that are not published have null. */
export function portBindings(
  sandbox: Pick<Sandbox__Output, "ports" | "exposed">,
): Record<string, { HostIp: string; HostPort: string }[] | null> {
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
export function portsText({ ports }: Published): string {
  const range = (first: number, count: number): string => (count === 1 ? `${first}` : `${first}-${first + count - 1}`);
  return ports
    .flatMap(({ port: first, count, protocol, places }) =>
      places.map(({ address, port }) => `${bracketed(address)}:${range(port, count)}->${range(first, count)}/${protocol}`),
    )
    .join(", ");
}

// How clients come to a sandbox's published ports: for each family by the endpoint that its default route leaves by, if the host
// routes that network; to a sandbox with IPv4 alone by relay from IPv6. Ports go with the default route from network to network.
//
// All of it is computed from what is stored, once: the host's rules and relays (routing.ts), the places that users are shown and
// the warnings about ports that nobody comes to are three readings of the same publications. Which ports of the host a sandbox
// gets is decided before, in publishing.ts.
import { translates } from "../../nat/rules.ts";
import type { GatewayMode, HostPort, Publication, RelayedPorts } from "../../nat/types.ts";
import { formatRange, RELAYED_PORTS_MAX } from "../../net/port-spec.ts";
import type { PublishedPort, SandboxRecord } from "../../records/records.ts";
import { attachmentsOf, type Context } from "../context.ts";
import { sandboxInterfaces } from "../endpoints/wants.ts";
import type { PortPlace } from "../types.ts";
import { mayRelay, NO_PORT, relays } from "./publishing.ts";
import { translationOf } from "./translations.ts";

const FAMILIES = [
  { family: 4, key: "ipv4", anywhere: "0.0.0.0", everything: "0.0.0.0/0" },
  { family: 6, key: "ipv6", anywhere: "::", everything: "::/0" },
] as const;

/** How a sandbox is reached by a family. */
export interface WayTo {
  readonly family: 4 | 6;
  readonly anywhere: string;
  readonly interfaceName: string;
  readonly mode: GatewayMode;
  readonly target: string;
}

/** For each family, IPv4 first, by the endpoint that the sandbox's default route goes by: answers leave there. */
export function waysTo(context: Context, sandbox: SandboxRecord): WayTo[] {
  const attachments = attachmentsOf(context, sandbox);
  const links = sandboxInterfaces(attachments);
  return FAMILIES.flatMap(({ family, key, anywhere, everything }) => {
    const link = links.find(({ routes }) => routes.some(({ destination }) => destination === everything));
    const attachment = attachments.find(({ endpoint }) => endpoint.id === link?.endpointId);
    const translation = attachment === undefined ? undefined : translationOf(context, attachment.network);
    const mode = translation?.[key]?.mode;
    const target = attachment?.endpoint[key]?.split("/")[0];
    if (translation === undefined || mode === undefined || target === undefined) return [];
    return [{ family, anywhere, interfaceName: translation.interfaceName, mode, target }];
  });
}

export function publicationsOf(ports: readonly PublishedPort[], ways: readonly WayTo[]): Publication[] {
  return ways.flatMap(({ family, anywhere, interfaceName, mode, target }) =>
    ports
      .filter(({ hostAddress }) => hostAddress === null || hostAddress.includes(":") === (family === 6))
      .filter(({ hostPort }) => hostPort !== NO_PORT || mode === "routed")
      .map(({ protocol, hostAddress, hostPort, port, count }) => ({
        ...{ protocol, family, hostAddress: hostAddress ?? anywhere, hostPort, count },
        ...{ interfaceName, mode, target, targetPort: port },
      })),
  );
}

/** Published ports that IPv6 clients can come to by relay alone: the sandbox is reached by IPv4 only. */
function byRelay(ports: readonly PublishedPort[], ways: readonly WayTo[]): readonly PublishedPort[] {
  const [way] = ways;
  if (way === undefined || ways.some(({ family }) => family === 6) || !relays(way.mode)) return [];
  return ports.filter(({ hostPort, hostAddress }) => hostPort !== NO_PORT && hostAddress?.includes(":") !== false);
}

/** Those that are relayed, as Docker's userland proxy does it. */
export function relaysOf(ports: readonly PublishedPort[], ways: readonly WayTo[]): RelayedPorts[] {
  return byRelay(ports, ways)
    .filter(mayRelay)
    .map(({ protocol, hostAddress, hostPort, port, count }) => ({
      ...{ protocol, hostAddress: hostAddress ?? "::", hostPort, count },
      ...{ target: ways[0]!.target, targetPort: port },
    }));
}

/** Where clients reach each of the sandbox's ports now, in the order in which it has them. */
export function portPlaces(context: Context, sandbox: SandboxRecord): PortPlace[][] {
  if (sandbox.ports.length === 0) return [];
  const ways = waysTo(context, sandbox);
  return sandbox.ports.map((port) => [...publicationsOf([port], ways).map(placeOf), ...relaysOf([port], ways).map(hostPlace)]);
}

const hostPlace = ({ hostAddress, hostPort }: HostPort): PortPlace => ({ address: hostAddress, port: hostPort });

/** Where nothing is translated no port of the host leads there, whatever was asked for. */
const placeOf = (publication: Publication): PortPlace =>
  translates(publication) ? hostPlace(publication) : { address: publication.target, port: publication.targetPort };

/** Which of a sandbox's ports clients of a family do not come to, though they were published for them too. */
export function publishWarnings(context: Context, sandbox: SandboxRecord): string[] {
  if (sandbox.ports.length === 0) return [];
  const ways = waysTo(context, sandbox);
  const [way] = ways;
  const ipv4Lacks = way?.family === 6 ? sandbox.ports.filter(({ hostAddress }) => hostAddress?.includes(".") === true) : [];
  return [
    ...byRelay(sandbox.ports, ways)
      .filter((port) => !mayRelay(port))
      .map(
        (port) =>
          `[${port.hostAddress ?? "::"}]:${hostRange(port)} is not published: the sandbox has no IPv6, and only TCP and UDP are relayed to it, ` +
          `at most ${RELAYED_PORTS_MAX} ports of one -p: publish in parts, or give its network IPv6`,
      ),
    ...ipv4Lacks.map(
      (port) =>
        `${port.hostAddress}:${hostRange(port)} is not published: the sandbox has no IPv4, and nothing is relayed from IPv4 to IPv6: ` +
        "publish at an IPv6 address ([::]:8080:80), or give its network IPv4",
    ),
  ];
}

const hostRange = ({ protocol, hostPort, count }: PublishedPort): string =>
  `${formatRange({ first: hostPort, last: hostPort + count - 1 })}/${protocol}`;

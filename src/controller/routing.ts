// The host as a router for networks: what it shall do is a pure function of the stored objects, computed anew and handed to
// nat/ whole, which finds out whether anything changed.
import type { Translation } from "../drivers/driver.ts";
import type { GatewayMode, NatPlan, Publication, RelayedPorts } from "../nat/types.ts";
import { formatRange, RELAYED_PORTS_MAX } from "../net/port-spec.ts";
import type { NetworkRecord, PublishedPort, SandboxRecord } from "../records/records.ts";
import { attachmentsOf, attempt, type Context } from "./context.ts";
import { mayRelay, NO_PORT, relays } from "./publishing.ts";
import { type Attachment, sandboxInterfaces } from "./wants.ts";

const FAMILIES = [
  { family: 4, key: "ipv4", anywhere: "0.0.0.0", everything: "0.0.0.0/0" },
  { family: 6, key: "ipv6", anywhere: "::", everything: "::/0" },
] as const;

/** By record, of which a changed network has another. Every change of a network asks for those of all. */
const translations = new WeakMap<NetworkRecord, Translation>();

function translationOf(context: Context, network: NetworkRecord): Translation | undefined {
  const known = translations.get(network);
  if (known !== undefined) return known;
  const translation = context.drivers.get(network.driver).translation?.(network);
  if (translation !== undefined) translations.set(network, translation);
  return translation;
}

function natPlan(context: Context): NatPlan {
  const networks = [...context.state.networks.values()].flatMap((network) => translationOf(context, network) ?? []);
  const publishing = [...context.state.sandboxes.values()]
    .filter(({ ports }) => ports.length > 0)
    .map((sandbox) => ({ sandbox, ways: waysTo(context, sandbox) }));
  return {
    networks,
    publications: publishing.flatMap(({ sandbox, ways }) => publicationsOf(sandbox, ways)),
    relays: publishing.flatMap(({ sandbox, ways }) => relaysOf(sandbox, ways)),
  };
}

/** How a sandbox is reached by a family. */
interface WayTo {
  readonly family: 4 | 6;
  readonly anywhere: string;
  readonly interfaceName: string;
  readonly mode: GatewayMode;
  readonly target: string;
}

/** For each family, by the endpoint that the sandbox's default route goes by: answers leave there. */
function waysTo(context: Context, sandbox: SandboxRecord): WayTo[] {
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

function publicationsOf(sandbox: SandboxRecord, ways: readonly WayTo[]): Publication[] {
  return ways.flatMap(({ family, anywhere, interfaceName, mode, target }) =>
    sandbox.ports
      .filter(({ hostAddress }) => hostAddress === null || hostAddress.includes(":") === (family === 6))
      .filter(({ hostPort }) => hostPort !== NO_PORT || mode === "routed")
      .map(({ protocol, hostAddress, hostPort, port, count }) => ({
        ...{ protocol, family, hostAddress: hostAddress ?? anywhere, hostPort, count },
        ...{ interfaceName, mode, target, targetPort: port },
      })),
  );
}

/** Published ports that IPv6 clients can come to by relay alone: the sandbox is reached by IPv4 only. */
function byRelay({ ports }: SandboxRecord, ways: readonly WayTo[]): readonly PublishedPort[] {
  const [way] = ways;
  if (way === undefined || ways.some(({ family }) => family === 6) || !relays(way.mode)) return [];
  return ports.filter(({ hostPort, hostAddress }) => hostPort !== NO_PORT && hostAddress?.includes(":") !== false);
}

/** Those that are relayed, as Docker's userland proxy does it. */
function relaysOf(sandbox: SandboxRecord, ways: readonly WayTo[]): RelayedPorts[] {
  return byRelay(sandbox, ways)
    .filter(mayRelay)
    .map(({ protocol, hostAddress, hostPort, port, count }) => ({
      ...{ protocol, hostAddress: hostAddress ?? "::", hostPort, count },
      ...{ target: ways[0]!.target, targetPort: port },
    }));
}

/** Which of a sandbox's ports clients of a family do not come to, though they were published for them too. */
export function publishWarnings(context: Context, sandbox: SandboxRecord): string[] {
  if (sandbox.ports.length === 0) return [];
  const ways = waysTo(context, sandbox);
  const [way] = ways;
  const ipv4Lacks = way?.family === 6 ? sandbox.ports.filter(({ hostAddress }) => hostAddress?.includes(".") === true) : [];
  return [
    ...byRelay(sandbox, ways)
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

/** Makes the host route as the stored objects say. */
export async function routeHost(context: Context): Promise<void> {
  await context.nat?.apply(natPlan(context));
}

/** The same on the way back or after a removal: rules for what is gone do no harm, and the next change removes them. */
export async function rerouteHost(context: Context): Promise<void> {
  await attempt(context, "changing the host's address translation", () => routeHost(context));
}

/** Gives a gateway's interface that was made, or made again, what host programs need to reach ports by way of it. */
export async function openHost(context: Context, network: NetworkRecord): Promise<void> {
  const interfaceName = translationOf(context, network)?.interfaceName;
  if (interfaceName !== undefined) await context.nat?.interfaceMade(interfaceName);
}

/** Once nothing leads to these endpoints any more: their connections end with them. */
export async function forgetFlows(context: Context, attachments: readonly Attachment[]): Promise<void> {
  const addresses = attachments
    .filter(({ driver }) => driver.translation !== undefined)
    .flatMap(({ endpoint }) => [endpoint.ipv4, endpoint.ipv6].flatMap((text) => text?.split("/")[0] ?? []));
  if (addresses.length > 0) await attempt(context, "ending tracked connections", async () => context.nat?.forget(addresses));
}

// Endpoints: from a wish to attach to a record, and from records to interfaces in a sandbox's namespace and back.
import { forbidden, invalidArgument } from "../../errors.ts";
import { parseMac, randomMac } from "../../net/mac.ts";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../../records/records.ts";
import { endpointKey } from "../../store/keys.ts";
import type { Put } from "../../store/store.ts";
import { attempt, type Context, endpointOwner, newId, put, throwFirst } from "../context.ts";
import { checkName, isEgress, shortId } from "../names.ts";
import { sysctlsRefused } from "../sandboxes/settings.ts";
import { stackInode } from "../stack-inode.ts";
import type { AttachRequest } from "../types.ts";
import { linkLocalInUse, readLinkLocal, refuseUsedLinkLocal } from "./link-local.ts";
import { closeLinks, openLinks } from "./link-ports.ts";
import { endpointLinks } from "./links.ts";
import { checkAttachment } from "./modes.ts";
import { interfaceSysctls, readEndpointOptions, wishedName } from "./options.ts";
import { type Attachment, freeInterfaceName, routeChanges, type SandboxInterface, sandboxInterfaces } from "./wants.ts";

/** An endpoint with its addresses reserved, not stored yet. */
export interface Prepared {
  readonly attachment: Attachment;
  readonly puts: readonly Put[];
  /** It is in the store. */
  settle(): void;
  /** It won't be. */
  release(): Promise<void>;
}

/**
 * Reserves what an endpoint needs. The caller holds the sandbox and (shared) the network. `linkNames`: taken in the namespace;
 * the name chosen is added. `asked`: what the user asked for, where `request` says more.
 */
export async function prepareAttachment(
  context: Context,
  sandbox: Pick<SandboxRecord, "id" | "name">,
  network: NetworkRecord,
  request: AttachRequest,
  linkNames: Set<string>,
  asked: AttachRequest = request,
): Promise<Prepared> {
  const { state, ipam } = context;
  const driver = context.drivers.get(network.driver);
  checkAttachment(network, driver, request);
  const options = readEndpointOptions(request.driverOptions ?? {});
  const linkLocal = readLinkLocal(request.linkLocalIps ?? []);
  const numbered = driver.addressSpace !== null;
  let mac = request.mac ? parseMac(request.mac) : null;
  if (mac === null && numbered && (await ipam.requiresMac(network.id))) mac = randomMac(context.randomBytes);
  for (const alias of request.aliases ?? []) checkName(alias, "alias");
  if (state.endpointsOfSandbox(sandbox.id).some(({ networkId }) => networkId === network.id)) {
    throw forbidden(
      `endpoint with name ${sandbox.name} already exists in network ${network.name}: sandbox ${sandbox.name} is attached to it`,
    );
  }
  const links = endpointLinks(context, network, request.links ?? []);
  if (request.ipv4 && !network.enableIpv4)
    throw invalidArgument(`invalid address ${request.ipv4}: network ${network.name} has no IPv4 subnet`);
  if (request.ipv6 && !network.enableIpv6) {
    throw invalidArgument(`invalid address ${request.ipv6}: network ${network.name} has no IPv6 subnet, create it with --ipv6`);
  }
  const isOnHost = mac !== null && driver.linkOf !== undefined;
  const hostMacs = new Set(isOnHost ? (await context.namespaces.hostLinks()).map((link) => link.mac) : []);
  const lease = !numbered
    ? { ipv4: null, ipv6: null, puts: [] }
    : await ipam.requestAddresses(network.id, { ipv4: request.ipv4 || null, ipv6: request.ipv6 || null, mac });
  const reservation = (address: string): string => `${driver.linkOf?.(network) ?? network.id} ${address}`;
  let endpoint: EndpointRecord;
  try {
    for (const address of linkLocal) {
      if (context.reserved.has(reservation(address))) throw linkLocalInUse(address, network, "a sandbox that is joining");
    }
    const neighbours = endpointsOfLink(context, network);
    refuseUsedLinkLocal(linkLocal, network, neighbours);
    const takenMacs = new Set(neighbours.flatMap(({ mac: other }) => other ?? []));
    for (const text of context.reserved) if (text.startsWith(reservation(""))) takenMacs.add(text.slice(reservation("").length));
    const id = newId(context);
    const made = driver.createEndpoint(network, { id, ipv4: lease.ipv4, ipv6: lease.ipv6, mac, takenMacs, hostMacs }, context.host);
    const { interfacePrefix } = driver.join(network, lease);
    const interfaceName =
      interfacePrefix === null ? null : (wishedName(options, linkNames) ?? freeInterfaceName(interfacePrefix, linkNames));
    if (interfaceName !== null) linkNames.add(interfaceName);
    endpoint = {
      id,
      networkId: network.id,
      sandboxId: sandbox.id,
      name: isEgress(network) ? `gateway_${shortId(sandbox.id)}` : sandbox.name,
      mac: made.mac,
      ipv4: lease.ipv4,
      ipv6: lease.ipv6,
      requested: { ipv4: bare(asked.ipv4 && lease.ipv4), ipv6: bare(asked.ipv6 && lease.ipv6), linkLocal },
      aliases: [...(request.aliases ?? [])],
      links,
      interfaceName,
      gwPriority: request.gwPriority ?? 0,
      driverOptions: { ...request.driverOptions },
      driverState: made.driverState,
    };
  } catch (error) {
    await ipam.releaseAddresses(network.id, lease);
    throw error;
  }
  const reserved = [...(endpoint.mac === null ? [] : [endpoint.mac]), ...linkLocal].map(reservation);
  for (const text of reserved) context.reserved.add(text);
  const settle = (): void => {
    for (const text of reserved) context.reserved.delete(text);
  };
  return {
    attachment: { endpoint, network, driver },
    puts: [put(endpointKey(endpoint.id), endpoint), ...lease.puts],
    settle,
    release: async () => {
      settle();
      await ipam.releaseAddresses(network.id, endpoint);
    },
  };
}

/** Of the network, and of those that are on one link with it. */
function endpointsOfLink({ state, drivers }: Context, network: NetworkRecord): readonly EndpointRecord[] {
  const driver = drivers.get(network.driver);
  const link = driver.linkOf?.(network);
  if (link === undefined) return state.endpointsOfNetwork(network.id);
  const networks = [...state.networks.values()].filter((one) => one.driver === network.driver && driver.linkOf?.(one) === link);
  return networks.flatMap(({ id }) => state.endpointsOfNetwork(id));
}

/** "10.0.0.2/24" -> "10.0.0.2" */
const bare = (text: string | null | undefined): string | null => text?.split("/")[0] || null;

/** Makes `fresh` endpoints true beside `others` that are so already: interfaces, addresses, and the default routes of both. */
export async function realizeAttachments(
  context: Context,
  sandbox: SandboxRecord,
  fresh: readonly Attachment[],
  others: readonly Attachment[],
): Promise<void> {
  const declared = await Promise.allSettled(
    fresh.map(({ driver, network, endpoint }) =>
      context.datapath.declare(endpointOwner(endpoint.id), driver.declareEndpoint(network, endpoint, sandbox.namespacePath)),
    ),
  );
  throwFirst(declared);
  await openLinks(context, fresh);
  const before = sandboxInterfaces(others);
  const after = sandboxInterfaces([...others, ...fresh]);
  const changes = routeChanges(before, after);
  if (changes.remove.length > 0) await context.namespaces.deleteRoutes(sandbox.namespacePath, changes.remove);
  const links = after.filter((link) => fresh.some(({ endpoint }) => endpoint.id === link.endpointId));
  throwFirst(await Promise.allSettled(links.map((link) => configureInterface(context, sandbox, link, true))));
  await addRoutes(context, sandbox, changes.add);
}

/** The way back: `gone` endpoints' interfaces go, `rest` takes over the default routes. Throws if an interface can't be withdrawn. */
export async function withdrawAttachments(
  context: Context,
  sandbox: SandboxRecord,
  gone: readonly Attachment[],
  rest: readonly Attachment[],
): Promise<void> {
  await closeLinks(context, gone);
  const results = await Promise.allSettled(gone.map(({ endpoint }) => context.datapath.withdraw(endpointOwner(endpoint.id))));
  throwFirst(results);
  if (rest.length === 0 || stackInode(context, sandbox) === null) return;
  const changes = routeChanges(sandboxInterfaces([...gone, ...rest]), sandboxInterfaces(rest));
  await attempt(context, `moving the default route of sandbox ${sandbox.name}`, () => addRoutes(context, sandbox, changes.add));
}

/**
 * `setAddresses` false: the interface has them; what its owner added beside is left alone. Routes are set in either case: a
 * crash may have come between.
 */
export async function configureInterface(
  context: Context,
  sandbox: SandboxRecord,
  link: SandboxInterface,
  setAddresses: boolean,
): Promise<void> {
  // In namespaces of ours IPv6 is off on new interfaces, elsewhere we can't know.
  if (setAddresses && (link.ipv6 || !sandbox.ownsNamespace))
    await context.namespaces.enableIpv6(sandbox.namespacePath, link.name, link.ipv6);
  if (setAddresses) await setSysctls(context, sandbox, link);
  await context.namespaces.configure(sandbox.namespacePath, {
    name: link.name,
    up: true,
    ...(setAddresses ? { addresses: [...link.addresses] } : {}),
    ...(link.routes.length > 0 ? { routes: [...link.routes] } : {}),
  });
}

/** Before it is up: some of them are about what the kernel does at that moment. */
async function setSysctls(context: Context, sandbox: SandboxRecord, { name, endpointId }: SandboxInterface): Promise<void> {
  const values = interfaceSysctls(context.state.endpoints.get(endpointId)?.driverOptions ?? {}, name);
  if (Object.keys(values).length === 0) return;
  try {
    await context.namespaces.writeSysctls(sandbox.namespacePath, values);
  } catch (error) {
    throw sysctlsRefused(`interface ${name} in sandbox ${sandbox.name}`, error);
  }
}

async function addRoutes(
  context: Context,
  sandbox: SandboxRecord,
  add: readonly { readonly name: string; readonly routes: SandboxInterface["routes"] }[],
): Promise<void> {
  for (const { name, routes } of add) await context.namespaces.configure(sandbox.namespacePath, { name, routes: [...routes] });
}

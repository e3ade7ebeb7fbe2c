// Networks: create, remove, look up. What a request may combine is in network-rules.ts.

import type { Driver, NetworkDraft } from "../drivers/driver.ts";
import { alreadyExists, forbidden, invalidArgument, notFound, WeftError } from "../errors.ts";
import type { AddressSpace } from "../ipam/default-pools.ts";
import { DEFAULT_IPAM, type IpamDriver, NULL_IPAM } from "../ipam/ipam.ts";
import type { Id, IpamConfig, NetworkRecord } from "../records/records.ts";
import { networkKey, peerKey, ULA_KEY } from "../store/keys.ts";
import type { Put } from "../store/store.ts";
import { attempt, type Context, commit, networkOwner, newId, put } from "./context.ts";
import { exclusive } from "./locks.ts";
import {
  byName,
  checkName,
  DEFAULT_BRIDGE,
  DEFAULT_NETWORK,
  EGRESS_NETWORK,
  isEgress,
  isPredefined,
  refusePredefined,
  refusePredefinedRemoval,
  resolve,
  shortId,
} from "./names.ts";
import {
  CONFIGURATION_DRIVER,
  checkOnlyIngress,
  checkRequest,
  checkScope,
  configurationSubnets,
  refuseUsedConfiguration,
  withConfiguration,
} from "./network-rules.ts";
import { hostRoutes, takenSubnets } from "./obstacles.ts";
import { admissiblePeers, forgetKeys, isEncrypted, leftOut, leftOutText } from "./peer-keys.ts";
import { openHost, rerouteHost, routeHost } from "./routing.ts";
import type { CreateNetworkRequest, NetworkView } from "./types.ts";

/** Held by whatever changes what networks there are, or what all of them declare. */
export const NETWORKS_LOCK = "networks";
export const networkLock = (network: Pick<NetworkRecord, "id">): string => `network/${network.id}`;

const DEFAULT_DRIVER = "bridge";
const ULA_GLOBAL_ID_BYTES = 5;

export function findNetwork(context: Context, reference: string): NetworkRecord {
  const meant = reference === DEFAULT_NETWORK ? DEFAULT_BRIDGE : reference;
  return resolve("network", meant, context.state.networks, (name) => context.state.networkByName(name));
}

export function listNetworks(context: Context): NetworkRecord[] {
  return [...context.state.networks.values()].filter(({ id }) => !context.pending.has(id)).sort(byName);
}

export function inspectNetwork(context: Context, reference: string): NetworkView {
  const { state, pending } = context;
  const network = findNetwork(context, reference);
  if (pending.has(network.id)) throw notFound(`network ${reference} not found`);
  const endpoints = state
    .endpointsOfNetwork(network.id)
    .filter(({ id, sandboxId }) => !pending.has(id) && (sandboxId === null || !pending.has(sandboxId)))
    .sort(byName)
    .map((endpoint) => ({ endpoint, sandbox: endpoint.sandboxId === null ? null : (state.sandboxes.get(endpoint.sandboxId) ?? null) }));
  const driver = context.drivers.get(network.driver);
  const domains = (driver.declareNetwork(network, []).domains ?? []).map(({ id }) => id);
  const peers = driver.hasPeers
    ? admissiblePeers(context, network).filter(({ networkId }) => networkId === null || networkId === network.id)
    : [];
  const subnets = addressSpaceOf(context, network) === null ? {} : context.ipam.usage(network.id);
  const chosenOptions = driver.chosenOptions?.(network) ?? {};
  const warnings = leftOut(context, network).map((address) => leftOutText(network, address));
  return { network, endpoints, peers, domains, subnets, encrypted: isEncrypted(context, network), chosenOptions, warnings };
}

/** Null: the network has no pools. */
export function addressSpaceOf(context: Pick<Context, "drivers">, network: Pick<NetworkRecord, "driver">): AddressSpace | null {
  return context.drivers.get(network.driver).addressSpace;
}

export async function createNetwork(context: Context, request: CreateNetworkRequest): Promise<NetworkRecord> {
  refusePredefined(request.name);
  checkName(request.name, "network name");
  checkEgressNetwork(request);
  return makeNetwork(context, request);
}

/** A user may make the way out of sandboxes on overlays (egress.ts) to his liking, but it must be one. */
function checkEgressNetwork({ name, driver, internal, configOnly }: CreateNetworkRequest): void {
  if (name !== EGRESS_NETWORK) return;
  if ((driver && driver !== DEFAULT_DRIVER) || internal || configOnly) {
    throw invalidArgument(
      `network ${EGRESS_NETWORK} is the way out for sandboxes on overlay networks: it must be a bridge, and not internal`,
    );
  }
}

/** createNetwork for names that users don't choose, too. */
export async function makeNetwork(context: Context, asked: CreateNetworkRequest): Promise<NetworkRecord> {
  const { state } = context;
  const { name } = asked;
  checkRequest(asked);
  const driver = context.drivers.get(asked.configOnly ? CONFIGURATION_DRIVER : asked.driver || DEFAULT_DRIVER);
  checkScope(asked, driver);
  // Before the lock: a plugin that is slow to answer holds up nobody else.
  const askedIpam = asked.configOnly ? null : await findIpam(context, driver, asked);
  const id = newId(context);

  return context.locks.run([exclusive(NETWORKS_LOCK), exclusive(networkLock({ id }))], async () => {
    if (state.networkByName(name) !== undefined) throw alreadyExists(`network with name ${name} already exists`);
    if (asked.ingress) checkOnlyIngress(state.networks.values());
    const request = withConfiguration(asked, state.networkByName(asked.configFrom ?? ""));
    const ipam = request === asked ? askedIpam : await findIpam(context, driver, request);
    const enableIpv4 = request.enableIpv4 ?? true;
    // An IPv6 subnet says it all; only a plain "no" contradicts it, and planSubnets then refuses.
    const enableIpv6 = request.enableIpv6 ?? (request.ipam ?? []).some(({ subnet }) => subnet?.includes(":"));
    if (!enableIpv4 && !enableIpv6) throw invalidArgument("IPv4 and IPv6 are both disabled: enable at least one");
    const puts: Put[] = [];
    const subnets = await chooseSubnets(context, driver, ipam, id, { ...request, enableIpv4, enableIpv6 }, puts);
    const draft: NetworkDraft = {
      id,
      name,
      createdAt: context.clock.nowIso(),
      driver: driver.name,
      scope: driver.scope,
      enableIpv4,
      enableIpv6,
      internal: request.internal ?? false,
      attachable: request.attachable ?? false,
      ingress: request.ingress ?? false,
      configOnly: request.configOnly ?? false,
      configFrom: request.configFrom || null,
      ipamDriver: ipam?.name ?? (request.ipamDriver || DEFAULT_IPAM),
      ipamOptions: { ...request.ipamOptions },
      ipam: subnets,
      options: { ...request.options },
      labels: { ...request.labels },
    };
    try {
      const network = await admitNetwork(context, driver, draft, puts);
      for (const address of leftOut(context, network)) context.log("warn", leftOutText(network, address));
      context.log("info", "network created", { name, id: shortId(id), driver: driver.name, subnets: subnets.map(({ subnet }) => subnet) });
      return network;
    } catch (error) {
      if (ipam !== null && !state.networks.has(id)) await context.ipam.releaseSubnets(draft);
      throw error;
    }
  });
}

/** Stores it and makes it true, or neither. */
async function admitNetwork(context: Context, driver: Driver, draft: NetworkDraft, puts: readonly Put[]): Promise<NetworkRecord> {
  const { id } = draft;
  const network: NetworkRecord = { ...draft, driverState: await driver.createNetwork(draft, context.host) };
  context.pending.add(id);
  try {
    await commit(context, [put(networkKey(id), network), ...puts]);
    try {
      if (driver.addressSpace !== null) context.ipam.openNetwork(network, driver.addressSpace, [], context.state.ipam);
      await realizeNetwork(context, network);
    } catch (error) {
      await takeBack(context, network, error);
    }
  } finally {
    context.pending.delete(id);
  }
  return network;
}

/** The driver that is to give its addresses. */
async function findIpam(context: Context, driver: Driver, request: CreateNetworkRequest): Promise<IpamDriver> {
  const ipam = await context.ipam.driver(request.ipamDriver ?? "");
  ipam.checkOptions(request.ipamOptions ?? {});
  if (ipam.name === NULL_IPAM && driver.addressSpace !== null && !driver.withoutAddresses) {
    const family = (request.enableIpv4 ?? true) ? "ipv4" : "ipv6";
    throw invalidArgument(`${family} pool is empty: networks of driver ${driver.name} need addresses, leave out --ipam-driver null`);
  }
  return ipam;
}

/** The subnets of a network to be; `puts` gets what has to be stored with it. */
async function chooseSubnets(
  context: Context,
  driver: Driver,
  ipam: IpamDriver | null,
  networkId: Id,
  request: CreateNetworkRequest & { readonly enableIpv4: boolean; readonly enableIpv6: boolean },
  puts: Put[],
): Promise<readonly IpamConfig[]> {
  const { enableIpv4, enableIpv6, ipam: requests = [] } = request;
  if (ipam === null) return configurationSubnets(requests, enableIpv4, enableIpv6);
  if (driver.addressSpace === null) return [];
  const plan = {
    space: driver.addressSpace,
    requests,
    enableIpv4,
    enableIpv6,
    networks: takenSubnets(context),
    hostRoutes: driver.avoidsHostRoutes ? await hostRoutes(context) : [],
    ulaGlobalId: ulaGlobalId(context, enableIpv6 && ipam.name === DEFAULT_IPAM ? puts : []),
  };
  return ipam.chooseSubnets(plan, { networkId, options: request.ipamOptions ?? {} });
}

/** Removes networks that nobody uses. One that gets its first endpoint, or goes, in the meantime is passed over. */
export async function pruneNetworks(context: Context, match: (network: NetworkRecord) => boolean): Promise<NetworkRecord[]> {
  const pruned: NetworkRecord[] = [];
  for (const network of listNetworks(context)) {
    // One that waits for sandboxes may be what its user made of it.
    if (isPredefined(network) || isEgress(network) || network.configOnly || network.ingress || !match(network)) continue;
    if (context.state.endpointsOfNetwork(network.id).length > 0) continue;
    try {
      pruned.push(await removeNetwork(context, network.id));
    } catch (error) {
      const left = context.state.networks.has(network.id) && context.state.endpointsOfNetwork(network.id).length === 0;
      if (left || !(error instanceof WeftError) || (error.code !== "FORBIDDEN" && error.code !== "NOT_FOUND")) throw error;
    }
  }
  return pruned;
}

export async function removeNetwork(context: Context, reference: string): Promise<NetworkRecord> {
  refusePredefinedRemoval(reference);
  const { id, name } = findNetwork(context, reference);
  refusePredefinedRemoval(name);
  return dropNetwork(context, id);
}

/** removeNetwork for networks that users don't remove, too. */
export async function dropNetwork(context: Context, id: Id): Promise<NetworkRecord> {
  return context.locks.run([exclusive(NETWORKS_LOCK), exclusive(networkLock({ id }))], async () => {
    const { state } = context;
    // It may be gone since it was looked up.
    const network = state.networks.get(id) ?? findNetwork(context, id);
    refuseUsedConfiguration(network, state.networks.values());
    const endpoints = state.endpointsOfNetwork(id);
    if (endpoints.length > 0) {
      const list = endpoints.map((endpoint) => `(name:"${endpoint.name}" id:"${shortId(endpoint.id)}")`).join(", ");
      throw forbidden(`network ${network.name} has active endpoints ${list}; disconnect them first`);
    }
    await context.datapath.withdraw(networkOwner(id));
    const ownPeers = [...state.peers.values()].filter(({ networkId }) => networkId === id).map(({ address }) => peerKey(id, address));
    const addressSpace = addressSpaceOf(context, network);
    const poolKeys = addressSpace === null ? [] : context.ipam.keysOf(network, addressSpace);
    try {
      await commit(context, [], [networkKey(id), ...ownPeers, ...poolKeys]);
    } catch (error) {
      await attempt(context, `restoring network ${network.name}`, () => realizeNetwork(context, network));
      throw error;
    }
    context.ipam.closeNetwork(id);
    context.lastAddresses.forget(id);
    if (!network.configOnly) await context.ipam.releaseSubnets(network);
    if (ownPeers.length > 0) await attempt(context, "removing secrets of the network's peers", () => forgetKeys(context));
    await rerouteHost(context);
    context.log("info", "network removed", { name: network.name, id: shortId(id) });
    return network;
  });
}

/** Makes a network true in data plane and host: the host's rules, which name its interface only, while that is being made. */
export async function realizeNetwork(context: Context, network: NetworkRecord): Promise<void> {
  const isRouted = context.drivers.get(network.driver).translation !== undefined;
  const make = async (): Promise<void> => {
    await declareNetwork(context, network);
    await configureHost(context, network);
    // The kernel takes no IPv6 route of an interface that is down.
    await openHost(context, network);
  };
  await all(make(), isRouted ? routeHost(context) : Promise.resolve());
}

/** As Promise.all, but nothing goes on behind the back of whoever takes back what a failed one has begun. */
async function all(...steps: readonly Promise<void>[]): Promise<void> {
  const settled = await Promise.allSettled(steps);
  for (const step of settled) if (step.status === "rejected") throw step.reason;
}

export function declareNetwork(context: Context, network: NetworkRecord): Promise<void> {
  const driver = context.drivers.get(network.driver);
  return context.datapath.declare(networkOwner(network.id), driver.declareNetwork(network, admissiblePeers(context, network)));
}

export async function configureHost(context: Context, network: NetworkRecord): Promise<void> {
  const driver = context.drivers.get(network.driver);
  for (const config of driver.hostInterfaces(network)) await context.namespaces.configure(null, config);
}

/** Unmakes a network that couldn't be made true; throws the reason. */
async function takeBack(context: Context, network: NetworkRecord, reason: unknown): Promise<never> {
  await attempt(context, `withdrawing network ${network.name}`, () => context.datapath.withdraw(networkOwner(network.id)));
  const undone = await attempt(context, `removing network ${network.name} from the store`, () =>
    commit(context, [], [networkKey(network.id)]),
  );
  if (!undone) {
    throw new WeftError(
      "UNAVAILABLE",
      `${(reason as Error).message}; undoing it failed as well, so network ${network.name} is stored: remove it when the store can be written again`,
      { cause: reason },
    );
  }
  context.ipam.closeNetwork(network.id);
  await rerouteHost(context);
  throw reason;
}

/** The stored one, or a new one, which then has to be stored with the network. */
function ulaGlobalId(context: Context, puts: Put[]): string {
  const stored = context.state.ipam.get(ULA_KEY);
  if (typeof stored === "string" && /^[0-9a-f]{10}$/.test(stored)) return stored;
  const made = Buffer.from(context.randomBytes(ULA_GLOBAL_ID_BYTES)).toString("hex");
  puts.push({ key: ULA_KEY, value: made });
  return made;
}

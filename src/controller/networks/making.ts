// A network made: what is asked (rules.ts), its subnets (subnets.ts), stored, then true on this host
// (presence.ts), or none of it. Users choose names by createNetwork; makeNetwork makes those that have names of ours too.
import type { Driver, NetworkDraft } from "../../drivers/driver.ts";
import { alreadyExists, invalidArgument, WeftError } from "../../errors.ts";
import { DEFAULT_IPAM } from "../../ipam/ipam.ts";
import type { NetworkRecord } from "../../records/records.ts";
import { networkKey } from "../../store/keys.ts";
import type { Put } from "../../store/store.ts";
import { attempt, type Context, commit, networkOwner, newId, put } from "../context.ts";
import { exclusive } from "../locks.ts";
import { checkName, EGRESS_NETWORK, refusePredefined, shortId } from "../names.ts";
import { leftOut, leftOutText } from "../peers/peer-keys.ts";
import { rerouteHost } from "../ports/routing.ts";
import type { CreateNetworkRequest } from "../types.ts";
import { NETWORKS_LOCK, networkLock } from "./networks.ts";
import { realizeNetwork } from "./presence.ts";
import { CONFIGURATION_DRIVER, checkOnlyIngress, checkRequest, checkScope, withConfiguration } from "./rules.ts";
import { chooseSubnets, findIpam } from "./subnets.ts";

const DEFAULT_DRIVER = "bridge";

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

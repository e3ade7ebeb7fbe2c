// Sandboxes: a network namespace (ours, the user's, another sandbox's or the daemon's own) and its endpoints.
import { hostname as hostName } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Driver } from "../drivers/driver.ts";
import { addressInUse, forbidden, invalidArgument, notFound, WeftError } from "../errors.ts";
import { OWN_NAMESPACE } from "../paths.ts";
import { endpointKey, sandboxKey } from "../store/keys.ts";
import { type Prepared, prepareAttachment, realizeAttachments, withdrawAttachments } from "./attachments.ts";
import { attachmentsOf, attempt, type Context, commit, newId, put } from "./context.ts";
import { defaultNetwork } from "./default-bridge.ts";
import { dnsSettings, hasResolver } from "./dns-settings.ts";
import { egressNetwork, leaveEgress, needsEgress, refuseEgress, withEgress } from "./egress.ts";
import { linkEnvironment, linkedTo, refreshLinkers } from "./links.ts";
import { exclusive, shared } from "./locks.ts";
import { byName, checkHostname, checkName, isEgress, resolve, shortId } from "./names.ts";
import { checkConnect, checkDisconnect, checkJoined, checkWishes, joinedReference } from "./network-modes.ts";
import { findNetwork, networkLock } from "./networks.ts";
import { endProgram, nameTaken } from "./programs.ts";
import { checkPublish, choosePorts, PORTS_LOCK } from "./publishing.ts";
import { forgetFlows, rerouteHost, routeHost } from "./routing.ts";
import { applySysctls, stackSettings } from "./sandbox-settings.ts";
import { stackInode } from "./stack-inode.ts";
import type { AttachRequest, CreateSandboxRequest, EndpointRecord, Id, NetworkRecord, SandboxRecord, SandboxView } from "./types.ts";
import type { Attachment } from "./wants.ts";

export const namespaceFolder = (context: Pick<Context, "stateDir">): string => join(context.stateDir, "netns");
export const sandboxLock = (sandbox: Pick<SandboxRecord, "id">): string => `sandbox/${sandbox.id}`;

export function findSandbox(context: Context, reference: string): SandboxRecord {
  return resolve("sandbox", reference, context.state.sandboxes, (name) => context.state.sandboxByName(name));
}

export function viewSandbox(context: Context, sandbox: SandboxRecord): SandboxView {
  const linked = linkedTo(context, sandbox.id);
  return {
    sandbox,
    linked,
    linkEnvironment: linkEnvironment(sandbox.name, linked),
    endpoints: attachmentsOf(context, sandbox)
      .filter(({ endpoint }) => !context.pending.has(endpoint.id))
      .map(({ endpoint, network, driver }) => {
        const { gatewayIpv4, gatewayIpv6 } = driver.join(network, endpoint);
        return { endpoint, network, gatewayIpv4, gatewayIpv6 };
      }),
  };
}

export function inspectSandbox(context: Context, reference: string): SandboxView {
  const sandbox = findSandbox(context, reference);
  if (context.pending.has(sandbox.id)) throw notFound(`sandbox ${reference} not found`);
  return viewSandbox(context, sandbox);
}

export function listSandboxes(context: Context): SandboxView[] {
  const sandboxes = [...context.state.sandboxes.values()].filter(({ id }) => !context.pending.has(id));
  return sandboxes.sort(byName).map((sandbox) => viewSandbox(context, sandbox));
}

export async function createSandbox(context: Context, request: CreateSandboxRequest): Promise<SandboxView> {
  const id = newId(context);
  const name = request.name || `sandbox-${shortId(id)}`;
  checkName(name, "sandbox name");
  if (request.hostname) checkHostname(request.hostname);
  const owner = stackOwner(context, request);
  const wishes = (owner === null ? await networkWishes(context, request) : []).map((wish) => {
    const network = findNetwork(context, wish.network);
    return { wish, network, driver: context.drivers.get(network.driver) };
  });
  checkWishes(request, wishes);
  for (const { network } of wishes) refuseEgress(network);
  return await withEgress(context, wishes, (way) => {
    const gate = way === null ? [] : [{ wish: { network: way.id }, network: way, driver: context.drivers.get(way.driver) }];
    return createOn(context, request, { id, name, owner, wishes: [...wishes, ...gate] });
  });
}

interface Wish {
  readonly wish: AttachRequest;
  readonly network: NetworkRecord;
  readonly driver: Driver;
}

async function createOn(
  context: Context,
  request: CreateSandboxRequest,
  { id, name, owner, wishes }: { id: Id; name: string; owner: SandboxRecord | null; wishes: readonly Wish[] },
): Promise<SandboxView> {
  const { state, namespaces } = context;
  const onHost = wishes.some(({ driver }) => driver.stack === "host");
  const foreign = request.namespacePath ? checkNamespace(context, request.namespacePath) : null;
  const ways = wishes.map(({ wish, network, driver }) => ({ network, driver, gwPriority: wish.gwPriority ?? 0 }));
  const publishes = checkPublish(request, owner !== null, onHost);
  const draft: SandboxRecord = {
    id,
    name,
    createdAt: context.clock.nowIso(),
    hostname: request.hostname || (owner?.hostname ?? (onHost ? hostName() : shortId(id))),
    namespacePath:
      request.namespacePath || (owner?.namespacePath ?? (onHost ? OWN_NAMESPACE : join(namespaceFolder(context), shortId(id)))),
    ownsNamespace: foreign === null && owner === null && !onHost,
    joinedTo: owner?.id ?? null,
    labels: { ...request.labels },
    removeOnExit: request.removeOnExit ?? false,
    dns: dnsSettings(request),
    ports: [],
    exposed: [...(request.expose ?? [])],
    ...stackSettings(request, owner === null && !onHost),
    program: request.program === undefined ? null : { ...request.program, startedAt: context.clock.nowIso(), process: null },
  };
  const locks = [
    exclusive(`sandbox-name/${name}`),
    exclusive(sandboxLock(draft)),
    ...wishes.map(({ network }) => shared(networkLock(network))),
  ];
  if (foreign !== null) locks.push(exclusive(`namespace/${foreign}`));
  if (owner !== null) locks.push(shared(sandboxLock(owner)));
  if (publishes) locks.push(exclusive(PORTS_LOCK));

  const make = async (): Promise<SandboxView> => {
    const other = state.sandboxByName(name);
    if (other !== undefined) throw nameTaken(name, shortId(other.id));
    if (owner !== null) checkOwner(context, owner);
    if (foreign !== null) refuseSharedNamespace(context, draft.namespacePath, foreign);
    const linkNames = new Set(foreign === null ? [] : await namespaces.linkNames(draft.namespacePath));
    const ports = publishes ? await choosePorts(context, request, ways) : [];
    const sandbox: SandboxRecord = { ...draft, ports };
    const prepared = await prepareAll(context, sandbox, wishes, linkNames);
    const attachments = prepared.map(({ attachment }) => attachment);
    context.pending.add(id);
    try {
      await store(context, prepared, [put(sandboxKey(id), sandbox)]);
      try {
        if (sandbox.ownsNamespace) await namespaces.create(sandbox.namespacePath);
        await realizeAttachments(context, sandbox, attachments, []);
        await applySysctls(context, sandbox);
        if (hasResolver(sandbox)) await context.names.open(sandbox);
        if (publishes) await routeHost(context);
      } catch (error) {
        await unmake(context, sandbox, attachments);
        await takeBack(context, attachments, [sandboxKey(id)], `sandbox ${name}`, error);
      }
    } finally {
      context.pending.delete(id);
    }
    context.log("info", "sandbox created", { name, id: shortId(id), networks: attachments.map(({ network }) => network.name) });
    return viewSandbox(context, sandbox);
  };
  try {
    return await context.locks.run(locks, make);
  } catch (error) {
    if (publishes) await rerouteHost(context);
    throw error;
  }
}

export async function removeSandbox(context: Context, reference: string, force: boolean): Promise<SandboxRecord> {
  const { id } = findSandbox(context, reference);
  const removed = await context.locks.run([exclusive(sandboxLock({ id }))], async () => {
    const sandbox = context.state.sandboxes.get(id) ?? findSandbox(context, reference);
    const attachments = attachmentsOf(context, sandbox);
    const restore = (): Promise<boolean> =>
      attempt(context, `restoring sandbox ${sandbox.name}`, () => remake(context, sandbox, attachments));
    const lost = stackInode(context, sandbox) === null;
    await endProgram(context, sandbox, force);
    try {
      // First, so that it has happened in any case: what else fails may be passed over by force, a resolver must not live on.
      if (hasResolver(sandbox)) await context.names.close(sandbox, !sandbox.ownsNamespace && !lost);
      await withdrawAttachments(context, sandbox, attachments, []);
      if (sandbox.ownsNamespace) await context.namespaces.delete(sandbox.namespacePath);
    } catch (error) {
      // Where the namespace is gone its interfaces are too, whatever stopped us from closing them.
      if (!force && !lost) {
        await restore();
        throw error;
      }
      context.log("warn", "sandbox removed by force", { name: sandbox.name, error: (error as Error).message });
    }
    try {
      await commit(context, [], [sandboxKey(id), ...attachments.map(({ endpoint }) => endpointKey(endpoint.id))]);
    } catch (error) {
      await restore();
      throw error;
    }
    for (const { network, endpoint } of attachments) await context.ipam.releaseAddresses(network.id, endpoint);
    context.lastAddresses.forget(id);
    context.programs?.forget(id);
    if (sandbox.ports.length > 0) await rerouteHost(context);
    await forgetFlows(context, attachments);
    context.log("info", "sandbox removed", { name: sandbox.name, id: shortId(id) });
    const left = [...context.state.sandboxes.values()].filter(({ joinedTo }) => joinedTo === id).map((other) => other.name);
    if (left.length > 0) context.log("warn", "sandboxes that shared its network stack are left without one", { sandboxes: left });
    return sandbox;
  });
  await refreshLinkers(context, id);
  return removed;
}

export async function connect(context: Context, reference: string, request: AttachRequest): Promise<EndpointRecord> {
  const { id } = findSandbox(context, reference);
  const found = findNetwork(context, request.network);
  refuseEgress(found);
  const links = [...attachmentsOf(context, { id }), { network: found, driver: context.drivers.get(found.driver) }];
  const connected = await withEgress(context, links, (way) => connectOn(context, reference, request, { id, found, way }));
  await refreshLinkers(context, id);
  return connected;
}

async function connectOn(
  context: Context,
  reference: string,
  request: AttachRequest,
  { id, found, way }: { id: Id; found: NetworkRecord; way: NetworkRecord | null },
): Promise<EndpointRecord> {
  const networkLocks = [found, ...(way === null ? [] : [way])].map((one) => shared(networkLock(one)));
  return await context.locks.run([exclusive(sandboxLock({ id })), ...networkLocks], async () => {
    const sandbox = context.state.sandboxes.get(id) ?? findSandbox(context, reference);
    const network = context.state.networks.get(found.id) ?? findNetwork(context, request.network);
    const others = attachmentsOf(context, sandbox);
    checkConnect(sandbox, others, context.drivers.get(network.driver));
    if (stackInode(context, sandbox) === null) {
      throw forbidden(`the namespace ${sandbox.namespacePath} of sandbox ${sandbox.name} is gone: remove the sandbox and create it anew`);
    }
    const gate = others.find((other) => isEgress(other.network));
    const needsGate = needsEgress(context, [...others, { network, driver: context.drivers.get(network.driver) }]);
    const joins = [{ wish: request, network }];
    if (needsGate && gate === undefined && way !== null) joins.push({ wish: { network: way.id }, network: way });
    const joined = await attach(context, sandbox, joins, others);
    const attachment = joined[0]!;
    if (gate !== undefined && !needsGate) {
      await leaveEgress(context, sandbox, gate, [...others.filter((other) => other !== gate), ...joined]);
      if (sandbox.ports.length > 0) await rerouteHost(context);
    }
    context.log("info", "sandbox connected", {
      sandbox: sandbox.name,
      network: network.name,
      interface: attachment.endpoint.interfaceName,
    });
    return attachment.endpoint;
  });
}

export async function disconnect(context: Context, reference: string, networkReference: string, force: boolean): Promise<void> {
  const { id } = findSandbox(context, reference);
  const left = findNetwork(context, networkReference);
  refuseEgress(left);
  const remaining = attachmentsOf(context, { id }).filter((other) => other.network.id !== left.id);
  const way = needsEgress(context, remaining) ? await egressNetwork(context) : null;
  await context.locks.run([exclusive(sandboxLock({ id })), ...(way === null ? [] : [shared(networkLock(way))])], async () => {
    const sandbox = context.state.sandboxes.get(id) ?? findSandbox(context, reference);
    const network = findNetwork(context, networkReference);
    const attachments = attachmentsOf(context, sandbox);
    const attachment = attachments.find(({ endpoint }) => endpoint.networkId === network.id);
    if (attachment === undefined) throw notFound(`sandbox ${sandbox.name} is not connected to network ${network.name}`);
    checkDisconnect(attachment.driver);
    const others = attachments.filter((other) => other !== attachment);
    const gate = others.find((other) => isEgress(other.network));
    const needsGate = needsEgress(context, others);
    const gone = gate !== undefined && !needsGate ? [attachment, gate] : [attachment];
    const rest = attachments.filter((other) => !gone.includes(other));
    const restore = (): Promise<boolean> =>
      attempt(context, "restoring the endpoint", () => realizeAttachments(context, sandbox, gone, rest));
    const lost = stackInode(context, sandbox) === null;
    try {
      await withdrawAttachments(context, sandbox, gone, rest);
    } catch (error) {
      if (!force && !lost) {
        await restore();
        throw error;
      }
      context.log("warn", "endpoint removed by force", { sandbox: sandbox.name, error: (error as Error).message });
    }
    try {
      await commit(
        context,
        [],
        gone.map(({ endpoint }) => endpointKey(endpoint.id)),
      );
    } catch (error) {
      await restore();
      throw error;
    }
    for (const one of gone) await context.ipam.releaseAddresses(one.network.id, one.endpoint);
    context.lastAddresses.remember(attachment.endpoint);
    if (sandbox.ports.length > 0) await rerouteHost(context);
    await forgetFlows(context, gone);
    if (needsGate && gate === undefined && way !== null && !lost) await joinEgress(context, sandbox, way, rest);
    await attempt(context, `writing the files of sandbox ${sandbox.name}`, () => context.names.refresh(sandbox));
    context.log("info", "sandbox disconnected", { sandbox: sandbox.name, network: network.name });
  });
  await refreshLinkers(context, id);
}

/** Stores further endpoints and makes them true beside `others`, or leaves all as it was. The caller holds sandbox and networks. */
async function attach(
  context: Context,
  sandbox: SandboxRecord,
  joins: readonly { readonly wish: AttachRequest; readonly network: NetworkRecord }[],
  others: readonly Attachment[],
): Promise<Attachment[]> {
  const linkNames = new Set(await context.namespaces.linkNames(sandbox.namespacePath));
  for (const { endpoint } of others) if (endpoint.interfaceName !== null) linkNames.add(endpoint.interfaceName);
  const prepared = await prepareAll(context, sandbox, joins, linkNames);
  const attachments = prepared.map(({ attachment }) => attachment);
  for (const { endpoint } of attachments) context.pending.add(endpoint.id);
  try {
    await store(context, prepared, []);
    try {
      await realizeAttachments(context, sandbox, attachments, others);
      await context.names.refresh(sandbox);
      if (sandbox.ports.length > 0) await routeHost(context);
    } catch (error) {
      await attempt(context, "withdrawing the endpoint", () => withdrawAttachments(context, sandbox, attachments, others));
      await takeBack(context, attachments, [], `endpoint of ${sandbox.name} on ${joins[0]!.network.name}`, error);
    }
  } finally {
    for (const { endpoint } of attachments) context.pending.delete(endpoint.id);
  }
  return attachments;
}

/** A sandbox without a way out is one all the same: what fails is made good by the next start. */
async function joinEgress(context: Context, sandbox: SandboxRecord, way: NetworkRecord, others: readonly Attachment[]): Promise<void> {
  await attempt(context, `attaching sandbox ${sandbox.name} to network ${way.name}`, () =>
    attach(context, sandbox, [{ wish: { network: way.id }, network: way }], others),
  );
}

/** At start, once the sandbox is made true: gives it the way out that it lacks, takes the one that it doesn't need. */
export async function mendEgress(context: Context, sandbox: SandboxRecord): Promise<void> {
  const attachments = attachmentsOf(context, sandbox);
  const gate = attachments.find((one) => isEgress(one.network));
  const needsGate = needsEgress(context, attachments);
  if (needsGate === (gate !== undefined)) return;
  const rest = attachments.filter((one) => one !== gate);
  const way = needsGate ? await egressNetwork(context) : null;
  const locks = [exclusive(sandboxLock(sandbox)), ...(way === null ? [] : [shared(networkLock(way))])];
  await context.locks.run(locks, async () => {
    if (gate !== undefined) await leaveEgress(context, sandbox, gate, rest);
    else if (way !== null) await joinEgress(context, sandbox, way, rest);
  });
  if (sandbox.ports.length > 0) await rerouteHost(context);
}

/** All or none. */
async function prepareAll(
  context: Context,
  sandbox: SandboxRecord,
  wishes: readonly { readonly wish: AttachRequest; readonly network: NetworkRecord }[],
  linkNames: Set<string>,
): Promise<Prepared[]> {
  const prepared: Prepared[] = [];
  try {
    for (const { wish, network } of wishes) {
      // It may have been removed while we waited for it.
      const current = context.state.networks.get(network.id) ?? findNetwork(context, wish.network);
      prepared.push(
        await context.lastAddresses.first(current.id, sandbox.id, wish, (one) =>
          prepareAttachment(context, sandbox, current, one, linkNames),
        ),
      );
    }
    return prepared;
  } catch (error) {
    for (const { release } of prepared) await release();
    throw error;
  }
}

async function store(context: Context, prepared: readonly Prepared[], puts: Parameters<typeof commit>[1]): Promise<void> {
  try {
    await commit(context, [...puts, ...prepared.flatMap((one) => one.puts)]);
  } catch (error) {
    for (const { release } of prepared) await release();
    throw error;
  }
  for (const { settle } of prepared) settle();
}

/** Removes from the store what couldn't be made true; throws the reason. */
async function takeBack(
  context: Context,
  attachments: readonly Attachment[],
  keys: readonly string[],
  what: string,
  reason: unknown,
): Promise<never> {
  const deletes = [...keys, ...attachments.map(({ endpoint }) => endpointKey(endpoint.id))];
  if (!(await attempt(context, `removing ${what} from the store`, () => commit(context, [], deletes)))) {
    throw new WeftError(
      "UNAVAILABLE",
      `${(reason as Error).message}; undoing it failed as well, so the ${what} is stored: remove it when the store can be written again`,
      { cause: reason },
    );
  }
  for (const { network, endpoint } of attachments) await context.ipam.releaseAddresses(network.id, endpoint);
  throw reason;
}

async function unmake(context: Context, sandbox: SandboxRecord, attachments: readonly Attachment[]): Promise<void> {
  await attempt(context, `withdrawing sandbox ${sandbox.name}`, () => withdrawAttachments(context, sandbox, attachments, []));
  if (hasResolver(sandbox)) {
    await attempt(context, `ending DNS in sandbox ${sandbox.name}`, () => context.names.close(sandbox, !sandbox.ownsNamespace));
  }
  if (sandbox.ownsNamespace) {
    await attempt(context, `deleting the namespace of sandbox ${sandbox.name}`, () => context.namespaces.delete(sandbox.namespacePath));
  }
}

async function remake(context: Context, sandbox: SandboxRecord, attachments: readonly Attachment[]): Promise<void> {
  if (stackInode(context, sandbox) === null) {
    if (!sandbox.ownsNamespace) return;
    await context.namespaces.create(sandbox.namespacePath);
  }
  await realizeAttachments(context, sandbox, attachments, []);
  await applySysctls(context, sandbox);
  if (hasResolver(sandbox)) await context.names.open(sandbox);
}

/** Who names no network is on `bridge`; a daemon that has none gives a loopback, as `none` does. */
async function networkWishes(context: Context, request: CreateSandboxRequest): Promise<readonly AttachRequest[]> {
  if (request.networks !== undefined) return request.networks;
  const network = await defaultNetwork(context);
  return network === null ? [] : [{ network: network.id }];
}

/** The sandbox whose stack is asked for; null: the sandbox gets one of its own, or the host's. */
function stackOwner(context: Context, request: CreateSandboxRequest): SandboxRecord | null {
  for (const wish of request.networks ?? []) {
    const reference = joinedReference(wish.network);
    if (reference === null) continue;
    checkJoined(request, wish);
    const named = inspectSandbox(context, reference).sandbox;
    // One that shares itself: what it shares has an owner, or had one.
    return (named.joinedTo === null ? undefined : context.state.sandboxes.get(named.joinedTo)) ?? named;
  }
  return null;
}

/** Once its lock is held. */
function checkOwner(context: Context, owner: SandboxRecord): void {
  if (!context.state.sandboxes.has(owner.id)) throw notFound(`sandbox ${owner.name} not found`);
  if (context.namespaces.inode(owner.namespacePath) === null) {
    throw forbidden(`cannot join network of a non running container: ${owner.name}, its namespace ${owner.namespacePath} is gone`);
  }
}

/** The inode of the user's namespace. */
function checkNamespace(context: Context, path: string): number {
  if (!isAbsolute(path))
    throw invalidArgument(`invalid namespace path ${JSON.stringify(path)}: give an absolute one, the daemon has another working directory`);
  const inode = context.namespaces.inode(path);
  if (inode === null) {
    throw invalidArgument(
      `${path} is not a network namespace: give the path of one (/run/netns/NAME, /proc/PID/ns/net) or leave it out to have one made`,
    );
  }
  if (inode === context.namespaces.inode(OWN_NAMESPACE)) {
    throw invalidArgument(`${path} is the daemon's own network namespace: attaching it would change the host's routes; give another`);
  }
  return inode;
}

function refuseSharedNamespace(context: Context, path: string, inode: number): void {
  for (const other of context.state.sandboxes.values()) {
    if (context.namespaces.inode(other.namespacePath) === inode) {
      throw addressInUse(`namespace ${path} is already used by sandbox ${other.name}: connect that sandbox to further networks instead`);
    }
  }
}

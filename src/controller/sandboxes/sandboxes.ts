// Sandboxes: a network namespace (ours, the user's, another sandbox's or the daemon's own) and its endpoints.
import { hostname as hostName } from "node:os";
import { join } from "node:path";
import type { Driver } from "../../drivers/driver.ts";
import { notFound } from "../../errors.ts";
import { OWN_NAMESPACE } from "../../paths.ts";
import { hasOwnFiles } from "../../records/own-files.ts";
import type { Id, NetworkRecord, SandboxRecord } from "../../records/records.ts";
import { endpointKey, sandboxKey } from "../../store/keys.ts";
import { attachmentsOf, attempt, type Context, commit, newId, put } from "../context.ts";
import { admit, giveBack, prepareAll, takeBack } from "../endpoints/admission.ts";
import { realizeAttachments, withdrawAttachments } from "../endpoints/attachments.ts";
import { refuseEgress, withEgress } from "../endpoints/egress.ts";
import { linkEnvironment, linkedTo, refreshLinkers } from "../endpoints/links.ts";
import { checkJoined, checkWishes, joinedReference } from "../endpoints/modes.ts";
import type { Attachment } from "../endpoints/wants.ts";
import { exclusive, shared } from "../locks.ts";
import { byName, checkHostname, checkName, resolve, shortId } from "../names.ts";
import { defaultNetwork } from "../networks/default-bridge.ts";
import { findNetwork, networkLock } from "../networks/networks.ts";
import { choosePorts, discardedPorts, PORTS_LOCK, publishes } from "../ports/publishing.ts";
import { forgetFlows, rerouteHost, routeHost } from "../ports/routing.ts";
import { portPlaces } from "../ports/ways-in.ts";
import { stackInode } from "../stack-inode.ts";
import type { AttachRequest, CreateSandboxRequest, SandboxView } from "../types.ts";
import { dnsSettings } from "./dns-settings.ts";
import { checkEnvironment } from "./environment.ts";
import { checkNamespace, checkOwner, refuseSharedNamespace } from "./given-stacks.ts";
import { endProgram, nameTaken } from "./programs.ts";
import { applySysctls, stackSettings } from "./settings.ts";

export const namespaceFolder = (context: Pick<Context, "stateDir">): string => join(context.stateDir, "netns");
export const sandboxLock = (sandbox: Pick<SandboxRecord, "id">): string => `sandbox/${sandbox.id}`;

export function findSandbox(context: Context, reference: string): SandboxRecord {
  return resolve("sandbox", reference, context.state.sandboxes, (name) => context.state.sandboxByName(name));
}

/**
 * The caller holds the sandbox with this id, which `reference` meant. If it went while the lock was waited for, another may have its
 * name by now: that one is neither held nor meant.
 */
export function heldSandbox(context: Context, id: Id, reference: string): SandboxRecord {
  const sandbox = context.state.sandboxes.get(id);
  if (sandbox === undefined) throw notFound(`sandbox ${reference} not found`);
  return sandbox;
}

export function viewSandbox(context: Context, sandbox: SandboxRecord): SandboxView {
  const linked = linkedTo(context, sandbox.id);
  return {
    sandbox,
    portPlaces: portPlaces(context, sandbox),
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

/** Itself, unless its stack is another's that is there. */
export function stackOwner(context: Context, sandbox: SandboxRecord): SandboxRecord {
  return context.state.sandboxes.get(sandbox.joinedTo ?? sandbox.id) ?? sandbox;
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
  const owner = ownerAsked(context, request);
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
  const ways = wishes.map(({ wish, network, driver }) => ({ network, driver, endpoint: { gwPriority: wish.gwPriority ?? 0 } }));
  const hasPorts = publishes(request, owner !== null) && !onHost;
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
    ...stackSettings(request, owner !== null ? "another's" : onHost ? "host's" : "own"),
    environment: checkEnvironment(request.environment),
    program: request.program === undefined ? null : { ...request.program, startedAt: context.clock.nowIso(), process: null },
  };
  const locks = [
    exclusive(`sandbox-name/${name}`),
    exclusive(sandboxLock(draft)),
    ...wishes.map(({ network }) => shared(networkLock(network))),
  ];
  if (foreign !== null) locks.push(exclusive(`namespace/${foreign}`));
  if (owner !== null) locks.push(shared(sandboxLock(owner)));
  if (hasPorts) locks.push(exclusive(PORTS_LOCK));

  const make = async (): Promise<SandboxView> => {
    const other = state.sandboxByName(name);
    if (other !== undefined) throw nameTaken(name, shortId(other.id));
    if (owner !== null) checkOwner(context, owner);
    if (foreign !== null) refuseSharedNamespace(context, draft.namespacePath, foreign);
    const linkNames = new Set(foreign === null ? [] : await namespaces.linkNames(draft.namespacePath));
    const ports = hasPorts ? await choosePorts(context, request, ways) : [];
    const sandbox: SandboxRecord = { ...draft, ports };
    const prepared = await prepareAll(context, sandbox, wishes, linkNames);
    const attachments = prepared.map(({ attachment }) => attachment);
    context.pending.add(id);
    try {
      await admit(context, prepared, [put(sandboxKey(id), sandbox)]);
      try {
        if (sandbox.ownsNamespace) await namespaces.create(sandbox.namespacePath);
        await realizeAttachments(context, sandbox, attachments, []);
        await applySysctls(context, sandbox);
        if (hasOwnFiles(sandbox)) await context.names.open(sandbox);
        if (hasPorts) await routeHost(context);
      } catch (error) {
        await unmake(context, sandbox, attachments);
        await takeBack(context, attachments, [sandboxKey(id)], `sandbox ${name}`, error);
      }
    } finally {
      context.pending.delete(id);
    }
    context.log("info", "sandbox created", { name, id: shortId(id), networks: attachments.map(({ network }) => network.name) });
    return { ...viewSandbox(context, sandbox), discarded: onHost ? discardedPorts(request) : [] };
  };
  try {
    return await context.locks.run(locks, make);
  } catch (error) {
    if (hasPorts) await rerouteHost(context);
    throw error;
  }
}

export async function removeSandbox(context: Context, reference: string, force: boolean): Promise<SandboxRecord> {
  const { id } = findSandbox(context, reference);
  const removed = await context.locks.run([exclusive(sandboxLock({ id }))], async () => {
    const sandbox = heldSandbox(context, id, reference);
    const attachments = attachmentsOf(context, sandbox);
    const restore = (): Promise<boolean> =>
      attempt(context, `restoring sandbox ${sandbox.name}`, () => remake(context, sandbox, attachments));
    const lost = stackInode(context, sandbox) === null;
    await endProgram(context, sandbox, force);
    try {
      // First, so that it has happened in any case: what else fails may be passed over by force, a resolver must not live on.
      if (hasOwnFiles(sandbox)) await context.names.close(sandbox, !sandbox.ownsNamespace && !lost);
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
    await giveBack(context, attachments);
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

async function unmake(context: Context, sandbox: SandboxRecord, attachments: readonly Attachment[]): Promise<void> {
  await attempt(context, `withdrawing sandbox ${sandbox.name}`, () => withdrawAttachments(context, sandbox, attachments, []));
  if (hasOwnFiles(sandbox)) {
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
  if (hasOwnFiles(sandbox)) await context.names.open(sandbox);
}

/** Who names no network is on `bridge`; a daemon that has none gives a loopback, as `none` does. */
async function networkWishes(context: Context, request: CreateSandboxRequest): Promise<readonly AttachRequest[]> {
  if (request.networks !== undefined) return request.networks;
  const network = await defaultNetwork(context);
  return network === null ? [] : [{ network: network.id }];
}

/** The sandbox whose stack is asked for; null: the sandbox gets one of its own, or the host's. */
function ownerAsked(context: Context, request: CreateSandboxRequest): SandboxRecord | null {
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

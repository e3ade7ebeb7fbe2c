// Sandboxes that are there join networks and leave them: connect, disconnect, and the way out of the host that comes and goes
// with them (egress.ts).
import { forbidden, notFound } from "../../errors.ts";
import type { EndpointRecord, Id, NetworkRecord, SandboxRecord } from "../../records/records.ts";
import { endpointKey } from "../../store/keys.ts";
import { attachmentsOf, attempt, type Context, commit } from "../context.ts";
import { exclusive, shared } from "../locks.ts";
import { isEgress } from "../names.ts";
import { findNetwork, heldNetwork, networkLock } from "../networks/networks.ts";
import { forgetFlows, rerouteHost, routeHost } from "../ports/routing.ts";
import { findSandbox, heldSandbox, sandboxLock } from "../sandboxes/sandboxes.ts";
import { stackInode } from "../stack-inode.ts";
import type { AttachRequest } from "../types.ts";
import { admit, giveBack, prepareAll, takeBack } from "./admission.ts";
import { realizeAttachments, withdrawAttachments } from "./attachments.ts";
import { egressNetwork, leaveEgress, needsEgress, refuseEgress, withEgress } from "./egress.ts";
import { refreshLinkers } from "./links.ts";
import { checkConnect, checkDisconnect } from "./modes.ts";
import type { Attachment } from "./wants.ts";

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
    const sandbox = heldSandbox(context, id, reference);
    const network = heldNetwork(context, found.id, request.network);
    const others = attachmentsOf(context, sandbox);
    checkConnect(sandbox, others, { network, driver: context.drivers.get(network.driver) });
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
    const sandbox = heldSandbox(context, id, reference);
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
    await giveBack(context, gone);
    context.lastAddresses.remember(attachment.endpoint);
    if (sandbox.ports.length > 0) await rerouteHost(context);
    await forgetFlows(context, gone);
    if (needsGate && gate === undefined && way !== null && !lost && stands(context, way)) await joinEgress(context, sandbox, way, rest);
    await attempt(context, `writing the files of sandbox ${sandbox.name}`, () => context.names.refresh(sandbox));
    context.log("info", "sandbox disconnected", { sandbox: sandbox.name, network: network.name });
  });
  if (way !== null && !stands(context, way)) await mendEgress(context, id);
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
    await admit(context, prepared, []);
    try {
      await realizeAttachments(context, sandbox, attachments, others);
      await context.names.refresh(sandbox);
      if (sandbox.ports.length > 0) await routeHost(context);
    } catch (error) {
      await attempt(context, "withdrawing the endpoint", () => withdrawAttachments(context, sandbox, attachments, others));
      try {
        await takeBack(context, attachments, [], `endpoint of ${sandbox.name} on ${joins[0]!.network.name}`, error);
      } finally {
        // They may tell of it already.
        await attempt(context, `writing the files of sandbox ${sandbox.name}`, () => context.names.refresh(sandbox));
      }
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

/** A refused create takes along what was made for it (egress.ts), also from under who waits for its locks. */
const stands = ({ state }: Context, { id }: NetworkRecord): boolean => state.networks.has(id);

/** Gives a sandbox that is made true the way out that it lacks, takes the one that it doesn't need. */
export async function mendEgress(context: Context, id: Id): Promise<void> {
  const before = attachmentsOf(context, { id });
  const needed = needsEgress(context, before);
  if (needed === before.some((one) => isEgress(one.network))) return;
  const way = needed ? await egressNetwork(context) : null;
  await context.locks.run([exclusive(sandboxLock({ id })), ...(way === null ? [] : [shared(networkLock(way))])], async () => {
    const sandbox = context.state.sandboxes.get(id);
    if (sandbox === undefined) return;
    const attachments = attachmentsOf(context, sandbox);
    const gate = attachments.find((one) => isEgress(one.network));
    if (needsEgress(context, attachments) === (gate !== undefined)) return;
    if (gate !== undefined) {
      const rest = attachments.filter((one) => one !== gate);
      await leaveEgress(context, sandbox, gate, rest);
    } else if (way !== null && stands(context, way)) await joinEgress(context, sandbox, way, attachments);
    if (sandbox.ports.length > 0) await rerouteHost(context);
  });
  if (way !== null && !stands(context, way)) await mendEgress(context, id);
}

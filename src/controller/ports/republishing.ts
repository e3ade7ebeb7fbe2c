// Published ports of a sandbox that is there: some more, some less, in one step. What can't be had is refused before anything
// changes; the host gets the new rules in one transaction, and connections by ports that stay are not touched.
//
// As everywhere: stored first, then made true. A daemon that dies in between makes it true when it starts; a host that refuses
// has the old ports stored again.
import { invalidArgument, notFound, WeftError } from "../../errors.ts";
import { formatRange, type PortSpec } from "../../net/port-spec.ts";
import type { PublishedPort, SandboxRecord } from "../../records/records.ts";
import { sandboxKey } from "../../store/keys.ts";
import { attachmentsOf, attempt, type Context, commit, put } from "../context.ts";
import { redeclareLinkers } from "../endpoints/link-ports.ts";
import { exclusive } from "../locks.ts";
import { heldSandbox, inspectSandbox, sandboxLock, viewSandbox } from "../sandboxes/sandboxes.ts";
import type { SandboxView, UpdateSandboxRequest } from "../types.ts";
import { choosePorts, NO_PORT, PORTS_LOCK, publishes } from "./publishing.ts";
import { rerouteHost, routeHost } from "./routing.ts";

export async function updateSandbox(context: Context, reference: string, request: UpdateSandboxRequest): Promise<SandboxView> {
  const { id } = inspectSandbox(context, reference).sandbox;
  const { publishAdd = [], publishRemove = [] } = request;
  if (publishAdd.length + publishRemove.length === 0) {
    throw invalidArgument("nothing to update: give --publish-add or --publish-rm");
  }
  const change = async (): Promise<SandboxView> => {
    const sandbox = heldSandbox(context, id, reference);
    const attachments = attachmentsOf(context, sandbox);
    if (publishes({ publish: publishAdd }, sandbox.joinedTo !== null) && attachments.some(({ driver }) => driver.stack === "host")) {
      throw invalidArgument("no port can be published in host network mode: programs on the host's stack are reached at their own ports");
    }
    const kept = publishRemove.reduce((ports, spec) => removed(ports, spec, sandbox), [...sandbox.ports]);
    const added = await choosePorts(context, { publish: publishAdd }, attachments, { id, kept });
    const changed: SandboxRecord = { ...sandbox, ports: [...kept, ...added] };
    await commit(context, [put(sandboxKey(id), changed)]);
    try {
      await routeHost(context);
    } catch (error) {
      if (
        await attempt(context, `storing the ports of ${sandbox.name} as they were`, () => commit(context, [put(sandboxKey(id), sandbox)]))
      )
        throw error;
      throw new WeftError(
        "UNAVAILABLE",
        `${(error as Error).message}; undoing it failed as well, so the new ports of sandbox ${sandbox.name} are stored: update it again`,
        { cause: error },
      );
    }
    await redeclareLinkers(context, id);
    context.log("info", "sandbox updated", { name: sandbox.name, added: added.length, ports: changed.ports.length });
    return viewSandbox(context, changed);
  };
  return context.locks.run([exclusive(sandboxLock({ id })), exclusive(PORTS_LOCK)], async () => {
    try {
      return await change();
    } catch (error) {
      // What was reserved and is not wanted any more.
      await rerouteHost(context);
      throw error;
    }
  });
}

const hostPortOf = (published: PublishedPort, port: number): number =>
  published.hostPort === NO_PORT ? NO_PORT : published.hostPort + port - published.port;

/** `ports` without those that `spec` means; a range that it means a part of is cut. */
function removed(ports: readonly PublishedPort[], spec: PortSpec, sandbox: SandboxRecord): PublishedPort[] {
  const { protocol, hostAddress, hostPorts } = spec;
  const { first, last } = spec.ports;
  const isMeant = (port: PublishedPort): boolean =>
    port.protocol === protocol &&
    port.port <= last &&
    first < port.port + port.count &&
    (hostAddress === null || hostAddress === port.hostAddress) &&
    (hostPorts === null || port.hostPort === NO_PORT || hostPorts.first - first === port.hostPort - port.port);
  if (!ports.some(isMeant)) {
    throw notFound(
      `no public port '${formatRange(spec.ports)}/${protocol}' published for ${sandbox.name}: see \`weft port ${sandbox.name}\``,
    );
  }
  return ports.flatMap((port) => {
    if (!isMeant(port)) return [port];
    const part = (from: number, to: number): PublishedPort[] =>
      to <= from ? [] : [{ ...port, port: from, hostPort: hostPortOf(port, from), count: to - from }];
    return [...part(port.port, first), ...part(last + 1, port.port + port.count)];
  });
}

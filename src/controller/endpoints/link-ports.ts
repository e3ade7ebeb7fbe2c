// What a link on `bridge` opens where sandboxes don't reach each other (bridge.icc off): the ports that the other is said to
// serve, exposed or published. Where they do reach each other its driver declares nothing.
//
// What is open belongs to an owner of its own, `links/<endpoint>` of the one who linked, because it stands on two ports that come
// and go independently: it may say only what both are there for. `joined` holds the endpoints whose ports are declared; so
//
//   a port comes   declared ─> in `joined` ─> links of it, and to it, are declared again
//   a port goes    out of `joined` ─> the same, without it ─> withdrawn
//
// Each declaration is computed at the moment that it is handed to the datapath, which takes them in order: the last is the newest.
import type { Declaration } from "../../datapath/declarations.ts";
import type { LinkPair } from "../../drivers/driver.ts";
import type { Exposed } from "../../net/port-spec.ts";
import type { EndpointRecord, Id, SandboxRecord } from "../../records/records.ts";
import { attachment, attempt, type Context } from "../context.ts";
import { DEFAULT_BRIDGE } from "../names.ts";
import type { Attachment } from "./wants.ts";

const linksOwner = (endpoint: Id): string => `links/${endpoint}`;

/** All that links open between endpoints that are there: for the start. */
export function linkDeclarations(context: Context): Map<string, Declaration> {
  const declarations = new Map<string, Declaration>();
  for (const endpoint of context.state.endpoints.values()) {
    const opened = declaration(context, endpoint);
    if (opened !== null) declarations.set(linksOwner(endpoint.id), opened);
  }
  return declarations;
}

/** Ports of `fresh` endpoints are declared: opens what they are linked to, which may fail, and what is linked to them. */
export async function openLinks(context: Context, fresh: readonly Attachment[]): Promise<void> {
  for (const { endpoint } of fresh) context.joined.add(endpoint.id);
  for (const { endpoint } of fresh.filter(opens)) await declare(context, endpoint);
  for (const { endpoint } of fresh.filter(opens)) await redeclareLinkers(context, endpoint.sandboxId);
}

/** Ports of `gone` endpoints will be withdrawn. */
export async function closeLinks(context: Context, gone: readonly Attachment[]): Promise<void> {
  for (const { endpoint } of gone) context.joined.delete(endpoint.id);
  for (const { endpoint } of gone.filter(opens)) {
    await declare(context, endpoint);
    await redeclareLinkers(context, endpoint.sandboxId);
  }
}

/** The sandbox serves other ports than before. */
export async function redeclareLinkers(context: Context, sandboxId: Id | null): Promise<void> {
  const { state } = context;
  const bridge = state.networkByName(DEFAULT_BRIDGE);
  if (bridge === undefined) return;
  for (const linker of state.endpointsOfNetwork(bridge.id).filter(({ links }) => links.some(({ target }) => target === sandboxId))) {
    await attempt(context, `opening the ports of links of endpoint ${linker.name}`, () => declare(context, linker));
  }
}

const opens = ({ network, driver }: Attachment): boolean => network.name === DEFAULT_BRIDGE && driver.declareLinks !== undefined;

async function declare(context: Context, endpoint: EndpointRecord): Promise<void> {
  const opened = declaration(context, endpoint);
  if (opened !== null) await context.datapath.declare(linksOwner(endpoint.id), opened);
  else if (endpoint.links.length > 0) await context.datapath.withdraw(linksOwner(endpoint.id));
}

/** Null: nothing. */
function declaration(context: Context, client: EndpointRecord): Declaration | null {
  if (client.links.length === 0 || !context.joined.has(client.id)) return null;
  const { state } = context;
  const { network, driver } = attachment(context, client);
  if (network.name !== DEFAULT_BRIDGE || driver.declareLinks === undefined) return null;
  const pairs = client.links.flatMap(({ target }): LinkPair[] => {
    const sandbox = state.sandboxes.get(target);
    const server = state.endpointsOfSandbox(target).find(({ networkId }) => networkId === network.id);
    if (sandbox === undefined || server === undefined || server.id === client.id || !context.joined.has(server.id)) return [];
    return [{ client, server, ports: served(sandbox) }];
  });
  const made = driver.declareLinks(network, pairs);
  return (made.permits ?? []).length === 0 ? null : made;
}

/** Ports exposed and published, as few ranges as they are. */
function served({ exposed, ports }: SandboxRecord): Exposed[] {
  const all = [
    ...exposed,
    ...ports.map(({ protocol, port, count }) => ({ protocol, ports: { first: port, last: port + count - 1 } })),
  ].sort((a, b) => a.protocol.localeCompare(b.protocol) || a.ports.first - b.ports.first);
  const merged: Exposed[] = [];
  for (const one of all) {
    const last = merged.at(-1);
    if (last === undefined || last.protocol !== one.protocol || one.ports.first > last.ports.last + 1) merged.push(one);
    else if (one.ports.last > last.ports.last)
      merged[merged.length - 1] = { ...one, ports: { first: last.ports.first, last: one.ports.last } };
  }
  return merged;
}

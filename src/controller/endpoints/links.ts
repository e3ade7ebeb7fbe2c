// Links (`--link db:store`): another sandbox's name for this one alone.
//
// On networks whose users give them names, a link is a further name, asked for on that network: `store` is then whoever is called
// `db` there at the moment (dns/zone.ts). It is stored as a name, so that a `db` that is made anew is found again.
//
// On the predefined `bridge` nobody answers names, and a link is what it was before there were networks in Docker: a line in
// /etc/hosts and variables for programs, by the ports that the other is said to serve. There it means one sandbox, stored by
// its id; who is gone is in neither any more. A port need not be opened: sandboxes on `bridge` reach each other, unless
// bridge.icc is off, and then a link opens what the other serves (link-ports.ts).
import { invalidArgument, notFound, WeftError } from "../../errors.ts";
import { rangeSize } from "../../net/port-spec.ts";
import type { EndpointLink, EndpointRecord, Id, NetworkRecord, SandboxRecord } from "../../records/records.ts";
import { attempt, type Context } from "../context.ts";
import { exclusive } from "../locks.ts";
import { checkName, DEFAULT_BRIDGE, resolve } from "../names.ts";
import { hasResolver } from "../sandboxes/dns-settings.ts";
import { passedOn } from "../sandboxes/environment.ts";
import type { LinkRequest } from "../types.ts";

/** A sandbox that a link on `bridge` leads to. */
export interface Linked {
  readonly alias: string;
  readonly sandbox: SandboxRecord;
  readonly endpoint: EndpointRecord;
}

/** As they are stored with an endpoint on `network`. */
export function endpointLinks(context: Context, network: NetworkRecord, requests: readonly LinkRequest[]): EndpointLink[] {
  const { state } = context;
  const links = requests.map(({ sandbox: reference, alias }) => {
    if (reference === "") throw invalidArgument("empty string specified for links: write --link SANDBOX[:ALIAS]");
    if (alias) checkName(alias, "link alias");
    const target = find(context, reference);
    if (network.name !== DEFAULT_BRIDGE) {
      if (target === null) checkName(reference, "linked sandbox");
      return { target: target?.name ?? reference, alias: alias || reference };
    }
    if (target === null) throw notFound(`could not get container for ${reference}: sandbox ${reference} not found`);
    if (!state.endpointsOfSandbox(target.id).some(({ networkId }) => networkId === network.id)) {
      throw invalidArgument(`Cannot link to /${target.name}, as it does not belong to the default network`);
    }
    return { target: target.id, alias: alias || target.name };
  });
  const aliases = links.map(({ alias }) => alias);
  const twice = aliases.find((alias, index) => aliases.indexOf(alias) < index);
  if (twice !== undefined) throw invalidArgument(`conflicting options: two links have the alias ${twice}: give each its own`);
  return links;
}

function find({ state, pending }: Context, reference: string): SandboxRecord | null {
  try {
    const found = resolve("sandbox", reference, state.sandboxes, (name) => state.sandboxByName(name));
    return pending.has(found.id) ? null : found;
  } catch (error) {
    if (error instanceof WeftError && error.code === "NOT_FOUND") return null;
    throw error;
  }
}

/** Whom its links on `bridge` lead to, of those that are there. */
export function linkedTo({ state, pending }: Context, sandboxId: Id): Linked[] {
  const bridge = state.networkByName(DEFAULT_BRIDGE);
  const own = bridge && state.endpointsOfSandbox(sandboxId).find(({ networkId }) => networkId === bridge.id);
  return (own?.links ?? []).flatMap(({ target, alias }) => {
    const sandbox = state.sandboxes.get(target);
    const endpoint = state.endpointsOfSandbox(target).find(({ networkId }) => networkId === bridge!.id);
    return sandbox === undefined || endpoint === undefined || pending.has(endpoint.id) ? [] : [{ alias, sandbox, endpoint }];
  });
}

/** What a linked sandbox is called in /etc/hosts, in Docker's order; its hostname is its short id unless it was given one. */
export function linkNames({ alias, sandbox }: Linked): string[] {
  return [...new Set([alias, sandbox.hostname, sandbox.name])];
}

/** The variables that programs of sandbox `name` get for its links. */
export function linkEnvironment(name: string, links: readonly Linked[]): Record<string, string> {
  return Object.assign({}, ...links.map((link) => variables(name, link)));
}

interface Port {
  readonly protocol: string;
  readonly port: number;
}

/**
 * For alias DB of a sandbox at 172.17.0.2 with ports 80/tcp and 90-92/tcp:
 *
 *   DB_NAME=/web/db                         DB_PORT=tcp://172.17.0.2:80 (its lowest)
 *   DB_PORT_80_TCP=tcp://172.17.0.2:80      and _ADDR, _PORT, _PROTO of each port
 *   DB_PORT_90_TCP_START=tcp://...:90       and _END, _PORT_START, _PORT_END, _ADDR, _PROTO where three or more follow each other
 *   DB_ENV_USER=app                         of its own variables
 */
function variables(name: string, { alias, sandbox, endpoint }: Linked): Record<string, string> {
  const prefix = alias.toUpperCase().replaceAll("-", "_");
  const address = (endpoint.ipv4 ?? endpoint.ipv6 ?? "").split("/")[0]!;
  const shown = address.includes(":") ? `[${address}]` : address;
  const url = ({ protocol, port }: Port): string => `${protocol}://${shown}:${port}`;
  const key = ({ protocol, port }: Port): string => `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
  const ports = exposedPorts(sandbox);
  const found: Record<string, string> = { [`${prefix}_NAME`]: `/${name}/${alias}` };
  if (ports[0] !== undefined) found[`${prefix}_PORT`] = url(ports[0]);
  for (const run of runs(ports)) {
    const [first, last] = [run[0]!, run.at(-1)!];
    if (run.length < 3) continue;
    found[`${key(first)}_START`] = url(first);
    found[`${key(first)}_PORT_START`] = String(first.port);
    found[`${key(first)}_END`] = url(last);
    found[`${key(first)}_PORT_END`] = String(last.port);
  }
  for (const one of ports) {
    found[key(one)] = url(one);
    found[`${key(one)}_ADDR`] = address;
    found[`${key(one)}_PORT`] = String(one.port);
    found[`${key(one)}_PROTO`] = one.protocol;
  }
  for (const [own, value] of passedOn(sandbox.environment)) found[`${prefix}_ENV_${own}`] = value;
  return found;
}

/** Those exposed and those published: by number, TCP first. */
function exposedPorts({ exposed, ports }: SandboxRecord): Port[] {
  const all = [
    ...exposed.map(({ protocol, ports: { first }, ports: range }) => ({ protocol, first, count: rangeSize(range) })),
    ...ports.map(({ protocol, port, count }) => ({ protocol, first: port, count })),
  ].flatMap(({ protocol, first, count }) => Array.from({ length: count }, (_, n) => ({ protocol, port: first + n })));
  const unique = new Map(all.map((one) => [`${one.protocol} ${one.port}`, one]));
  return [...unique.values()].sort((a, b) => a.port - b.port || Number(b.protocol === "tcp") - Number(a.protocol === "tcp"));
}

/** Ports of one protocol that follow each other. */
function runs(ports: readonly Port[]): Port[][] {
  const found: Port[][] = [];
  for (const one of ports) {
    const open = found.find((run) => run[0]!.protocol === one.protocol && run.at(-1)!.port === one.port - 1);
    if (open === undefined) found.push([one]);
    else open.push(one);
  }
  return found;
}

/** After a change of `target`'s endpoint on `bridge`: the files of those who are linked to it. The caller holds no lock. */
export async function refreshLinkers(context: Context, target: Id): Promise<void> {
  const { state } = context;
  const bridge = state.networkByName(DEFAULT_BRIDGE);
  if (bridge === undefined) return;
  const linkers = state.endpointsOfNetwork(bridge.id).filter(({ links }) => links.some((link) => link.target === target));
  for (const { sandboxId } of linkers) {
    await context.locks.run([exclusive(`sandbox/${sandboxId}`)], async () => {
      const sandbox = state.sandboxes.get(sandboxId ?? "");
      if (sandbox === undefined || !hasResolver(sandbox)) return;
      await attempt(context, `writing the files of sandbox ${sandbox.name}`, () => context.names.refresh(sandbox));
    });
  }
}

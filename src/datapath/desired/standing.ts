// What stands: all owners' declarations, merged, and kept so that a change of one owner costs what that owner declares, not what
// all of them do. A host with 500 endpoints and 10,000 neighbours declares one more endpoint in a fraction of a millisecond.
//
//   propose(owner, declaration) ─> what would change, or null ─> ... interfaces, engine ... ─> commit
//
// `propose` answers null when it is not certain that the change can stand; the caller then asks desired.ts, which looks at
// everything, knows all the rules, and says in words what is wrong. So this file has no errors to word and may refuse what is
// only rare (VNIs that are traded, ports that move to another domain); what it must never do is to let pass what desired.ts
// would not. A property test holds the two against each other.
//
// An entry stands as long as any owner declares it, hence the count of owners; and others may stand on it (a port on its
// domain, an FDB entry on its port), hence the count of references: what goes must have none left.

import { WeftError } from "../../errors.ts";
import { type Declaration, domainOf, type UplinkPortDeclaration } from "../declarations.ts";
import type { Change, Delta, Entry, Table } from "./delta.ts";
import {
  checkAssociation,
  checkDomain,
  checkPort,
  checkVtep,
  currentPeer,
  type Desired,
  fdbKey,
  type Host,
  inboundSpi,
  interfaceKey,
  neighborKey,
  permitKey,
  same,
  vtepKey,
} from "./desired.ts";

/** Tables that owners declare; hosts follow from their VTEPs and associations. */
type Declared = Exclude<Table, "hosts">;
const DECLARED: readonly Declared[] = ["domains", "ports", "vteps", "associations", "fdb", "neighbors", "permits"];

/** One owner's declaration by key. */
type Keyed = { readonly [K in Declared]: ReadonlyMap<string, Entry<K>> };
const NONE: Keyed = {
  domains: new Map(),
  ports: new Map(),
  vteps: new Map(),
  associations: new Map(),
  fdb: new Map(),
  neighbors: new Map(),
  permits: new Map(),
};

/** What may be referred to, as one key for the count of references. */
const domainTarget = (id: string): string => `domain ${id}`;
const portTarget = (id: string): string => `port ${id}`;
const vtepTarget = (key: string): string => `vtep ${key}`;
const hostTarget = (address: string): string => `host ${address}`;

/** What an entry of each table refers to. */
const TARGETS: { readonly [K in Declared]: (entry: Entry<K>) => readonly string[] } = {
  domains: () => [],
  ports: (port) =>
    port.kind === "packet" ? [] : port.kind === "tap" ? [domainTarget(port.domain)] : [domainTarget(port.domain), portTarget(port.parent)],
  vteps: ({ domain, address }) => [domainTarget(domain), hostTarget(address)],
  associations: ({ peer }) => [hostTarget(peer)],
  fdb: ({ domain, to }) => [domainTarget(domain), "port" in to ? portTarget(to.port) : vtepTarget(vtepKey(domain, to.vtep))],
  neighbors: ({ domain }) => [domainTarget(domain)],
  permits: ({ client, server }) => [portTarget(client), portTarget(server)],
};

/** Who has what only one can have: the ids. */
interface Holders {
  readonly vnis: Map<number, string>;
  readonly interfaces: Map<string, string>;
  readonly spis: Map<number, string>;
  /** By peer. */
  readonly currents: Map<string, string>;
}

export interface Proposal {
  readonly owner: string;
  readonly declaration: Declaration | null;
  readonly delta: Delta;
  readonly keyed: Keyed;
  /** By how much the counts of references change. */
  readonly references: ReadonlyMap<string, number>;
}

export class Standing implements Desired {
  readonly domains = new Map<string, Entry<"domains">>();
  readonly ports = new Map<string, Entry<"ports">>();
  readonly fdb = new Map<string, Entry<"fdb">>();
  readonly neighbors = new Map<string, Entry<"neighbors">>();
  readonly permits = new Map<string, Entry<"permits">>();
  readonly vteps = new Map<string, Entry<"vteps">>();
  readonly hosts = new Map<string, Entry<"hosts">>();
  readonly associations = new Map<string, Entry<"associations">>();
  readonly #declarations = new Map<string, Declaration>();
  readonly #keyed = new Map<string, Keyed>();
  readonly #owners = {
    domains: new Counts(),
    ports: new Counts(),
    fdb: new Counts(),
    neighbors: new Counts(),
    permits: new Counts(),
    vteps: new Counts(),
    associations: new Counts(),
  };
  readonly #references = new Counts();
  readonly #holders: Holders = { vnis: new Map(), interfaces: new Map(), spis: new Map(), currents: new Map() };

  /** Of declarations that can stand together. */
  static of(declarations: ReadonlyMap<string, Declaration>): Standing {
    const standing = new Standing();
    for (const [owner, declaration] of declarations) {
      const proposal = standing.#proposal(owner, declaration);
      if (proposal === null) throw new WeftError("INTERNAL", `the declaration of ${owner} can't stand beside those before it`);
      standing.commit(proposal);
    }
    return standing;
  }

  /** In the order in which they last changed. */
  get declarations(): ReadonlyMap<string, Declaration> {
    return this.#declarations;
  }

  /** What changes if `owner` declares this and nothing else (null: nothing); null if it takes a look at everything to tell. */
  propose(owner: string, declaration: Declaration | null): Proposal | null {
    const proposal = this.#proposal(owner, declaration);
    return proposal !== null && new Check(this, proposal, this.#references, this.#holders).passes ? proposal : null;
  }

  /** Null if it contradicts itself or what others declare. */
  #proposal(owner: string, declaration: Declaration | null): Proposal | null {
    const keyed = declaration === null ? NONE : keyedOf(declaration);
    if (keyed === null) return null;
    const before = this.#keyed.get(owner) ?? NONE;
    const domains = changesOf(this.domains, this.#owners.domains, before.domains, keyed.domains);
    const ports = changesOf(this.ports, this.#owners.ports, before.ports, keyed.ports);
    const fdb = changesOf(this.fdb, this.#owners.fdb, before.fdb, keyed.fdb);
    const neighbors = changesOf(this.neighbors, this.#owners.neighbors, before.neighbors, keyed.neighbors);
    const vteps = changesOf(this.vteps, this.#owners.vteps, before.vteps, keyed.vteps);
    const permits = changesOf(this.permits, this.#owners.permits, before.permits, keyed.permits);
    const associations = changesOf(this.associations, this.#owners.associations, before.associations, keyed.associations);
    if (domains === null || ports === null || fdb === null || neighbors === null || permits === null) return null;
    if (vteps === null || associations === null) return null;
    const references = new Map<string, number>();
    const refer = (targets: readonly string[], by: number): void => {
      for (const target of targets) references.set(target, (references.get(target) ?? 0) + by);
    };
    const declared = { domains, ports, fdb, neighbors, permits, vteps, associations };
    for (const table of DECLARED) {
      const targets = TARGETS[table] as (entry: object) => readonly string[];
      for (const { before: old, after } of (declared[table] as ReadonlyMap<string, Change<object>>).values()) {
        if (old !== undefined) refer(targets(old), -1);
        if (after !== undefined) refer(targets(after), 1);
      }
    }
    const hosts = this.#hostChanges([...hostsIn(vteps, hostOfVtep), ...hostsIn(associations, hostOfAssociation)], references);
    return hosts === null ? null : { owner, declaration, delta: { ...declared, hosts }, keyed, references };
  }

  /** Null if a host has two UDP ports, or gets another one. */
  #hostChanges(changes: readonly Change<Host>[], references: ReadonlyMap<string, number>): Map<string, Change<Host>> | null {
    const hosts = new Map<string, Change<Host>>();
    for (const { before, after } of changes) {
      const { address } = (after ?? before)!;
      const known = this.hosts.get(address);
      if (after !== undefined) {
        const has = known ?? hosts.get(address)?.after;
        if (has === undefined) hosts.set(address, { before: undefined, after: { address, port: after.port } });
        else if (has.port !== after.port) return null;
      } else if (known !== undefined && this.#references.of(hostTarget(address)) + references.get(hostTarget(address))! === 0) {
        hosts.set(address, { before: known, after: undefined });
      }
    }
    return hosts;
  }

  /** Makes true what was proposed, nothing having changed since. */
  commit({ owner, declaration, delta, keyed, references }: Proposal): void {
    const before = this.#keyed.get(owner) ?? NONE;
    for (const table of DECLARED) {
      const owners = this.#owners[table];
      for (const key of keyed[table].keys()) if (!before[table].has(key)) owners.add(key, 1);
      for (const key of before[table].keys()) if (!keyed[table].has(key)) owners.add(key, -1);
      replace(this[table] as Map<string, object>, delta[table]);
    }
    replace(this.hosts, delta.hosts);
    for (const [target, by] of references) this.#references.add(target, by);
    reindex(this.#holders.vnis, delta.domains, ({ vni }) => vni);
    reindex(this.#holders.interfaces, delta.ports, interfaceKey);
    reindex(this.#holders.spis, delta.associations, inboundSpi);
    reindex(this.#holders.currents, delta.associations, currentPeer);
    this.#declarations.delete(owner);
    this.#keyed.delete(owner);
    if (declaration === null) return;
    this.#declarations.set(owner, declaration);
    this.#keyed.set(owner, keyed);
  }
}

const hostOfVtep = ({ address, port }: Entry<"vteps">): Host => ({ address, port });
const hostOfAssociation = ({ peer, vxlanPort }: Entry<"associations">): Host => ({ address: peer, port: vxlanPort });

/** The hosts that entries name, before and after; an entry that moves from one to another is two changes. */
function hostsIn<T>(changes: ReadonlyMap<string, Change<T>>, hostOf: (entry: T) => Host): Change<Host>[] {
  const hosts: Change<Host>[] = [];
  for (const change of changes.values()) {
    const before = change.before === undefined ? undefined : hostOf(change.before);
    const after = change.after === undefined ? undefined : hostOf(change.after);
    if (before?.address === after?.address) hosts.push({ before, after });
    else
      for (const one of [
        { before, after: undefined },
        { before: undefined, after },
      ])
        if (one.before !== one.after) hosts.push(one);
  }
  return hosts;
}

class Counts {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: string, by: number): void {
    const count = this.of(key) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}

/** Whether all rules of desired.ts hold after a change, looked at where it changes anything. */
class Check {
  readonly passes: boolean;
  readonly #standing: Desired;
  readonly #proposal: Proposal;
  readonly #references: Counts;

  constructor(standing: Desired, proposal: Proposal, references: Counts, holders: Holders) {
    this.#standing = standing;
    this.#proposal = proposal;
    this.#references = references;
    const { delta } = proposal;
    this.passes =
      this.#domainsStand() &&
      this.#portsStand() &&
      this.#vtepsStand() &&
      this.#entriesStand() &&
      isUnique(delta.domains, holders.vnis, ({ vni }) => vni) &&
      isUnique(delta.ports, holders.interfaces, interfaceKey) &&
      isUnique(delta.associations, holders.spis, inboundSpi) &&
      isUnique(delta.associations, holders.currents, currentPeer);
  }

  #referring(target: string): number {
    return this.#references.of(target) + (this.#proposal.references.get(target) ?? 0);
  }

  /** The entry after the change. */
  #after<K extends Table>(table: K, key: string): Entry<K> | undefined {
    const change = this.#proposal.delta[table].get(key);
    return (change === undefined ? this.#standing[table].get(key) : change.after) as Entry<K> | undefined;
  }

  #domainsStand(): boolean {
    for (const [id, { before, after }] of this.#proposal.delta.domains) {
      const losesVni = before !== undefined && before.vni !== null && (after === undefined || after.vni === null);
      if ((after === undefined || losesVni) && this.#referring(domainTarget(id)) > 0) return false;
    }
    return true;
  }

  #portsStand(): boolean {
    for (const [id, { before, after }] of this.#proposal.delta.ports) {
      const domain = after === undefined ? null : domainOf(after);
      if (domain !== null && this.#after("domains", domain) === undefined) return false;
      if (after?.kind === "uplink" && !this.#uplinkStands(after)) return false;
      const moves = before !== undefined && (before.kind !== after?.kind || domainOf(before) !== domain);
      if (moves && this.#referring(portTarget(id)) > 0) return false;
    }
    return true;
  }

  /** A new uplink of a domain that is new too: all else takes a look at everything. */
  #uplinkStands({ domain, parent }: UplinkPortDeclaration): boolean {
    if (this.#after("ports", parent)?.kind !== "packet" || this.#standing.domains.has(domain)) return false;
    let uplinks = 0;
    for (const { after } of this.#proposal.delta.ports.values()) if (after?.kind === "uplink" && after.domain === domain) uplinks++;
    return uplinks === 1;
  }

  #isPortOf(id: string, domain: string): boolean {
    const port = this.#after("ports", id);
    return port !== undefined && domainOf(port) === domain;
  }

  #vtepsStand(): boolean {
    for (const [key, { after }] of this.#proposal.delta.vteps) {
      if (after === undefined) {
        if (this.#referring(vtepTarget(key)) > 0) return false;
      } else if ((this.#after("domains", after.domain)?.vni ?? null) === null) {
        return false;
      }
    }
    return true;
  }

  #entriesStand(): boolean {
    for (const { after } of this.#proposal.delta.fdb.values()) {
      if (after === undefined) continue;
      const { domain, to } = after;
      if (this.#after("domains", domain) === undefined) return false;
      if ("port" in to ? !this.#isPortOf(to.port, domain) : this.#after("vteps", vtepKey(domain, to.vtep)) === undefined) return false;
    }
    for (const { after } of this.#proposal.delta.neighbors.values()) {
      if (after !== undefined && this.#after("domains", after.domain) === undefined) return false;
    }
    for (const { after } of this.#proposal.delta.permits.values()) {
      if (after === undefined) continue;
      const client = this.#after("ports", after.client);
      const domain = client === undefined ? null : domainOf(client);
      if (domain === null || !this.#isPortOf(after.server, domain)) return false;
    }
    return true;
  }
}

/** How a table's entries change; null if the owner says of one what others say in other words. */
function changesOf<T extends object>(
  standing: ReadonlyMap<string, T>,
  owners: Counts,
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
): Map<string, Change<T>> | null {
  const changes = new Map<string, Change<T>>();
  for (const [key, value] of after) {
    const known = standing.get(key);
    if (known !== undefined && same(known, value)) continue;
    if (owners.of(key) > (before.has(key) ? 1 : 0)) return null;
    changes.set(key, { before: known, after: value });
  }
  for (const key of before.keys()) {
    if (!after.has(key) && owners.of(key) === 1) changes.set(key, { before: standing.get(key), after: undefined });
  }
  return changes;
}

/** Whether no two entries have the same value (null: no value) after the change. */
function isUnique<T extends { readonly id: string }, V>(
  changes: ReadonlyMap<string, Change<T>>,
  holders: ReadonlyMap<V, string>,
  valueIn: (entry: T) => V | null,
): boolean {
  const taken = new Map<V, string>();
  for (const { after } of changes.values()) {
    const value = after === undefined ? null : valueIn(after);
    if (value === null) continue;
    const holder = taken.get(value) ?? holders.get(value);
    if (holder !== undefined && holder !== after!.id && !givesUp(changes.get(holder), value, valueIn)) return false;
    taken.set(value, after!.id);
  }
  return true;
}

/** Whether the change of who had `value` takes it away from them. */
function givesUp<T, V>(change: Change<T> | undefined, value: V, valueIn: (entry: T) => V | null): boolean {
  return change !== undefined && (change.after === undefined || valueIn(change.after) !== value);
}

function reindex<T extends { readonly id: string }, V>(
  index: Map<V, string>,
  changes: ReadonlyMap<string, Change<T>>,
  valueIn: (entry: T) => V | null,
): void {
  for (const { before } of changes.values()) {
    const value = before === undefined ? null : valueIn(before);
    if (value !== null) index.delete(value);
  }
  for (const { after } of changes.values()) {
    const value = after === undefined ? null : valueIn(after);
    if (value !== null) index.set(value, after!.id);
  }
}

function replace(table: Map<string, object>, changes: ReadonlyMap<string, Change<object>>): void {
  for (const [key, { after }] of changes) {
    if (after === undefined) table.delete(key);
    else table.set(key, after);
  }
}

/** Null if a value is out of its range, or an entry is there twice in different words. */
function keyedOf(declaration: Declaration): Keyed | null {
  try {
    const domains = byKey(
      declaration.domains,
      checked(checkDomain, ({ id }) => id),
    );
    const ports = byKey(
      declaration.ports,
      checked(checkPort, ({ id }) => id),
    );
    const associations = byKey(
      declaration.associations,
      checked(checkAssociation, ({ id }) => id),
    );
    const vteps = byKey(
      declaration.vteps,
      checked(checkVtep, ({ domain, address }) => vtepKey(domain, address)),
    );
    const fdb = byKey(declaration.fdb, fdbKey);
    const neighbors = byKey(declaration.neighbors, neighborKey);
    const permits = byKey(declaration.permits, permitKey);
    if (domains === null || ports === null || vteps === null || associations === null) return null;
    if (fdb === null || neighbors === null || permits === null) return null;
    return { domains, ports, vteps, associations, fdb, neighbors, permits };
  } catch (error) {
    if (error instanceof WeftError) return null;
    throw error;
  }
}

function checked<T>(check: (entry: T) => void, keyOf: (entry: T) => string): (entry: T) => string {
  return (entry) => {
    check(entry);
    return keyOf(entry);
  };
}

function byKey<T extends object>(entries: readonly T[] | undefined, keyOf: (entry: T) => string): Map<string, T> | null {
  const keyed = new Map<string, T>();
  for (const entry of entries ?? []) {
    const key = keyOf(entry);
    const known = keyed.get(key);
    if (known !== undefined && !same(known, entry)) return null;
    keyed.set(key, entry);
  }
  return keyed;
}

// What stands: all owners' declarations, merged, and kept so that a change of one owner costs what that owner declares, not what
// all of them do. A host with 500 endpoints and 10,000 neighbours declares one more endpoint in a fraction of a millisecond.
//
//   propose(owner, declaration) ─> what would change, or null ─> ... interfaces, engine ... ─> commit
//
// `propose` answers null when it is not certain that the change can stand; the caller then asks merge.ts, which looks at
// everything, knows all the rules, and says in words what is wrong. So this file has no errors to word and may refuse what is
// only rare (VNIs that are traded, ports that move to another domain); what it must never do is to let pass what merge.ts
// would not. A property test holds the two against each other.
//
// An entry stands as long as any owner declares it, hence the count of owners; and others may stand on it (a port on its
// domain, an FDB entry on its port), hence the count of references: what goes must have none left.

import { WeftError } from "../../errors.ts";
import type { Declaration } from "../declarations.ts";
import type { Change, Delta, Entry } from "./delta.ts";
import type { Desired } from "./desired.ts";
import { Footing } from "./footing.ts";
import { Holders } from "./holders.ts";
import { hostChanges } from "./hosts.ts";
import { same } from "./identity.ts";
import { DECLARED, type Keyed, keyedOf, NONE } from "./keyed.ts";
import { Counts, hostTarget, TARGETS } from "./references.ts";

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
  readonly #holders = new Holders();

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
    if (proposal === null) return null;
    const { delta, references } = proposal;
    const footing = new Footing(this, delta, (target) => this.#referring(target, references));
    return footing.holds && this.#holders.admit(delta) ? proposal : null;
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
    const hosts = hostChanges(vteps, associations, this.hosts, (address) => this.#referring(hostTarget(address), references));
    return hosts === null ? null : { owner, declaration, delta: { ...declared, hosts }, keyed, references };
  }

  /** Who refers to a target once the counts have changed by `references`. */
  #referring(target: string, references: ReadonlyMap<string, number>): number {
    return this.#references.of(target) + (references.get(target) ?? 0);
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
    this.#holders.commit(delta);
    this.#declarations.delete(owner);
    this.#keyed.delete(owner);
    if (declaration === null) return;
    this.#declarations.set(owner, declaration);
    this.#keyed.set(owner, keyed);
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

function replace(table: Map<string, object>, changes: ReadonlyMap<string, Change<object>>): void {
  for (const [key, { after }] of changes) {
    if (after === undefined) table.delete(key);
    else table.set(key, after);
  }
}

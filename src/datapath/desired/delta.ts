// What of the desired state is another after a change: the entries that came, went or changed, by table and key. It is what
// tables, TAPs and indexes are told of a change, so that its cost is its own size.
import type { Desired } from "./desired.ts";
import { same } from "./identity.ts";

/** Of one entry; undefined: there is none. */
export interface Change<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}

export type Table = keyof Desired;
export type Entry<K extends Table> = Desired[K] extends ReadonlyMap<string, infer T extends object> ? T : never;

export type Changes<K extends Table> = ReadonlyMap<string, Change<Entry<K>>>;
export type Delta = { readonly [K in Table]: Changes<K> };

function between<T extends object>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): Map<string, Change<T>> {
  const changes = new Map<string, Change<T>>();
  for (const [key, value] of before) if (!after.has(key)) changes.set(key, { before: value, after: undefined });
  for (const [key, value] of after) {
    const known = before.get(key);
    if (known === undefined || !same(known, value)) changes.set(key, { before: known, after: value });
  }
  return changes;
}

/** The difference of two states, found by looking at all of both. */
export function deltaBetween(before: Desired, after: Desired): Delta {
  return {
    domains: between(before.domains, after.domains),
    ports: between(before.ports, after.ports),
    fdb: between(before.fdb, after.fdb),
    neighbors: between(before.neighbors, after.neighbors),
    permits: between(before.permits, after.permits),
    vteps: between(before.vteps, after.vteps),
    hosts: between(before.hosts, after.hosts),
    associations: between(before.associations, after.associations),
  };
}

// One owner's declaration, checked and by key. What it contradicts in itself is found here; what it contradicts of others', not.
import { WeftError } from "../../errors.ts";
import type { Declaration } from "../declarations.ts";
import type { Entry, Table } from "./delta.ts";
import { fdbKey, neighborKey, permitKey, same, vtepKey } from "./identity.ts";
import { checkAssociation, checkDomain, checkPort, checkVtep } from "./rules.ts";

/** Tables that owners declare; hosts follow from their VTEPs and associations. */
export type Declared = Exclude<Table, "hosts">;
export const DECLARED: readonly Declared[] = ["domains", "ports", "vteps", "associations", "fdb", "neighbors", "permits"];

/** One owner's declaration by key. */
export type Keyed = { readonly [K in Declared]: ReadonlyMap<string, Entry<K>> };
export const NONE: Keyed = {
  domains: new Map(),
  ports: new Map(),
  vteps: new Map(),
  associations: new Map(),
  fdb: new Map(),
  neighbors: new Map(),
  permits: new Map(),
};

/** Null if a value is out of its range, or an entry is there twice in different words. */
export function keyedOf(declaration: Declaration): Keyed | null {
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

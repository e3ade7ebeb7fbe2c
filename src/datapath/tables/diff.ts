// The engine's tables as rows by key, and the shortest list of calls that turns one such image into another. What shall be
// another is a patch: either all that differs between two images, or what somebody knows to have changed.
//
// Order: deletions first, from what refers to what is referred to (permits, neighbours, FDB, members, VTEPs, ports, domains), then
// sets in the opposite order. Deleting first lets a VNI, an address or the last slot of a full table pass from one entry to
// another within one change; no packet sees the state in between, since the worker applies a list between two batches.

import { DOMAIN_FLAG_HAS_VNI, VNI_NONE } from "../../../wasm/shared/abi.ts";
import {
  addressOf,
  addressRow,
  DOMAIN_DELETE,
  DOMAIN_SET,
  FDB_DELETE,
  FDB_SET,
  MEMBER_DELETE,
  MEMBER_SET,
  NEIGHBOR_DELETE,
  NEIGHBOR_SET,
  PERMIT_DELETE,
  PERMIT_SET,
  PORT_DELETE,
  PORT_SET,
  type Row,
  SA_DELETE,
  SA_SET,
  SPD_DELETE,
  SPD_SET,
  sameRow,
  UNDERLAY_SET,
  UPLINK_SET,
  VTEP_DELETE,
  VTEP_SET,
} from "./ops.ts";

/** One engine's tables; each row is the call that sets the entry. */
export type Image = { readonly [T in Table]: Map<Key, Row> };

/** What shall be another: the row that sets the entry, or null to delete it. */
export type Patch = { readonly [T in Table]: Map<Key, Row | null> };

type Table =
  | "domains"
  | "ports"
  | "underlays"
  | "uplinks"
  | "vteps"
  | "associations"
  | "policies"
  | "members"
  | "fdb"
  | "neighbors"
  | "permits";
type Key = number | string;

function emptyTables<R>(): { readonly [T in Table]: Map<Key, R> } {
  return {
    domains: new Map(),
    ports: new Map(),
    underlays: new Map(),
    uplinks: new Map(),
    vteps: new Map(),
    associations: new Map(),
    policies: new Map(),
    members: new Map(),
    fdb: new Map(),
    neighbors: new Map(),
    permits: new Map(),
  };
}

export const emptyImage = (): Image => emptyTables();
export const emptyPatch = (): Patch => emptyTables();

/** In the order of their references: an entry refers to entries of tables before its own. */
const TABLES: readonly Table[] = [
  "domains", "ports", "underlays", "uplinks", "vteps", "associations", "policies", "members", "fdb", "neighbors", "permits",
]; // biome-ignore format: one list

const TABLE_OF_SET: Readonly<Record<number, Table>> = {
  [DOMAIN_SET]: "domains",
  [PORT_SET]: "ports",
  [UNDERLAY_SET]: "underlays",
  [UPLINK_SET]: "uplinks",
  [VTEP_SET]: "vteps",
  [SA_SET]: "associations",
  [SPD_SET]: "policies",
  [MEMBER_SET]: "members",
  [FDB_SET]: "fdb",
  [NEIGHBOR_SET]: "neighbors",
  [PERMIT_SET]: "permits",
};

const TABLE_OF_DELETE: Readonly<Record<number, Table>> = {
  [DOMAIN_DELETE]: "domains",
  [PORT_DELETE]: "ports",
  [VTEP_DELETE]: "vteps",
  [SA_DELETE]: "associations",
  [SPD_DELETE]: "policies",
  [MEMBER_DELETE]: "members",
  [FDB_DELETE]: "fdb",
  [NEIGHBOR_DELETE]: "neighbors",
  [PERMIT_DELETE]: "permits",
};

/** The key of a row, set or delete, within its table. */
function keyOf(table: Table, row: Row): Key {
  switch (table) {
    case "members":
      return `${row[1]} ${row[2]}`;
    case "fdb":
      return `${row[1]} ${row[2]} ${row[3]}`;
    case "neighbors":
      return `${row[1]} ${addressOf(row).join(" ")}`;
    case "permits":
      return row.slice(1).join(" "); // all of it is its key
    default:
      return row[1]!;
  }
}

function deleteRow(table: Table, row: Row): Row | null {
  switch (table) {
    case "domains":
      return [DOMAIN_DELETE, row[1]!];
    case "ports":
      return [PORT_DELETE, row[1]!];
    case "underlays":
    case "uplinks":
      return null; // goes with its port
    case "vteps":
      return [VTEP_DELETE, row[1]!];
    case "associations":
      return [SA_DELETE, row[1]!];
    case "policies":
      return [SPD_DELETE, row[1]!];
    case "members":
      return [MEMBER_DELETE, row[1]!, row[2]!];
    case "fdb":
      return [FDB_DELETE, row[1]!, row[2]!, row[3]!];
    case "neighbors":
      return addressRow(NEIGHBOR_DELETE, [row[1]!], addressOf(row));
    case "permits":
      return [PERMIT_DELETE, ...row.slice(1)];
  }
}

/** A set row with its table and the key in it. */
export interface KeyedRow {
  readonly table: Table;
  readonly key: Key;
  readonly row: Row;
}

export function keyed(row: Row): KeyedRow {
  const table = TABLE_OF_SET[row[0]!];
  if (table === undefined) throw new RangeError(`row ${row[0]} is no set`);
  return { table, key: keyOf(table, row), row };
}

/** Puts a set row into the image. */
export function put(image: Image, row: Row): void {
  putKeyed(image, keyed(row));
}

export function putKeyed(image: Image, { table, key, row }: KeyedRow): void {
  image[table].set(key, row);
}

/** What the image becomes when the engine has executed `row`. */
export function applyToImage(image: Image, row: Row): void {
  const table = TABLE_OF_DELETE[row[0]!];
  if (table === undefined) {
    put(image, row);
    return;
  }
  image[table].delete(keyOf(table, row));
  if (table !== "ports") return;
  image.underlays.delete(row[1]!);
  image.uplinks.delete(row[1]!);
}

export function copyOf(image: Image): Image {
  const copy = emptyImage();
  for (const table of TABLES) for (const [key, row] of image[table]) copy[table].set(key, row);
  return copy;
}

/** Makes the image what the patch wants. */
export function applyPatch(image: Image, patch: Patch): void {
  for (const table of TABLES) {
    for (const [key, row] of patch[table]) {
      if (row === null) image[table].delete(key);
      else image[table].set(key, row);
    }
  }
}

/** All that `want` has in other words than `have`, or has not. */
export function patchBetween(have: Image, want: Image): Patch {
  const patch = emptyPatch();
  for (const table of TABLES) {
    for (const key of have[table].keys()) if (!want[table].has(key)) patch[table].set(key, null);
    for (const [key, row] of want[table]) if (have[table].get(key) !== row) patch[table].set(key, row);
  }
  return patch;
}

/** The calls that make the patch true in an engine that has `have`. */
export function callsOf(have: Image, patch: Patch): Row[] {
  const rows: Row[] = [];
  for (const table of TABLES.toReversed()) {
    for (const [key, wanted] of patch[table]) {
      const had = have[table].get(key);
      if (wanted !== null || had === undefined) continue;
      const call = deleteRow(table, had);
      if (call !== null) rows.push(call);
    }
  }
  freeVnis(have, patch, rows);
  for (const table of TABLES) {
    for (const [key, wanted] of patch[table]) {
      if (wanted === null) continue;
      const had = have[table].get(key);
      if (had === undefined || !sameRow(had, wanted)) rows.push(wanted);
    }
  }
  return rows;
}

/** The calls that turn `have` into `want`. */
export function difference(have: Image, want: Image): Row[] {
  return callsOf(have, patchBetween(have, want));
}

/** Domains that trade VNIs between themselves give them up before any takes one: the engine refuses a VNI that is taken. */
function freeVnis(have: Image, patch: Patch, rows: Row[]): void {
  for (const [domain, row] of patch.domains) {
    const old = have.domains.get(domain);
    if (row === null || old === undefined || old[2] === row[2] || (old[3]! & DOMAIN_FLAG_HAS_VNI) === 0) continue;
    rows.push([old[0]!, old[1]!, VNI_NONE, old[3]! & ~DOMAIN_FLAG_HAS_VNI, ...old.slice(4)]);
  }
}

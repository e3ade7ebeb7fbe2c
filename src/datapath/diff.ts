// The engine's tables as rows by key, and the difference of two such images as the shortest list of calls that turns one
// into the other.
//
// Order: deletions first, from what refers to what is referred to (neighbours, FDB, members, VTEPs, ports, domains), then
// sets in the opposite order. Deleting first lets a VNI, an address or the last slot of a full table pass from one entry to
// another within one change; no packet sees the state in between, since the worker applies a list between two batches.

import { DOMAIN_FLAG_HAS_VNI, VNI_NONE } from "../../wasm/shared/abi.ts";
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
  PORT_DELETE,
  PORT_SET,
  type Row,
  sameRow,
  UNDERLAY_SET,
  VTEP_DELETE,
  VTEP_SET,
} from "./ops.ts";

/** One engine's tables; each row is the call that sets the entry. */
export interface Image {
  readonly domains: Map<number, Row>;
  readonly ports: Map<number, Row>;
  readonly underlays: Map<number, Row>;
  readonly vteps: Map<number, Row>;
  readonly members: Map<string, Row>;
  readonly fdb: Map<string, Row>;
  readonly neighbors: Map<string, Row>;
}

export function emptyImage(): Image {
  return {
    domains: new Map(),
    ports: new Map(),
    underlays: new Map(),
    vteps: new Map(),
    members: new Map(),
    fdb: new Map(),
    neighbors: new Map(),
  };
}

type Table = keyof Image;

/** In the order of their references: an entry refers to entries of tables before its own. */
const TABLES: readonly Table[] = ["domains", "ports", "underlays", "vteps", "members", "fdb", "neighbors"];

const TABLE_OF_SET: Readonly<Record<number, Table>> = {
  [DOMAIN_SET]: "domains",
  [PORT_SET]: "ports",
  [UNDERLAY_SET]: "underlays",
  [VTEP_SET]: "vteps",
  [MEMBER_SET]: "members",
  [FDB_SET]: "fdb",
  [NEIGHBOR_SET]: "neighbors",
};

const TABLE_OF_DELETE: Readonly<Record<number, Table>> = {
  [DOMAIN_DELETE]: "domains",
  [PORT_DELETE]: "ports",
  [VTEP_DELETE]: "vteps",
  [MEMBER_DELETE]: "members",
  [FDB_DELETE]: "fdb",
  [NEIGHBOR_DELETE]: "neighbors",
};

/** The key of a row, set or delete, within its table. */
function keyOf(table: Table, row: Row): number | string {
  switch (table) {
    case "members":
      return `${row[1]} ${row[2]}`;
    case "fdb":
      return `${row[1]} ${row[2]} ${row[3]}`;
    case "neighbors":
      return `${row[1]} ${addressOf(row).join(" ")}`;
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
      return null; // goes with its port
    case "vteps":
      return [VTEP_DELETE, row[1]!];
    case "members":
      return [MEMBER_DELETE, row[1]!, row[2]!];
    case "fdb":
      return [FDB_DELETE, row[1]!, row[2]!, row[3]!];
    case "neighbors":
      return addressRow(NEIGHBOR_DELETE, [row[1]!], addressOf(row));
  }
}

/** A set row of the FDB, neighbours or members with its key within that table. */
export interface KeyedRow {
  readonly key: string;
  readonly row: Row;
}

export function keyed(row: Row): KeyedRow {
  return { key: String(keyOf(TABLE_OF_SET[row[0]!]!, row)), row };
}

/** Puts a set row into the image. */
export function put(image: Image, row: Row): void {
  const table = TABLE_OF_SET[row[0]!];
  if (table === undefined) throw new RangeError(`row ${row[0]} is no set`);
  (image[table] as Map<number | string, Row>).set(keyOf(table, row), row);
}

/** What the image becomes when the engine has executed `row`. */
export function applyToImage(image: Image, row: Row): void {
  const table = TABLE_OF_DELETE[row[0]!];
  if (table === undefined) {
    put(image, row);
    return;
  }
  (image[table] as Map<number | string, Row>).delete(keyOf(table, row));
  if (table === "ports") image.underlays.delete(row[1]!);
}

/** The calls that turn `have` into `want`. */
export function difference(have: Image, want: Image): Row[] {
  const rows: Row[] = [];
  for (const table of TABLES.toReversed()) {
    const wanted: ReadonlyMap<number | string, Row> = want[table];
    for (const [key, row] of have[table] as ReadonlyMap<number | string, Row>) {
      if (wanted.has(key)) continue;
      const call = deleteRow(table, row);
      if (call !== null) rows.push(call);
    }
  }
  freeVnis(have, want, rows);
  for (const table of TABLES) {
    const had: ReadonlyMap<number | string, Row> = have[table];
    for (const [key, row] of want[table] as ReadonlyMap<number | string, Row>) {
      const old = had.get(key);
      if (old !== row && (old === undefined || !sameRow(old, row))) rows.push(row);
    }
  }
  return rows;
}

/** Domains that trade VNIs between themselves give them up before any takes one: the engine refuses a VNI that is taken. */
function freeVnis(have: Image, want: Image, rows: Row[]): void {
  for (const [domain, row] of want.domains) {
    const old = have.domains.get(domain);
    if (old === undefined || old[2] === row[2] || (old[3]! & DOMAIN_FLAG_HAS_VNI) === 0) continue;
    rows.push([old[0]!, domain, VNI_NONE, old[3]! & ~DOMAIN_FLAG_HAS_VNI, ...old.slice(4)]);
  }
}

// A change to an engine table as data: one row of numbers per call of the engine, so that a diff is a comparison of rows, a
// hundred thousand of them are one transferable buffer, and the worker's part is a switch.
//
//   0      1                        7          11
//   ┌──────┬────────────────────────┬─────────┬─────────┐
//   │ code │ arguments of the call  │ address │ seventh │   12 words; rows in JavaScript leave out what is zero at their end
//   └──────┴────────────────────────┴─────────┴─────────┘
//
// The address stands at a fixed place whatever the number of arguments: the worker copies it to ARGUMENTS without knowing the
// call. What is behind it is the argument of a call that has seven. Sets carry all that the engine needs; deletes carry the key.
import type { EngineExports } from "../engine.ts";

export const ROW_WORDS = 12;
const ADDRESS_WORD = 7;
const SEVENTH_WORD = 11;

export const DOMAIN_SET = 1;
export const DOMAIN_DELETE = 2;
export const PORT_SET = 3;
export const PORT_DELETE = 4;
export const UNDERLAY_SET = 5;
export const VTEP_SET = 6;
export const VTEP_DELETE = 7;
export const MEMBER_SET = 8;
export const MEMBER_DELETE = 9;
export const FDB_SET = 10;
export const FDB_DELETE = 11;
export const NEIGHBOR_SET = 12;
export const NEIGHBOR_DELETE = 13;
export const UPLINK_SET = 14;
export const SA_SET = 15; // its limits where others have an address: two big-endian u64
export const SA_DELETE = 16;
export const SPD_SET = 17;
export const SPD_DELETE = 18;
export const PERMIT_SET = 19;
export const PERMIT_DELETE = 20;

const NAMES = [
  "", "set domain", "delete domain", "set port", "delete port", "set underlay", "set VTEP", "delete VTEP", "set member", "delete member",
  "set FDB entry", "delete FDB entry", "set neighbor", "delete neighbor", "set uplink", "set security association",
  "delete security association", "set security policy", "delete security policy", "set permit", "delete permit",
]; // biome-ignore format: one list

/** One table call: code, arguments, and the address words at ADDRESS_WORD where the call has one. */
export type Row = readonly number[];

/** A row whose call takes an address. */
export function addressRow(code: number, callArguments: readonly number[], address: readonly number[]): Row {
  const row = [code, ...callArguments];
  while (row.length < ADDRESS_WORD) row.push(0);
  return [...row, ...address];
}

export function addressOf(row: Row): readonly [number, number, number, number] {
  return [row[ADDRESS_WORD] ?? 0, row[ADDRESS_WORD + 1] ?? 0, row[ADDRESS_WORD + 2] ?? 0, row[ADDRESS_WORD + 3] ?? 0];
}

export function rowName(row: Row): string {
  return NAMES[row[0]!] ?? `operation ${row[0]}`;
}

export function sameRow(a: Row, b: Row): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function packRows(rows: readonly Row[]): Uint32Array<ArrayBuffer> {
  const packed = new Uint32Array(rows.length * ROW_WORDS);
  rows.forEach((row, i) => {
    packed.set(row, i * ROW_WORDS);
  });
  return packed;
}

export interface ApplyOutcome {
  /** Rows that took effect: all of them, or those before the refused one. */
  readonly done: number;
  /** REFUSED_* of row `done`, or 0. */
  readonly refused: number;
}

/** Executes packed rows in order until one is refused. `address`: 16 bytes at ARGUMENTS. */
export function applyRows(engine: EngineExports, address: DataView, packed: Uint32Array): ApplyOutcome {
  const count = packed.length / ROW_WORDS;
  for (let i = 0; i < count; i++) {
    const at = i * ROW_WORDS;
    for (let w = 0; w < 4; w++) address.setUint32(4 * w, packed[at + ADDRESS_WORD + w]!);
    const refused = applyRow(engine, packed, at);
    if (refused !== 0) return { done: i, refused };
  }
  return { done: count, refused: 0 };
}

function applyRow(engine: EngineExports, p: Uint32Array, at: number): number {
  const a = p[at + 1]!;
  const b = p[at + 2]!;
  const c = p[at + 3]!;
  const d = p[at + 4]!;
  const e = p[at + 5]!;
  const f = p[at + 6]!;
  switch (p[at]) {
    case DOMAIN_SET:
      return engine.domainSet(a, b, c, d, e, f);
    case DOMAIN_DELETE:
      engine.domainDelete(a);
      return 0;
    case PORT_SET:
      return engine.portSet(a, b, c, d, e);
    case PORT_DELETE:
      engine.portDelete(a);
      return 0;
    case UNDERLAY_SET:
      return engine.underlaySet(a, b, c);
    case VTEP_SET:
      return engine.vtepSet(a, b, c);
    case VTEP_DELETE:
      engine.vtepDelete(a);
      return 0;
    case MEMBER_SET:
      return engine.memberSet(a, b);
    case MEMBER_DELETE:
      engine.memberDelete(a, b);
      return 0;
    case FDB_SET:
      return engine.fdbSet(a, b, c, d, e);
    case FDB_DELETE:
      engine.fdbDelete(a, b, c);
      return 0;
    case NEIGHBOR_SET:
      return engine.neighborSet(a, b, c);
    case NEIGHBOR_DELETE:
      engine.neighborDelete(a);
      return 0;
    case UPLINK_SET:
      return engine.uplinkSet(a, b, c);
    case SA_SET:
      return engine.saSet(a, b, c, d, e, f, p[at + SEVENTH_WORD]!);
    case SA_DELETE:
      engine.saDelete(a);
      return 0;
    case SPD_SET:
      return engine.spdSet(a, b);
    case SPD_DELETE:
      engine.spdDelete(a);
      return 0;
    case PERMIT_SET:
      return engine.permitSet(a, b, c, d, e);
    case PERMIT_DELETE:
      engine.permitDelete(a, b, c, d, e);
      return 0;
    default:
      throw new RangeError(`table operation ${p[at]} is not one of ops.ts`);
  }
}

// What a shard answers of its tables: copies of the engine's memory, as buffers that move to the main thread.
import {
  DOMAIN_LENGTH,
  FDB_ENTRY_LENGTH,
  FDB_FLAG_STATIC,
  FDB_FLAGS,
  MEMBER_ENTRY_LENGTH,
  NEIGHBOR_ENTRY_LENGTH,
  PERMIT_ENTRY_LENGTH,
  PORT_LENGTH,
  SA_LENGTH,
  SPD_ENTRY_LENGTH,
  VTEP_LENGTH,
} from "../../../wasm/shared/abi.ts";
import { ARGUMENTS, DOMAINS, PORTS, SAD, SPD, VTEPS } from "../../../wasm/shared/layout.ts";
import type { EngineExports } from "../engine.ts";
import type { Views } from "../memory.ts";
import type { DumpReply, DumpTable, EntriesReply, Protocol } from "../messages.ts";

/** A copy of part of the memory, that is to be transferred. */
export function copyOut({ bytes }: Views, from: number, length: number, transfer: ArrayBuffer[]): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice(from, from + length);
  transfer.push(copy.buffer);
  return copy;
}

/** By table: the engine's call, and the length of an entry. */
const DUMPS = {
  fdb: ["fdbDump", FDB_ENTRY_LENGTH],
  neighbors: ["neighborDump", NEIGHBOR_ENTRY_LENGTH],
  members: ["memberDump", MEMBER_ENTRY_LENGTH],
  permits: ["permitDump", PERMIT_ENTRY_LENGTH],
} as const satisfies Record<DumpTable, readonly [keyof EngineExports, number]>;

/** A chunk of a table that has a dump call. */
export function dumpChunk(
  engine: EngineExports,
  views: Views,
  { table, cursor, staticOnly }: { readonly table: DumpTable; readonly cursor: number; readonly staticOnly: boolean },
  transfer: ArrayBuffer[],
): Omit<DumpReply, "generation"> {
  const [dump, entryLength] = DUMPS[table];
  const found = engine[dump](cursor);
  const next = engine.nextCursor() >>> 0;
  const count = table === "fdb" && staticOnly ? keepStatic(views, found) : found;
  return { count, entries: copyOut(views, ARGUMENTS, count * entryLength, transfer), cursor: next };
}

/** Moves the static ones of `count` FDB entries to the front of ARGUMENTS; how many they are. */
function keepStatic({ argumentBytes, argumentData }: Views, count: number): number {
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const at = i * FDB_ENTRY_LENGTH;
    if ((argumentData.getUint16(at + FDB_FLAGS, true) & FDB_FLAG_STATIC) === 0) continue;
    argumentBytes.copyWithin(kept * FDB_ENTRY_LENGTH, at, at + FDB_ENTRY_LENGTH);
    kept++;
  }
  return kept;
}

/** Tables without a dump call, up to the highest index of each. */
export function readTables(
  views: Views,
  limits: Omit<Protocol["entries"]["request"], "kind">,
  transfer: ArrayBuffer[],
): Omit<EntriesReply, "generation"> {
  return {
    domains: copyOut(views, DOMAINS, limits.domains * DOMAIN_LENGTH, transfer),
    ports: copyOut(views, PORTS, limits.ports * PORT_LENGTH, transfer),
    vteps: copyOut(views, VTEPS, limits.vteps * VTEP_LENGTH, transfer),
    associations: copyOut(views, SAD, limits.associations * SA_LENGTH, transfer),
    policies: copyOut(views, SPD, limits.vteps * SPD_ENTRY_LENGTH, transfer),
  };
}

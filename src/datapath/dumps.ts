// Tables as they are in the engine, in names. An entry whose port, domain or VTEP went away while it was read has no name any
// more and is left out.
import type { Client } from "./client.ts";
import type { FdbEntry, NeighborEntry } from "./datapath-api.ts";
import { fdbRecords, neighborRecords } from "./tables/read-back.ts";
import { dump } from "./tables/sync.ts";
import type { Names } from "./trace/trace.ts";
import { addressText, macText } from "./words.ts";

/** The forwarding database, learned entries included; of one domain if given. */
export async function dumpFdb(client: Client, names: Names, only: string | undefined): Promise<FdbEntry[]> {
  const entries: FdbEntry[] = [];
  for await (const chunk of dump(client, "fdb", false)) {
    for (const record of fdbRecords(chunk.entries)) {
      const domain = names.domain(record.domain);
      if (domain === undefined || (only !== undefined && domain !== only)) continue;
      const place = record.vtep === 0 ? names.port(record.port) : names.vtep(record.vtep);
      if (place === undefined) continue;
      const to = record.vtep === 0 ? { port: place } : { vtep: place };
      entries.push({ domain, mac: macText(record.high, record.low), to, static: record.static, ageS: record.ageS });
    }
  }
  return entries.sort((a, b) => compare(a.domain, b.domain) || compare(a.mac, b.mac));
}

export async function dumpNeighbors(client: Client, names: Names, only: string | undefined): Promise<NeighborEntry[]> {
  const entries: NeighborEntry[] = [];
  for await (const chunk of dump(client, "neighbors", false)) {
    for (const record of neighborRecords(chunk.entries)) {
      const domain = names.domain(record.domain);
      if (domain === undefined || (only !== undefined && domain !== only)) continue;
      entries.push({ domain, address: addressText(record.address), mac: macText(record.high, record.low) });
    }
  }
  return entries.sort((a, b) => compare(a.domain, b.domain) || compare(a.address, b.address));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

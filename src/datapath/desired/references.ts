// What stands on what: a port on its domain, an FDB entry on its port or VTEP, a VTEP on its host. What is referred to can't go,
// nor change what the others count on, so references are counted: by target, one string each.
import type { Entry } from "./delta.ts";
import { vtepKey } from "./identity.ts";
import type { Declared } from "./keyed.ts";

/** What may be referred to, as one key for the count of references. */
export const domainTarget = (id: string): string => `domain ${id}`;
export const portTarget = (id: string): string => `port ${id}`;
export const vtepTarget = (key: string): string => `vtep ${key}`;
export const hostTarget = (address: string): string => `host ${address}`;

/** What an entry of each table refers to. */
export const TARGETS: { readonly [K in Declared]: (entry: Entry<K>) => readonly string[] } = {
  domains: () => [],
  ports: (port) =>
    port.kind === "packet" ? [] : port.kind === "tap" ? [domainTarget(port.domain)] : [domainTarget(port.domain), portTarget(port.parent)],
  vteps: ({ domain, address }) => [domainTarget(domain), hostTarget(address)],
  associations: ({ peer }) => [hostTarget(peer)],
  fdb: ({ domain, to }) => [domainTarget(domain), "port" in to ? portTarget(to.port) : vtepTarget(vtepKey(domain, to.vtep))],
  neighbors: ({ domain }) => [domainTarget(domain)],
  permits: ({ client, server }) => [portTarget(client), portTarget(server)],
};

/** How often each key occurs; what doesn't costs nothing. */
export class Counts {
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

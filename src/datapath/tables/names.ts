// The names of all that the engine knows by index. An entry's name gets its index with its first row, and gives it back when the
// change that does away with it is done.
import { DOMAIN_MAX, PORT_MAX, SA_MAX, VTEP_MAX } from "../../../wasm/shared/limits.ts";
import type { Change, Delta } from "../desired/delta.ts";
import { Indexes } from "./indexes.ts";

/** The engine gives VTEP 0 the meaning "none"; the same is done for domains and ports, so that a zeroed field names nobody. */
const FIRST_INDEX = 1;

export class Names {
  readonly domains = new Indexes("bridge domains", FIRST_INDEX, DOMAIN_MAX);
  readonly ports = new Indexes("ports", FIRST_INDEX, PORT_MAX);
  readonly vteps = new Indexes("VTEPs", FIRST_INDEX, VTEP_MAX);
  readonly associations = new Indexes("security associations", FIRST_INDEX, SA_MAX);

  /** Gives back the indexes of all that a change has done away with, once the engine has forgotten them ... */
  release(delta: Delta): void {
    forget(this.domains, delta.domains, "after");
    forget(this.ports, delta.ports, "after");
    forget(this.vteps, delta.hosts, "after");
    forget(this.associations, delta.associations, "after");
  }

  /** ... or those of all that it would have brought, when it did not come true. */
  revoke(delta: Delta): void {
    forget(this.domains, delta.domains, "before");
    forget(this.ports, delta.ports, "before");
    forget(this.vteps, delta.hosts, "before");
    forget(this.associations, delta.associations, "before");
  }

  clear(): void {
    for (const indexes of [this.domains, this.ports, this.vteps, this.associations]) indexes.clear();
  }
}

/** Forgets the names of entries that are not there on one side of the change. */
function forget(indexes: Indexes, changes: ReadonlyMap<string, Change<unknown>>, side: "before" | "after"): void {
  for (const [name, change] of changes) if (change[side] === undefined) indexes.release(name);
}

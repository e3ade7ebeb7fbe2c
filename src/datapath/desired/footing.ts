// Whether a change leaves nothing hanging: all that is referred to is there after it, and what goes or moves is referred to by
// nobody. It looks at what changes only, since all else stood before. False also where only a look at everything could tell.
import { domainOf, type UplinkPortDeclaration } from "../declarations.ts";
import type { Delta, Entry, Table } from "./delta.ts";
import type { Desired } from "./desired.ts";
import { vtepKey } from "./identity.ts";
import { domainTarget, portTarget, vtepTarget } from "./references.ts";

export class Footing {
  readonly #standing: Desired;
  readonly #delta: Delta;
  readonly #referring: (target: string) => number;

  /** `referring` counts, after the change, who refers to a target. */
  constructor(standing: Desired, delta: Delta, referring: (target: string) => number) {
    this.#standing = standing;
    this.#delta = delta;
    this.#referring = referring;
  }

  get holds(): boolean {
    return this.#domainsStand() && this.#portsStand() && this.#vtepsStand() && this.#entriesStand();
  }

  /** The entry after the change. */
  #after<K extends Table>(table: K, key: string): Entry<K> | undefined {
    const change = this.#delta[table].get(key);
    return (change === undefined ? this.#standing[table].get(key) : change.after) as Entry<K> | undefined;
  }

  #domainsStand(): boolean {
    for (const [id, { before, after }] of this.#delta.domains) {
      const losesVni = before !== undefined && before.vni !== null && (after === undefined || after.vni === null);
      if ((after === undefined || losesVni) && this.#referring(domainTarget(id)) > 0) return false;
    }
    return true;
  }

  #portsStand(): boolean {
    for (const [id, { before, after }] of this.#delta.ports) {
      const domain = after === undefined ? null : domainOf(after);
      if (domain !== null && this.#after("domains", domain) === undefined) return false;
      if (after?.kind === "uplink" && !this.#uplinkStands(after)) return false;
      const moves = before !== undefined && (before.kind !== after?.kind || domainOf(before) !== domain);
      if (moves && this.#referring(portTarget(id)) > 0) return false;
    }
    return true;
  }

  /** A new uplink of a domain that is new too: all else takes a look at everything. */
  #uplinkStands({ domain, parent }: UplinkPortDeclaration): boolean {
    if (this.#after("ports", parent)?.kind !== "packet" || this.#standing.domains.has(domain)) return false;
    let uplinks = 0;
    for (const { after } of this.#delta.ports.values()) if (after?.kind === "uplink" && after.domain === domain) uplinks++;
    return uplinks === 1;
  }

  #isPortOf(id: string, domain: string): boolean {
    const port = this.#after("ports", id);
    return port !== undefined && domainOf(port) === domain;
  }

  #vtepsStand(): boolean {
    for (const [key, { after }] of this.#delta.vteps) {
      if (after === undefined) {
        if (this.#referring(vtepTarget(key)) > 0) return false;
      } else if ((this.#after("domains", after.domain)?.vni ?? null) === null) {
        return false;
      }
    }
    return true;
  }

  #entriesStand(): boolean {
    for (const { after } of this.#delta.fdb.values()) {
      if (after === undefined) continue;
      const { domain, to } = after;
      if (this.#after("domains", domain) === undefined) return false;
      if ("port" in to ? !this.#isPortOf(to.port, domain) : this.#after("vteps", vtepKey(domain, to.vtep)) === undefined) return false;
    }
    for (const { after } of this.#delta.neighbors.values()) {
      if (after !== undefined && this.#after("domains", after.domain) === undefined) return false;
    }
    for (const { after } of this.#delta.permits.values()) {
      if (after === undefined) continue;
      const client = this.#after("ports", after.client);
      const domain = client === undefined ? null : domainOf(client);
      if (domain === null || !this.#isPortOf(after.server, domain)) return false;
    }
    return true;
  }
}

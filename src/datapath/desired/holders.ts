// Who has what only one can have: a VNI, an interface, an SPI that comes in, a peer's place for the current association. Kept beside
// the tables, so that a change is held against all that stands by its own size.
import type { Change, Delta } from "./delta.ts";
import { currentPeer, inboundSpi, interfaceKey } from "./identity.ts";

export class Holders {
  readonly #vnis = new Map<number, string>();
  readonly #interfaces = new Map<string, string>();
  readonly #spis = new Map<number, string>();
  /** By peer. */
  readonly #currents = new Map<string, string>();

  /** Whether nothing has two holders after the change. */
  admit(delta: Delta): boolean {
    return (
      isUnique(delta.domains, this.#vnis, ({ vni }) => vni) &&
      isUnique(delta.ports, this.#interfaces, interfaceKey) &&
      isUnique(delta.associations, this.#spis, inboundSpi) &&
      isUnique(delta.associations, this.#currents, currentPeer)
    );
  }

  commit(delta: Delta): void {
    reindex(this.#vnis, delta.domains, ({ vni }) => vni);
    reindex(this.#interfaces, delta.ports, interfaceKey);
    reindex(this.#spis, delta.associations, inboundSpi);
    reindex(this.#currents, delta.associations, currentPeer);
  }
}

/** Whether no two entries have the same value (null: no value) after the change. */
function isUnique<T extends { readonly id: string }, V>(
  changes: ReadonlyMap<string, Change<T>>,
  holders: ReadonlyMap<V, string>,
  valueIn: (entry: T) => V | null,
): boolean {
  const taken = new Map<V, string>();
  for (const { after } of changes.values()) {
    const value = after === undefined ? null : valueIn(after);
    if (value === null) continue;
    const holder = taken.get(value) ?? holders.get(value);
    if (holder !== undefined && holder !== after!.id && !givesUp(changes.get(holder), value, valueIn)) return false;
    taken.set(value, after!.id);
  }
  return true;
}

/** Whether the change of who had `value` takes it away from them. */
function givesUp<T, V>(change: Change<T> | undefined, value: V, valueIn: (entry: T) => V | null): boolean {
  return change !== undefined && (change.after === undefined || valueIn(change.after) !== value);
}

function reindex<T extends { readonly id: string }, V>(
  index: Map<V, string>,
  changes: ReadonlyMap<string, Change<T>>,
  valueIn: (entry: T) => V | null,
): void {
  for (const { before } of changes.values()) {
    const value = before === undefined ? null : valueIn(before);
    if (value !== null) index.delete(value);
  }
  for (const { after } of changes.values()) {
    const value = after === undefined ? null : valueIn(after);
    if (value !== null) index.set(value, after!.id);
  }
}

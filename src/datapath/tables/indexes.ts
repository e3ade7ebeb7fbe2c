// Names to table indexes: the control plane says "3f2a…/0", the engine says 7. A name keeps its index as long as it lives, so
// that a diff touches nothing that has not changed; an index is given again as late as possible, so that a packet of a trace
// or a capture that still names it is not taken for the new owner's.
import { exhausted } from "../../errors.ts";

export class Indexes {
  readonly #what: string;
  readonly #first: number;
  readonly #limit: number;
  readonly #byName = new Map<string, number>();
  readonly #byIndex = new Map<number, string>();
  #next: number;
  #high: number;

  /** `what`: plural, for the error. Indexes from `first` up to, not including, `limit`. */
  constructor(what: string, first: number, limit: number) {
    this.#what = what;
    this.#first = first;
    this.#limit = limit;
    this.#next = first;
    this.#high = first;
  }

  get size(): number {
    return this.#byName.size;
  }

  /** One more than any index that was ever given. */
  get limit(): number {
    return this.#high;
  }

  indexOf(name: string): number | undefined {
    return this.#byName.get(name);
  }

  nameOf(index: number): string | undefined {
    return this.#byIndex.get(index);
  }

  /** The name's index; a new one if it has none yet. */
  ensure(name: string): number {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const room = this.#limit - this.#first;
    if (this.#byName.size >= room) throw exhausted(`all ${room} ${this.#what} of this host are taken; remove some first`);
    while (this.#byIndex.has(this.#next)) this.#next = this.#next + 1 < this.#limit ? this.#next + 1 : this.#first;
    const index = this.#next;
    this.#next = index + 1 < this.#limit ? index + 1 : this.#first;
    this.#high = Math.max(this.#high, index + 1);
    this.#byName.set(name, index);
    this.#byIndex.set(index, name);
    return index;
  }

  /** Frees the name's index, if it has one. */
  release(name: string): void {
    const index = this.#byName.get(name);
    if (index === undefined) return;
    this.#byName.delete(name);
    this.#byIndex.delete(index);
  }

  clear(): void {
    this.#byName.clear();
    this.#byIndex.clear();
  }
}

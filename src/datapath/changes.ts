// Declarations come true. A change takes these steps, one change at a time but for the last:
//
//   merge owners ─> open and configure TAPs ─> one message to the worker: rows, descriptors ─> delete TAPs no longer wanted
//     refused: an owner is     failed: its owner is            refused: rows taken back             failed: logged, the
//     left as it was           left as it was                  by the reverse difference            network stands
//
// so whatever fails, what was there before is still there, and what is deleted is deleted last.
//
// The deletion of an interface waits in the kernel until nobody can still look at it, some 20 ms, but many can wait at the same
// time: so the next change does not wait for it, the one whose it is does, and so does one that wants the same place.
import { forbidden, WeftError } from "../errors.ts";
import type { Captures } from "./capture/captures.ts";
import type { DatapathLog } from "./datapath-api.ts";
import type { Declaration } from "./declarations.ts";
import { type Delta, deltaBetween } from "./desired/delta.ts";
import { merge } from "./desired/merge.ts";
import { reachable } from "./desired/reachable.ts";
import { Standing } from "./desired/standing.ts";
import type { Esp } from "./esp.ts";
import type { Plane } from "./plane.ts";
import { dropTaps, type OpenTap, type TapPlan } from "./taps.ts";

/** Changes by owner; null withdraws. */
type Wishes = ReadonlyMap<string, Declaration | null>;
type Failures = Map<string, WeftError>;

/** What wishes come to, and how to make that the state once it is true. */
interface Planned {
  readonly delta: Delta;
  readonly commit: () => void;
}

/** `closed`: TAPs that nobody wants any more are gone. */
interface Made {
  readonly failures: Failures;
  readonly closed: Promise<unknown>;
}

export class Changes {
  readonly #plane: Plane;
  readonly #captures: Captures;
  readonly #esp: Esp;
  /** VTEPs that were left out, of whatever domain. */
  readonly #leftOut = new Set<string>();

  constructor(plane: Plane, captures: Captures, esp: Esp) {
    this.#plane = plane;
    this.#captures = captures;
    this.#esp = esp;
  }

  get #log(): DatapathLog {
    return this.#plane.log;
  }

  /** Of a daemon that starts anew: it is told again what it can't reach. */
  forgetLeftOut(): void {
    this.#leftOut.clear();
  }

  /** `opened`: see Datapath.declare. */
  async one(owner: string, declaration: Declaration | null, opened?: () => void): Promise<void> {
    const wish = declaration === null ? null : this.#reachable(owner, declaration);
    const failure = (await this.#make(new Map([[owner, wish]]), false, opened)).get(owner);
    if (failure !== undefined) throw failure;
  }

  /** `adopting`: see `#change`. */
  async all(declarations: ReadonlyMap<string, Declaration>): Promise<ReadonlyMap<string, Error>> {
    return await this.#make(new Map([...declarations].map(([owner, declaration]) => [owner, this.#reachable(owner, declaration)])), true);
  }

  async #make(wishes: Wishes, adopting: boolean, opened?: () => void): Promise<Failures> {
    const { failures, closed } = await this.#plane.serially(() => this.#change(wishes, adopting, opened));
    await closed;
    return failures;
  }

  /** The declaration without VTEPs that this host can't send to. Each address is told once. */
  #reachable(owner: string, declaration: Declaration): Declaration {
    const made = reachable(declaration, this.#plane.require().addresses);
    for (const { vtep, reason } of made.leftOut) {
      if (this.#leftOut.has(vtep.address)) continue;
      this.#leftOut.add(vtep.address);
      this.#log("warn", `VTEP ${vtep.address} is left out: ${reason}`, { owner, domain: vtep.domain });
    }
    return made.declaration;
  }

  /**
   * Makes the wishes true, those that can't be left out; answers why. `adopting`: at start-up a TAP may be an earlier
   * daemon's, with a sandbox's live connections on it, so a failure leaves it where it is.
   */
  async #change(wishes: Wishes, adopting: boolean, opened?: () => void): Promise<Made> {
    const { taps, tables } = this.#plane;
    const { sync } = this.#plane.require();
    const failures: Failures = new Map();
    const fresh = new Map<string, OpenTap>();
    let step: { readonly delta: Delta; readonly plan: TapPlan } | null = null;
    try {
      for (;;) {
        const { delta, commit } = this.#planned(wishes, failures);
        if (failures.size === wishes.size) return { failures, closed: Promise.resolve() };
        const plan = taps.plan(delta.ports);
        step = { delta, plan };
        const failed = await taps.prepare(plan, fresh, adopting);
        if (failed.size > 0) {
          await taps.revert(plan);
          blame(failed, wishes, failures);
          continue;
        }
        opened?.();
        if (delta.associations.size > 0) await this.#esp.open(delta);
        const patch = tables.patchOf(delta, this.#captures.marks);
        const descriptors = { ...taps.descriptors(plan, fresh, tables.names.ports), keys: this.#esp.keys(delta) };
        await sync.apply(patch, descriptors);
        commit();
        tables.names.release(delta);
        taps.commit(plan, fresh);
        this.#plane.listen();
        return { failures, closed: taps.drop(plan.close, this.#log) };
      }
    } catch (error) {
      if (step !== null) {
        await taps.revert(step.plan);
        tables.names.revoke(step.delta);
      }
      const failure = asWeftError(error);
      if (wishes.size > 1 && failure.code !== "UNAVAILABLE") {
        // A TAP has one descriptor at a time: they are opened again, one by one.
        await dropTaps([...fresh.values()], true, this.#log);
        fresh.clear();
        return await this.#oneByOne(wishes, adopting);
      }
      for (const owner of wishes.keys()) failures.set(owner, failure);
      return { failures, closed: Promise.resolve() };
    } finally {
      // One that stands, but was lost, is not ours to delete.
      const [standing, added] = partition([...fresh.values()], (tap) => taps.has(tap));
      await dropTaps(standing, true, this.#log);
      await dropTaps(added, adopting, this.#log);
    }
  }

  /** When a step refuses all wishes together, it may take most of them singly. */
  async #oneByOne(wishes: Wishes, adopting: boolean): Promise<Made> {
    const failures: Failures = new Map();
    const closed: Promise<unknown>[] = [];
    for (const [owner, declaration] of wishes) {
      const made = await this.#change(new Map([[owner, declaration]]), adopting);
      for (const [name, failure] of made.failures) failures.set(name, failure);
      closed.push(made.closed);
    }
    return { failures, closed: Promise.all(closed) };
  }

  /**
   * What the wishes that can stand come to, and how to make that the state; adds to `failures` those that can't. One wish
   * is computed from what it says itself; many, and one that is not plain, from all that anybody declares.
   */
  #planned(wishes: Wishes, failures: Failures): Planned {
    const { standing } = this.#plane;
    if (wishes.size === 1) {
      const [[owner, declaration]] = [...wishes] as [[string, Declaration | null]];
      const proposal = standing.propose(owner, declaration);
      if (proposal !== null) return { delta: proposal.delta, commit: () => standing.commit(proposal) };
    }
    const next = Standing.of(this.#merged(wishes, failures));
    const commit = (): void => {
      this.#plane.standing = next;
    };
    return { delta: deltaBetween(standing, next), commit };
  }

  /** The owners with the wishes that can stand; adds to `failures` those that can't. */
  #merged(wishes: Wishes, failures: Failures): ReadonlyMap<string, Declaration> {
    for (;;) {
      const owners = new Map(this.#plane.standing.declarations);
      for (const [owner, declaration] of wishes) {
        if (failures.has(owner)) continue;
        owners.delete(owner); // what changes comes last: it is the one to give way
        if (declaration !== null) owners.set(owner, declaration);
      }
      const merged = merge(owners);
      if (merged.failures.size === 0) return owners;
      for (const [owner, failure] of merged.failures) {
        if (wishes.has(owner)) {
          failures.set(owner, failure);
          continue;
        }
        const victim = forbidden(`${owner} stands on what would change: ${failure.message}`);
        for (const wished of wishes.keys()) if (!failures.has(wished)) failures.set(wished, victim);
      }
    }
  }
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}

/** Adds to `failures` the owners of ports that failed. A port that nobody of the wishes declares is everybody's fault. */
function blame(failed: ReadonlyMap<string, unknown>, wishes: Wishes, failures: Failures): void {
  for (const [port, reason] of failed) {
    const owning = [...wishes].filter(([, declaration]) => declaration?.ports?.some(({ id }) => id === port)).map(([owner]) => owner);
    for (const owner of owning.length > 0 ? owning : wishes.keys()) {
      if (!failures.has(owner)) failures.set(owner, asWeftError(reason));
    }
  }
}

function asWeftError(error: unknown): WeftError {
  if (error instanceof WeftError) return error;
  return new WeftError("INTERNAL", error instanceof Error ? error.message : String(error), { cause: error });
}

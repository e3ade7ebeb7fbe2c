// Keeps the engine's tables equal to an image: sends differences, starts anew after a trap, audits. One at a time, in the
// order of the calls.
//
// Two images matter. `want` is what was last asked for and got; `tables.image` is what the engine is known to have. While all
// is well the two are equal, and a change costs what it changes. They differ while a change is on its way, after one that went
// wrong, after a trap (the engine is then empty) and when memory was corrupted, which is what the audit is for: then all of
// both is compared. Each engine has a generation: a worker refuses rows that were computed for another one, so a change that
// crosses a trap on its way is computed again instead of being half lost.
//
// Descriptors of a change that goes wrong are given back to the poller under the ports that they had. What it does not take back
// (it may be short of the same thing as before) is owed to it, and tried again with each change and audit.
import { exhausted, unavailable, WeftError } from "../../errors.ts";
import type { Client } from "../client.ts";
import type { AuditReport } from "../datapath-api.ts";
import { REFUSED_FULL } from "../engine.ts";
import type { KeyMaterial } from "../key-material.ts";
import type { Attachment, DumpTable } from "../messages.ts";
import {
  applyPatch,
  applyToImage,
  callsOf,
  copyOf,
  difference,
  emptyImage,
  emptyPatch,
  type Image,
  type Patch,
  patchBetween,
} from "./diff.ts";
import { packRows, type Row, rowName } from "./ops.ts";
import { readEntries, readFdb, readMembers, readNeighbors, readPermits } from "./read-back.ts";
import type { Tables } from "./tables.ts";

/** A table call that traps the engine each time must not keep the control plane busy for ever. */
const ATTEMPTS = 4;

/** Who carries requests to the worker. */
export type Requester = Pick<Client, "request">;

export interface Descriptors {
  /** Indexes of ports whose descriptors the poller lets go of. */
  readonly release: readonly number[];
  readonly attach: readonly Attachment[];
  /** Of security associations that the patch sets for the first time. */
  readonly keys?: readonly AssociationKey[];
}

export interface AssociationKey {
  /** The association's index. */
  readonly slot: number;
  readonly algorithm: number;
  readonly key: KeyMaterial;
}

const NO_DESCRIPTORS: Descriptors = { release: [], attach: [] };
const NO_PATCH = emptyPatch();

export class Sync {
  readonly #client: Requester;
  readonly #tables: Tables;
  readonly #allKeys: () => readonly AssociationKey[];
  readonly #want: Image = emptyImage();
  /** The engine is another one than the keys were sent to. */
  #keysDue = false;
  /** `tables.image` is known to be equal to `want`, with the patch that is on its way if there is one. */
  #settled = true;
  #generation = 1;
  /** Released by a change that went wrong, and not polled again yet; by port. */
  readonly #owed = new Map<number, Attachment>();
  #queue: Promise<unknown> = Promise.resolve();

  /** For a worker whose engine is new: its tables are empty. */
  constructor(client: Requester, tables: Tables, allKeys: () => readonly AssociationKey[] = () => []) {
    this.#allKeys = allKeys;
    this.#client = client;
    this.#tables = tables;
    this.#tables.image = emptyImage();
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** Makes the patch true; or, if the engine refuses, its tables what they were before, and rejects. */
  apply(patch: Patch, descriptors: Descriptors = NO_DESCRIPTORS): Promise<void> {
    return this.#serially(() => this.#change(patch, descriptors));
  }

  /** As `apply`, for all tables at once. */
  become(want: Image, descriptors: Descriptors = NO_DESCRIPTORS): Promise<void> {
    return this.#serially(() => this.#change(patchBetween(this.#want, want), descriptors));
  }

  async #change(patch: Patch, descriptors: Descriptors): Promise<void> {
    try {
      await this.#send(patch, descriptors);
      applyPatch(this.#want, patch);
      for (const port of [...descriptors.release, ...descriptors.attach.map(({ port }) => port)]) this.#owed.delete(port);
    } catch (error) {
      await this.#send(NO_PATCH, NO_DESCRIPTORS);
      await this.#giveBack();
      throw error;
    }
    await this.#giveBack().catch(() => {}); // the worker died, but the change was made: the next one gets all anew
  }

  /** The engine of before is gone: all tables again. Answers how many rows that took. */
  rebuilt(generation: number): Promise<number> {
    return this.#serially(() => {
      // A change that crossed the trap on its way has found out by itself.
      if (generation > this.#generation) this.#forget(generation);
      return this.#send(NO_PATCH, NO_DESCRIPTORS);
    });
  }

  #forget(generation: number): void {
    this.#generation = generation;
    this.#keysDue = true;
    this.#believe(emptyImage());
  }

  /** What the engine has may be anything but what was asked for. */
  #believe(image: Image): void {
    this.#tables.image = image;
    this.#settled = false;
  }

  /** Calls that make the engine's tables what is wanted with `patch`. */
  #callsFor(patch: Patch): Row[] {
    if (this.#settled) return callsOf(this.#tables.image, patch);
    const want = copyOf(this.#want);
    applyPatch(want, patch);
    return difference(this.#tables.image, want);
  }

  async #send(patch: Patch, { release, attach, keys: given = [] }: Descriptors): Promise<number> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const rows = this.#callsFor(patch);
      this.#settled = false;
      const due = this.#keysDue ? this.#allKeys() : [];
      if (rows.length + release.length + attach.length + due.length > 0) {
        const packed = packRows(rows);
        const keys = [...due, ...given].map(({ slot, algorithm, key }) => ({ slot, algorithm, material: key.copy() }));
        const reply = await this.#client.request({ kind: "apply", generation: this.#generation, rows: packed, keys, release, attach }, [
          packed.buffer,
          ...keys.map(({ material }) => material.buffer),
        ]);
        if (reply.stale) {
          this.#forget(reply.generation);
          continue;
        }
        this.#keysDue &&= reply.refused !== 0; // with the rows that it refuses, a worker drops all keys that came with them
        for (const row of rows.slice(0, reply.done)) applyToImage(this.#tables.image, row);
        if (reply.refused !== 0) throw refusal(rows[reply.done]!, reply.refused);
        if (reply.error !== null) {
          for (const attachment of reply.released) this.#owed.set(attachment.port, attachment);
          throw unavailable(`the poller did not take a port: ${reply.error}`);
        }
      }
      this.#settled = true;
      return rows.length;
    }
    throw new WeftError("INTERNAL", `the engine trapped ${ATTEMPTS} times while its tables were written; the datapath keeps what it had`);
  }

  /** One by one: of what the poller can't take all, it takes some. */
  async #giveBack(): Promise<void> {
    for (const [port, attachment] of this.#owed) {
      const request = { kind: "apply", rows: packRows([]), release: [], attach: [attachment] } as const;
      const { stale, generation, error } = await this.#client.request({ ...request, generation: this.#generation });
      if (stale) {
        // No row was on its way: the engine's tables come first.
        this.#forget(generation);
        await this.#send(NO_PATCH, NO_DESCRIPTORS);
        return await this.#giveBack();
      }
      if (error === null) this.#owed.delete(port);
    }
  }

  /** Reads the engine's tables back and mends what is not as it was asked for. */
  audit(): Promise<AuditReport> {
    return this.#serially(async () => {
      await this.#giveBack();
      const have = await this.#readBack();
      if (have === null) return { checked: 0, mended: await this.#send(NO_PATCH, NO_DESCRIPTORS) };
      const checked = Object.values(have).reduce((sum, table) => sum + table.size, 0);
      this.#believe(have);
      return { checked, mended: await this.#send(NO_PATCH, NO_DESCRIPTORS) };
    });
  }

  /** Null if the engine was rebuilt meanwhile. */
  async #readBack(): Promise<Image | null> {
    const image = emptyImage();
    const { domains, ports, vteps, associations } = this.#tables.names;
    const limits = { domains: domains.limit, ports: ports.limit, vteps: vteps.limit, associations: associations.limit };
    const entries = await this.#client.request({ kind: "entries", ...limits });
    readEntries(image, entries);
    const readers: readonly [DumpTable, (image: Image, bytes: Uint8Array) => void][] = [
      ["members", readMembers],
      ["fdb", readFdb],
      ["neighbors", readNeighbors],
      ["permits", readPermits],
    ];
    for (const [table, read] of readers) {
      for await (const chunk of dump(this.#client, table, true)) {
        if (chunk.generation !== this.#generation) return null;
        read(image, chunk.entries);
      }
    }
    return entries.generation === this.#generation ? image : null;
  }
}

/** A whole table, a chunk at a time: frames are forwarded between two chunks. */
export async function* dump(
  client: Requester,
  table: DumpTable,
  staticOnly: boolean,
): AsyncGenerator<{ generation: number; entries: Uint8Array }> {
  let cursor = 0;
  do {
    const reply = await client.request({ kind: "dump", table, cursor, staticOnly });
    yield reply;
    cursor = reply.cursor;
  } while (cursor !== 0);
}

function refusal(row: Row, code: number): WeftError {
  const what = `the engine could not ${rowName(row)} ${row.slice(1).join(" ")}`;
  if (code === REFUSED_FULL) return exhausted(`${what}: the table is full; remove networks, or start with more FDB slots`);
  return new WeftError("INTERNAL", `${what}: refused with code ${code}`);
}

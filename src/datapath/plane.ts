// What the rooms of the datapath share: the tables, the TAPs, what stands, and the worker that has it all. One change at a time
// goes through `serially`; whoever reads in between sees what stood last.

import { notFound, unavailable } from "../errors.ts";
import type { UnderlaySockets } from "../ports/underlay.ts";
import type { UnderlayEnd } from "./capture/capture.ts";
import type { Client } from "./client.ts";
import type { DatapathLog, DatapathOptions } from "./datapath-api.ts";
import { Standing } from "./desired/standing.ts";
import { Parents } from "./parents.ts";
import type { Sync } from "./tables/sync.ts";
import { Tables } from "./tables/tables.ts";
import { TapSet } from "./taps.ts";
import type { Names } from "./trace/trace.ts";

/** What stays as long as the datapath runs. */
export interface Settings {
  readonly module: WebAssembly.Module;
  readonly options: DatapathOptions;
  readonly addresses: readonly string[];
  readonly vxlanPort: number;
  readonly fdbSlots: number;
  readonly spinUs: number;
  readonly startedAt: string;
}

/** What goes with a worker. */
export interface Worker {
  readonly client: Client;
  readonly sync: Sync;
  readonly underlays: readonly UnderlaySockets[];
  /** The same by port, as captures want it. */
  readonly underlayEnds: ReadonlyMap<string, UnderlayEnd>;
}

export interface Running extends Settings, Worker {
  readonly auditTimer: NodeJS.Timeout | null;
}

export const underlayName = (address: string): string => `underlay/${address}`;
export const errorsName = (address: string): string => `path-errors/${address}`;

export class Plane {
  readonly tables = new Tables();
  readonly taps = new TapSet();
  readonly #parents = new Parents();
  readonly names: Names = {
    port: (index) => this.tables.names.ports.nameOf(index),
    domain: (index) => this.tables.names.domains.nameOf(index),
    vtep: (index) => this.tables.names.vteps.nameOf(index),
  };
  /** All that owners declared and got. */
  standing = new Standing();
  running: Running | null = null;
  /** ESP's ports, as captures want them. */
  readonly espEnds = new Map<string, UnderlayEnd>();
  log: DatapathLog = () => {};
  #queue: Promise<unknown> = Promise.resolve();

  serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  require(): Running {
    if (this.running === null) throw unavailable("the datapath is not running");
    return this.running;
  }

  /** What stands or is open has changed: packet sockets let in what that means. */
  listen(): void {
    this.#parents.agree(this.standing.ports.values(), this.taps.all, this.log);
  }

  portIndex(port: string): number {
    const index = this.tables.names.ports.indexOf(port);
    if (index === undefined) throw notFound(`no port ${port}`);
    return index;
  }

  checkDomain(domain: string): void {
    if (!this.standing.domains.has(domain)) throw notFound(`no bridge domain ${domain}`);
  }
}

// Captures as the rest of the daemon asks for them: the hub that serves subscribers, and the way by which the engine learns what
// they want together.

import type { CaptureOptions } from "../datapath-api.ts";
import { interfaceOf } from "../parents.ts";
import type { Plane } from "../plane.ts";
import type { CaptureMarks } from "../tables/marks.ts";
import { CaptureHub } from "./capture.ts";

export class Captures {
  readonly #plane: Plane;
  readonly #hub: CaptureHub;

  constructor(plane: Plane) {
    this.#plane = plane;
    this.#hub = new CaptureHub(
      {
        ...plane.names,
        interfaceName: (port) => interfaceOf(plane.standing.ports.get(port)),
        underlay: (port) => plane.running?.underlayEnds.get(port) ?? plane.espEnds.get(port),
      },
      () => this.tell(),
    );
  }

  get marks(): CaptureMarks {
    return this.#hub.marks;
  }

  subscribe(options: CaptureOptions): AsyncIterableIterator<Uint8Array> {
    this.#plane.require();
    for (const port of options.ports ?? []) this.#plane.portIndex(port);
    for (const domain of [...(options.domains ?? []), ...(options.opened ?? [])]) this.#plane.checkDomain(domain);
    return this.#hub.subscribe(options);
  }

  /** Records from the worker. */
  take(records: Uint8Array, lostBytes: number): void {
    if (lostBytes > 0) this.#plane.log("warn", "captured frames were lost: the reader is too slow", { bytes: lostBytes });
    this.#hub.take(records);
    this.#plane.running?.client.captured(records.length);
  }

  endAll(): void {
    this.#hub.endAll();
  }

  /** Tells the engine what is captured; once more, behind its revival, if the worker died over it. */
  async tell(again = true): Promise<void> {
    const plane = this.#plane;
    try {
      await plane.serially(async () => {
        const { running, tables, standing } = plane;
        if (running === null) return;
        const { all, snapLength } = this.#hub.wanted;
        await running.sync.apply(tables.markPatch(standing, this.marks));
        await running.client.request({ kind: "capture", all, snapLength });
      });
    } catch (error) {
      if (again && plane.running?.client.dead) return await this.tell(false);
      plane.log("warn", `cannot change what is captured: ${(error as Error).message}`);
      throw error;
    }
  }
}

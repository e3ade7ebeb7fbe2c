// Interfaces that somebody deleted are made again, as far as that is possible: what is declared shall be there. The poller tells
// of those whose descriptor failed; an audit tries again those that could not be made then.
import { closeFds } from "../ports/port.ts";
import { emptyPatch } from "./diff.ts";
import type { Plane } from "./plane.ts";
import { attachment, descriptorsOf, LOST, type OpenTap } from "./taps.ts";

export class Repair {
  readonly #plane: Plane;
  readonly #listeners: ((port: string) => void)[] = [];

  constructor(plane: Plane) {
    this.#plane = plane;
  }

  /** `listener` gives the new interface what the datapath knows nothing of: addresses and routes. */
  onRecreated(listener: (port: string) => void): void {
    this.#listeners.push(listener);
  }

  /** The poller has given up a port. */
  failed(port: string, error: string): void {
    const plane = this.#plane;
    plane.log("warn", "a port failed and is no longer polled", { port, error });
    const failed = plane.taps.ofPort(port);
    if (failed === undefined) return;
    plane
      .serially(async () => {
        const now = plane.taps.ofPort(port);
        if (plane.running !== null && now?.opening === failed.opening && now.fd !== LOST) await this.#recreate([now]);
      })
      .catch((reason: Error) => plane.log("error", `cannot make the interface of port ${port} again: ${reason.message}`));
  }

  /** Tries those that are still without an interface. */
  async retry(): Promise<void> {
    await this.#plane.serially(async () => {
      const { lost } = this.#plane.taps;
      if (this.#plane.running !== null && lost.length > 0) await this.#recreate(lost);
    });
  }

  async #recreate(gone: readonly OpenTap[]): Promise<void> {
    const { taps, log } = this.#plane;
    const { ports } = this.#plane.tables;
    const { sync, client } = this.#plane.require();
    const made = await taps.reopen(gone, log);
    const dead = gone.filter(({ fd }) => fd !== LOST);
    try {
      const release = dead.map(({ port }) => ports.ensure(port.id));
      await sync.apply(emptyPatch(), { release, attach: made.map((tap) => attachment(tap, ports)) });
    } catch (error) {
      if (!client.dead) await closeFds(descriptorsOf(made)); // else it may have had them
      throw error;
    }
    for (const tap of dead) taps.set({ ...tap, fd: LOST });
    for (const tap of made) taps.set(tap);
    await closeFds(descriptorsOf(dead));
    for (const { port } of made) {
      log("warn", "an interface was gone and is made again", { port: port.id, interface: port.interfaceName });
      for (const listener of this.#listeners) listener(port.id);
    }
  }
}

// Interfaces that somebody deleted are made again, as far as that is possible: what is declared shall be there. The poller tells
// of those whose descriptor failed; an audit tries again those that could not be made then.
//
// Parents of macvlans are nobody's to make: whether they are there, or there again, is looked at once a second, which costs a
// system call a parent.
import { closeFds } from "../ports/port.ts";
import { isAbandoned } from "./parents.ts";
import type { Plane } from "./plane.ts";
import { emptyPatch } from "./tables/diff.ts";
import { attachment, descriptorsOf, LOST, type OpenTap } from "./taps.ts";

const WATCH_INTERVAL_MS = 1000;

export class Repair {
  readonly #plane: Plane;
  #watching: NodeJS.Timeout | undefined;
  #checking = false;
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

  /** Looks after parents from now on, or no more. */
  watchParents(watch: boolean): void {
    clearInterval(this.#watching);
    if (watch) this.#watching = setInterval(() => this.#checkParents(), WATCH_INTERVAL_MS).unref();
  }

  /** Opens packet sockets anew whose interface went, once there is one of that name again. */
  #checkParents(): void {
    const plane = this.#plane;
    if (this.#checking || !plane.taps.all.some(isAbandoned)) return;
    this.#checking = true;
    plane
      .serially(async () => {
        const gone = plane.taps.all.filter(isAbandoned);
        if (plane.running !== null && gone.length > 0) await this.#recreate(gone);
      })
      .catch((error: Error) => plane.log("warn", `cannot open packet sockets again: ${error.message}`))
      .finally(() => {
        this.#checking = false;
      });
  }

  async #recreate(gone: readonly OpenTap[]): Promise<void> {
    const { taps, log } = this.#plane;
    const { ports } = this.#plane.tables.names;
    const { sync } = this.#plane.require();
    const made = await taps.reopen(gone, log);
    const dead = gone.filter(({ fd }) => fd !== LOST);
    try {
      const release = dead.map(({ port }) => ports.ensure(port.id));
      await sync.apply(emptyPatch(), { release, attach: made.map((tap) => attachment(tap, ports)) });
    } catch (error) {
      await closeFds(descriptorsOf(made));
      throw error;
    }
    for (const tap of dead) taps.set({ ...tap, fd: LOST });
    for (const tap of made) taps.set(tap);
    await closeFds(descriptorsOf(dead));
    this.#plane.listen();
    for (const { port } of made) {
      if (port.kind === "packet") {
        log("warn", "a parent interface is there again", { port: port.id, interface: port.interfaceName });
        continue;
      }
      log("warn", "an interface was gone and is made again", { port: port.id, interface: port.interfaceName });
      for (const listener of this.#listeners) listener(port.id);
    }
  }
}

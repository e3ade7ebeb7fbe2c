// What is done for a peer and may go wrong: it is logged, and nothing else hangs on it. What is done again and again says so once, and
// again when it goes wrong in another way, or had come right in between.
import type { DatapathLog } from "../datapath/datapath-api.ts";
import type { Peer } from "./peer.ts";

export class Attempts {
  readonly #log: DatapathLog;
  /** What went wrong last, by peer and what was done. */
  readonly #told = new WeakMap<Peer, Map<string, string>>();

  constructor(log: DatapathLog) {
    this.#log = log;
  }

  async once({ address }: Peer, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#tell(address, (error as Error).message);
    }
  }

  async again(peer: Peer, what: "renew" | "tick"): Promise<void> {
    const told = this.#told.get(peer) ?? new Map<string, string>();
    this.#told.set(peer, told);
    try {
      await peer[what]();
      told.delete(what);
    } catch (error) {
      const { message } = error as Error;
      if (told.get(what) !== message) this.#tell(peer.address, message);
      told.set(what, message);
    }
  }

  #tell(peer: string, reason: string): void {
    this.#log("error", `keys of peer ${peer}: ${reason}`, { peer });
  }
}

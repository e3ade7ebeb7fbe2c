// Which peers are asked whether a datagram of an unknown key is theirs: those that are at the sender's address, and, of those
// that may be anywhere, some a second, in turn. Asking costs a peer some hundred derivations, and anybody can send such datagrams.
import type { Peer } from "./peer.ts";
import { Quota } from "./quota.ts";

const GUESSES_A_SECOND = 16;

export class Asked {
  readonly #guesses = new Quota(GUESSES_A_SECOND);
  #turn = 0;

  /** Those at the address first. */
  among<T extends { readonly peer: Peer }>(all: Iterable<T>, sender: string, nowMs: number): T[] {
    const asked: T[] = [];
    const elsewhere: T[] = [];
    for (const held of all) {
      const { address, roams, view } = held.peer;
      if (address === sender || view.remote?.address === sender) asked.push(held);
      else if (roams) elsewhere.push(held);
    }
    for (let i = 0; i < elsewhere.length && this.#guesses.take(nowMs); i++) asked.push(elsewhere[this.#turn++ % elsewhere.length]!);
    return asked;
  }
}

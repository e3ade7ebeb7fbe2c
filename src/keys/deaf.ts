// A peer that speaks to us by a ring position of long ago, and goes on with it though it was answered, does not understand the
// answers: an SPI has the index modulo 4, so that what we send may look to it as if sealed by an older key that it has of our
// session. It drops that as forged, and finds out nothing. Only SPIs of another session make it look for the key.
//
// Recordings look the same. So the peer counts as deaf only if nothing else of it came in the meantime.

/** For how long answers may go unheard. */
const PATIENCE_MS = 5000;

export class Deafness {
  readonly #monotonicMs: () => number;
  readonly #opened: () => Promise<bigint>;
  #since: { readonly atMs: number; readonly opened: bigint } | null = null;

  /** `opened`: how many datagrams of the peer's were authentic and new so far. */
  constructor(monotonicMs: () => number, opened: () => Promise<bigint>) {
    this.#monotonicMs = monotonicMs;
    this.#opened = opened;
  }

  /** A datagram came from a position of long ago: whether the peer turns out to be deaf, once for each time of patience. */
  async isFound(): Promise<boolean> {
    const now = { atMs: this.#monotonicMs(), opened: await this.#opened() };
    const since = this.#since;
    if (since !== null && since.opened === now.opened) {
      if (now.atMs - since.atMs < PATIENCE_MS) return false;
      this.#since = now;
      return true;
    }
    this.#since = now;
    return false;
  }

  /** The peer was heard where it should be. */
  forget(): void {
    this.#since = null;
  }
}

// When to speak to a peer without being asked:
//
//   not heard in this life    a dummy after 1 s, then ever more slowly, every 10 s in the end
//   behind a NAT              a keepalive every 20 s (RFC 3948 section 4); each third is a dummy, so that the peer finds us again
//                             when the NAT has given us another port: it goes by authentic datagrams only
const PROBE_FIRST_MS = 1000;
const PROBE_LAST_MS = 10_000;
/** Of so many keepalives one is a dummy. */
const KEEPALIVES_A_DUMMY = 3;

export class Probing {
  #probe = { atMs: 0, waitMs: PROBE_FIRST_MS };
  #keepalive = { sentMs: 0, count: 0 };

  /** A new life begins: the peer has not been heard in it. */
  restart(nowMs: number): void {
    this.#probe = { atMs: nowMs + PROBE_FIRST_MS, waitMs: PROBE_FIRST_MS };
  }

  /** Whether it is time to speak to a peer that is not heard; the next time is later. */
  isDue(nowMs: number): boolean {
    if (nowMs < this.#probe.atMs) return false;
    const waitMs = Math.min(this.#probe.waitMs * 2, PROBE_LAST_MS);
    this.#probe = { atMs: nowMs + waitMs, waitMs };
    return true;
  }

  /** What to send now to keep a NAT's way open; null: nothing yet. */
  keepalive(nowMs: number, everyMs: number): "dummy" | "keepalive" | null {
    if (nowMs - this.#keepalive.sentMs < everyMs) return null;
    const count = this.#keepalive.count + 1;
    this.#keepalive = { sentMs: nowMs, count };
    return count % KEEPALIVES_A_DUMMY === 0 ? "dummy" : "keepalive";
  }
}

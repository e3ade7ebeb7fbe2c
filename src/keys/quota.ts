// So many of something a second: what strangers can make us do costs so much and no more.
export class Quota {
  readonly #perSecond: number;
  #left = 0;
  #sinceMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  take(nowMs: number): boolean {
    if (nowMs - this.#sinceMs >= 1000) {
      this.#left = this.#perSecond;
      this.#sinceMs = nowMs;
    }
    return this.#left-- > 0;
  }
}

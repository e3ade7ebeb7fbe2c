// Time as a parameter. What decides by time takes a Clock, so that a test moves time by hand; what only measures how long
// something took for a person may read performance.now().

export interface Clock {
  /** Wall clock, for records that people read: "2026-01-31T12:00:00.000Z". */
  nowIso(): string;
  /** Milliseconds that never go back; only differences mean anything. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowIso: () => new Date().toISOString(),
  monotonicMs: () => performance.now(),
};

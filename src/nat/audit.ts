// When the host's rules are looked at: as soon as the kernel says that somebody else changed our table, and by the clock, for
// what was not heard of.
//
// `nft flush ruleset`, which firewall managers begin with, takes the rules of published ports along: they are back within
// milliseconds. Who goes on changing the table is answered once a second, or two programs would keep a processor busy; what we
// put back is not heard of (native/src/netlink/rule_watch.rs), so an audit is never the cause of the next one.
//
// A kernel without nf_tables has no table to be changed: then there is the clock alone.
import type { Native } from "../ports/native.ts";
import { TABLE } from "./rules.ts";

/** From the beginning of one audit that a change led to until the next. */
const PAUSE_MS = 1000;

export interface Audited {
  /** Puts the table back if somebody changed it; answers whether it had to. */
  audit(): Promise<boolean>;
}

export interface AuditOptions {
  readonly native: Pick<Native, "watchNftables">;
  /** 0: not by the clock. */
  readonly intervalS: number;
  readonly log: (level: "info" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly pauseMs?: number;
}

/** Answers how to end it. */
export function auditRules(nat: Audited, { native, intervalS, log, pauseMs = PAUSE_MS }: AuditOptions): () => void {
  let ended = false;
  let next: NodeJS.Timeout | null = null;
  let lastMs = Number.NEGATIVE_INFINITY;

  const look = (): void => {
    nat.audit().catch((error: Error) => log("error", "cannot audit the nftables table inet weft", { error: error.message }));
  };
  const onChange = (): void => {
    if (ended || next !== null) return;
    const dueMs = Math.max(0, lastMs + pauseMs - performance.now());
    next = setTimeout(() => {
      next = null;
      lastMs = performance.now();
      look();
    }, dueMs).unref();
  };
  try {
    native.watchNftables(TABLE.slice(TABLE.indexOf(" ") + 1), onChange);
  } catch (error) {
    log("info", "changes that others make to the host's rules are not heard of", { error: (error as Error).message });
  }
  const clock = intervalS === 0 ? null : setInterval(look, intervalS * 1000);
  return () => {
    ended = true;
    if (next !== null) clearTimeout(next);
    if (clock !== null) clearInterval(clock);
  };
}

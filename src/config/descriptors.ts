// How many files the daemon may have open. What others can have it open (connections, questions passed on) is bounded by a part of
// that, so that it keeps those that it lives by.
import { readFileSync } from "node:fs";

const UNKNOWN = 1024;

export function descriptorLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? UNKNOWN : Number(soft);
  } catch {
    return UNKNOWN;
  }
}

// Processor time: of the whole machine, and of processes. The kernel's own networking runs in softirqs that no process is
// charged for, so only the machine's figure compares the two fairly; a daemon's own figure says where Weft's share goes.
import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100; // USER_HZ, fixed for user space

/** Busy seconds of all cores since boot. */
export function machineSeconds() {
  const [, ...fields] = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "").trim().split(/\s+/).map(Number);
  // user nice system idle iowait irq softirq steal
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** Seconds that a process's threads have run, to the nanosecond. @param {number} pid */
export function processSeconds(pid) {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  }
  return nanoseconds / 1e9;
}

/** @param {number[]} pids */
export const sumSeconds = (pids) => pids.reduce((sum, pid) => sum + processSeconds(pid), 0);

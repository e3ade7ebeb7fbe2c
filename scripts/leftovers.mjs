// What a run of tests left on the host: namespaces, interfaces, mounts of namespaces, processes. Processes are known by the
// run's id in their environment, which children inherit; the rest by comparison with the state before.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

const GRACE_MS = 3000;

/** @param {string} path */
function names(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Names of what tests could leave, as sentences. */
function standing() {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" - nsfs "))
    .map((line) => `namespace mount ${line.split(" ")[4]}`);
  const namespaces = names("/run/netns").map((name) => `network namespace /run/netns/${name}`);
  const links = names("/sys/class/net").map((name) => `interface ${name}`);
  return [...mounts, ...namespaces, ...links];
}

/** @param {string} runId */
function processesOf(runId) {
  const found = [];
  for (const pid of names("/proc")) {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").includes(`WEFT_TEST_RUN=${runId}`)) continue;
      found.push(`process ${pid}: ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()}`);
    } catch {
      // it ended meanwhile
    }
  }
  return found;
}

/** Taken before the run. @returns {ReadonlySet<string>} */
export function hostState() {
  return new Set(standing());
}

/**
 * What is there now and was not before, once what is ending has ended. A name with the pid of another, living test run in
 * it (`weft-t<pid>...`) is that run's.
 *
 * @param {ReadonlySet<string>} before
 * @param {string} runId
 * @param {number} [graceMs] for processes that were asked to end
 */
export async function leftovers(before, runId, graceMs = GRACE_MS) {
  const alive = new Set(names("/proc"));
  const foreign = (/** @type {string} */ line) => alive.has(/weft-t(\d+)/.exec(line)?.[1] ?? "none");
  for (const deadline = Date.now() + graceMs; ; await wait(100)) {
    const left = [...standing().filter((line) => !before.has(line) && !foreign(line)), ...processesOf(runId)];
    if (left.length === 0 || Date.now() > deadline) return left;
  }
}

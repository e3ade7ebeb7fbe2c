// Looks through an LMDB file in a process of its own before the daemon maps it. LMDB trusts its file: a torn or overwritten
// one makes it read through wild pointers, and the daemon would die by SIGSEGV at each start without a word. Here a child dies
// instead, and the daemon can name the file. The child reads every record and enters (and leaves) a write transaction, which
// walks the free list. Costs the start of one Node process, about 0.1 s, and only where a file is there already. Pages that lead
// in circles would keep it reading for ever, so it has a time limit.
import { execFile } from "node:child_process";
import { createRequire } from "node:module";

/** A file of 100 MB takes a second. */
const LIMIT_MS = 60_000;

const CHILD = `
const [lmdb, path, options] = process.argv.slice(1);
try {
  const db = require(lmdb).open({ path, ...JSON.parse(options) });
  for (const entry of db.getRange({})) void entry.value;
  try {
    db.transactionSync(() => { db.putSync(" probe", ""); throw db; });
  } catch (error) {
    if (error !== db) throw error;
  }
  process.exit(0);
} catch (error) {
  process.stderr.write("probe: " + (error.code ?? "") + " " + error.message + "\\n");
  process.exit(1);
}
`;

/** What is wrong with the file, or null. */
export function probeLmdb(path: string, options: object, limitMs = LIMIT_MS): Promise<string | null> {
  const lmdb = createRequire(import.meta.url).resolve("lmdb");
  return new Promise((resolve) => {
    const limit = { timeout: limitMs, killSignal: "SIGKILL" } as const;
    execFile(process.execPath, ["-e", CHILD, lmdb, path, JSON.stringify(options)], limit, (error, _stdout, stderr) => {
      if (error === null) return resolve(null);
      if (error.killed) {
        const causes = "its pages lead in circles, or another process holds its lock";
        return resolve(`a reader of it had not come to its end after ${limitMs / 1000} s: ${causes}`);
      }
      if (error.signal) return resolve(`a reader of it was killed by ${error.signal}`);
      // 128 + n: killed by signal n behind a shell or a container's init.
      if (typeof error.code === "number" && error.code > 128) return resolve(`a reader of it was killed by signal ${error.code - 128}`);
      const reason = /^probe: \S* (.*)$/m.exec(stderr)?.[1];
      resolve(reason ?? `a reader of it failed: ${error.message}`);
    });
  });
}

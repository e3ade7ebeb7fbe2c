// The native addon, but for one call at which the process dies: for a daemon that is started with WEFT_NATIVE set to this file and
// WEFT_TEST_FATE to a file. While that one holds a number n, the n-th call from then on that leaves the process is not made: the
// process is killed, as by kill -9. Each call made is written behind it, so that a test knows how many there are.
const { existsSync, readFileSync, appendFileSync } = require("node:fs");
const { join } = require("node:path");

const real = require(join(__dirname, "..", "..", "build", "weft.node"));
const fate = process.env.WEFT_TEST_FATE ?? "";
/** Asked all the time, and change nothing. */
const HARMLESS = ["wake", "layoutConstants", "namespaceInode", "linkIndex", "lockFile", "Poller"];

/** @param {string} name @param {(...values: unknown[]) => unknown} call */
const mortal =
  (name, call) =>
  /** @param {unknown[]} values */
  (...values) => {
    if (existsSync(fate)) {
      const [fatal, ...made] = readFileSync(fate, "utf8").trim().split("\n");
      if (made.length === Number(fatal)) process.kill(process.pid, "SIGKILL");
      appendFileSync(fate, `${name}\n`);
    }
    return call(...values);
  };

module.exports = { ...real };
for (const [name, call] of Object.entries(real)) {
  if (typeof call === "function" && !HARMLESS.includes(name)) module.exports[name] = mortal(name, call);
}

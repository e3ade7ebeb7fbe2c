// Programs of a measurement: servers that listen until told to end, clients that answer by JSON.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { inNamespace } from "../scripts/lab.mjs";
import { ROOT, run, StepError } from "../scripts/steps.mjs";

export const SENDER = join(ROOT, "build/sender/release/weft-sender");
const READY_MS = 5000;

/**
 * Starts a server in a namespace and waits for its word that it listens. `end` closes its stdin, waits, and answers the rest
 * of what it printed.
 *
 * @param {string} namespacePath
 * @param {string[]} argv
 * @param {RegExp} ready
 */
export async function serve(namespacePath, argv, ready) {
  const [program = "", ...rest] = inNamespace(namespacePath, argv);
  const child = spawn(program, rest, { stdio: ["pipe", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stderr.on("data", (bytes) => {
    errors += bytes;
  });
  const closed = new Promise((resolve) => child.on("close", resolve));
  await new Promise((resolve, reject) => {
    const fail = () => reject(new StepError(`\`${argv.join(" ")}\` does not listen`, output + errors));
    const timer = setTimeout(fail, READY_MS);
    child.on("error", fail);
    child.on("close", fail);
    child.stdout.on("data", (bytes) => {
      output += bytes;
      if (!ready.test(output)) return;
      clearTimeout(timer);
      resolve(undefined);
    });
  }).catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  return {
    /** For servers that don't look at their stdin. @param {NodeJS.Signals} [signal] */
    async end(signal) {
      child.stdin.end();
      if (signal) child.kill(signal);
      await closed;
      return output.replace(ready, "");
    },
  };
}

/** Runs a program that prints JSON. @param {string} namespacePath @param {string[]} argv */
export async function ask(namespacePath, argv) {
  const output = await run(inNamespace(namespacePath, argv));
  return JSON.parse(output);
}

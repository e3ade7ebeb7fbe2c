// Progress: one line a step, with the seconds it took. A step's own output is kept back and shown only when it fails, so
// that a good run stays short and a bad one says all. Node's own modules only: this runs before node_modules exists.
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's top folder. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

// Debian keeps ip, ethtool and sysctl in sbin folders that a shell without login may lack.
process.env.PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;

/** A failure that was foreseen: its message is the whole story, no stack is printed. `output` is a child's last words. */
export class StepError extends Error {
  /**
   * @param {string} message
   * @param {string} [output]
   */
  constructor(message, output = "") {
    super(message);
    this.output = output;
  }
}

/** Of a failed program's output: some say what is wrong first, some last. */
const HEAD_LINES = 30;
const TAIL_LINES = 60;
const HEARTBEAT_MS = 10_000;
const colour = process.stdout.isTTY && !process.env.NO_COLOR;

/** @param {string} code @param {string} text */
const paint = (code, text) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
export const green = (/** @type {string} */ text) => paint("32", text);
export const red = (/** @type {string} */ text) => paint("31", text);
export const bold = (/** @type {string} */ text) => paint("1", text);
export const dim = (/** @type {string} */ text) => paint("2", text);
export const cyan = (/** @type {string} */ text) => paint("36", text);

/** @param {number} sinceMs of performance.now() */
export const elapsed = (sinceMs) => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;

/**
 * Runs one step and prints its line. `work` answers null when there was nothing to do; its text, if any, ends the line.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T> | T} work
 * @returns {Promise<T>}
 */
export async function step(name, work) {
  const started = performance.now();
  process.stdout.write(`${name.padEnd(44, " ")} `);
  // A first cargo build takes minutes: a dot now and then shows that it lives, in a log as well as on a terminal.
  const heartbeat = setInterval(() => process.stdout.write("."), HEARTBEAT_MS);
  try {
    const result = await work();
    const note = result === null ? dim("up to date") : typeof result === "string" ? result : green("done");
    process.stdout.write(`${note}  ${dim(elapsed(started))}\n`);
    return result;
  } catch (error) {
    process.stdout.write(`${red("failed")}  ${dim(elapsed(started))}\n`);
    throw error;
  } finally {
    clearInterval(heartbeat);
  }
}

/**
 * Runs a program to its end and answers what it printed. Throws a StepError when it can't be started or ends with another
 * code than 0.
 *
 * @param {string[]} argv
 * @param {{ cwd?: string, env?: Record<string, string>, input?: string }} [options]
 * @returns {Promise<string>}
 */
export function run(argv, options = {}) {
  const [program, ...rest] = /** @type {[string, ...string[]]} */ (argv);
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      cwd: options.cwd ?? ROOT,
      env: { ...process.env, ...options.env },
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    let output = "";
    const take = (/** @type {Buffer} */ bytes) => {
      output += bytes.toString();
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    if (options.input !== undefined) child.stdin?.end(options.input);
    child.on("error", (error) => reject(new StepError(`${program} could not be started: ${error.message}`, output)));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new StepError(`\`${argv.join(" ")}\` ended with ${signal ?? `exit code ${code}`}`, output));
    });
  });
}

/** Prints a failure: the message, and the tail of what the failed program said. @param {unknown} error */
export function report(error) {
  if (error instanceof StepError) {
    const lines = error.output.trimEnd().split("\n");
    const left = lines.length - HEAD_LINES - TAIL_LINES;
    const shown = left > 1 ? [...lines.slice(0, HEAD_LINES), dim(`... ${left} lines ...`), ...lines.slice(-TAIL_LINES)] : lines;
    if (error.output) console.error(shown.join("\n"));
    console.error(red(error.message));
  } else {
    console.error(error);
  }
}

// weft run -d: the program is left to a shim (native/src/shim), a small process in a session of its own, which outlives this one
// and the daemon. It says on a pipe whether the program could be started.
import { type ChildProcess, spawn } from "node:child_process";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { unavailable } from "../errors.ts";
import { makeFolders, SHIM_PATH } from "../paths.ts";
import { sandboxEnvironment } from "./environment.ts";
import { identity } from "./process.ts";
import { startExitCode, startFailure } from "./start-failure.ts";

/** Of `run`, where the failure is not the program's. */
const FAILED = 125;

export interface Detached {
  /** Of the program and of the shim. */
  readonly pid: number;
  readonly shimPid: number;
}

/** The program could not be started. */
export interface NotStarted {
  readonly failure: string;
  readonly exitCode: number;
}

export interface DetachOptions {
  readonly terminal: boolean;
  /** Its standard input stays open. */
  readonly interactive: boolean;
  readonly logBytes: number;
}

export async function startDetached(
  sandbox: Sandbox__Output,
  argv: readonly string[],
  options: DetachOptions,
): Promise<Detached | NotStarted> {
  const { hostname = "", domainname = "", files = [] } = identity(sandbox);
  makeFolders(dirname(sandbox.logPath), 0o700);
  const input = options.terminal ? "terminal" : options.interactive ? "open" : "null";
  const order = [sandbox.namespacePath, hostname, domainname, sandbox.logPath, String(options.logBytes), sandbox.exitPath, input];
  const mounts = files.map(({ source, target }) => `${source}:${target}`);
  const shim = start([...order, ...mounts, "--", ...argv], sandbox);
  if (shim === null) return { failure: startFailure(argv[0]!, sandbox.name, "E2BIG"), exitCode: startExitCode("E2BIG") };
  const failed = new Promise<never>((_, reject) =>
    shim.once("error", (error) => reject(unavailable(`${SHIM_PATH} can't be run (${error.message}): build it with \`npm run build\``))),
  );
  const report = await Promise.race([text(shim.stdio[3] as Readable), failed]);
  shim.unref();
  const [, pid] = /^pid (\d+)\n/.exec(report) ?? [];
  if (pid !== undefined) return { pid: Number(pid), shimPid: shim.pid! };
  const [, errno] = /^failed execve (\w+)\n/.exec(report) ?? [];
  if (errno !== undefined) return { failure: startFailure(argv[0]!, sandbox.name, errno), exitCode: startExitCode(errno) };
  const [, reason] = /^failed (.*)\n/.exec(report) ?? [];
  return { failure: `sandbox ${sandbox.name}: ${reason ?? "weft-shim ended without a word"}`, exitCode: FAILED };
}

/** Null: arguments and variables are more than the kernel passes on, to the shim as to its program. */
function start(argv: readonly string[], sandbox: Sandbox__Output): ChildProcess | null {
  try {
    return spawn(SHIM_PATH, argv, {
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "pipe"],
      env: { ...process.env, ...sandboxEnvironment(sandbox) },
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "E2BIG") throw error;
    return null;
  }
}

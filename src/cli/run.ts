// weft run: a sandbox and a program in it.
//
// The program is this process's child and has its output streams, and with -i its standard input: a shell loop that reads a list
// keeps it otherwise. With -d it is a shim's (detached.ts). The daemon is told which
// processes they are, and so knows when they have ended: of a sandbox of --rm it removes what a killed one left.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { WeftError } from "../errors.ts";
import { processOf } from "../netns/process.ts";
import { type Context, leaf, type Session } from "./command.ts";
import { startDetached } from "./detached.ts";
import { UsageError } from "./errors.ts";
import { runInSandbox } from "./process.ts";
import { createRequest, type SandboxFlags, sandboxOptions, tellWarnings } from "./sandbox-flags.ts";
import { byteSize, pairs } from "./values.ts";

interface RunFlags extends SandboxFlags {
  readonly name?: string;
  readonly rm?: boolean;
  readonly detach?: boolean;
  readonly tty?: boolean;
  readonly interactive?: boolean;
  readonly logOpt?: readonly string[];
}

const LOG_BYTES_DEFAULT = 16 * 2 ** 20;
const LOG_BYTES_MIN = 2 ** 12;
/** `weft logs` reads it whole. */
const LOG_BYTES_MAX = 2 ** 31;

async function create(context: Context, argv: readonly string[], flags: RunFlags): Promise<Sandbox__Output> {
  const { sandbox } = await context.client.call("sandbox", "Create", {
    ...createRequest(flags.name, flags, context.host.env),
    removeOnExit: flags.rm ?? false,
    supervisor: processOf(process.pid),
    argv: [...argv],
  });
  tellWarnings(context, sandbox!);
  return sandbox!;
}

async function removeQuietly(context: Context, sandbox: Sandbox__Output): Promise<void> {
  try {
    await context.client.call("sandbox", "Remove", { sandbox: sandbox.id, force: true });
  } catch (error) {
    // The daemon has removed it itself.
    if (error instanceof WeftError && error.code === "NOT_FOUND") return;
    context.complain(`sandbox ${sandbox.name} was not removed: ${(error as Error).message}`);
  }
}

/** A daemon that is away learns it from the processes themselves when it is back. */
async function tellStarted(context: Context, sandbox: Sandbox__Output, pid: number, supervisorPid: number): Promise<void> {
  const program = processOf(pid);
  if (program === null) return;
  await context.client
    .call("sandbox", "Started", { sandbox: sandbox.id, process: program, supervisor: processOf(supervisorPid) })
    .catch(() => {});
}

/** For those who ask later; whole or not at all. */
function noteExit({ exitPath }: Sandbox__Output, code: number): void {
  try {
    mkdirSync(dirname(exitPath), { recursive: true, mode: 0o700 });
    writeFileSync(`${exitPath}.new`, `${code}\n`);
    renameSync(`${exitPath}.new`, exitPath);
  } catch {
    // The program's end is told by our own exit code all the same.
  }
}

async function foreground(context: Context, argv: readonly string[], flags: RunFlags): Promise<void> {
  const sandbox = await create(context, argv, flags);
  let told: Promise<void> | undefined;
  try {
    const code = await runInSandbox(sandbox, argv, {
      terminal: flags.tty ?? false,
      interactive: flags.interactive ?? false,
      onStart: (pid) => {
        told = tellStarted(context, sandbox, pid, process.pid);
      },
    });
    context.host.exitCode = code;
    if (!flags.rm) noteExit(sandbox, code);
  } finally {
    await told;
    if (flags.rm) await removeQuietly(context, sandbox);
  }
}

async function background(context: Context, argv: readonly string[], flags: RunFlags, logBytes: number): Promise<void> {
  const sandbox = await create(context, argv, flags);
  const started = await startDetached(sandbox, argv, { terminal: flags.tty ?? false, interactive: flags.interactive ?? false, logBytes });
  if ("failure" in started) {
    if (flags.rm) await removeQuietly(context, sandbox);
    else noteExit(sandbox, started.exitCode);
    context.complain(started.failure);
    context.host.exitCode = started.exitCode;
    return;
  }
  await tellStarted(context, sandbox, started.pid, started.shimPid);
  context.print(`${sandbox.id}\n`);
  if (!context.quiet) context.host.stderr.write(`weft: process ${started.pid}, output in ${sandbox.logPath}\n`);
}

function logSize(options: readonly string[] | undefined): number {
  const { "max-size": size, ...others } = pairs(options);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new UsageError(`unknown log opt '${unknown}': there is max-size`);
  const bytes = size === undefined ? LOG_BYTES_DEFAULT : byteSize("max-size", size);
  if (bytes < LOG_BYTES_MIN) throw new UsageError(`invalid max-size "${size}": at least 4k`);
  if (bytes > LOG_BYTES_MAX) throw new UsageError(`invalid max-size "${size}": at most 2g`);
  return bytes;
}

export function register(program: Command, host: Session): void {
  sandboxOptions(
    leaf<RunFlags>(program, host, {
      usage: "run <command...>",
      summary: "Make a sandbox and run a program in it; its exit code is passed on",
      examples: [
        "weft run --rm --network web -- ping -c3 10.1.0.3",
        "weft run -it --rm --network web -- sh",
        "weft run -i --rm --network web -- python3 - < script.py",
        "weft run -d --name api --network web,ip=10.1.0.9 -- python3 -m http.server",
        "weft run --rm --network web --network back -- sh",
        "weft run --rm -e MODE=test -e LANG --env-file app.env -- env",
      ],
      async run(context, argv, flags) {
        const logBytes = logSize(flags.logOpt);
        await (flags.detach ? background(context, argv, flags, logBytes) : foreground(context, argv, flags));
      },
    })
      .passThroughOptions()
      .option("--name <name>", "the sandbox's name (default: one is made up)")
      .option("--rm", "remove the sandbox when the program ends")
      .option("-d, --detach", "in the background; prints the sandbox's id, output goes to a log (weft logs)")
      .option("-t, --tty", "give the program a terminal of its own")
      .option("-i, --interactive", "it has our standard input, with -t what is typed; with -d its own stays open (default: it has none)")
      .option("--log-opt <key=value>", "of -d: max-size=16m, what is kept of its output", (value, before: string[] = []) => [
        ...before,
        value,
      ]),
  );
}

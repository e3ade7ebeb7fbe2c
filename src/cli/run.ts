// weft run: a sandbox and a program in it.
//
// The program is this process's child and has its stdio; the daemon only knows the sandbox. With -d a second CLI process
// stands between: in a session of its own, with its output in a log file, it waits for the program's end and, with --rm,
// removes the sandbox. It tells its parent over the IPC channel whether the program could be started.
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { Command } from "commander";
import { Option } from "commander";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { sandboxLogPath } from "../config/defaults.ts";
import { WeftError } from "../errors.ts";
import { makeFolders } from "../paths.ts";
import { type Context, leaf, type Session } from "./command.ts";
import { NOT_EXECUTABLE, runInSandbox } from "./process.ts";
import { createRequest, type SandboxFlags, sandboxOptions } from "./sandbox-flags.ts";

interface RunFlags extends SandboxFlags {
  readonly name?: string;
  readonly rm?: boolean;
  readonly detach?: boolean;
  /** Set by ourselves on the second process: the sandbox's id. */
  readonly supervise?: string;
}

/** What the second process tells the first. */
type Report = { readonly pid: number } | { readonly failure: string; readonly exitCode: number };

async function removeQuietly(context: Context, sandbox: Sandbox__Output): Promise<void> {
  try {
    await context.client.call("sandbox", "Remove", { sandbox: sandbox.id, force: true });
  } catch (error) {
    // A daemon that stopped meanwhile has removed it itself.
    if (error instanceof WeftError && error.code === "NOT_FOUND") return;
    context.complain(`sandbox ${sandbox.name} was not removed: ${(error as Error).message}`);
  }
}

async function foreground(context: Context, argv: readonly string[], flags: RunFlags): Promise<void> {
  const { sandbox } = await context.client.call("sandbox", "Create", createRequest(flags.name, flags, flags.rm));
  try {
    context.host.exitCode = await runInSandbox(sandbox!, argv);
  } finally {
    if (flags.rm) await removeQuietly(context, sandbox!);
  }
}

/** The second process: stdio is the log already. */
async function supervise(context: Context, argv: readonly string[], id: string, flags: RunFlags): Promise<void> {
  const { sandbox } = await context.client.call("sandbox", "Inspect", { sandbox: id });
  const report = (message: Report): void => {
    if (process.connected) process.send?.(message, () => process.connected && process.disconnect());
  };
  try {
    context.host.exitCode = await runInSandbox(sandbox!, argv, {
      onStart: (pid) => report({ pid }),
      onFailure: (failure, exitCode) => report({ failure, exitCode }),
    });
  } catch (error) {
    report({ failure: (error as Error).message, exitCode: 1 });
    throw error;
  } finally {
    if (flags.rm) await removeQuietly(context, sandbox!);
  }
}

function firstReport(child: ChildProcess): Promise<Report> {
  return new Promise((done) => {
    child.once("message", (message) => done(message as Report));
    child.once("exit", () => done({ failure: "its supervisor ended", exitCode: NOT_EXECUTABLE }));
    child.once("error", (error) => done({ failure: error.message, exitCode: NOT_EXECUTABLE }));
  });
}

async function background(context: Context, argv: readonly string[], flags: RunFlags): Promise<void> {
  const { stateDir } = await context.client.call("node", "Info", {});
  const { sandbox } = await context.client.call("sandbox", "Create", createRequest(flags.name, flags, flags.rm));
  const { id } = sandbox!;
  const logPath = sandboxLogPath(stateDir, id);
  makeFolders(dirname(logPath), 0o700);
  const log = openSync(logPath, "a", 0o600);
  const own = ["--socket", context.socketPath, "run", "--supervise", id, ...(flags.rm ? ["--rm"] : []), "--", ...argv];
  const child = spawn(process.execPath, [process.argv[1]!, ...own], { detached: true, stdio: ["ignore", log, log, "ipc"] });
  const report = await firstReport(child);
  closeSync(log);
  child.unref();
  if (child.connected) child.disconnect();
  if ("failure" in report) {
    context.complain(report.failure);
    context.host.exitCode = report.exitCode;
    return;
  }
  context.print(`${id}\n`);
  if (!context.quiet) context.host.stderr.write(`weft: process ${report.pid}, output in ${logPath}\n`);
}

export function register(program: Command, host: Session): void {
  sandboxOptions(
    leaf<RunFlags>(program, host, {
      usage: "run <command...>",
      summary: "Make a sandbox and run a program in it; its exit code is passed on",
      examples: [
        "weft run --rm --network web -- ping -c3 10.1.0.3",
        "weft run -d --name api --network web,ip=10.1.0.9 -- python3 -m http.server",
        "weft run --rm --network web --network back -- sh",
      ],
      async run(context, argv, flags) {
        if (flags.supervise !== undefined) return supervise(context, argv, flags.supervise, flags);
        return flags.detach ? background(context, argv, flags) : foreground(context, argv, flags);
      },
    })
      .passThroughOptions()
      .option("--name <name>", "the sandbox's name (default: one is made up)")
      .option("--rm", "remove the sandbox when the program ends")
      .option("-d, --detach", "in the background; prints the sandbox's id, output goes to a log file")
      .addOption(new Option("--supervise <id>").hideHelp()),
  );
}

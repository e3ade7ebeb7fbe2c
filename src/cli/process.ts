// Running a program in a sandbox: signals go to it, its exit code comes back. As with `env` or `docker run`: 127 if it isn't
// there, 126 if it can't be executed, 128 + n if signal n ended it.
import { readFileSync } from "node:fs";
import { hostname as hostName } from "node:os";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { WeftError } from "../errors.ts";
import { type ChildExit, type ProcessOptions, runProcess } from "../netns/process.ts";
import { withTerminal } from "../netns/terminal.ts";
import { sandboxEnvironment } from "./environment.ts";
import { startExitCode, startFailure } from "./start-failure.ts";

/** All that Node hands out, but for those that stop us: a job that is stopped by ^Z has to be, program and command. */
const FORWARDED = [
  ...(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const),
  ...(["SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGCONT", "SIGWINCH"] as const),
];
/** What a terminal, or the shell at it, sends to its whole foreground process group: the program has got these already. */
const FROM_TERMINAL: readonly string[] = ["SIGINT", "SIGQUIT", "SIGCONT", "SIGWINCH"];

const SIGNALLED = 128;
const LOST = ": its namespace is gone; remove the sandbox and create it anew";

/** Whether this process is in the foreground process group of its terminal (proc(5): pgrp is field 5, tpgid field 8). */
function isForeground(): boolean {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return fields[2] === fields[5];
}

interface Forwarding {
  /** The program is there: signals that came before it follow now. */
  to(pid: number): void;
  stop(): void;
}

/**
 * Passes signals on. From before the program starts: it may be up, and say so, earlier than we hear of its pid, and a signal
 * that ended us in between would leave its sandbox behind. `ownTerminal`: the program is in no process group of ours.
 */
function forwardSignals(ownTerminal: boolean): Forwarding {
  const early: NodeJS.Signals[] = [];
  let pid: number | undefined;
  const send = (signal: NodeJS.Signals): void => {
    if (pid === undefined) {
      early.push(signal);
      return;
    }
    try {
      process.kill(pid, signal);
    } catch {
      // It has just ended: its exit is on its way.
    }
  };
  // The size of a terminal of its own is terminal.ts's to tell.
  const forwarded = FORWARDED.filter((signal) => !ownTerminal || signal !== "SIGWINCH");
  const handlers = forwarded.map((signal) => {
    const handler = (): void => {
      if (pid !== undefined && !ownTerminal && FROM_TERMINAL.includes(signal) && isForeground()) return;
      send(signal);
    };
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  return {
    to(program) {
      pid = program;
      for (const signal of early.splice(0)) send(signal);
    },
    stop() {
      for (const [signal, handler] of handlers) process.removeListener(signal, handler);
    },
  };
}

const exitCode = ({ code, signal }: ChildExit): number => code ?? SIGNALLED + (signal ?? 0);

/** Who the program is and whom it knows: with the host's network stack, what the host says where the sandbox has nothing of its own. */
export function identity({
  hostname,
  domainname,
  resolvConfPath,
  hostsPath,
  hostnamePath,
}: Sandbox__Output): Pick<ProcessOptions, "hostname" | "domainname" | "files"> {
  const files = [
    { source: resolvConfPath, target: "/etc/resolv.conf" },
    { source: hostsPath, target: "/etc/hosts" },
    { source: hostnamePath, target: "/etc/hostname" },
  ].filter(({ source }) => source !== "");
  // On the host's stack it has a name of its own where one was asked for, as in Docker.
  const asHost = hostnamePath === "" && domainname === "" && (hostname === "" || hostname === hostName());
  return { ...(asHost ? {} : { hostname, domainname }), ...(files.length === 0 ? {} : { files }) };
}

export interface RunOptions {
  /** -t and -i: a terminal of its own, and our standard input, or what is typed, goes to it. */
  readonly terminal?: boolean;
  readonly interactive?: boolean;
  /** Variables beside the sandbox's, as it has them. */
  readonly environment?: readonly string[];
  onStart?(pid: number): void;
}

/** Answers the program's exit code. */
export async function runInSandbox(sandbox: Sandbox__Output, argv: readonly string[], options: RunOptions = {}): Promise<number> {
  const forwarding = forwardSignals(options.terminal ?? false);
  const run = (terminal?: number): Promise<ChildExit> =>
    runProcess({
      namespacePath: sandbox.namespacePath,
      argv,
      env: sandboxEnvironment(sandbox, options.environment),
      ...identity(sandbox),
      ...(terminal === undefined ? { input: options.interactive ?? false } : { terminal }),
      onSpawn: (pid) => {
        forwarding.to(pid);
        options.onStart?.(pid);
      },
    });
  try {
    return exitCode(await (options.terminal ? withTerminal({ input: options.interactive ?? false }, run) : run()));
  } catch (error) {
    if (error instanceof WeftError) throw error;
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    if (syscall === "execve" && code !== undefined) {
      process.stderr.write(`weft: ${startFailure(argv[0]!, sandbox.name, code)}\n`);
      return startExitCode(code);
    }
    const gone = code !== "ENOENT" ? "" : sandbox.joinedTo !== "" ? ": the sandbox whose network stack it shares was removed" : LOST;
    const elsewhere = "; is the daemon in another mount namespace (a container, `ip netns exec`)? run weft where it runs";
    const hint = code === "EPERM" ? "; entering a namespace takes root" : code === "EINVAL" ? elsewhere : gone;
    throw new WeftError(code === "EPERM" ? "PERMISSION_DENIED" : "UNAVAILABLE", `cannot enter sandbox ${sandbox.name}: ${message}${hint}`);
  } finally {
    forwarding.stop();
  }
}

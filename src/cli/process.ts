// Running a program in a sandbox: signals go to it, its exit code comes back. As with `env` or `docker run`: 127 if it isn't
// there, 126 if it can't be executed, 128 + n if signal n ended it.
import { readFileSync } from "node:fs";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { WeftError } from "../errors.ts";
import { type ChildExit, type ProcessOptions, runProcess } from "../netns/process.ts";

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
/** What a terminal sends to its whole foreground process group: the program has got these already. */
const FROM_TERMINAL: readonly string[] = ["SIGINT", "SIGQUIT"];

export const NOT_FOUND = 127;
export const NOT_EXECUTABLE = 126;
const SIGNALLED = 128;

/** Whether this process is in the foreground process group of its terminal (proc(5): pgrp is field 5, tpgid field 8). */
function isForeground(): boolean {
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return fields[2] === fields[5];
}

/** Passes signals on to `pid` until the answered function is called. */
function forwardSignals(pid: number): () => void {
  const handlers = FORWARDED.map((signal) => {
    const handler = (): void => {
      if (FROM_TERMINAL.includes(signal) && isForeground()) return;
      try {
        process.kill(pid, signal);
      } catch {
        // It has just ended: its exit is on its way.
      }
    };
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  return () => {
    for (const [signal, handler] of handlers) process.removeListener(signal, handler);
  };
}

const exitCode = ({ code, signal }: ChildExit): number => code ?? SIGNALLED + (signal ?? 0);

/** Who the program is and whom it knows: with the host's network stack, what the host says. */
function identity({ hostname, resolvConfPath, hostsPath, hostnamePath }: Sandbox__Output): Pick<ProcessOptions, "hostname" | "files"> {
  if (resolvConfPath === "") return {};
  const files = [
    { source: resolvConfPath, target: "/etc/resolv.conf" },
    { source: hostsPath, target: "/etc/hosts" },
    { source: hostnamePath, target: "/etc/hostname" },
  ];
  return { hostname, files };
}

export interface RunWatcher {
  onStart?(pid: number): void;
  /** The program could not be started; the exit code is 126 or 127. */
  onFailure?(reason: string, exitCode: number): void;
}

/** Answers the program's exit code. */
export async function runInSandbox(sandbox: Sandbox__Output, argv: readonly string[], watcher: RunWatcher = {}): Promise<number> {
  let stopForwarding = (): void => {};
  try {
    const exit = await runProcess({
      namespacePath: sandbox.namespacePath,
      argv,
      env: { WEFT_SANDBOX: sandbox.name },
      ...identity(sandbox),
      onSpawn: (pid) => {
        stopForwarding = forwardSignals(pid);
        watcher.onStart?.(pid);
      },
    });
    return exitCode(exit);
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException;
    const startFailed = syscall === undefined || /exec|spawn/.test(syscall);
    if (startFailed && (code === "ENOENT" || code === "EACCES" || code === "ENOEXEC")) {
      const reason = `cannot run ${argv[0]} in sandbox ${sandbox.name}: ${message}`;
      const failed = code === "ENOENT" ? NOT_FOUND : NOT_EXECUTABLE;
      process.stderr.write(`weft: ${reason}\n`);
      watcher.onFailure?.(reason, failed);
      return failed;
    }
    const gone = code === "ENOENT" && sandbox.joinedTo !== "" ? ": the sandbox whose network stack it shares was removed" : "";
    const hint = code === "EPERM" ? "; entering a namespace takes root" : gone;
    throw new WeftError(code === "EPERM" ? "PERMISSION_DENIED" : "UNAVAILABLE", `cannot enter sandbox ${sandbox.name}: ${message}${hint}`);
  } finally {
    stopForwarding();
  }
}

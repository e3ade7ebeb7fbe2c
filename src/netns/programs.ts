// The processes of sandboxes, by /proc. A process belongs to a sandbox if it was born with the sandbox's id in its environment,
// which `weft run` and `weft sandbox exec` give to what they start, and what that starts inherits; what somebody put into the
// namespace by other means is not ours to end.
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { sandboxExitPath, sandboxLogPath } from "../config/defaults.ts";
import type { Native } from "../ports/native.ts";
import type { ProcessId } from "../records/records.ts";
import { SANDBOX_ID_VARIABLE } from "./process.ts";
import type { ProgramExit, ProgramHost } from "./program-host.ts";

const KILL_WAIT_MS = 3000;
const LOOK_MS = 5;
/** What a timer can count to; what is longer is for ever. */
const TIMER_MS_MAX = 2 ** 31;

export class Programs implements ProgramHost {
  readonly #native: Pick<Native, "processStart" | "watchProcess">;
  readonly #stateDir: string;

  constructor(native: Pick<Native, "processStart" | "watchProcess">, stateDir: string) {
    this.#native = native;
    this.#stateDir = stateDir;
  }

  alive({ pid, start }: ProcessId): boolean {
    return this.#native.processStart(pid) === start;
  }

  watch({ pid, start }: ProcessId, onEnd: () => void): boolean {
    return this.#native.watchProcess(pid, start, onEnd);
  }

  find(sandboxId: string): readonly ProcessId[] {
    const mark = `${SANDBOX_ID_VARIABLE}=${sandboxId}`;
    const found: ProcessId[] = [];
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const pid = Number(name);
      try {
        if (!readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(mark)) continue;
      } catch {
        // It ended meanwhile.
        continue;
      }
      const start = this.#native.processStart(pid);
      if (start !== null && pid !== process.pid) found.push({ pid, start });
    }
    return found.sort((a, b) => a.start - b.start || a.pid - b.pid);
  }

  async kill(sandboxId: string, known: readonly ProcessId[], waitFor: ProcessId | null): Promise<void> {
    const deadline = Date.now() + KILL_WAIT_MS;
    // Again until none is left: a process may have had a child while we looked.
    for (let left = [...known, ...this.find(sandboxId)]; left.length > 0 && Date.now() < deadline; left = [...this.find(sandboxId)]) {
      for (const one of left) if (this.alive(one)) signalQuietly(one.pid, constants.signals.SIGKILL);
      while (left.some((one) => this.alive(one)) && Date.now() < deadline) await pause(LOOK_MS);
    }
    while (waitFor !== null && this.alive(waitFor) && Date.now() < deadline) await pause(LOOK_MS);
  }

  async stop(sandboxId: string, program: ProcessId, supervisor: ProcessId | null, signal: number, timeoutMs: number): Promise<void> {
    if (this.alive(program)) signalQuietly(program.pid, signal);
    await this.#ended(program, timeoutMs);
    if (this.alive(program)) signalQuietly(program.pid, constants.signals.SIGKILL);
    await this.#ended(program, KILL_WAIT_MS);
    if (supervisor !== null) await this.#ended(supervisor, KILL_WAIT_MS);
    await this.kill(sandboxId, [], supervisor);
  }

  /** Resolves at its end, or after `timeoutMs`. */
  async #ended(process: ProcessId, timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      if (timeoutMs < TIMER_MS_MAX) timer = setTimeout(resolve, timeoutMs);
      if (!this.watch(process, resolve)) resolve();
    });
    clearTimeout(timer);
  }

  exit(sandboxId: string): ProgramExit | null {
    const path = sandboxExitPath(this.#stateDir, sandboxId);
    try {
      const code = Number(readFileSync(path, "utf8"));
      return { code, endedAt: statSync(path).mtime.toISOString() };
    } catch {
      return null;
    }
  }

  forget(sandboxId: string): void {
    const log = sandboxLogPath(this.#stateDir, sandboxId);
    for (const path of [log, `${log}.1`, sandboxExitPath(this.#stateDir, sandboxId)]) removeQuietly(path);
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The next daemon removes what belongs to no sandbox.
  }
}

function signalQuietly(pid: number, signal: number): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended.
  }
}

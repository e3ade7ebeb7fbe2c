// The processes of sandboxes, as the controller needs to know of them. The real one is programs.ts.
import type { ProcessId } from "../records/records.ts";

export interface ProgramExit {
  /** 128 + n where signal n ended it. */
  readonly code: number;
  readonly endedAt: string;
}

/** Processes, as the controller needs to know of them. */
export interface ProgramHost {
  alive(process: ProcessId): boolean;
  /** Calls `onEnd` once when it has ended; false: it has already. */
  watch(process: ProcessId, onEnd: () => void): boolean;
  /** Processes that `weft run` and `exec` started in this sandbox, and theirs. */
  find(sandboxId: string): readonly ProcessId[];
  /** Kills all of these and waits until they, and the other one, have ended. */
  kill(sandboxId: string, known: readonly ProcessId[], waitFor: ProcessId | null): Promise<void>;
  /**
   * Sends `signal` to the program, kills it where it lives on after `timeoutMs`, waits for its supervisor, which notes how it
   * ended, and kills what else there is of the sandbox.
   */
  stop(sandboxId: string, program: ProcessId, supervisor: ProcessId | null, signal: number, timeoutMs: number): Promise<void>;
  /** How its program ended; null: it has not, or nobody was left to note it. */
  exit(sandboxId: string): ProgramExit | null;
  /** The sandbox is removed: what was noted of its program goes, its output too. */
  forget(sandboxId: string): void;
}

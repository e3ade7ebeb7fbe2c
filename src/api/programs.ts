// Programs of sandboxes between records and messages.
import type { ProgramState } from "../controller/types.ts";
import { invalidArgument } from "../errors.ts";
import type { ProcessId, SandboxRecord } from "../records/records.ts";
import type { ProcessId__Output } from "./generated/weft/v1/ProcessId.ts";
import type { Program } from "./generated/weft/v1/Program.ts";

export function processId({ pid, start }: ProcessId__Output): ProcessId {
  const ticks = Number(start);
  if (pid < 1 || !Number.isSafeInteger(ticks)) throw invalidArgument(`invalid process ${pid}: give the pid and field 22 of /proc/PID/stat`);
  return { pid, start: ticks };
}

export function programMessage({ program }: SandboxRecord, now: ProgramState): Program | null {
  if (program === null) return null;
  const exit = now.state === "exited" ? now.exit : null;
  return {
    argv: [...program.argv],
    startedAt: program.startedAt,
    state: now.state,
    pid: program.process?.pid ?? 0,
    exitKnown: exit !== null,
    exitCode: exit?.code ?? 0,
    endedAt: exit?.endedAt ?? "",
  };
}

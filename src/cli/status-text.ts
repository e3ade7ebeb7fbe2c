// How a sandbox is, in the words of `docker ps`: "Up 5 minutes", "Exited (0) About an hour ago", "Created".
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";

const UNITS: readonly (readonly [seconds: number, below: number, plural: string, one: string])[] = [
  [1, 60, "seconds", "1 second"],
  [60, 60 * 60, "minutes", "About a minute"],
  [3600, 48 * 3600, "hours", "About an hour"],
  [86_400, 14 * 86_400, "days", ""],
  [7 * 86_400, 60 * 86_400, "weeks", ""],
  [30 * 86_400, 2 * 365 * 86_400, "months", ""],
  [365 * 86_400, Number.POSITIVE_INFINITY, "years", ""],
];

/** 90 -> "About a minute"; the largest unit alone. */
function roughly(seconds: number): string {
  if (seconds < 1) return "Less than a second";
  const [length, , plural, one] = UNITS.find(([, below]) => seconds < below)!;
  const count = Math.floor(seconds / length);
  return count === 1 ? one : `${count} ${plural}`;
}

/** RFC 3339 -> "5 minutes ago". */
export const ago = (time: string, nowMs: number): string => `${roughly((nowMs - Date.parse(time)) / 1000)} ago`;

export function statusText({ program }: Pick<Sandbox__Output, "program">, nowMs: number): string {
  if (program === null || program.state === "created") return "Created";
  if (program.state === "running") return `Up ${roughly((nowMs - Date.parse(program.startedAt)) / 1000)}`;
  return program.exitKnown ? `Exited (${program.exitCode}) ${ago(program.endedAt, nowMs)}` : "Exited (unknown)";
}

/** Docker's State of `inspect`; Go's zero time stands for none. */
export function stateDocument({ program }: Pick<Sandbox__Output, "program">) {
  const running = program?.state === "running";
  return {
    Status: program?.state ?? "created",
    Running: running,
    Pid: running ? program.pid : 0,
    ExitCode: program?.exitKnown ? program.exitCode : 0,
    ExitCodeKnown: program?.state !== "exited" || program.exitKnown,
    StartedAt: program?.startedAt ?? NEVER,
    FinishedAt: program?.endedAt || NEVER,
  };
}

const NEVER = "0001-01-01T00:00:00Z";

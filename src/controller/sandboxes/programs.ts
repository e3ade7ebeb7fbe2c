// The programs that `weft run` starts in sandboxes. The daemon has no part in running them, and they outlive it; what it keeps
// is which processes they are, so that it can say how they are, refuse to take a network away from under them, and remove
// the sandbox of a `run --rm` when nobody else is left to do it.
//
// Two processes count: the program, and who started it and waits for its end (the command line, or the shim of `run -d`). A
// sandbox of `--rm` is removed when both have ended: by the command line itself, which then still lives; or here.
import { alreadyExists, forbidden } from "../../errors.ts";
import type { SandboxRecord } from "../../records/records.ts";
import { sandboxKey } from "../../store/keys.ts";
import { type Context, commit, put } from "../context.ts";
import type { ProgramState, StartedProgram } from "../types.ts";

export function programState({ programs }: Pick<Context, "programs">, sandbox: SandboxRecord): ProgramState {
  if (sandbox.program === null || programs === undefined) return { state: "created" };
  const { process, supervisor } = sandbox.program;
  const exit = programs.exit(sandbox.id);
  if (exit !== null) return { state: "exited", exit };
  if (process === null) return { state: supervisor !== null && programs.alive(supervisor) ? "created" : "exited", exit: null };
  return programs.alive(process) ? { state: "running" } : { state: "exited", exit: null };
}

/**
 * The caller holds the sandbox. Throws FORBIDDEN if its program runs, or with `force` ends it, and what `run` and `exec` left in
 * the background. Not of a `run --rm`, which removes by force itself when its program has ended.
 */
export async function endProgram(context: Context, sandbox: SandboxRecord, force: boolean): Promise<void> {
  const { programs } = context;
  if (programs === undefined) return;
  if (programState(context, sandbox).state !== "running") {
    if (force && !sandbox.removeOnExit) await programs.kill(sandbox.id, [], null);
    return;
  }
  if (!force) {
    throw forbidden(
      `cannot remove sandbox "${sandbox.name}": sandbox is running: stop its program before attempting removal or force remove (-f)`,
    );
  }
  const { process, supervisor } = sandbox.program!;
  await programs.kill(sandbox.id, process === null ? [] : [process], supervisor);
}

/** The caller holds the sandbox. */
export async function noteProgram(context: Context, sandbox: SandboxRecord, started: StartedProgram): Promise<SandboxRecord> {
  const known = sandbox.program ?? { argv: [], startedAt: context.clock.nowIso(), process: null, supervisor: null };
  const noted: SandboxRecord = { ...sandbox, program: { ...known, process: started.process, supervisor: started.supervisor } };
  await commit(context, [put(sandboxKey(sandbox.id), noted)]);
  return noted;
}

export const nameTaken = (name: string, id: string): Error =>
  alreadyExists(
    `Conflict. The sandbox name "${name}" is already in use by sandbox "${id}". You have to remove (or rename) that sandbox to be able to reuse that name.`,
  );

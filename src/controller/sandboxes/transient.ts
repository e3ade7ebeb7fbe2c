// Sandboxes of `run --rm`: gone when their program is, whoever is left to see it.

import type { Id, ProcessId, SandboxRecord } from "../../records/records.ts";
import { sandboxKey } from "../../store/keys.ts";
import { attempt, type Context, commit, put } from "../context.ts";
import { exclusive } from "../locks.ts";
import type { StartedProgram } from "../types.ts";
import { noteProgram } from "./programs.ts";
import { findSandbox, heldSandbox, removeSandbox, sandboxLock } from "./sandboxes.ts";

/** Whether a process of it lives: then it is needed. */
export function isInUse({ programs }: Pick<Context, "programs">, { program }: SandboxRecord): boolean {
  if (programs === undefined || program === null) return false;
  return [program.process, program.supervisor].some((process) => process !== null && programs.alive(process));
}

/**
 * Sees to it that the sandbox is removed when its processes have ended; where they have already, it is when this resolves. For
 * others than those of `--rm` there is nothing to do.
 */
export async function follow(context: Context, sandbox: SandboxRecord): Promise<void> {
  const { programs } = context;
  if (programs === undefined || !sandbox.removeOnExit || sandbox.program === null) return;
  const settle = (): Promise<boolean> =>
    attempt(context, `removing sandbox ${sandbox.name} of an ended run --rm`, () => settled(context, sandbox.id));
  const watched = (one: ProcessId): boolean => {
    try {
      return programs.watch(one, () => void settle());
    } catch (error) {
      // No descriptors left, say: who lives on is looked for again at the next start.
      context.log("error", "a process can't be watched", { sandbox: sandbox.name, pid: one.pid, error: (error as Error).message });
      return programs.alive(one);
    }
  };
  const processes = [sandbox.program.process, sandbox.program.supervisor].filter((one) => one !== null);
  if (processes.filter(watched).length === 0) await settle();
}

/** The program of a sandbox is started; told by who started it. */
export async function programStarted(context: Context, reference: string, started: StartedProgram): Promise<SandboxRecord> {
  const { id } = findSandbox(context, reference);
  return context.locks.run([exclusive(sandboxLock({ id }))], async () => {
    const noted = await noteProgram(context, heldSandbox(context, id, reference), started);
    // Not waited for: a removal wants the lock that is held here.
    void follow(context, noted);
    return noted;
  });
}

async function settled(context: Context, id: Id): Promise<void> {
  const sandbox = context.state.sandboxes.get(id);
  if (sandbox === undefined || sandbox.program === null || isInUse(context, sandbox)) return;
  if (sandbox.program.process === null) {
    // Who started it ended before it could tell: killed, or while no daemon was there to be told.
    const process = context.programs!.find(id)[0];
    if (process !== undefined) {
      const adopted: SandboxRecord = { ...sandbox, program: { ...sandbox.program, process, supervisor: null } };
      await commit(context, [put(sandboxKey(id), adopted)]);
      await follow(context, adopted);
      return;
    }
  }
  try {
    await removeSandbox(context, id, true);
  } catch (error) {
    // Each end of a process is heard; somebody else was first.
    if (!context.state.sandboxes.has(id)) return;
    throw error;
  }
  context.log("info", "sandbox of an ended `run --rm` removed", { sandbox: sandbox.name });
}

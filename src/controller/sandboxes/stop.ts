// Ending the program of a sandbox, as `docker stop`: a signal, some time, SIGKILL. What it leaves running is killed as well. No
// lock is held while it has its time: other calls go on, and one that removes the sandbox leaves nothing to wait for.
import { constants } from "node:os";
import { invalidArgument } from "../../errors.ts";
import type { SandboxRecord } from "../../records/records.ts";
import type { Context } from "../context.ts";
import type { StopRequest } from "../types.ts";
import { programState } from "./programs.ts";
import { findSandbox } from "./sandboxes.ts";

const TIMEOUT_S_DEFAULT = 10;

export async function stopSandbox(context: Context, reference: string, request: StopRequest): Promise<SandboxRecord> {
  const sandbox = findSandbox(context, reference);
  const signal = signalNumber(request.signal ?? "SIGTERM");
  const timeoutS = request.timeoutS ?? TIMEOUT_S_DEFAULT;
  const process = sandbox.program?.process ?? null;
  if (context.programs === undefined || process === null || programState(context, sandbox).state !== "running") return sandbox;
  await context.programs.stop(
    sandbox.id,
    process,
    sandbox.program!.supervisor,
    signal,
    timeoutS < 0 ? Number.POSITIVE_INFINITY : timeoutS * 1000,
  );
  context.log("info", "sandbox stopped", { sandbox: sandbox.name });
  return context.state.sandboxes.get(sandbox.id) ?? sandbox;
}

function signalNumber(text: string): number {
  const name = text.toUpperCase();
  const named = Object.entries(constants.signals).find(([key]) => key === name || key === `SIG${name}`)?.[1];
  const number = /^\d{1,2}$/.test(text) ? Number(text) : named;
  if (number === undefined || number < 1 || number > 64)
    throw invalidArgument(`invalid signal: ${text}: give a name (SIGTERM) or a number from 1 to 64`);
  return number;
}

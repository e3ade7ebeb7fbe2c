// What is left of programs that ended, and of sandboxes that went, while no daemon was there to see it.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { sandboxLogPath } from "../config/defaults.ts";
import type { CnmController } from "../controller/controller.ts";
import type { Logger } from "../log.ts";
import { abandoned } from "../netns/host.ts";

/** Sandboxes to be removed at the end of processes that nobody told us of, where none is left. */
export async function removeAbandoned(controller: CnmController, log: Logger): Promise<void> {
  const transient = controller.listSandboxes().filter(({ sandbox }) => sandbox.removeOnExit && sandbox.program === null);
  if (transient.length === 0) return;
  const empty = new Set(abandoned(transient.map(({ sandbox }) => sandbox.namespacePath)));
  for (const { sandbox } of transient) {
    if (!empty.has(sandbox.namespacePath)) continue;
    await controller.removeSandbox(sandbox.id, true);
    log.info({ sandbox: sandbox.name }, "sandbox that nothing runs in removed");
  }
}

/** Output and exit codes of programs in sandboxes that are gone. */
export function removeOldLogs(stateDir: string, controller: CnmController): void {
  const folder = dirname(sandboxLogPath(stateDir, ""));
  if (!existsSync(folder)) return;
  const kept = new Set(controller.listSandboxes().map(({ sandbox }) => sandbox.id));
  for (const name of readdirSync(folder)) if (!kept.has(name.slice(0, name.indexOf(".")))) rmSync(join(folder, name), { force: true });
}

// The daemon from its first line of log to its last.
//
//   configuration ─> bring-up ─> "ready" ─> a signal ─> all of it down again, in reverse
//
// At SIGTERM or SIGINT: no more calls, `run --rm` sandboxes removed, TAPs left in place for the next daemon, store closed. Whatever
// fails on the way up, what is up already goes down again, and the reason is the exit's. A second signal ends at once: state is
// in the store, interfaces are persistent, so nothing is lost but politeness.
import { loadConfig } from "../config/load.ts";
import { VERSION } from "../config/version.ts";
import { createLogger } from "../log.ts";
import { checkPrivileges } from "../netns/host.ts";
import { native } from "../ports/native.ts";
import { requireAddon } from "../ports/port.ts";
import { purge } from "../purge/purge.ts";
import { bringUp } from "./bring-up.ts";
import { dieOnBugs, firstSignal } from "./signals.ts";
import { Stack } from "./stack.ts";

export interface DaemonFlags {
  readonly config?: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Takes from the host what daemons of these settings have put there; answers the exit code. Throws while one runs. */
export async function purgeDaemon(flags: DaemonFlags, say: (line: string) => void): Promise<number> {
  const { stateDir, socket } = loadConfig(flags.config, flags.settings, process.env);
  checkPrivileges();
  requireAddon();
  return (await purge({ stateDir, socket, native: native(), say })) ? 0 : 1;
}

/** Runs until a signal; answers the exit code. Throws the reason if it can't start. */
export async function runDaemon(flags: DaemonFlags): Promise<number> {
  const config = loadConfig(flags.config, flags.settings, process.env);
  const log = createLogger({ level: config.log.level, format: config.log.format ?? undefined });
  const signal = firstSignal(log);
  dieOnBugs(log);
  const stack = new Stack(log);
  log.info({ version: VERSION, node: config.nodeName, stateDir: config.stateDir, pid: process.pid }, "weft daemon starts");
  try {
    const api = await bringUp(config, log, stack, signal.seen);
    log.info({ api: api.address, underlay: config.underlayAddresses, vxlanPort: config.vxlanPort }, "ready");
  } catch (error) {
    await stack.unwind();
    throw error;
  }
  log.info({ signal: await signal.came }, "stopping");
  await stack.unwind();
  log.info("stopped");
  return 0;
}

// Where things are unless told otherwise. Apart from the schema, because the CLI needs these and must not wait for zod.

import { join } from "node:path";

export const DEFAULT_SOCKET = "/run/weft/weft.sock";
export const DEFAULT_STATE_DIR = "/var/lib/weft";
export const SOCKET_VARIABLE = "WEFT_SOCKET";

/** The daemon's socket: as given, else $WEFT_SOCKET, else the default. "unix:///a" and "unix:/a" mean "/a". */
export function socketPath(given: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  return (given || env[SOCKET_VARIABLE] || DEFAULT_SOCKET).replace(/^unix:(\/\/)?/, "");
}

/** Where the files are that a sandbox has in the place of the host's: resolv.conf, hosts, hostname. */
export function sandboxFilesPath(stateDir: string, sandboxId: string): string {
  return join(stateDir, "sandboxes", sandboxId);
}

/** Where the exit code of the program of `weft run` is noted; removed with the sandbox. */
export function sandboxExitPath(stateDir: string, sandboxId: string): string {
  return join(stateDir, "logs", `${sandboxId}.exit`);
}

/** Where the output of `weft run -d` goes, and with `.1` behind it what was before; removed with the sandbox. */
export function sandboxLogPath(stateDir: string, sandboxId: string): string {
  return join(stateDir, "logs", `${sandboxId}.log`);
}

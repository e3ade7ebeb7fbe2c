// The CLI run in this process: argv in, what it printed and its exit code out.
import { type CliHost, type DaemonFlags, runCli } from "../../src/cli/index.ts";

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What `weft daemon` was started with. */
  readonly daemon: DaemonFlags | undefined;
}

export interface CliSetting {
  readonly socketPath?: string;
  readonly columns?: number;
  readonly terminal?: boolean;
  readonly interrupted?: AbortSignal;
  /** What the user types; none: standard input is empty. */
  readonly typed?: string;
}

export async function cli(argv: readonly string[], setting: CliSetting = {}): Promise<CliResult> {
  const stdout: Buffer[] = [];
  const stderr: string[] = [];
  let daemon: DaemonFlags | undefined;
  const host: CliHost = {
    env: setting.socketPath === undefined ? {} : { WEFT_SOCKET: setting.socketPath },
    stdout: { write: (text) => stdout.push(Buffer.from(text as string)) },
    stderr: { write: (text) => stderr.push(text) },
    stdoutIsTerminal: setting.terminal ?? false,
    columns: setting.columns,
    readLine: async () => setting.typed ?? null,
    readInput: async () => Buffer.from(setting.typed ?? ""),
    interrupted: () => setting.interrupted ?? new AbortController().signal,
    async runDaemon(flags) {
      daemon = flags;
      return 0;
    },
    async purgeDaemon(flags, say) {
      daemon = flags;
      say("removed all of it");
      return 0;
    },
  };
  const code = await runCli(argv, host);
  return { code, stdout: Buffer.concat(stdout).toString(), stderr: stderr.join(""), daemon };
}

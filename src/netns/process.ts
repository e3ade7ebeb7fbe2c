// A program inside a network namespace: what `weft run` and `weft sandbox exec` do in the CLI's own process. The daemon has
// no part in it, so programs live on when it stops.

import { type ChildExit, native } from "../ports/native.ts";
import type { ProcessId } from "../records/records.ts";

export type { ChildExit } from "../ports/native.ts";

/** By this variable of its environment a process is known to belong to a sandbox. */
export const SANDBOX_ID_VARIABLE = "WEFT_SANDBOX_ID";

export interface ProcessOptions {
  readonly namespacePath: string;
  readonly argv: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its own, in a UTS namespace. */
  readonly hostname?: string;
  /** Of that UTS namespace; empty: the host's. */
  readonly domainname?: string;
  /** Files that it sees at `target`, where the host has others. */
  readonly files?: readonly { readonly source: string; readonly target: string }[];
  /** Whether it has this process's standard input; without it reads end at once. */
  readonly input?: boolean;
  /** The slave of a pseudo-terminal, for its streams. */
  readonly terminal?: number;
  readonly onSpawn: (pid: number) => void;
}

/** A process as others can know it; null: it has ended. */
export function processOf(pid: number): ProcessId | null {
  const start = native().processStart(pid);
  return start === null ? null : { pid, start };
}

/** Runs it with this process's output streams; resolves when it has ended. Rejects with `.code` ENOENT etc. if it can't be started. */
export function runProcess(options: ProcessOptions): Promise<ChildExit> {
  const inherited = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const env = { ...Object.fromEntries(inherited), ...options.env };
  const { hostname, domainname, files, input = false, terminal } = options;
  const own = {
    input,
    ...(hostname === undefined ? {} : { hostname }),
    ...(domainname === undefined ? {} : { domainname }),
    ...(files === undefined ? {} : { files: [...files] }),
    ...(terminal === undefined ? {} : { terminal }),
  };
  return native().runInNamespace(options.namespacePath, [...options.argv], { env, ...own }, options.onSpawn);
}

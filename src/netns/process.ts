// A program inside a network namespace: what `weft run` and `weft sandbox exec` do in the CLI's own process. The daemon has
// no part in it, so programs live on when it stops.
import { type ChildExit, native } from "../ports/native.ts";

export type { ChildExit } from "../ports/native.ts";

export interface ProcessOptions {
  readonly namespacePath: string;
  readonly argv: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its own, in a UTS namespace. */
  readonly hostname?: string;
  /** Files that it sees at `target`, where the host has others. */
  readonly files?: readonly { readonly source: string; readonly target: string }[];
  readonly onSpawn: (pid: number) => void;
}

/** Runs it with this process's stdio; resolves when it has ended. Rejects with `.code` ENOENT etc. if it can't be started. */
export function runProcess(options: ProcessOptions): Promise<ChildExit> {
  const inherited = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const env = { ...Object.fromEntries(inherited), ...options.env };
  const { hostname, files } = options;
  const own = { ...(hostname === undefined ? {} : { hostname }), ...(files === undefined ? {} : { files: [...files] }) };
  return native().runInNamespace(options.namespacePath, [...options.argv], { env, ...own }, options.onSpawn);
}

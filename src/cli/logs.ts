// weft logs: what the program of a `weft run -d` has written. The log is a file on the daemon's host, of bounded size: PATH.1
// holds what was before PATH (native/src/shim/log.rs).
import { existsSync, readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Command } from "commander";
import { notFound } from "../errors.ts";
import { type Context, integer, leaf, type Session } from "./command.ts";

const NEWLINE = 10;
const CHUNK_BYTES = 64 * 1024;
/** How often a log that is followed is looked at, and every how many looks the daemon is asked whether the program lives. */
const LOOK_MS = 100;
const LOOKS_A_QUESTION = 20;

interface LogFlags {
  readonly follow?: boolean;
  readonly tail?: number;
}

/** The last `lines` of these bytes; the last one need not have its end yet. */
export function lastLines(bytes: Buffer, lines: number): Buffer {
  if (lines === 0) return bytes.subarray(bytes.length);
  let at = bytes.length - 1;
  for (let left = lines; at > 0; at--) if (bytes[at - 1] === NEWLINE && --left === 0) break;
  return bytes.subarray(Math.max(at, 0));
}

async function logs(context: Context, reference: string, { follow = false, tail }: LogFlags): Promise<void> {
  const { sandbox } = await context.client.call("sandbox", "Inspect", { sandbox: reference });
  const { id, name, logPath, exitPath } = sandbox!;
  const file = await open(logPath).catch(() => null);
  if (file === null) throw notFound(`sandbox ${name} has no log: \`weft run -d\` makes one`);
  const ended = async (looks: number): Promise<boolean> => {
    if (existsSync(exitPath)) return true;
    if (looks % LOOKS_A_QUESTION !== 0) return false;
    const now = await context.client.call("sandbox", "Inspect", { sandbox: id }).catch(() => null);
    return now?.sandbox?.program?.state !== "running";
  };
  let current = file;
  try {
    const before = existsSync(`${logPath}.1`) ? readFileSync(`${logPath}.1`) : Buffer.alloc(0);
    const there = Buffer.concat([before, await rest(current)]);
    context.host.stdout.write(tail === undefined ? there : lastLines(there, tail));
    const stopped = context.host.interrupted();
    for (let looks = 1; follow && !stopped.aborted; looks++) {
      const over = await ended(looks);
      context.host.stdout.write(await rest(current));
      const turned = await next(current, logPath);
      if (turned !== null) {
        context.host.stdout.write(await rest(current));
        await current.close();
        current = turned;
        context.host.stdout.write(await rest(current));
      }
      if (over) return;
      await pause(LOOK_MS, undefined, { signal: stopped }).catch(() => {});
    }
  } finally {
    await current.close();
  }
}

async function rest(file: FileHandle): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (;;) {
    const { bytesRead, buffer } = await file.read({ buffer: Buffer.allocUnsafe(CHUNK_BYTES) });
    if (bytesRead === 0) return Buffer.concat(chunks);
    chunks.push(buffer.subarray(0, bytesRead));
  }
}

/** The file that has taken the place of this one; null: none has. */
async function next(file: FileHandle, path: string): Promise<FileHandle | null> {
  const other = await open(path).catch(() => null);
  if (other === null) return null;
  if ((await other.stat()).ino !== (await file.stat()).ino) return other;
  await other.close();
  return null;
}

export function register(program: Command, host: Session): void {
  leaf<LogFlags>(program, host, {
    usage: "logs <sandbox>",
    summary: "What the program of a `run -d` has written",
    examples: ["weft logs api", "weft logs -f --tail 10 api"],
    run: (context, [reference], flags) => logs(context, reference!, flags),
  })
    .option("-f, --follow", "go on until the program ends")
    .option("-n, --tail <lines>", "only the last ones, or all (default: all)", (text) =>
      // Docker takes a negative number for all of them, too.
      text === "all" || /^-\d+$/.test(text) ? undefined : integer("--tail", 0, 1e9)(text),
    );
}

// weft capture: frames as pcapng, for tshark and Wireshark. Binary: into a file or a pipe, never onto a terminal.
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import type { Writable } from "node:stream";
import type { Command } from "commander";
import { WeftError } from "../errors.ts";
import { type Context, integer, leaf, type Session } from "./command.ts";
import { UsageError } from "./errors.ts";
import { amount, durationMs } from "./values.ts";

interface Flags {
  readonly write?: string;
  readonly snaplen?: number;
  readonly duration?: string;
  readonly sandbox?: boolean;
  readonly network?: boolean;
  readonly decrypt?: boolean;
}

const SNAPLEN_MAX = 262144;
/** For the last frames; a daemon that takes longer is not waited for. */
const SETTLE_MS = 1000;

function target(name: string, flags: Flags) {
  if (flags.sandbox && flags.network) throw new UsageError("give --sandbox or --network, not both");
  if (flags.sandbox) return { sandbox: name };
  if (flags.network) return { network: name };
  return name === "underlay" ? { underlay: true } : { name };
}

/** What fails at a file, said with its name: a disk that is full is no bug of ours. */
async function at<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new WeftError("UNAVAILABLE", `cannot write ${path}: ${(error as Error).message}`);
  }
}

/**
 * Comes after `end`, once the frames captured until then are here: figures that are asked for at the end go through the data
 * plane and back on the same ways as the frames, and so come behind them.
 */
function settled(context: Context, end: AbortSignal): AbortSignal {
  const controller = new AbortController();
  const settle = async (): Promise<void> => {
    try {
      for await (const _ of context.client.stream("diagnostics", "Stats", {}, AbortSignal.timeout(SETTLE_MS))) break;
    } catch {
      // A daemon that does not answer has no more frames either.
    }
    setImmediate(() => controller.abort());
  };
  if (end.aborted) controller.abort();
  end.addEventListener("abort", () => void settle(), { once: true });
  return controller.signal;
}

async function capture(context: Context, name: string, flags: Flags): Promise<void> {
  const toStdout = flags.write === undefined || flags.write === "-";
  if (toStdout && context.host.stdoutIsTerminal) {
    throw new UsageError(`a capture is binary and stdout is a terminal: give -w FILE, or pipe it: weft capture ${name} | tshark -r -`);
  }
  const ends = [context.host.interrupted()];
  if (flags.duration !== undefined) ends.push(AbortSignal.timeout(durationMs(flags.duration)));
  const request = { ...target(name, flags), snapLength: flags.snaplen ?? 0, decrypt: flags.decrypt ?? false };
  const stream = context.client.stream("diagnostics", "Capture", request, settled(context, AbortSignal.any(ends)));

  // The file is made once the daemon has agreed: a refused capture leaves none behind.
  let file: FileHandle | undefined;
  let bytes = 0;
  try {
    for await (const { data } of stream) {
      bytes += data.length;
      if (toStdout) {
        if (context.host.stdout.write(data) === false) await once(context.host.stdout as Writable, "drain");
        continue;
      }
      if (file === undefined) {
        file = await at(flags.write!, open(flags.write!, "w"));
        if (!context.quiet) context.host.stderr.write(`weft: capturing ${name} to ${flags.write}, ctrl-c ends\n`);
      }
      await at(flags.write!, file.appendFile(data));
    }
  } finally {
    await file?.close();
  }
  if (file !== undefined && !context.quiet) context.host.stderr.write(`weft: ${amount(bytes, "B")} written to ${flags.write}\n`);
}

export function register(program: Command, host: Session): void {
  leaf<Flags>(program, host, {
    usage: "capture <target>",
    summary: "Frames of a sandbox, a network or the underlay, as pcapng",
    examples: [
      "weft capture -w a.pcapng a             a sandbox's frames, until ctrl-c",
      "weft capture prod | tshark -r -        a network's",
      "weft capture underlay --duration 5s -w wire.pcapng    VXLAN and ESP as they are on the wire",
      "weft capture underlay --decrypt -w inner.pcapng       frames of encrypted networks in the place of ESP",
    ],
    run: (context, [name], flags) => capture(context, name!, flags),
  })
    .option("-w, --write <file>", "to this file; - is stdout")
    .option("--snaplen <bytes>", "bytes kept of each frame (default: all)", integer("--snaplen", 1, SNAPLEN_MAX))
    .option("--duration <duration>", "end after so long")
    .option("--decrypt", "of the underlay: inner frames of encrypted networks in the place of ESP")
    .option("--sandbox", "the name is a sandbox's")
    .option("--network", "the name is a network's");
}

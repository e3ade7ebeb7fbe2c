// weft capture: frames as pcapng, for tshark and Wireshark. Binary: into a file or a pipe, never onto a terminal.
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
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
}

const SNAPLEN_MAX = 262144;

async function write(stream: Writable, data: Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, "drain");
}

function target(name: string, flags: Flags) {
  if (flags.sandbox && flags.network) throw new UsageError("give --sandbox or --network, not both");
  if (flags.sandbox) return { sandbox: name };
  if (flags.network) return { network: name };
  return name === "underlay" ? { underlay: true } : { name };
}

async function openFile(path: string): Promise<Writable> {
  const file = createWriteStream(path);
  try {
    await once(file, "open");
  } catch (error) {
    throw new WeftError("INVALID_ARGUMENT", `cannot write ${path}: ${(error as Error).message}`);
  }
  return file;
}

async function capture(context: Context, name: string, flags: Flags): Promise<void> {
  const toStdout = flags.write === undefined || flags.write === "-";
  if (toStdout && context.host.stdoutIsTerminal) {
    throw new UsageError(`a capture is binary and stdout is a terminal: give -w FILE, or pipe it: weft capture ${name} | tshark -r -`);
  }
  const ends = [context.host.interrupted()];
  if (flags.duration !== undefined) ends.push(AbortSignal.timeout(durationMs(flags.duration)));
  const request = { ...target(name, flags), snapLength: flags.snaplen ?? 0 };
  const stream = context.client.stream("diagnostics", "Capture", request, AbortSignal.any(ends));

  // The file is made once the daemon has agreed: a refused capture leaves none behind.
  let file: Writable | undefined;
  let bytes = 0;
  for await (const { data } of stream) {
    bytes += data.length;
    if (toStdout) {
      if (context.host.stdout.write(data) === false) await once(context.host.stdout as Writable, "drain");
      continue;
    }
    if (file === undefined) {
      file = await openFile(flags.write!);
      if (!context.quiet) context.host.stderr.write(`weft: capturing ${name} to ${flags.write}, ctrl-c ends\n`);
    }
    await write(file, data);
  }
  if (file !== undefined) {
    file.end();
    await finished(file);
    if (!context.quiet) context.host.stderr.write(`weft: ${amount(bytes, "B")} written to ${flags.write}\n`);
  }
}

export function register(program: Command, host: Session): void {
  leaf<Flags>(program, host, {
    usage: "capture <target>",
    summary: "Frames of a sandbox, a network or the underlay, as pcapng",
    examples: [
      "weft capture -w a.pcapng a             a sandbox's frames, until ctrl-c",
      "weft capture prod | tshark -r -        a network's",
      "weft capture underlay --duration 5s -w wire.pcapng    VXLAN as it is on the wire",
    ],
    run: (context, [name], flags) => capture(context, name!, flags),
  })
    .option("-w, --write <file>", "to this file; - is stdout")
    .option("--snaplen <bytes>", "bytes kept of each frame (default: all)", integer("--snaplen", 1, SNAPLEN_MAX))
    .option("--duration <duration>", "end after so long")
    .option("--sandbox", "the name is a sandbox's")
    .option("--network", "the name is a network's");
}

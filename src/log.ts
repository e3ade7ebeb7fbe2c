// The daemon's log, on stderr: stdout is for results. One line an event: JSON for machines, or
//
//   12:00:00.000 INFO  network created name=web driver=overlay vni=4096
//
// for people, by the same pino underneath. Writes are synchronous: the last line before a crash is the one that matters, and
// the packet path never logs.
import { isatty } from "node:tty";
import { type DestinationStream, destination, type Logger, pino } from "pino";

export type { Logger } from "pino";

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = "json" | "text";

export interface LogOptions {
  readonly level: LogLevel;
  /** Text unless given when stderr is a terminal, else JSON. */
  readonly format?: LogFormat | undefined;
  /** Where lines go; stderr unless given. */
  readonly to?: { write(line: string): unknown };
}

const STDERR = 2;
const HIDDEN = new Set(["level", "time", "msg"]);

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return typeof value === "string" && (text === "" || /[\s"=]/.test(text)) ? JSON.stringify(text) : text;
}

/** One JSON line of pino's as a line for people; what is no such line passes through. */
export function textLine(json: string): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(json) as Record<string, unknown>;
  } catch {
    return json;
  }
  const { err, ...fields } = record;
  const time = new Date(Number(record.time)).toISOString().slice(11, 23);
  const parts = [time, String(record.level).toUpperCase().padEnd(5), String(record.msg ?? "")];
  for (const [name, value] of Object.entries(fields)) if (!HIDDEN.has(name)) parts.push(`${name}=${shown(value)}`);
  let stack = "";
  if (typeof err === "object" && err !== null) {
    const error = err as { message?: string; stack?: string };
    if (record.msg !== error.message) parts.push(`err=${shown(error.message ?? "")}`);
    if (error.stack) stack = `${error.stack.replace(/^/gm, "    ")}\n`;
  }
  return `${parts.join(" ")}\n${stack}`;
}

export function createLogger(options: LogOptions): Logger {
  const format = options.format ?? (isatty(STDERR) ? "text" : "json");
  const raw = options.to ?? destination({ fd: STDERR, sync: true });
  const stream: DestinationStream = { write: (line) => void raw.write(format === "text" ? textLine(line) : line) };
  return pino({ level: options.level, base: null, formatters: { level: (label) => ({ level: label }) } }, stream);
}

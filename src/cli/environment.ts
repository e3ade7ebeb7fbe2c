// Variables of programs, as the command line gives them and as a program gets them.
//
//   -e NAME=value          as it is
//   -e NAME                the caller's, at the moment; where it has none, the program has none either
//   --env-file FILE        lines NAME=value and NAME; # begins a comment line. No quotes, no escapes: a value is all behind the
//                          first "=", as Docker reads it
//
// Files come first and -e behind them, whatever the order on the command line, and the last of a name counts.
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { SANDBOX_ID_VARIABLE } from "../netns/process.ts";
import { collect } from "./command.ts";
import { UsageError } from "./errors.ts";

export interface EnvironmentFlags {
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
}

const [LINE_FEED, CARRIAGE_RETURN] = [10, 13];
/** A message is no place for a whole file without line ends. */
const BYTES_SHOWN_MAX = 64;

type Caller = Readonly<Record<string, string | undefined>>;

export const environmentOptions = (command: Command): Command =>
  command
    .option("-e, --env <name[=value]>", "variable of its programs; a name alone: as it is here; repeatable", collect)
    .option("--env-file <file>", "file of such variables, one a line, repeatable", collect);

/** In the API's form. Throws a UsageError, in Docker's words. */
export function environment(flags: EnvironmentFlags, caller: Caller): string[] {
  return [...(flags.envFile ?? []).flatMap((path) => readEnvFile(path, caller)), ...(flags.env ?? []).map((text) => given(text, caller))];
}

function given(text: string, caller: Caller): string {
  if (text === "" || text.startsWith("="))
    throw new UsageError(
      `invalid argument "${text}" for "-e, --env" flag: invalid environment variable: ${text}: write NAME=value or NAME`,
    );
  const value = text.includes("=") ? undefined : caller[text];
  return value === undefined ? text : `${text}=${value}`;
}

function readEnvFile(path: string, caller: Caller): string[] {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UsageError(unreadable(path, error as NodeJS.ErrnoException));
  }
  try {
    return parseEnvFile(bytes, caller);
  } catch (error) {
    throw new UsageError(`invalid env file (${path}): ${(error as Error).message}`);
  }
}

/** Docker's words, which are Go's, and what to do. */
function unreadable(path: string, { code, message }: NodeJS.ErrnoException): string {
  const remedy = "--env-file takes a file with lines NAME=value or NAME";
  if (code === "ENOENT") return `open ${path}: no such file or directory: ${remedy}`;
  if (code === "ENOTDIR") return `open ${path}: not a directory: ${remedy}`;
  if (code === "EACCES") return `open ${path}: permission denied: make it readable for who runs weft`;
  if (code === "EISDIR") return `invalid env file (${path}): read ${path}: is a directory: ${remedy}`;
  return `open ${path}: ${message}`;
}

/** A name that the caller has no value for is left out. Throws for the first line that can't be read. */
export function parseEnvFile(bytes: Buffer, caller: Caller): string[] {
  const found: string[] = [];
  for (const [at, whole] of lines(bytes).entries()) {
    // Cuts off a byte order mark at the beginning of each line, as harmless there.
    const line = utf8(whole, at + 1).trimStart();
    if (line === "" || line.startsWith("#")) continue;
    const name = line.split("=", 1)[0]!;
    if (name === "") throw new Error(`no variable name on line '${line}': write NAME=value or NAME`);
    if (/[ \t]/.test(name)) throw new Error(`variable '${name}' contains whitespaces: write NAME=value, without "export" and blanks`);
    if (line.includes("\0")) throw new Error(`variable '${name}' contains a NUL byte on line ${at + 1}: no program can be given that`);
    if (line.includes("=")) found.push(line);
    else if (caller[name] !== undefined) found.push(`${name}=${caller[name]}`);
  }
  return found;
}

/** What lies between line feeds, without a carriage return at its end. */
function lines(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const feed = bytes.indexOf(LINE_FEED, start);
    const end = feed < 0 ? bytes.length : feed;
    found.push(bytes.subarray(start, end > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end));
    start = end + 1;
  }
  return found;
}

function utf8(bytes: Buffer, line: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const hint = bytes.includes(0) ? "it looks like UTF-16: save it as UTF-8" : "save it as UTF-8";
    throw new Error(`invalid utf8 bytes at line ${line}: [${bytes.subarray(0, BYTES_SHOWN_MAX).join(" ")}]: ${hint}`);
  }
}

/** What a program gets beside the caller's environment. What it is to know of its sandbox it knows whatever is `added`. */
export function sandboxEnvironment(sandbox: Sandbox__Output, added: readonly string[] = []): Record<string, string> {
  const variables = new Map(Object.entries(sandbox.linkEnvironment));
  for (const text of [...sandbox.environment, ...added]) {
    const at = text.indexOf("=");
    if (at < 0) variables.delete(text);
    else variables.set(text.slice(0, at), text.slice(at + 1));
  }
  return Object.fromEntries([...variables, ["WEFT_SANDBOX", sandbox.name], [SANDBOX_ID_VARIABLE, sandbox.id]]);
}

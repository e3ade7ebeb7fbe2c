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
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") throw new UsageError(`invalid env file (${path}): invalid utf8 bytes: it is no text`);
    throw new UsageError(`--env-file: cannot read ${path}: ${message}`);
  }
  try {
    return parseEnvFile(text, caller);
  } catch (error) {
    throw new UsageError(`invalid env file (${path}): ${(error as Error).message}`);
  }
}

/** A name that the caller has no value for is left out. Throws for the first line that can't be read. */
export function parseEnvFile(text: string, caller: Caller): string[] {
  const lines = text.split(/\r?\n/).map((line) => line.trimStart());
  return lines
    .filter((line) => line !== "" && !line.startsWith("#"))
    .flatMap((line) => {
      const name = line.split("=", 1)[0]!;
      if (name === "") throw new Error(`no variable name on line '${line}'`);
      if (/[ \t]/.test(name)) throw new Error(`variable '${name}' contains whitespaces`);
      if (line.includes("=")) return [line];
      return caller[name] === undefined ? [] : [`${name}=${caller[name]}`];
    });
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

// Options as scripts for Docker write them, which reads them as Go does: switches with a value (`--ipv6=false`, `-d=1`) and short
// options with a "=" before theirs (`-p=80`, `-dp=80`). Made into what commander knows before it parses: a switch or its negation,
// an option and its value. Which words are switches is asked of the command that argv names; what stands behind
// "--" or belongs to a program (`run a cmd --x=true` is no option of ours) stays as it is.
import type { Command } from "commander";
import { UsageError } from "./errors.ts";

/** As Go's flags read them. */
const TRUE = /^(1|t|T|true|TRUE|True)$/;
const FALSE = /^(0|f|F|false|FALSE|False)$/;
/** What stands behind their first argument is a program's. */
const RUN_PROGRAMS = ["run", "exec"];

/** Throws UsageError for a switch whose value is no truth. */
export function plainBooleans(argv: readonly string[], program: Command): string[] {
  let command = program;
  const words: string[] = [];
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at]!;
    const short = shortWithValue(command, word);
    if (short !== null) {
      words.push(...short);
      continue;
    }
    const [, name, value] = /^(-\w|--[\w-]+)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) {
      const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
      if (word === "--" || (next === undefined && RUN_PROGRAMS.includes(command.name()))) return [...words, ...argv.slice(at)];
      command = next ?? command;
      words.push(word);
      continue;
    }
    const option = command.options.find(({ long, short }) => name === long || name === short);
    if (option?.isBoolean() && value !== undefined && name === option.long) words.push(...plain(command, name, value));
    else words.push(word);
    // Its value may look like anything.
    if (option?.required && value === undefined && at + 1 < argv.length) words.push(argv[++at]!);
  }
  return words;
}

/** `-abc=value`: c's value, if a and b are switches; null: it is something else. */
function shortWithValue(command: Command, word: string): string[] | null {
  const [, letters, value = ""] = /^-(\w+)=(.*)$/s.exec(word) ?? [];
  if (letters === undefined) return null;
  const options = [...letters].map((letter) => command.options.find(({ short }) => short === `-${letter}`));
  const last = options.pop();
  if (last === undefined || !options.every((option) => option?.isBoolean())) return null;
  const before = letters.length > 1 ? [`-${letters.slice(0, -1)}`] : [];
  if (last.isBoolean() && last.long !== undefined) return [...before, ...plain(command, last.long, value)];
  return last.required ? [...before, last.short!, value] : null;
}

function plain(command: Command, name: string, value: string): string[] {
  if (TRUE.test(value)) return [name];
  if (!FALSE.test(value)) throw new UsageError(`invalid argument "${value}" for "${name}": give true or false`);
  const negated = name.replace(/^--/, "--no-");
  return command.options.some(({ long }) => long === negated) ? [negated] : [];
}

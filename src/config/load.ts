// From a file and flags to one frozen configuration, or to a WeftError that names the key, its value and the rule.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { z } from "zod";
import { canonicalAddress } from "../net/address.ts";
import { SOCKET_VARIABLE, socketPath } from "./defaults.ts";
import { ConfigError } from "./errors.ts";
import { type Config, SETTINGS, schema } from "./schema.ts";

export type { Config } from "./schema.ts";

type Plain = Record<string, unknown>;

/** How messages call what isn't in a file. */
const COMMAND_LINE = "command line";

const refused = (message: string): ConfigError => new ConfigError(message, message.startsWith(COMMAND_LINE));

/** Flags of `weft daemon` that are called otherwise than their settings. */
const FLAG_PATHS: Readonly<Record<string, string>> = {
  underlayAddress: "underlayAddresses",
  logLevel: "log.level",
  logFormat: "log.format",
};

/** Edit distance: insertions, deletions and substitutions. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (const [at, letter] of [...a].entries()) {
    const next = [at + 1];
    for (const [column, other] of [...b].entries()) {
      next.push(Math.min(row[column]! + (letter === other ? 0 : 1), row[column + 1]! + 1, next[column]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** What to do about a setting that there is not: the one that was probably meant, where one is near enough. */
export function instead(path: string): string {
  const lower = path.toLowerCase();
  // The last name counts too ("spinUs" is meant for "datapath.spinUs"), and so does a beginning ("underlay").
  const cost = (known: string): number => {
    const whole = known.toLowerCase();
    const last = whole.split(".").at(-1)!;
    return last.startsWith(lower) ? 1 : Math.min(distance(lower, whole), distance(lower, last) + 1);
  };
  const best = SETTINGS.map(({ path: known }) => known).reduce((before, known) => (cost(known) < cost(before) ? known : before));
  return cost(best) <= Math.max(2, path.length / 3) ? `did you mean "${best}"?` : "weft daemon --settings lists all";
}

function put(target: Plain, path: string, value: unknown): void {
  const names = path.split(".");
  let at = target;
  for (const name of names.slice(0, -1)) {
    const inner = at[name];
    if (typeof inner !== "object" || inner === null) at[name] = {};
    at = at[name] as Plain;
  }
  at[names.at(-1)!] = value;
}

function at(object: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce((value, key) => (value as Plain | undefined)?.[key as string], object);
}

function explain(issue: z.core.$ZodIssue, input: Plain, source: string): string {
  const path = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const key = [...issue.path, issue.keys[0]].join(".");
    return `${source}: there is no setting "${key}"; ${instead(key)}`;
  }
  const value = at(input, issue.path);
  return `${source}: setting "${path}" is ${JSON.stringify(value) ?? "missing"}: ${issue.message}`;
}

function parse(input: Plain, source: string): Config {
  const result = schema.safeParse(input);
  if (!result.success) throw refused(explain(result.error.issues[0]!, input, source));
  return result.data;
}

function readFile(path: string): Plain {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw refused(`cannot read the configuration ${path}: ${(error as Error).message}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refused(`the configuration ${path} is no JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw refused(`the configuration ${path} must be a JSON object`);
  return value as Plain;
}

/** A flag's text as the JSON value that it means: numbers, true, false, null and lists are themselves, all else is a string. */
function meant(text: unknown): unknown {
  if (typeof text !== "string") return text;
  if (!/^(-?\d+(\.\d+)?|true|false|null|[[{].*)$/s.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** These are text whatever they look like: a node may be called "7". */
const TEXTS = ["nodeName", "stateDir", "socket", "metrics"];

function checkAddresses(config: Config, source: string): void {
  const [first, second] = config.underlayAddresses;
  if (first !== undefined && second !== undefined && first.includes(":") === second.includes(":")) {
    throw refused(`${source}: setting "underlayAddresses" has ${first} and ${second}: at most one IPv4 and one IPv6 address`);
  }
}

/** `flags`: as commander names them, `set` a list of key=value. */
export function loadConfig(
  file: string | undefined,
  flags: Readonly<Plain>,
  env: Readonly<Record<string, string | undefined>> = {},
): Config {
  const merged: Plain = {};
  let source: string = COMMAND_LINE;
  if (file !== undefined) {
    source = file;
    const content = readFile(file);
    parse(content, file);
    Object.assign(merged, structuredClone(content));
  }
  if (merged.socket === undefined && env[SOCKET_VARIABLE]) merged.socket = env[SOCKET_VARIABLE];
  const { set, ...named } = flags;
  for (const [flag, text] of Object.entries(named)) {
    source = COMMAND_LINE;
    const path = FLAG_PATHS[flag] ?? flag;
    put(merged, path, TEXTS.includes(path) ? text : meant(text));
  }
  for (const pair of (set as string[] | undefined) ?? []) {
    source = COMMAND_LINE;
    const cut = pair.indexOf("=");
    if (cut < 1) throw refused(`${COMMAND_LINE}: --set ${pair}: write key=value`);
    const path = pair.slice(0, cut);
    if (!SETTINGS.some((setting) => setting.path === path)) {
      throw refused(`${COMMAND_LINE}: --set ${pair}: there is no setting "${path}"; ${instead(path)}`);
    }
    put(merged, path, TEXTS.includes(path) ? pair.slice(cut + 1) : meant(pair.slice(cut + 1)));
  }
  const config = parse(merged, source);
  checkAddresses(config, source);
  const underlayAddresses = config.underlayAddresses.map((text) => canonicalAddress(text));
  return Object.freeze({
    ...config,
    underlayAddresses,
    stateDir: resolve(config.stateDir),
    socket: resolve(socketPath(config.socket, {})),
  });
}

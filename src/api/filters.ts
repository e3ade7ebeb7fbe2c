// `--filter key=value` as Docker reads it: values of one key are alternatives, different keys must all hold, and so must all
// labels (`label=key` or `label=key=value`).
import { invalidArgument } from "../errors.ts";

/** How a key's value picks objects. A value that can't be meant throws at once, whatever objects there are. */
export type Matchers<T> = Readonly<Record<string, (value: string) => (object: T) => boolean>>;

/** Keys of which two values contradict each other. */
const SINGLE = ["dangling"];

interface Filter {
  readonly key: string;
  readonly value: string;
}

function parse(text: string, known: readonly string[]): Filter {
  const at = text.indexOf("=");
  if (at <= 0) throw invalidArgument(`bad format of filter (expected name=value): ${text}, with key one of ${known.join(", ")}`);
  const key = text.slice(0, at).trim().toLowerCase();
  if (!known.includes(key)) throw invalidArgument(`invalid filter '${key}': the keys are ${known.join(", ")}`);
  return { key, value: text.slice(at + 1).trim() };
}

export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf("=");
  const key = at < 0 ? wanted : wanted.slice(0, at);
  // Own ones only: every object has a `constructor`.
  return Object.hasOwn(labels, key) && (at < 0 || labels[key] === wanted.slice(at + 1));
}

/** The objects that pass `filters`, in their order. */
export function filtered<T>(objects: readonly T[], filters: readonly string[], matchers: Matchers<T>): T[] {
  const parsed = filters.map((text) => parse(text, Object.keys(matchers)));
  const tests = [...new Set(parsed.map(({ key }) => key))].map((key): ((object: T) => boolean) => {
    const values = [...new Set(parsed.filter((one) => one.key === key).map(({ value }) => value))];
    if (SINGLE.includes(key) && values.length > 1) throw invalidArgument(`got more than one value for filter key "${key}": give one`);
    const matches = values.map((value) => matchers[key]!(value));
    if (key === "label") return (object) => matches.every((match) => match(object));
    return (object) => matches.some((match) => match(object));
  });
  return objects.filter((object) => tests.every((test) => test(object)));
}

/** `test` of a part of the object. */
export const on =
  <T, P>(test: (part: P) => boolean, part: (object: T) => P): ((object: T) => boolean) =>
  (object) =>
    test(part(object));

/** For matchers of a yes-or-no property. */
export function yesOrNo(key: string, value: string): boolean {
  if (value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw invalidArgument(`invalid value for filter '${key}': must be "true" (or "1"), or "false" (or "0"), not "${value}"`);
}

/** Of what may be pruned. */
interface Prunable {
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * `--filter` of prune commands: `until=TIME` (made before) and `label=key[=value]`, `label!=key[=value]`; all must hold.
 * `nowMs`: what durations count back from.
 */
export function pruneMatcher(filters: readonly string[], nowMs: number): (object: Prunable) => boolean {
  const tests = filters.map((text): ((object: Prunable) => boolean) => {
    const [, key, not, value = ""] = /^\s*(\w+)\s*(!?)=(.*)$/.exec(text) ?? [];
    if (key === "label") return ({ labels }) => hasLabel(labels, value.trim()) === (not === "");
    if (key === "until" && not === "") {
      const until = untilMs(value.trim(), nowMs);
      return ({ createdAt }) => Date.parse(createdAt) < until;
    }
    throw invalidArgument(`invalid filter '${key ?? text}': use until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]`);
  });
  if (filters.filter((text) => /^\s*until/.test(text)).length > 1) throw invalidArgument("more than one until filter specified: give one");
  return (object) => tests.every((test) => test(object));
}

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A point in time: a Go duration before now ("1h30m"), Unix seconds, or a date with or without time and zone. */
function untilMs(text: string, nowMs: number): number {
  if (/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
    return nowMs - parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNIT_MS[unit!]!, 0);
  }
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const time = /^\d{4}-\d{2}-\d{2}(T\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:\d{2})?)?$/.test(text)
    ? Date.parse(completed(text))
    : Number.NaN;
  if (Number.isNaN(time)) {
    throw invalidArgument(`invalid filter "until=${text}": give a duration (24h), Unix seconds or a time (2026-01-31T12:00:00Z)`);
  }
  return time;
}

/** "2026-01-31T12" -> "2026-01-31T12:00"; without a zone the daemon's own is meant, as for a bare date. */
function completed(text: string): string {
  if (!text.includes("T")) return `${text}T00:00`;
  return text.replace(/T(\d{2})(?=$|Z|[+-])/, "T$1:00");
}

// `--filter key=value` as Docker reads it: values of one key are alternatives, different keys must all hold, and so must all
// labels (`label=key` or `label=key=value`).
import { invalidArgument } from "../errors.ts";

/** How a key's value picks an object. */
export type Matchers<T> = Readonly<Record<string, (object: T, value: string) => boolean>>;

interface Filter {
  readonly key: string;
  readonly value: string;
}

function parse(text: string, known: readonly string[]): Filter {
  const at = text.indexOf("=");
  if (at <= 0) throw invalidArgument(`invalid filter "${text}": use key=value, with key one of ${known.join(", ")}`);
  const key = text.slice(0, at).trim().toLowerCase();
  if (!known.includes(key)) throw invalidArgument(`invalid filter "${key}": the keys are ${known.join(", ")}`);
  return { key, value: text.slice(at + 1).trim() };
}

export function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const at = wanted.indexOf("=");
  return at < 0 ? wanted in labels : labels[wanted.slice(0, at)] === wanted.slice(at + 1);
}

/** The objects that pass `filters`, in their order. */
export function filtered<T>(objects: readonly T[], filters: readonly string[], matchers: Matchers<T>): T[] {
  const parsed = filters.map((text) => parse(text, Object.keys(matchers)));
  const keys = [...new Set(parsed.map((one) => one.key))];
  const passes = (object: T, key: string): boolean => {
    const values = parsed.filter((one) => one.key === key).map((one) => one.value);
    const match = (value: string): boolean => matchers[key]!(object, value);
    return key === "label" ? values.every(match) : values.some(match);
  };
  return objects.filter((object) => keys.every((key) => passes(object, key)));
}

/** For matchers of a yes-or-no property. */
export function yesOrNo(key: string, value: string): boolean {
  if (value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw invalidArgument(`invalid filter "${key}=${value}": give true or false`);
}

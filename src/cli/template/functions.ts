// The functions that a template can call by name, as Go's text/template and Docker's command line define them. A pipeline's value
// comes as the last argument.
import { index, show, truthy } from "./values.ts";

function format(pattern: unknown, ...values: unknown[]): string {
  let next = 0;
  return String(pattern).replace(/%(-?\d*)([sdvqtx%])/g, (_, width: string, verb: string) => {
    if (verb === "%") return "%";
    const value = values[next++];
    const text = verb === "q" ? JSON.stringify(show(value)) : verb === "x" ? Number(value).toString(16) : show(value);
    return width.startsWith("-") ? text.padEnd(Number(width.slice(1))) : text.padStart(Number(width));
  });
}

function compare(a: unknown, b: unknown): number {
  const [x, y] = [a, b] as [number, number];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** By name; `and` and `or` see all arguments evaluated. */
export const FUNCTIONS: Readonly<Record<string, (...values: unknown[]) => unknown>> = {
  json: (value) => JSON.stringify(value) ?? "null",
  len: (value) => (typeof value === "string" || Array.isArray(value) ? value.length : Object.keys(Object(value)).length),
  index,
  join: (value, separator) => (value as unknown[]).map((one) => show(one)).join(String(separator)),
  split: (value, separator) => String(value).split(String(separator)),
  lower: (value) => String(value).toLowerCase(),
  upper: (value) => String(value).toUpperCase(),
  title: (value) => String(value).replace(/\b\w/g, (letter) => letter.toUpperCase()),
  print: (...values) => values.map((one) => show(one)).join(""),
  println: (...values) => `${values.map((one) => show(one)).join(" ")}\n`,
  printf: format,
  eq: (a, ...others) => others.some((b) => a === b),
  ne: (a, b) => a !== b,
  lt: (a, b) => compare(a, b) < 0,
  le: (a, b) => compare(a, b) <= 0,
  gt: (a, b) => compare(a, b) > 0,
  ge: (a, b) => compare(a, b) >= 0,
  and: (...values) => values.find((one) => !truthy(one)) ?? values.at(-1),
  or: (...values) => values.find(truthy) ?? values.at(-1),
  not: (value) => !truthy(value),
};

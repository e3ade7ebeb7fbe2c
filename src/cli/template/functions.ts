// The functions that a template can call by name, as Go's text/template and Docker's command line define them. A pipeline's value
// comes as the last argument.
import { UsageError } from "../errors.ts";
import { index, show, truthy, typeName } from "./values.ts";

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
  join: (value, separator) => {
    if (value === null) return ""; // a list that JSON has as null
    if (!Array.isArray(value)) throw new UsageError(`template: can't join ${typeName(value)}`);
    return value.map((one) => show(one)).join(String(separator));
  },
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
  // What decides an `and` may be nothing itself.
  and: (...values) => (values.every(truthy) ? values.at(-1) : values.find((one) => !truthy(one))),
  or: (...values) => values.find(truthy) ?? values.at(-1),
  not: (value) => !truthy(value),
};

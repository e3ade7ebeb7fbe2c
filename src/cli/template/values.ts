// Objects of the API as Go's templates see values: what is true, how one is printed, what stands in a field. A missing field is a
// mistake in an object and none in a map, and JSON has one kind for both; so whoever makes an object of labels or options says that
// its keys are data, and whose rows have methods (`{{.Label "team"}}`) lists these apart: in JSON and among the fields they are not.
import { UsageError } from "../errors.ts";

const openMaps = new WeakSet<object>();
const textMaps = new WeakSet<object>();

/** Marks an object whose keys are data (labels, options): a missing key is no mistake there. */
export function openMap<T extends object>(object: T): T {
  openMaps.add(object);
  return object;
}

/** The same where all values are texts: `index` of a key that is missing is the empty one, as in Go. */
export function textMap(object: Readonly<Record<string, string>>): Record<string, string> {
  const copy = { ...object };
  textMaps.add(copy);
  return openMap(copy);
}

/** Key of an object's methods, by name: called with what stands behind them. */
export const METHODS = Symbol("methods");

type Method = (...values: unknown[]) => unknown;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

export function truthy(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === 0n || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  return isObject(value) ? Object.keys(value).length > 0 : true;
}

/** As Go's %v prints it. */
export function show(value: unknown, nested = false): string {
  if (value === undefined || value === null) return nested ? "<nil>" : "<no value>";
  if (Array.isArray(value)) return `[${value.map((one) => show(one, true)).join(" ")}]`;
  if (!isObject(value)) return String(value);
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${pairs.map(([key, one]) => `${key}:${show(one, true)}`).join(" ")}]`;
}

export function typeName(value: unknown): string {
  if (Array.isArray(value)) return "list";
  // Of a map there is, a name that is not in it.
  if (value === undefined) return "<no value>: the name before it is not there";
  return isObject(value) ? `object with fields ${Object.keys(value).join(", ")}` : typeof value;
}

const methodOf = (value: unknown, name: string): Method | undefined =>
  (value as { readonly [METHODS]?: Readonly<Record<string, Method>> } | null | undefined)?.[METHODS]?.[name];

/** `{{.Name ARGUMENTS}}` */
export function call(value: unknown, name: string, given: readonly unknown[]): unknown {
  const method = methodOf(value, name);
  if (method === undefined) {
    field(value, name);
    throw new UsageError(`template: ${name} has arguments but cannot be invoked as function`);
  }
  if (given.length !== method.length) throw wrongCount(name, method, given.length);
  return method(...given);
}

const wrongCount = (name: string, method: Method, count: number): UsageError =>
  new UsageError(`template: wrong number of args for ${name}: want ${method.length} got ${count}`);

export function field(value: unknown, name: string): unknown {
  const method = methodOf(value, name);
  if (method !== undefined) throw wrongCount(name, method, 0);
  if (isObject(value) && Object.hasOwn(value, name)) return value[name];
  if (isObject(value) && openMaps.has(value)) return undefined;
  throw new UsageError(`template: can't evaluate field ${name} in ${typeName(value)}`);
}

export function index(value: unknown, ...keys: unknown[]): unknown {
  return keys.reduce((at: unknown, key) => {
    if (Array.isArray(at)) {
      if (typeof key !== "number" || !(key in at)) throw new UsageError(`template: index out of range: ${show(key)}`);
      return at[key];
    }
    if (isObject(at)) return Object.hasOwn(at, String(key)) ? at[String(key)] : textMaps.has(at) ? "" : undefined;
    throw new UsageError(`template: can't index ${typeName(at)}`);
  }, value);
}

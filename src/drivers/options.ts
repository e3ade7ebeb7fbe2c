// The options of a driver (`-o key=value`) as data: key, default, how the text is read, one sentence. What is not in the table
// is refused with the list of what is: a misspelt option that is silently ignored shows up months later as a network that
// isn't what its owner believes.
import { invalidArgument } from "../errors.ts";

export interface Option<T> {
  readonly key: string;
  readonly doc: string;
  /** Used where the option is not given. */
  readonly fallback: T;
  /** Throws INVALID_ARGUMENT. `key` is for the message. */
  readonly read: (text: string, key: string) => T;
}

export type OptionValues<S> = { readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never };

// biome-ignore lint/suspicious/noExplicitAny: a schema holds options of any type; OptionValues gives each its own back
export type OptionSchema = Readonly<Record<string, Option<any>>>;

/** Options that users of Docker may give and that this version refuses: key -> why. */
export type RefusedOptions = Readonly<Record<string, string>>;

/** What was read, by schema and by record: a network's options are asked for at each of its endpoints and of its changes. */
const known = new WeakMap<OptionSchema, WeakMap<Readonly<Record<string, string>>, unknown>>();

/** `given` is not changed afterwards. */
export function readOptions<S extends OptionSchema>(
  driver: string,
  schema: S,
  given: Readonly<Record<string, string>>,
  refused: RefusedOptions = {},
): OptionValues<S> {
  const ofSchema = known.get(schema) ?? new WeakMap();
  known.set(schema, ofSchema);
  const values = (ofSchema.get(given) as OptionValues<S> | undefined) ?? read(driver, schema, given, refused);
  ofSchema.set(given, values);
  return values;
}

function read<S extends OptionSchema>(
  driver: string,
  schema: S,
  given: Readonly<Record<string, string>>,
  refused: RefusedOptions,
): OptionValues<S> {
  const byKey = new Map(Object.values(schema).map((option) => [option.key, option]));
  for (const [key, text] of Object.entries(given)) {
    if (byKey.has(key)) continue;
    if (Object.hasOwn(refused, key))
      throw invalidArgument(`option ${key}=${text} is not available in this version of Weft: ${refused[key]}`);
    throw invalidArgument(`unknown option "${key}" for driver ${driver}; known options: ${[...byKey.keys()].sort().join(", ")}`);
  }
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(schema)) {
    const text = given[option.key];
    values[name] = text === undefined ? option.fallback : option.read(text, option.key);
  }
  return values as OptionValues<S>;
}

export function integer(minimum: number, maximum: number): (text: string, key: string) => number {
  return (text, key) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= minimum && value <= maximum)) {
      throw invalidArgument(`invalid value ${JSON.stringify(text)} for ${key}: give a number from ${minimum} to ${maximum}`);
    }
    return value;
  };
}

export function boolean(text: string, key: string): boolean {
  if (["true", "1", "t", "TRUE", "True", "T"].includes(text)) return true;
  if (["false", "0", "f", "FALSE", "False", "F"].includes(text)) return false;
  throw invalidArgument(`invalid value ${JSON.stringify(text)} for ${key}: give true or false`);
}

const INTERFACE_NAME_BYTES_MAX = 15;
/** Room for the number behind a prefix. */
const INTERFACE_PREFIX_BYTES_MAX = 11;

export function interfaceName(text: string, key: string): string {
  return checkedName(text, key, INTERFACE_NAME_BYTES_MAX, "an interface's name");
}

export function interfacePrefix(text: string, key: string): string {
  if (text.includes(".")) throw invalidArgument(`invalid value ${JSON.stringify(text)} for ${key}: an interface prefix has no dot`);
  return checkedName(text, key, INTERFACE_PREFIX_BYTES_MAX, "an interface prefix");
}

function checkedName(text: string, key: string, limitBytes: number, what: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes > limitBytes)
    throw invalidArgument(`invalid value ${JSON.stringify(text)} for ${key}: ${bytes} bytes, ${what} has at most ${limitBytes}`);
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(text)) {
    throw invalidArgument(`invalid value ${JSON.stringify(text)} for ${key}: ${what} is made of letters, digits, ".", "_" and "-"`);
  }
  return text;
}

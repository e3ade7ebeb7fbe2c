// `--format '{{...}}'`: the part of Go's text/template that scripts written for Docker use, so that they go on working.
//
//   {{.Name}} {{.IPAM.Config}} {{$.Id}} {{$name}}     paths; a field that the object doesn't have is an error, not silence
//   {{json .}} {{len .X}} {{index .X 0}} {{index .Labels "a b"}} {{join .X ","}} {{lower}} {{upper}} {{title}} {{split}}
//   {{println}} {{print}} {{printf "%s %d %v %q"}} {{eq a b}} ne lt le gt ge and or not, pipelines, (parentheses)
//   {{if}} {{else if}} {{else}} {{range}} {{range $k, $v := .X}} {{with}} {{end}} {{$x := .Y}} {{/* */}} and trimming {{- -}}
//
// Not here: template definitions, break and continue, assignment to a variable of an outer block.
import { UsageError } from "./errors.ts";

type Scope = ReadonlyMap<string, unknown>;
type Evaluate = (dot: unknown, scope: Scope) => unknown;
/** Writes to `out`; answers the scope for what follows in its block. */
type Node = (dot: unknown, scope: Scope, out: string[]) => Scope;

const openMaps = new WeakSet<object>();

/** Marks an object whose keys are data (labels, options): a missing key is no mistake there. */
export function openMap<T extends object>(object: T): T {
  openMaps.add(object);
  return object;
}

// ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function truthy(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === 0n || value === "") return false;
  if (Array.isArray(value)) return value.length > 0;
  return isObject(value) ? Object.keys(value).length > 0 : true;
}

/** As Go's %v prints it. */
function show(value: unknown, nested = false): string {
  if (value === undefined || value === null) return nested ? "<nil>" : "<no value>";
  if (Array.isArray(value)) return `[${value.map((one) => show(one, true)).join(" ")}]`;
  if (!isObject(value)) return String(value);
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${pairs.map(([key, one]) => `${key}:${show(one, true)}`).join(" ")}]`;
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return "list";
  return isObject(value) ? `object with fields ${Object.keys(value).join(", ")}` : typeof value;
}

function field(value: unknown, name: string): unknown {
  if (isObject(value) && Object.hasOwn(value, name)) return value[name];
  if (isObject(value) && openMaps.has(value)) return undefined;
  throw new UsageError(`template: can't evaluate field ${name} in ${typeName(value)}`);
}

function index(value: unknown, ...keys: unknown[]): unknown {
  return keys.reduce((at: unknown, key) => {
    if (Array.isArray(at)) {
      if (typeof key !== "number" || !(key in at)) throw new UsageError(`template: index out of range: ${show(key)}`);
      return at[key];
    }
    if (isObject(at)) return Object.hasOwn(at, String(key)) ? at[String(key)] : undefined;
    throw new UsageError(`template: can't index ${typeName(at)}`);
  }, value);
}

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

const FUNCTIONS: Readonly<Record<string, (...values: unknown[]) => unknown>> = {
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

// ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────────────

const TOKEN = /\s*(?:("(?:[^"\\]|\\.)*"|`[^`]*`)|(-?\d+(?:\.\d+)?)|(\$?\w*(?:\.\w+)+|\$\w*|\.|\w+)|(:=|[()|,]))/y;

interface Token {
  readonly kind: "string" | "number" | "word" | "mark";
  readonly text: string;
}

function tokens(source: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  const end = source.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    if (match === null) throw new UsageError(`template: unexpected ${JSON.stringify(source.slice(at).trim())} in {{${source}}}`);
    const [, text, number, word, mark] = match;
    if (text !== undefined) found.push({ kind: "string", text: text.startsWith("`") ? text.slice(1, -1) : unquote(text) });
    else if (number !== undefined) found.push({ kind: "number", text: number });
    else if (word !== undefined) found.push({ kind: "word", text: word });
    else found.push({ kind: "mark", text: mark! });
  }
  return found;
}

function unquote(text: string): string {
  try {
    return JSON.parse(text) as string;
  } catch {
    throw new UsageError(`template: bad string ${text}`);
  }
}

/** Recursive descent over the tokens of one action. */
class Expression {
  readonly #tokens: readonly Token[];
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = tokens(source);
  }

  /** `$a, $b :=` at the beginning: the names; else none. */
  declared(): string[] {
    const end = this.#tokens.findIndex(({ kind, text }) => kind === "mark" && text === ":=");
    if (end < 0) return [];
    const names = this.#tokens.slice(0, end).filter(({ text }) => text !== ",");
    this.#at = end + 1;
    return names.map(({ text }) => text);
  }

  parse(): Evaluate {
    const value = this.#pipeline();
    if (this.#at < this.#tokens.length) throw this.#unexpected();
    return value;
  }

  #unexpected(): UsageError {
    const token = this.#tokens[this.#at];
    return new UsageError(`template: unexpected ${token === undefined ? "end" : JSON.stringify(token.text)} in {{${this.#source}}}`);
  }

  #mark(text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== "mark" || token.text !== text) return false;
    this.#at += 1;
    return true;
  }

  #pipeline(): Evaluate {
    let value = this.#command();
    while (this.#mark("|")) {
      const before = value;
      value = this.#command(before);
    }
    return value;
  }

  /** A function with its arguments, or one operand; `piped` is the last argument. */
  #command(piped?: Evaluate): Evaluate {
    const token = this.#tokens[this.#at];
    if (token?.kind === "word" && /^[a-z]\w*$/i.test(token.text) && !["true", "false", "nil"].includes(token.text)) {
      const call = FUNCTIONS[token.text];
      if (call === undefined)
        throw new UsageError(`template: function "${token.text}" not defined; there are ${Object.keys(FUNCTIONS).join(", ")}`);
      this.#at += 1;
      const args: Evaluate[] = [];
      while (this.#startsOperand()) args.push(this.#operand());
      if (piped !== undefined) args.push(piped);
      return (dot, scope) => call(...args.map((argument) => argument(dot, scope)));
    }
    if (piped !== undefined) throw this.#unexpected();
    return this.#operand();
  }

  #startsOperand(): boolean {
    const token = this.#tokens[this.#at];
    return token !== undefined && (token.kind !== "mark" || token.text === "(");
  }

  #operand(): Evaluate {
    if (this.#mark("(")) {
      const inner = this.#pipeline();
      if (!this.#mark(")")) throw this.#unexpected();
      const token = this.#tokens[this.#at];
      if (token?.kind !== "word" || !token.text.startsWith(".") || token.text === ".") return inner;
      this.#at += 1;
      const path = token.text.slice(1).split(".");
      return (dot, scope) => path.reduce(field, inner(dot, scope));
    }
    const token = this.#tokens[this.#at];
    if (token === undefined || token.kind === "mark") throw this.#unexpected();
    this.#at += 1;
    if (token.kind === "string") return () => token.text;
    if (token.kind === "number") return () => Number(token.text);
    return reference(token.text);
  }
}

function reference(word: string): Evaluate {
  if (word === "true" || word === "false") return () => word === "true";
  if (word === "nil") return () => null;
  const [head, ...path] = word.split(".");
  if (head === "") return (dot) => path.filter((name) => name !== "").reduce(field, dot);
  if (!head!.startsWith("$")) throw new UsageError(`template: function "${word}" not defined; for a field write {{.${word}}}`);
  return (_, scope) => {
    if (!scope.has(head!)) throw new UsageError(`template: undefined variable "${head}"`);
    return path.reduce(field, scope.get(head!));
  };
}

// ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Piece {
  readonly kind: "text" | "action";
  readonly text: string;
}

function pieces(source: string): Piece[] {
  const found: Piece[] = [];
  const action = /\{\{(-\s)?\s*(\/\*[\s\S]*?\*\/|(?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^}"`]|\}(?!\}))*?)\s*(\s-)?\}\}/g;
  let at = 0;
  let trimNext = false;
  const pushText = (text: string, trimEnd: boolean): void => {
    let kept = trimNext ? text.trimStart() : text;
    if (trimEnd) kept = kept.trimEnd();
    if (kept.includes("{{")) throw new UsageError(`template: unclosed action in ${JSON.stringify(kept)}`);
    if (kept !== "") found.push({ kind: "text", text: kept });
  };
  for (const match of source.matchAll(action)) {
    pushText(source.slice(at, match.index), match[1] !== undefined);
    trimNext = match[3] !== undefined;
    at = match.index + match[0].length;
    if (!match[2]!.startsWith("/*")) found.push({ kind: "action", text: match[2]! });
  }
  pushText(source.slice(at), false);
  return found;
}

function literal(text: string): Node {
  return (_, scope, out) => {
    out.push(text);
    return scope;
  };
}

function runAll(nodes: readonly Node[], dot: unknown, scope: Scope, out: string[]): void {
  let inner = scope;
  for (const node of nodes) inner = node(dot, inner, out);
}

class Parser {
  readonly #pieces: readonly Piece[];
  #at = 0;

  constructor(source: string) {
    this.#pieces = pieces(source);
  }

  parse(): Node[] {
    const { nodes, closer } = this.#block();
    if (closer !== null) throw new UsageError(`template: unexpected {{${closer}}}`);
    return nodes;
  }

  /** Nodes up to `{{end}}` or `{{else ...}}`, which is the closer; null at the end of the source. */
  #block(): { nodes: Node[]; closer: string | null } {
    const nodes: Node[] = [];
    while (this.#at < this.#pieces.length) {
      const piece = this.#pieces[this.#at++]!;
      if (piece.kind === "text") nodes.push(literal(piece.text));
      else if (piece.text === "end" || /^else\b/.test(piece.text)) return { nodes, closer: piece.text };
      else nodes.push(this.#action(piece.text));
    }
    return { nodes, closer: null };
  }

  #action(text: string): Node {
    const [, word, rest] = /^(if|with|range)\s+([\s\S]*)$/.exec(text) ?? [];
    if (word === "if" || word === "with") return this.#conditional(word, rest!);
    if (word === "range") return this.#range(rest!);
    const expression = new Expression(text);
    const [name] = expression.declared();
    const value = expression.parse();
    if (name !== undefined) return (dot, scope) => new Map([...scope, [name, value(dot, scope)]]);
    return (dot, scope, out) => {
      out.push(show(value(dot, scope)));
      return scope;
    };
  }

  /** What stands between this block's closer and its end: the else branch. */
  #otherwise(closer: string | null): Node[] {
    if (closer === null) throw new UsageError("template: unexpected end: an {{end}} is missing");
    if (closer === "end") return [];
    const [, chained] = /^else\s+(if\s[\s\S]*)$/.exec(closer) ?? [];
    if (chained !== undefined) return [this.#action(chained)];
    if (closer !== "else") throw new UsageError(`template: unexpected {{${closer}}}`);
    const { nodes, closer: end } = this.#block();
    if (end !== "end") throw new UsageError("template: unexpected end: an {{end}} is missing");
    return nodes;
  }

  #conditional(word: "if" | "with", source: string): Node {
    const expression = new Expression(source);
    const [name] = expression.declared();
    const value = expression.parse();
    const { nodes, closer } = this.#block();
    const otherwise = this.#otherwise(closer);
    return (dot, scope, out) => {
      const found = value(dot, scope);
      const inner = name === undefined ? scope : new Map([...scope, [name, found]]);
      if (truthy(found)) runAll(nodes, word === "with" ? found : dot, inner, out);
      else runAll(otherwise, dot, scope, out);
      return scope;
    };
  }

  #range(source: string): Node {
    const expression = new Expression(source);
    const names = expression.declared();
    const value = expression.parse();
    const { nodes, closer } = this.#block();
    const otherwise = this.#otherwise(closer);
    return (dot, scope, out) => {
      const found = value(dot, scope) ?? [];
      if (typeof found !== "object") throw new UsageError(`template: range can't iterate over ${typeName(found)}`);
      const entries: [unknown, unknown][] = Array.isArray(found)
        ? [...found.entries()]
        : Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [key, one] of entries) {
        const bound: [string, unknown][] =
          names.length > 1
            ? [
                [names[0]!, key],
                [names[1]!, one],
              ]
            : names.length === 1
              ? [[names[0]!, one]]
              : [];
        runAll(nodes, one, new Map([...scope, ...bound]), out);
      }
      if (entries.length === 0) runAll(otherwise, dot, scope, out);
      return scope;
    };
  }
}

/** Parses once, renders for each object. Throws UsageError, at either time. */
export function compileTemplate(source: string): (value: unknown) => string {
  const nodes = new Parser(source).parse();
  return (value) => {
    const out: string[] = [];
    runAll(nodes, value, new Map([["$", value]]), out);
    return out.join("");
  };
}

// What stands in one action, between {{ and }}: `$x := json .IPAM.Config | printf "%s"`. Tokens, then recursive descent; the outcome
// is a function of the dot and of the variables in scope. Which blocks the action opens or closes is template.ts's.
import { UsageError } from "../errors.ts";
import { FUNCTIONS } from "./functions.ts";
import { call as callMethod, field } from "./values.ts";

/** The variables that are visible, `$` among them. */
export type Scope = ReadonlyMap<string, unknown>;
export type Evaluate = (dot: unknown, scope: Scope) => unknown;

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

const startsOperand = ({ kind, text }: Token): boolean => kind !== "mark" || text === "(";

/** Recursive descent over the tokens of one action. */
export class Expression {
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
      const call = Object.hasOwn(FUNCTIONS, token.text) ? FUNCTIONS[token.text] : undefined;
      if (call === undefined)
        throw new UsageError(`template: function "${token.text}" not defined; there are ${Object.keys(FUNCTIONS).join(", ")}`);
      this.#at += 1;
      const args = this.#arguments(piped);
      return (dot, scope) => call(...args.map((argument) => argument(dot, scope)));
    }
    const next = this.#tokens[this.#at + 1];
    const isCall = piped !== undefined || (next !== undefined && startsOperand(next));
    if (token?.kind === "word" && isCall && /\.\w+$/.test(token.text)) return this.#method(token.text, piped);
    if (piped !== undefined) throw this.#unexpected();
    return this.#operand();
  }

  /** `.Label "team"`: a path whose last name is a method. */
  #method(word: string, piped: Evaluate | undefined): Evaluate {
    this.#at += 1;
    const cut = word.lastIndexOf(".");
    const receiver = reference(word.slice(0, cut) || ".");
    const args = this.#arguments(piped);
    return (dot, scope) =>
      callMethod(
        receiver(dot, scope),
        word.slice(cut + 1),
        args.map((argument) => argument(dot, scope)),
      );
  }

  #arguments(piped: Evaluate | undefined): Evaluate[] {
    const args: Evaluate[] = [];
    while (this.#startsOperand()) args.push(this.#operand());
    return piped === undefined ? args : [...args, piped];
  }

  #startsOperand(): boolean {
    const token = this.#tokens[this.#at];
    return token !== undefined && startsOperand(token);
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

// `--format '{{...}}'`: the part of Go's text/template that scripts written for Docker use, so that they go on working.
//
//   {{.Name}} {{.IPAM.Config}} {{$.Id}} {{$name}}     paths; a field that the object doesn't have is an error, not silence
//   {{.Label "team"}}                                 methods, of rows that have them
//   {{json .}} {{len .X}} {{index .X 0}} {{index .Labels "a b"}} {{join .X ","}} {{lower}} {{upper}} {{title}} {{split}}
//   {{println}} {{print}} {{printf "%s %d %v %q"}} {{eq a b}} ne lt le gt ge and or not, pipelines, (parentheses)
//   {{if}} {{else if}} {{else}} {{range}} {{range $k, $v := .X}} {{with}} {{end}} {{$x := .Y}} {{/* */}} and trimming {{- -}}
//
// This file has the blocks; what stands in one action is expression.ts. Not here: template definitions, break and continue,
// assignment to a variable of an outer block.
import { UsageError } from "../errors.ts";
import { Expression, type Scope } from "./expression.ts";
import { type Piece, pieces } from "./pieces.ts";
import { show, truthy, typeName } from "./values.ts";

/** Writes to `out`; answers the scope for what follows in its block. */
type Node = (dot: unknown, scope: Scope, out: string[]) => Scope;

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

// A template's source as a sequence of text and actions. Comments and the white space that {{- and -}} trim are gone after this.
import { UsageError } from "../errors.ts";

export interface Piece {
  readonly kind: "text" | "action";
  readonly text: string;
}

export function pieces(source: string): Piece[] {
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

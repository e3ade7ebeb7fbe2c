// Variables that programs of a sandbox get (`-e NAME=value`), kept as Docker keeps them: texts in the order given, of which the
// last of a name counts. A name alone takes a variable away that a link or an earlier text gave. Whoever starts a program makes
// them so (cli/environment.ts). They may be secrets: here and in what is logged stand names only.
import { invalidArgument } from "../../errors.ts";

/** What images set for their own programs: of no use to those of another sandbox. */
const OWN = ["HOME", "PATH"];

/** Throws INVALID_ARGUMENT. */
export function checkEnvironment(texts: readonly string[] = []): readonly string[] {
  for (const text of texts) {
    if (text === "" || text.startsWith("=")) throw invalidArgument(`invalid environment variable: ${text}: write NAME=value`);
    // The kernel would take what is before it for the whole.
    if (text.includes("\0")) throw invalidArgument(`invalid environment variable: ${text.split(/[=\0]/)[0]}: there is a NUL byte in it`);
  }
  return [...texts];
}

/** Name and value of those that a link on `bridge` tells to others. */
export function passedOn(texts: readonly string[]): [string, string][] {
  return texts
    .filter((text) => text.includes("="))
    .map((text): [string, string] => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)])
    .filter(([name]) => !OWN.includes(name));
}

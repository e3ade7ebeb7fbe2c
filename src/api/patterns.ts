// Filters by name and id are regular expressions that need not match the whole, as in Docker: `--filter name=^web-\d+$`. One that
// is malformed picks nothing but what is called so. JavaScript's matching can take time that grows with 2 to the power of the
// name's length, and the daemon has one thread for all its clients: so it gets a second for all names, and what needs more is refused.
import { createContext, Script } from "node:vm";
import { invalidArgument } from "../errors.ts";

const MATCHING_MS_MAX = 1000;
/** What makes several ways to match one text. */
const CHOICES = /[*+?{|]/;

const matching = new Script("pattern.test(text)");

function compiled(pattern: string): RegExp | null {
  try {
    return new RegExp(pattern);
  } catch {
    return null;
  }
}

/** Whether a text is `wanted`, or has something in it that matches it. */
export function matchesText(wanted: string): (text: string) => boolean {
  const pattern = compiled(wanted);
  if (pattern === null) return (text) => text === wanted;
  if (!CHOICES.test(wanted)) return (text) => text === wanted || pattern.test(text);
  const sandbox = createContext({ pattern, text: "" });
  let leftMs = MATCHING_MS_MAX;
  return (text) => {
    sandbox.text = text;
    const beganMs = performance.now();
    try {
      return text === wanted || (matching.runInContext(sandbox, { timeout: Math.max(1, Math.ceil(leftMs)) }) as boolean);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
      throw invalidArgument(`invalid filter '${wanted}': it takes too long to match; write it with fewer choices`);
    } finally {
      leftMs -= performance.now() - beganMs;
    }
  };
}

// What was compared, case by case, and whether each difference has its reason in differences.mjs.
import { dim, green, red } from "../steps.mjs";
import { DIFFERENCES } from "./differences.mjs";

/**
 * @typedef {import("./compare.mjs").Difference & { reason: string | null }} Judged
 * @typedef {{ area: string, name: string, differences: Judged[] }} Case
 */

/** @param {RegExp | undefined} pattern @param {string} text */
const fits = (pattern, text) => pattern === undefined || pattern.test(text);

export class Report {
  /** @param {{ engine: string, quiet: boolean, verbose: boolean }} options quiet: nothing is printed on the way */
  constructor(options) {
    this.options = options;
    /** @type {Case[]} */
    this.cases = [];
    /** @type {Set<string>} */
    this.used = new Set();
  }

  /** @param {string} area @param {string} name @param {import("./compare.mjs").Difference[]} found */
  add(area, name, found) {
    const differences = found.map((one) => ({ ...one, reason: this.reasonOf(area, name, one) }));
    this.cases.push({ area, name, differences });
    if (this.options.quiet) return;
    const unexplained = differences.filter(({ reason }) => reason === null);
    const reasons = [...new Set(differences.flatMap(({ reason }) => (reason === null ? [] : [reason])))];
    const note = reasons.length > 0 ? dim(`  (${reasons.join(", ")})`) : "";
    if (unexplained.length > 0) console.log(`${red("≠")} ${area}: ${name}${note}`);
    else console.log(`${differences.length > 0 ? "≠" : green("✓")} ${area}: ${name}${note}`);
    for (const { aspect, docker, weft } of this.options.verbose ? differences : unexplained) {
      console.log(`    ${aspect}\n      docker  ${indented(docker)}\n      weft    ${indented(weft)}`);
    }
  }

  /** @param {string} area @param {string} name @param {import("./compare.mjs").Difference} difference */
  reasonOf(area, name, { aspect, docker, weft }) {
    const rule = DIFFERENCES.find(
      (one) =>
        fits(one.engine, this.options.engine) &&
        fits(one.area, area) &&
        fits(one.name, name) &&
        fits(one.aspect, aspect) &&
        fits(one.docker, docker) &&
        fits(one.weft, weft),
    );
    if (rule !== undefined) this.used.add(rule.id);
    return rule?.id ?? null;
  }

  get unexplained() {
    return this.cases.filter(({ differences }) => differences.some(({ reason }) => reason === null));
  }

  /** Reasons that no case needed: what they say is not so, or no longer. Only all areas together can tell. */
  get idle() {
    return DIFFERENCES.filter((one) => fits(one.engine, this.options.engine) && !this.used.has(one.id)).map(({ id }) => id);
  }
}

/** @param {string} text */
const indented = (text) => (text === "" ? "(nothing)" : text.replaceAll("\n", "\n              "));

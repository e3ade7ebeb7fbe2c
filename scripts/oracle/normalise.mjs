// What both sides choose freely is replaced by what it stands for, so that the rest can be compared to the letter: identifiers
// by the name they belong to, times, random MAC addresses. Labels, which 20.10 prints in another order each time, are sorted. A
// name that both sides gave is kept: an id of the wrong object is then a difference.

const FULL_ID = /^[0-9a-f]{64}$/;

export class Names {
  constructor() {
    /** @type {Map<string, string>} */
    this.ids = new Map();
  }

  /** @param {string} text @param {string} name */
  learn(text, name) {
    if (FULL_ID.test(text)) this.ids.set(text, name);
  }

  /** @param {string} text */
  replace(text) {
    let replaced = text;
    for (const [id, name] of this.ids) {
      replaced = replaced.replaceAll(id, `<id of ${name}>`).replaceAll(id.slice(0, 12), `<short id of ${name}>`);
    }
    return replaced
      .replace(/\b[0-9a-f]{64}\b/g, "<id>")
      .replace(/\b[0-9a-f]{12}\b/g, "<short id>")
      .replace(/\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b/g, "<mac>")
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)/g, "<time>")
      .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4} \w+/g, "<time>")
      .replace(/\b\w+=\w*(?:,\w+=\w*)+/g, (labels) => labels.split(",").sort().join(","));
  }

  /** Keys as well as values. @param {unknown} value @returns {unknown} */
  tree(value) {
    if (typeof value === "string") return this.replace(value);
    if (Array.isArray(value)) return value.map((one) => this.tree(one));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [this.replace(key), this.tree(one)]));
  }
}

/** Where Docker says what it was doing before it says what was wrong; Weft says the latter. */
const WRAPPERS =
  /^(?:error while removing network: |failed to set up container networking: |driver failed programming external connectivity on endpoint \S+ \(\w+\): |invalid pool request: |invalid config for network \S+: |joining network namespace of container: )+/;

/** A refusal without what a client puts around it. Weft says sandbox where Docker says container. @param {string} text */
export function refusal(text) {
  return text
    .split("\n")
    .map((line) =>
      line
        .trimEnd()
        .replace(/^(?:weft: |docker: |warning: |WARNING: |"docker [a-z ]+" |Error response from daemon: |Error: )+/, "")
        .replace(WRAPPERS, ""),
    )
    .filter(
      (line) =>
        line !== "" &&
        !/^(?:See|Run) '|^exit status \d+$|^invalid (?:network config|endpoint settings):$|^Usage:|^\(see --help\)|^\(Did you mean/.test(
          line,
        ),
    )
    .join("\n")
    .replace(/\bSandbox\b/g, "Container")
    .replace(/\bsandbox(es)?\b/g, (_, plural) => (plural ? "containers" : "container"))
    .replace(/\.$/, "");
}

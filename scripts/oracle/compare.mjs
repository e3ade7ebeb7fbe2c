// Two answers into a list of differences, each with the place it is at. A message of Weft's that begins with Docker's whole
// message is the same: it goes on with what to do about it.

/**
 * @typedef {{ aspect: string, docker: string, weft: string }} Difference
 */

const ABSENT = "(absent)";

/** @param {unknown} value */
const shown = (value) => (value === undefined ? ABSENT : JSON.stringify(value));

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {unknown} docker @param {unknown} weft @param {string} path @returns {Difference[]} */
export function compareTrees(docker, weft, path = "") {
  if (isObject(docker) && isObject(weft)) {
    const keys = [...new Set([...Object.keys(docker), ...Object.keys(weft)])].sort();
    return keys.flatMap((key) => compareTrees(docker[key], weft[key], `${path}.${key}`));
  }
  if (Array.isArray(docker) && Array.isArray(weft)) {
    const length = Math.max(docker.length, weft.length);
    return Array.from({ length }, (_, at) => compareTrees(docker[at], weft[at], `${path}[${at}]`)).flat();
  }
  return shown(docker) === shown(weft) ? [] : [{ aspect: path, docker: shown(docker), weft: shown(weft) }];
}

/** @param {string} aspect @param {string} docker @param {string} weft @returns {Difference[]} */
export const compareTexts = (aspect, docker, weft) => (docker === weft ? [] : [{ aspect, docker, weft }]);

/** @param {string} line @param {string} longer */
const goesOn = (line, longer) => line === longer || (line !== "" && longer.startsWith(line) && /^[:;,. ]/.test(longer.slice(line.length)));

/** @param {string} docker @param {string} weft @returns {Difference[]} */
export function compareRefusals(docker, weft) {
  const [lines, others] = [docker.split("\n"), weft.split("\n")];
  const same = lines.length === others.length && lines.every((line, at) => goesOn(line, others[at] ?? ""));
  return same ? [] : [{ aspect: "stderr", docker, weft }];
}

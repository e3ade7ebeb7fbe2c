// The same actions on both sides. An area calls `both` for what leads up to a case and one of the comparing calls for the case
// itself; `clean` takes everything away between scenarios.
import { compareRefusals, compareTexts, compareTrees } from "./compare.mjs";
import { Names, refusal } from "./normalise.mjs";

/**
 * @typedef {import("./machine.mjs").Outcome} Outcome
 * @typedef {{ docker: Outcome, weft: Outcome }} Outcomes
 * @typedef {{ name: string, act: (action: string[], input?: string) => Promise<Outcome>,
 *   within: (container: string, argv: string[]) => Promise<Outcome>, machine: import("./machine.mjs").Machine }} Side
 */

/** A document, a list of those that stand one a line; text that is no JSON as it is. @param {string} text @returns {any} */
function documentsOf(text) {
  try {
    return text.startsWith("{") ? text.split("\n").map((line) => JSON.parse(line)) : JSON.parse(text || "null");
  } catch {
    return text;
  }
}

export class Pair {
  /** @param {{ docker: Side, weft: Side }} sides @param {import("./report.mjs").Report} report @param {string} area */
  constructor(sides, report, area) {
    this.sides = sides;
    this.report = report;
    this.area = area;
    this.names = { docker: new Names(), weft: new Names() };
  }

  /** @param {(side: Side) => Promise<Outcome>} work @returns {Promise<Outcomes>} */
  async each(work) {
    const [docker, weft] = await Promise.all([work(this.sides.docker), work(this.sides.weft)]);
    return { docker, weft };
  }

  /** @param {string[]} action @param {string} [input] */
  async act(action, input) {
    const outcomes = await this.each((side) => side.act(action, input));
    const made = action[0] === "start" ? action[1] : action[0] === "network" && action[1] === "create" ? action.at(-1) : undefined;
    if (made !== undefined) {
      this.names.docker.learn(outcomes.docker.stdout.trim(), made);
      this.names.weft.learn(outcomes.weft.stdout.trim(), made);
    }
    return outcomes;
  }

  /** Must succeed on both sides; a side that refuses is a difference. @param {string[][]} actions */
  async both(...actions) {
    for (const action of actions) {
      const { docker, weft } = await this.act(action);
      if (docker.code === 0 && weft.code === 0) continue;
      this.report.add(this.area, `to prepare: ${action.join(" ")}`, [
        ...compareTexts("exit code", String(docker.code), String(weft.code)),
        ...compareRefusals(refusal(docker.stderr), refusal(weft.stderr)),
        ...(docker.code === weft.code ? [{ aspect: "case", docker: "refused too: the case is wrong", weft: refusal(weft.stderr) }] : []),
      ]);
    }
  }

  /** @param {Outcomes} outcomes */
  texts({ docker, weft }) {
    const plain = (/** @type {"docker" | "weft"} */ side, /** @type {string} */ text) => this.names[side].replace(text);
    return [
      ...compareTexts("exit code", String(docker.code), String(weft.code)),
      ...compareRefusals(plain("docker", refusal(docker.stderr)), plain("weft", refusal(weft.stderr))),
    ];
  }

  /** Exit code and stderr. @param {string} name @param {string[]} action @param {string} [input] */
  async refused(name, action, input) {
    this.report.add(this.area, name, this.texts(await this.act(action, input)));
  }

  /**
   * Exit code, stderr and stdout, as text.
   *
   * @param {string} name @param {string[]} action
   * @param {{ input?: string, edit?: (text: string) => string }} [options] edit: what of stdout matters
   */
  async printed(name, action, { input, edit = (text) => text } = {}) {
    this.print(name, await this.act(action, input), edit);
  }

  /** @param {string} name @param {Outcomes} outcomes @param {(text: string) => string} [edit] */
  print(name, outcomes, edit = (text) => text) {
    // What failed printed nothing that could be edited, and its exit code says so.
    const text = (/** @type {"docker" | "weft"} */ side) =>
      outcomes[side].stdout === "" ? "" : edit(this.names[side].replace(outcomes[side].stdout)).trimEnd();
    const [docker, weft] = [text("docker"), text("weft")];
    this.report.add(this.area, name, [...this.texts(outcomes), ...compareTexts("stdout", docker, weft)]);
  }

  /**
   * Exit code, stderr and stdout, as JSON.
   *
   * @param {string} name @param {string[]} action @param {(document: any) => unknown} [pick] what of it matters
   */
  async json(name, action, pick = (document) => document) {
    const outcomes = await this.act(action);
    const read = (/** @type {"docker" | "weft"} */ side) => {
      const documents = documentsOf(outcomes[side].stdout.trim());
      if (typeof documents === "string") return documents;
      return this.names[side].tree(documents === null ? null : pick(documents));
    };
    this.report.add(this.area, name, [...this.texts(outcomes), ...compareTrees(read("docker"), read("weft"))]);
  }

  /** A program of the host in the network of a container. @param {string} name @param {string} container @param {string[]} argv @param {(text: string) => string} [edit] */
  async within(name, container, argv, edit) {
    this.print(name, await this.each((side) => side.within(container, argv)), edit);
  }

  /** A program on the machine itself. @param {string} name @param {string[]} argv @param {(text: string) => string} [edit] */
  async onHost(name, argv, edit) {
    this.print(name, await this.each((side) => side.machine.do(argv)), edit);
  }

  /** A program of the client outside. @param {string} name @param {string[]} argv @param {(text: string) => string} [edit] */
  async outside(name, argv, edit) {
    this.print(name, await this.each((side) => side.machine.outside(argv)), edit);
  }

  /** All containers and networks away. */
  async clean() {
    await this.each(async (side) => {
      const list = await side.act(side.name === "docker" ? ["ps", "-aq"] : ["sandbox", "ls", "-q"]);
      const containers = list.stdout.split("\n").filter((line) => line !== "");
      if (containers.length > 0) await side.act(["remove", ...containers]);
      const networks = await side.act(["network", "ls", "-q", "--filter", "type=custom"]);
      const ids = networks.stdout.split("\n").filter((line) => line !== "");
      // Twice: a configuration can be removed only after what was made from it.
      for (let round = 0; round < 2 && ids.length > 0; round += 1) await side.act(["network", "rm", ...ids]);
      return list;
    });
  }
}

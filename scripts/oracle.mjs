// `npm run oracle`: Docker and Weft do the same things, each in a machine of its own made of namespaces, and what they answer is
// compared. A difference without a reason in oracle/differences.mjs makes it fail. Apart from `npm test`, because Docker's
// programs have to be fetched.
//
//   npm run oracle                             all areas, against the newest engine if go is there, else Debian's
//   npm run oracle -- --engine debian          against Debian's docker.io
//   npm run oracle -- --only dns,ports         some areas
//   npm run oracle -- --verbose                also the differences that have a reason
//   npm run oracle -- --format json            one document on stdout
//   npm run oracle -- --write                  docs/differences-from-docker.md anew, from the list
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { AREAS } from "./oracle/areas.mjs";
import { DockerSide } from "./oracle/docker.mjs";
import { writeDocument } from "./oracle/document.mjs";
import { buildMoby, ENGINES, engine, hasGo } from "./oracle/engines.mjs";
import { Machine } from "./oracle/machine.mjs";
import { dockerPackages } from "./oracle/packages.mjs";
import { Pair } from "./oracle/pair.mjs";
import { Report } from "./oracle/report.mjs";
import { WeftSide } from "./oracle/weft.mjs";
import { OracleLab } from "./oracle/world.mjs";
import { setup, TEST_PACKAGES } from "./setup.mjs";
import { bold, report as explain, green, red, StepError, step } from "./steps.mjs";

const { values } = parseArgs({
  options: {
    engine: { type: "string" },
    only: { type: "string" },
    format: { type: "string", default: "text" },
    verbose: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const json = values.format === "json";
const chosen = values.engine ?? (hasGo() ? "moby" : "debian");

/** @returns {[string, (pair: Pair) => Promise<void>][]} */
function wantedAreas() {
  const wanted = values.only?.split(",") ?? [...AREAS.keys()];
  return wanted.map((name) => {
    const area = AREAS.get(name);
    if (area === undefined) throw new StepError(`there is no area ${name}: choose from ${[...AREAS.keys()].join(", ")}`);
    return [name, area];
  });
}

async function main() {
  if (values.write) return writeDocument();
  if (!ENGINES.includes(chosen)) throw new StepError(`there is no engine ${chosen}: choose from ${ENGINES.join(", ")}`);
  const areas = wantedAreas();
  // Progress goes to stdout as everywhere; a document must stand there alone.
  const write = process.stdout.write.bind(process.stdout);
  if (json) process.stdout.write = /** @type {typeof write} */ (process.stderr.write.bind(process.stderr));
  await setup({ packages: TEST_PACKAGES, privileged: true });
  await build();
  await step("Docker's packages", dockerPackages);
  if (chosen === "moby") await step("Docker's newest engine, by go (minutes)", buildMoby);

  const lab = new OracleLab();
  await lab.claim();
  // A reader that closes the pipe ends the run, not the cleaning up.
  process.stdout.once("error", () => lab.tearDown().finally(() => process.exit(1)));
  const report = new Report({ engine: chosen, quiet: json, verbose: values.verbose });
  try {
    lab.machines = [new Machine(lab, "docker"), new Machine(lab, "weft")];
    const [dockerMachine, weftMachine] = /** @type {[Machine, Machine]} */ (lab.machines);
    const sides = { docker: new DockerSide(dockerMachine, engine(chosen)), weft: new WeftSide(weftMachine) };
    await step("namespaces", () => Promise.all(lab.machines.map((machine) => machine.start())).then(() => undefined));
    const docker = await step("dockerd", () => sides.docker.start());
    const weft = await step("weft daemon", () => sides.weft.start());
    for (const [name, area] of areas) {
      const pair = new Pair(sides, report, name);
      await area(pair);
      await pair.clean();
    }
    if (json) write(`${JSON.stringify({ engine: chosen, docker, weft, cases: report.cases }, null, 2)}\n`);
  } catch (error) {
    // What fails while a signal tears the lab down fails because of that.
    if (!lab.interrupted) throw error;
  } finally {
    await lab.tearDown();
  }
  conclude(report, values.only === undefined);
}

/** @param {Report} report @param {boolean} whole */
function conclude(report, whole) {
  const differing = report.cases.filter(({ differences }) => differences.length > 0).length;
  const idle = whole ? report.idle : [];
  for (const id of idle) console.log(red(`the reason "${id}" fits no difference: take it out of scripts/oracle/differences.mjs`));
  const verdict = `${report.cases.length} cases, ${differing} differ, ${report.unexplained.length} without a reason`;
  console.log(bold(report.unexplained.length + idle.length === 0 ? green(verdict) : red(verdict)));
  process.exitCode = report.unexplained.length + idle.length === 0 ? 0 : 1;
}

main().catch((error) => {
  explain(error);
  process.exitCode = 1;
});

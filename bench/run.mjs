// Runs the questions: for each, round by round, all its subjects in turn (A B A B ...), so that what else the machine does
// falls on both sides. Prints tables and verdicts and writes everything, samples included, to build/bench/.
//
//   npm run bench -- --only tcp,rtt --rounds 3 --seconds 3 --kernel
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bold, dim, elapsed, ROOT, report, StepError, step } from "../scripts/steps.mjs";
import * as bulk from "./bulk.mjs";
import * as create from "./create.mjs";
import * as dns from "./dns.mjs";
import * as encrypted from "./encrypted.mjs";
import * as fdb from "./fdb.mjs";
import * as idle from "./idle.mjs";
import * as ipam from "./ipam.mjs";
import * as publish from "./publish.mjs";
import * as rate from "./rate.mjs";
import { print } from "./report.mjs";
import * as rtt from "./rtt.mjs";
import * as start from "./start.mjs";
import * as tcp from "./tcp.mjs";
import { buildSubjects, lab } from "./topology.mjs";

const USAGE = `usage: npm run bench -- [--only ${["tcp", "publish", "rate", "rtt", "idle", "encrypted", "fdb", "start", "dns", "create", "bulk", "ipam"].join(",")}] [--rounds 3] [--seconds 3] [--kernel]
  --only     questions, separated by commas; default: all
  --rounds   how often each subject is measured, in turn with the others
  --seconds  of one throughput or round-trip measurement
  --kernel   the kernel's half only, without Weft`;

/** Measured between namespaces. */
const PATH_QUESTIONS = { tcp, publish, rate, rtt, idle, encrypted };
/** Bring what they measure themselves. */
const OWN_QUESTIONS = { fdb, start, dns, create, bulk, ipam };
const QUESTIONS = { ...PATH_QUESTIONS, ...OWN_QUESTIONS };

function parse() {
  try {
    return parseArgs({
      options: {
        only: { type: "string" },
        rounds: { type: "string", default: "3" },
        seconds: { type: "string", default: "3" },
        kernel: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new StepError(`${/** @type {Error} */ (error).message}\n${USAGE}`);
  }
}

function options() {
  const values = parse();
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const only = values.only?.split(",") ?? Object.keys(QUESTIONS);
  const unknown = only.filter((key) => !(key in QUESTIONS));
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  if (unknown.length > 0) throw new StepError(`there is no question ${unknown.join(", ")}\n${USAGE}`);
  if (!Number.isInteger(rounds) || rounds < 1) throw new StepError(`--rounds can't be ${values.rounds}: a whole number from 1\n${USAGE}`);
  if (!(seconds > 0)) throw new StepError(`--seconds can't be ${values.seconds}: a number above 0\n${USAGE}`);
  return { only, rounds, seconds, kernel: values.kernel };
}

/** What a reader needs to know of the machine to judge the figures. */
function machine() {
  const meminfo = Math.round(totalmem() / 2 ** 30);
  let commit = "unknown";
  try {
    commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim();
  } catch {
    // not a git checkout
  }
  return {
    processor: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGib: meminfo,
    kernel: release(),
    node: process.versions.node,
    load: readFileSync("/proc/loadavg", "utf8").split(" ")[0],
    commit,
  };
}

/** @param {ReturnType<typeof options>} chosen @param {Record<string, string>} titles gets the subjects' titles */
async function measureAll(chosen, titles) {
  /** @type {import("./report.mjs").Samples} */
  const samples = {};
  const started = performance.now();
  const say = (/** @type {string} */ text) => console.log(`${dim(`${elapsed(started).padStart(8)}`)}  ${text}`);
  /** @param {string} key @param {string} subject @param {number} round @param {() => Promise<Record<string, number>>} work */
  const take = async (key, subject, round, work) => {
    const sample = await work();
    samples[key] ??= {};
    samples[key][subject] ??= [];
    samples[key][subject].push(sample);
    const figures = Object.entries(sample).map(([metric, value]) => `${metric} ${value.toPrecision(4)}`);
    say(`${key.padEnd(6)} ${round + 1}/${chosen.rounds} ${(titles[subject] ?? subject).padEnd(28)} ${figures.join("  ")}`);
  };

  const overPaths = Object.entries(PATH_QUESTIONS).filter(([key]) => chosen.only.includes(key));
  if (overPaths.length > 0) {
    const subjects = await step("namespaces, bridges, daemons", () =>
      buildSubjects({
        weft: !chosen.kernel,
        published: !chosen.kernel && chosen.only.includes("publish"),
        encrypted: !chosen.kernel && chosen.only.includes("encrypted"),
      }),
    );
    for (const subject of subjects) titles[subject.key] = subject.title;
    for (const [key, question] of overPaths) {
      for (let round = 0; round < chosen.rounds; round += 1) {
        for (const subject of subjects.filter((one) => question.subjects.includes(one.key))) {
          await take(key, subject.key, round, () => question.measure(subject, chosen));
        }
      }
    }
    await lab.tearDown();
  }
  if (!chosen.kernel) {
    for (const [key, question] of Object.entries(OWN_QUESTIONS).filter(([name]) => chosen.only.includes(name))) {
      for (let round = 0; round < chosen.rounds; round += 1) {
        for (const subject of question.subjects) await take(key, subject, round, () => question.measure(subject));
      }
    }
  }
  return samples;
}

/** Runs what the command line asks for; answers the exit code. */
export async function main() {
  let claimed = false;
  try {
    const chosen = options();
    await lab.claim();
    claimed = true;
    const facts = machine();
    console.log(
      dim(
        Object.entries(facts)
          .map(([key, value]) => `${key} ${value}`)
          .join(", "),
      ),
    );
    /** @type {Record<string, string>} */
    const titles = {};
    const samples = await measureAll(chosen, titles);
    const verdicts = print(samples, QUESTIONS, titles);
    const folder = join(ROOT, "build/bench");
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${new Date().toISOString().replaceAll(":", "-")}.json`);
    writeFileSync(
      path,
      `${JSON.stringify({ at: new Date().toISOString(), machine: facts, options: chosen, verdicts, samples }, null, 2)}\n`,
    );
    console.log(`\n${bold("written to")} ${path}`);
    return 0;
  } catch (error) {
    if (lab.interrupted) await new Promise(() => {});
    report(error);
    return 1;
  } finally {
    if (claimed) await lab.tearDown();
  }
}

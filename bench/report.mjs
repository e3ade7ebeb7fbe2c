// Samples become medians, ranges and ratios, and ratios are held against targets. A ratio is taken within each round, where
// both sides ran seconds apart, and its median is the figure: what the machine did in between rounds cancels out.
import { bold, cyan, dim, green, red } from "../scripts/steps.mjs";
import { OTHERS } from "./encrypted.mjs";

/** @typedef {Record<string, Record<string, Record<string, number>[]>>} Samples question -> subject -> one entry a round */

/**
 * A target: `metric` of `subject`, over the same of `against` if given; of several, over that of the best (the highest).
 * @typedef {{ figure: string, question: string, metric: string, subject: string, against?: string | string[], atLeast?: number, atMost?: number }} Target
 */

/** @type {Omit<Target, "figure" | "against">} */
const ENCRYPTED = { question: "encrypted", metric: "gbps1", subject: "weft-encrypted" };

/** @type {Target[]} */
export const TARGETS = [
  {
    figure: "overlay TCP 1 stream / kernel VXLAN with offloads",
    question: "tcp",
    metric: "gbps1",
    subject: "weft-overlay",
    against: "kernel-vxlan",
    atLeast: 0.4,
  },
  {
    figure: "overlay TCP / kernel VXLAN with offloads off",
    question: "tcp",
    metric: "gbps1",
    subject: "weft-overlay",
    against: "kernel-vxlan-plain",
    atLeast: 2.5,
  },
  {
    figure: "overlay 64-byte rate / kernel VXLAN",
    question: "rate",
    metric: "kpps",
    subject: "weft-overlay",
    against: "kernel-vxlan",
    atLeast: 2,
  },
  {
    figure: "local TCP / kernel bridge",
    question: "tcp",
    metric: "gbps1",
    subject: "weft-bridge",
    against: "kernel-bridge",
    atLeast: 0.5,
  },
  {
    figure: "published port TCP / kernel bridge with the same rules",
    question: "publish",
    metric: "gbps1",
    subject: "weft-published",
    against: "kernel-published",
    atLeast: 0.7,
  },
  {
    figure: "local 64-byte rate / kernel bridge",
    question: "rate",
    metric: "kpps",
    subject: "weft-bridge",
    against: "kernel-bridge",
    atLeast: 1.3,
  },
  {
    figure: "overlay RTT p50 / kernel VXLAN, traffic recent",
    question: "rtt",
    metric: "p50Us",
    subject: "weft-overlay",
    against: "kernel-vxlan",
    atMost: 1.3,
  },
  { figure: "idle daemon, % of a core", question: "idle", metric: "percentOfCore", subject: "weft-overlay", atMost: 0.5 },
  {
    figure: "1M FDB entries: forwarding rate / 1k entries",
    question: "fdb",
    metric: "kfps",
    subject: "1M entries",
    against: "1k entries",
    atLeast: 0.7,
  },
  { figure: "start with 500 sandboxes in the store, s", question: "start", metric: "seconds", subject: "500 sandboxes", atMost: 3 },
  { figure: "sandbox create at 10 sandboxes, ms", question: "create", metric: "sandboxMs", subject: "10 sandboxes", atMost: 15 },
  { figure: "sandbox create at 500 sandboxes, ms", question: "create", metric: "sandboxMs", subject: "500 sandboxes", atMost: 15 },
  { figure: "network create at 500 sandboxes, ms", question: "create", metric: "networkMs", subject: "500 sandboxes", atMost: 5 },
  { figure: "500 sandboxes created by a pool, s", question: "bulk", metric: "createSeconds", subject: "pool of 16 calls", atMost: 8 },
  { figure: "500 sandboxes created serially, s", question: "bulk", metric: "createSeconds", subject: "one call after another", atMost: 8 },
  { figure: "memory with 500 sandboxes, MB", question: "bulk", metric: "residentMb", subject: "pool of 16 calls", atMost: 250 },
  { ...ENCRYPTED, figure: "encrypted overlay TCP / our plain overlay", against: "weft-overlay", atLeast: 0.65 },
  { ...ENCRYPTED, figure: "encrypted overlay TCP / kernel VXLAN with offloads", against: "kernel-vxlan", atLeast: 0.25 },
  { ...ENCRYPTED, figure: "encrypted overlay TCP / best other tunnel", against: OTHERS, atLeast: 2.5 },
  { ...ENCRYPTED, figure: "encrypted 64-byte rate / best other tunnel", metric: "overloadKpps", against: OTHERS, atLeast: 1.5 },
  { ...ENCRYPTED, figure: "encrypted RTT p50 / our plain overlay", metric: "p50Us", against: "weft-overlay", atMost: 1.5 },
  { figure: "local DNS answers a second of a core", question: "dns", metric: "perCore", subject: "2 names", atLeast: 20_000 },
];

/** Told, and held against nothing. @type {Target[]} */
export const RATIOS = OTHERS.flatMap((other) => [
  { ...ENCRYPTED, figure: `encrypted overlay TCP / ${other}`, against: other },
  { ...ENCRYPTED, figure: `encrypted 64-byte rate / ${other}`, metric: "overloadKpps", against: other },
  { ...ENCRYPTED, figure: `encrypted RTT p50 / ${other}`, metric: "p50Us", against: other },
]);

/** @param {number[]} values not empty */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  return { median: median ?? Number.NaN, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN };
}

/** @param {Samples} samples @param {string} question @param {string} subject @param {string} metric */
function valuesOf(samples, question, subject, metric) {
  return (samples[question]?.[subject] ?? []).map((sample) => sample[metric]).filter((value) => value !== undefined);
}

/** @param {{ median: number, min: number, max: number }} s @param {number} digits */
const range = (s, digits) => `${s.median.toFixed(digits)} ${dim(`[${s.min.toFixed(digits)}-${s.max.toFixed(digits)}]`)}`;

/** Round by round the highest of several subjects. @param {number[][]} all */
function bestOf(all) {
  const rounds = Math.max(...all.map((values) => values.length));
  return Array.from({ length: rounds }, (_, i) => Math.max(...all.map((values) => values[i] ?? 0)));
}

/** @param {Samples} samples @param {Target} target */
export function judge(samples, target) {
  const own = valuesOf(samples, target.question, target.subject, target.metric);
  const other = target.against
    ? bestOf([target.against].flat().map((one) => valuesOf(samples, target.question, one, target.metric)))
    : null;
  const rounds = other ? own.slice(0, other.length).map((value, i) => value / (other[i] ?? Number.NaN)) : own;
  if (rounds.length === 0) return null;
  const figure = summary(rounds);
  const reached =
    figure.median >= (target.atLeast ?? Number.NEGATIVE_INFINITY) && figure.median <= (target.atMost ?? Number.POSITIVE_INFINITY);
  return { ...target, ...figure, reached };
}

/**
 * @param {Samples} samples
 * @param {Record<string, { metrics: Record<string, { title: string, unit: string, digits: number }> }>} questions
 * @param {Record<string, string>} titles of subjects
 */
export function print(samples, questions, titles) {
  for (const [question, bySubject] of Object.entries(samples)) {
    for (const [metric, { title, unit, digits }] of Object.entries(questions[question]?.metrics ?? {})) {
      const rows = Object.keys(bySubject).map((subject) => ({ subject, values: valuesOf(samples, question, subject, metric) }));
      const measured = rows.filter((row) => row.values.length > 0);
      if (measured.length > 0) console.log(`\n${bold(title)}, ${unit}: median [min-max]`);
      for (const { subject, values } of measured)
        console.log(`  ${(titles[subject] ?? subject).padEnd(30)} ${range(summary(values), digits)}`);
    }
  }
  const verdicts = TARGETS.map((target) => judge(samples, target)).filter((verdict) => verdict !== null);
  if (verdicts.length > 0) console.log(`\n${bold("Against the targets")}: median of the rounds' figures [min-max]`);
  for (const verdict of verdicts) {
    const bound = verdict.atLeast === undefined ? `<= ${verdict.atMost}` : `>= ${verdict.atLeast}`;
    const word = verdict.reached ? green("reached") : red("missed");
    console.log(`  ${verdict.figure.padEnd(50)} ${cyan(bound.padEnd(7))} ${word.padEnd(8)} ${range(verdict, 2)}`);
  }
  for (const ratio of RATIOS.map((one) => judge(samples, one)).filter((one) => one !== null))
    console.log(`  ${ratio.figure.padEnd(50)} ${" ".repeat(16)} ${range(ratio, 2)}`);
  return verdicts;
}

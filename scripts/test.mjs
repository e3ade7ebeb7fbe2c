// `npm test`: set-up, build, lint, all tests, and a look for what the tests left behind. The last line is the verdict,
// `N passed, N failed`; the exit code says the same. `npm test -- test/unit/imports.test.ts` hands its arguments to vitest and
// leaves the lint gate out.
//
// Nothing is skipped silently: a missing prerequisite, a file that does not load and a skipped test are failures.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { build, SENDER_STAGE, VECTORS_STAGE } from "./build.mjs";
import { hostState, leftovers } from "./leftovers.mjs";
import { setup, TEST_PACKAGES } from "./setup.mjs";
import { bold, green, ROOT, red, report, run, step } from "./steps.mjs";

const REPORT = join(ROOT, "build/test-report.json");
const vitestArguments = process.argv.slice(2);
const whole = vitestArguments.length === 0;

let passed = 0;
let failed = 0;

/** A check that counts like a test. @param {string} name @param {() => Promise<unknown>} work */
async function check(name, work) {
  try {
    await step(name, async () => {
      await work();
    });
    passed += 1;
  } catch (error) {
    report(error);
    failed += 1;
  }
}

/** @returns {never} */
function finish() {
  const verdict = `${passed} passed, ${failed} failed`;
  console.log(verdict);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

async function lint() {
  const node = process.execPath;
  const warnings = ["--", "-D", "warnings"];
  await check("lint: Biome", () => run([node, "node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", "."]));
  const tsc = [node, "node_modules/typescript/bin/tsc", "--noEmit", "-p"];
  await check("lint: types of the product", () => run([...tsc, "tsconfig.json"]));
  await check("lint: types of tests, benchmarks, scripts", () => run([...tsc, "tsconfig.tools.json"]));
  await check("lint: rustfmt, addon", () => run(["cargo", "fmt", "--manifest-path", "native/Cargo.toml", "--check"]));
  await check("lint: rustfmt, generator", () => run(["cargo", "fmt", "--manifest-path", "bench/sender/Cargo.toml", "--check"]));
  await check("lint: clippy, addon", () =>
    run(["cargo", "clippy", "--quiet", "--release", "--locked", "--manifest-path", "native/Cargo.toml", ...warnings]),
  );
  await check("lint: clippy, generator", () =>
    run([
      ...["cargo", "clippy", "--quiet", "--release", "--locked"],
      ...["--manifest-path", "bench/sender/Cargo.toml", "--target-dir", "build/sender", ...warnings],
    ]),
  );
}

/** Runs vitest with its output passed on; answers its exit code. @param {string} runId */
function vitest(runId) {
  const argv = [
    "node_modules/vitest/vitest.mjs",
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${REPORT}`,
    ...vitestArguments,
  ];
  const env = { ...process.env, WEFT_BUILT: "1", WEFT_TEST_RUN: runId };
  const child = spawn(process.execPath, argv, { cwd: ROOT, env, stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
}

/** Adds vitest's own count. @param {number} exitCode */
function count(exitCode) {
  let result;
  try {
    result = JSON.parse(readFileSync(REPORT, "utf8"));
  } catch {
    console.error(red("vitest left no report: it did not run"));
    failed += 1;
    return;
  }
  passed += result.numPassedTests;
  let bad = result.numFailedTests;
  for (const file of result.testResults) {
    // A file that did not load has no test to count.
    if (file.status === "failed" && !file.assertionResults.some((/** @type {{ status: string }} */ test) => test.status === "failed"))
      bad += 1;
  }
  const skipped = result.numPendingTests + result.numTodoTests;
  // With arguments, -t leaves tests out on purpose.
  if (whole && skipped > 0) {
    console.error(red(`${skipped} tests were skipped: each counts as failed`));
    bad += skipped;
  }
  if (bad === 0 && exitCode !== 0) {
    console.error(red(`vitest ended with exit code ${exitCode} though no test failed: an error outside of tests, see above`));
    bad = 1;
  }
  failed += bad;
}

try {
  await setup({ packages: TEST_PACKAGES, privileged: true, guest: true });
  await build(whole ? [SENDER_STAGE, VECTORS_STAGE] : [SENDER_STAGE]);
} catch (error) {
  report(error);
  failed += 1;
  finish();
}

if (whole) await lint();
else console.log("lint: not run, because only some tests were asked for");

mkdirSync(join(ROOT, "build"), { recursive: true });
rmSync(REPORT, { force: true });
const runId = randomUUID();
const before = hostState();
count(await vitest(runId));

const left = await leftovers(before, runId);
if (left.length > 0) {
  console.error(red(bold("left behind by the tests:")));
  for (const line of left) console.error(`  ${line}`);
  failed += 1;
} else {
  console.log(green("nothing was left behind: no namespace, interface, mount or process"));
  passed += 1;
}
finish();

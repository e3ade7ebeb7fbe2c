// `npm run nightly`: what is too long for `npm test`. Ten million fuzz inputs and more, property tests with a hundred times
// the runs. The seed is printed, so that a failure can be had again (fast-check prints its own).
//
//   WEFT_FUZZ            inputs of each fuzz test           10,000,000 here, 100,000 in `npm test`
//   WEFT_FUZZ_SEED       which inputs                       random here, fixed in `npm test`
//   WEFT_PROPERTY_RUNS   runs of each property              10,000 here, the test's own number in `npm test`
//   WEFT_ROTATION_S      seconds of keys changing under load  60 here (daemons: at 1 Gbit/s), 5 in `npm test`
//   WEFT_KILLS           daemons killed under load              20 here, 3 or 4 in `npm test`
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { build, SENDER_STAGE } from "./build.mjs";
import { setup, TEST_PACKAGES } from "./setup.mjs";
import { bold, ROOT, report } from "./steps.mjs";

const HOURS = 60 * 60 * 1000;

try {
  await setup({ packages: TEST_PACKAGES, privileged: true, guest: true });
  await build([SENDER_STAGE]);
} catch (error) {
  report(error);
  process.exit(1);
}

const env = {
  WEFT_BUILT: "1",
  WEFT_FUZZ: process.env.WEFT_FUZZ ?? "10000000",
  WEFT_FUZZ_SEED: process.env.WEFT_FUZZ_SEED ?? String(randomInt(2 ** 31)),
  WEFT_PROPERTY_RUNS: process.env.WEFT_PROPERTY_RUNS ?? "10000",
  WEFT_ROTATION_S: process.env.WEFT_ROTATION_S ?? "60",
  WEFT_KILLS: process.env.WEFT_KILLS ?? "20",
};
console.log(
  bold(
    Object.entries(env)
      .map(([name, value]) => `${name}=${value}`)
      .join(" "),
  ),
);
/** @param {string[]} argv */
function vitest(...argv) {
  const all = ["node_modules/vitest/vitest.mjs", "run", `--testTimeout=${4 * HOURS}`, ...argv, ...process.argv.slice(2)];
  const child = spawn(process.execPath, all, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
}

const codes = [await vitest("test/fuzz", "test/property")];
// One at a time: a rate is asked for.
const hosts = ["esp-rotation", "encrypted-rotation", "encrypted-crash", "acknowledged"].map((name) => `test/e2e/${name}.test.ts`);
codes.push(await vitest("--no-file-parallelism", ...hosts));
process.exit(codes.find((code) => code !== 0) ?? 0);

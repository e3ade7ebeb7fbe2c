// `npm run bench`: set-up, build, then bench/run.mjs. Hours of other load on the machine show in the figures: run it alone.
import { build, SENDER_STAGE } from "./build.mjs";
import { BENCH_PACKAGES, setup } from "./setup.mjs";
import { report } from "./steps.mjs";

try {
  await setup({ packages: BENCH_PACKAGES, privileged: true });
  await build([SENDER_STAGE]);
} catch (error) {
  report(error);
  process.exit(1);
}
const { main } = await import("../bench/run.mjs");
process.exit(await main());

// Tests run against the built addon, engine and daemon. `npm test` has built them and says so by WEFT_BUILT=1; a bare
// `npx vitest run test/unit/x.test.ts` builds here what is stale.
import { execFileSync } from "node:child_process";
import { ROOT } from "../src/paths.ts";

export default function setup(): void {
  if (process.env.WEFT_BUILT === "1") return;
  try {
    execFileSync(process.execPath, ["scripts/build.mjs"], { cwd: ROOT, stdio: "inherit" });
  } catch {
    throw new Error("the build failed, see above; WEFT_BUILT=1 runs the tests against the last one that worked");
  }
}

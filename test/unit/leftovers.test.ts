// What `npm test` looks for after a run must be found when it is there, or the check is worth nothing.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { hostState, leftovers } from "../../scripts/leftovers.mjs";

describe("leftovers", () => {
  let child: ChildProcess | undefined;
  afterEach(async () => {
    if (!child) return;
    child.kill("SIGKILL");
    await once(child, "exit");
    child = undefined;
  });

  it("finds a process of the run by its environment", async () => {
    const runId = `weft-t${process.pid}-process`;
    child = spawn("sleep", ["60"], { env: { ...process.env, WEFT_TEST_RUN: runId }, stdio: "ignore" });
    await once(child, "spawn");
    expect(await leftovers(hostState(), runId, 0)).toEqual([`process ${child.pid}: sleep 60`]);
  });

  it("does not blame another run's process", async () => {
    child = spawn("sleep", ["60"], { env: { ...process.env, WEFT_TEST_RUN: "another" }, stdio: "ignore" });
    await once(child, "spawn");
    expect(await leftovers(hostState(), `weft-t${process.pid}-none`, 0)).toEqual([]);
  });
});

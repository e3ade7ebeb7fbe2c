// weft sandbox stop: the signal, the time, the kill, and what is known afterwards.
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { processOf } from "../../src/netns/process.ts";
import { Daemon, eventually } from "../support/daemon.ts";
import { execute, Lab } from "../support/hosts.ts";

const lab = new Lab();
let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start(lab, await lab.host("h"));
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

async function running(name: string, ...flags: readonly string[]): Promise<void> {
  const script = name === "deaf" ? 'trap "" TERM' : 'trap "exit 7" TERM; trap "exit 8" INT';
  const program = ["sh", "-c", `${script}; cat /proc/sys/kernel/domainname; sleep 600 & echo ready; while :; do wait; sleep 1; done`];
  await daemon.must("run", "-d", "--network", "none", "--domainname", "example.org", "--name", name, ...flags, "--", ...program);
  await eventually(`${name} is ready`, async () => (await daemon.must("logs", name)) === "example.org\nready");
}
const state = async (name: string) => (await daemon.json("sandbox", "inspect", name))[0].State;

test("its program is asked to end, and has a chance to; what it left running ends with it; the sandbox stays", async () => {
  await running("good");
  const { id } = await daemon.sandbox("good");
  const processes = async () => (await execute(["sh", "-c", `grep -lsz WEFT_SANDBOX_ID=${id} /proc/[0-9]*/environ || true`])).stdout;
  expect((await processes()).trim().split("\n")).toHaveLength(3); // the shim, the program and its sleep
  expect(await daemon.must("sandbox", "stop", "good")).toBe("good");
  expect(await state("good")).toMatchObject({ Status: "exited", Running: false, ExitCode: 7, ExitCodeKnown: true });
  expect(await processes()).toBe("");
  // Once more: nothing to do, no failure.
  expect(await daemon.must("sandbox", "stop", "good")).toBe("good");
  await daemon.must("sandbox", "rm", "good");
});

test("by another signal; one that does not hear is killed when its time is over", async () => {
  await Promise.all([running("other"), running("deaf")]);
  await daemon.must("sandbox", "stop", "-s", "int", "-t", "-1", "other");
  expect(await state("other")).toMatchObject({ Status: "exited", ExitCode: 8 });
  await daemon.must("sandbox", "stop", "-t", "0", "deaf");
  expect(await state("deaf")).toMatchObject({ Status: "exited", ExitCode: 128 + 9 });
  await daemon.must("sandbox", "rm", "other", "deaf");
});

test("of --rm it is gone afterwards; mistakes are told, and the others are stopped all the same", async () => {
  await running("fleeting", "--rm");
  await daemon.must("sandbox", "stop", "fleeting");
  await eventually("the sandbox is gone", async () => (await daemon.must("sandbox", "ls", "-q")) === "");
  await running("good");
  const outcome = await daemon.cli(["sandbox", "stop", "nobody", "good"]);
  expect([outcome.code, outcome.stdout, outcome.stderr]).toEqual([1, "good\n", expect.stringContaining("sandbox nobody not found")]);
  const signal = await daemon.cli(["sandbox", "stop", "-s", "SIGNOTHING", "good"]);
  expect([signal.code, signal.stderr]).toEqual([1, expect.stringContaining("invalid signal: SIGNOTHING")]);
  expect((await daemon.cli(["sandbox", "stop", "-t", "soon", "good"])).code).toBe(2);
  await daemon.must("sandbox", "rm", "good");
});

test("rm -f ends what was left in the background, where the program has ended and where there was none", async () => {
  await daemon.must("sandbox", "create", "bare");
  const left = async (...argv: readonly string[]): Promise<number> =>
    Number(await daemon.must(...argv, "sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"));
  const pids = [await left("sandbox", "exec", "bare", "--"), await left("run", "--name", "ended", "--")];
  const kept = await left("run", "--rm", "--");
  expect([...pids, kept].map((pid) => processOf(pid) !== null)).toEqual([true, true, true]);
  await daemon.must("sandbox", "rm", "-f", "bare", "ended");
  expect([...pids, kept].map((pid) => processOf(pid) !== null)).toEqual([false, false, true]);
  process.kill(kept, "SIGKILL");
});

// Sandboxes of `run --rm` whose processes end, or can't be watched, on twins.
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import type { ProgramHost } from "../../src/netns/program-host.ts";
import type { ProcessId } from "../../src/records/records.ts";
import { startController } from "../support/controller.ts";

/** Processes by word of mouth: those in `living`, which end when told to. */
class MemoryPrograms implements ProgramHost {
  readonly living = new Set<number>();
  readonly watches: { readonly pid: number; readonly onEnd: () => void }[] = [];
  /** What pidfd_open(2) fails with. */
  failure: Error | null = null;

  alive({ pid }: ProcessId): boolean {
    return this.living.has(pid);
  }

  watch({ pid }: ProcessId, onEnd: () => void): boolean {
    if (this.failure !== null) throw this.failure;
    if (this.living.has(pid)) this.watches.push({ pid, onEnd });
    return this.living.has(pid);
  }

  end(pid: number): void {
    this.living.delete(pid);
    for (const watch of this.watches.filter((one) => one.pid === pid)) watch.onEnd();
  }

  find = () => [];
  kill = async () => {};
  stop = async () => {};
  exit = () => null;
  forget = () => {};
}

const unhandled: unknown[] = [];
const note = (reason: unknown): number => unhandled.push(reason);
process.on("unhandledRejection", note);
afterEach(() => {
  expect(unhandled.splice(0)).toEqual([]);
});

async function started() {
  const programs = new MemoryPrograms();
  const bench = await startController({ options: { programs } });
  const process = { pid: 11, start: 1 };
  const supervisor = { pid: 10, start: 1 };
  for (const { pid } of [process, supervisor]) programs.living.add(pid);
  const create = () =>
    bench.controller.createSandbox({ name: "a", removeOnExit: true, networks: [], program: { argv: ["sh"], supervisor } });
  const run = async () => {
    await create();
    await bench.controller.programStarted("a", { process, supervisor });
  };
  return { ...bench, programs, create, run };
}

it("are removed once when both processes have ended, and nothing is said to have failed", async () => {
  const { controller, programs, run, logged } = await started();
  await run();
  programs.end(11);
  await turn();
  expect(controller.listSandboxes()).toHaveLength(1);
  programs.end(10);
  await expect.poll(() => controller.listSandboxes()).toEqual([]);
  await turn();
  expect(logged.filter((line) => line.startsWith("error"))).toEqual([]);
});

it("whose processes can't be watched stay while these live, which is said; the daemon lives on and starts again", async () => {
  const { controller, programs, run, store, namespaces, logged } = await started();
  programs.failure = new Error("pidfd_open process 11: EMFILE (Too many open files)");
  await run();
  await turn();
  expect(controller.listSandboxes()).toHaveLength(1);
  expect(logged.filter((line) => line.includes("EMFILE"))).not.toEqual([]);
  const next = await startController({ store, namespaces, options: { programs } });
  await next.controller.restore();
  await next.controller.followPrograms();
  expect(next.controller.listSandboxes()).toHaveLength(1);
  for (const pid of [10, 11]) programs.living.delete(pid);
  await next.controller.followPrograms();
  expect(next.controller.listSandboxes()).toEqual([]);
});

// What the host may do to a daemon without killing it: too few descriptors, a stop for a while, its state directory moved away. It
// refuses with the reason what it can't do, changes nothing then, and goes on afterwards without a restart.
import { readdirSync, readFileSync, renameSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiClient } from "../../src/api/client.ts";
import { Daemon, eventually } from "../support/daemon.ts";
import { Host, Lab, namespaceMounts } from "../support/hosts.ts";

const lab = new Lab();
/** A start takes some more than a hundred for a moment. */
const DESCRIPTORS = 170;
let daemon: Daemon;
let one: Host;

beforeAll(async () => {
  const by = ["prlimit", `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`];
  daemon = await Daemon.start(lab, await lab.host("h"), { by });
  await daemon.must("network", "create", "--subnet", "10.85.0.0/24", "net");
  await daemon.must("sandbox", "create", "--network", "net", "one");
  one = await daemon.enter("one");
});
afterAll(() => lab.dispose());

const create = (name: string) => daemon.api.call("sandbox", "Create", { name, attachments: [{ network: "net" }] });
const remove = (sandbox: string) => daemon.api.call("sandbox", "Remove", { sandbox });

async function goesOn(): Promise<void> {
  await create("late");
  expect(await one.ping((await daemon.sandbox("late")).endpoints[0]!.endpoint!.ipv4.split("/")[0]!, [], 1)).toBe(1);
  await remove("late");
  expect((await daemon.api.call("sandbox", "List", {})).sandboxes.map(({ name }) => name)).toEqual(["one"]);
  expect(namespaceMounts(daemon.stateDir)).toHaveLength(1);
  expect((await daemon.api.call("diagnostics", "Audit", {})).mended).toBe(0);
  await daemon.law();
}

test("no descriptors left", async () => {
  const before = daemon.openFds();
  const made: string[] = [];
  let refusal: unknown;
  while (refusal === undefined && made.length < DESCRIPTORS) {
    const name = `s${made.length}`;
    await create(name).then(
      () => made.push(name),
      (error: unknown) => {
        refusal = error;
      },
    );
  }
  expect(refusal).toMatchObject({ message: expect.stringMatching(/EMFILE|[Tt]oo many open files/) });
  expect((refusal as Error).message).not.toContain("internal error");
  expect(made.length).toBeGreaterThan(5);
  expect((await daemon.api.call("sandbox", "List", {})).sandboxes).toHaveLength(made.length + 1);
  expect(namespaceMounts(daemon.stateDir)).toHaveLength(made.length + 1);
  expect(await one.ping("10.85.0.1", [], 1)).toBe(1);
  for (const name of made) await remove(name);
  await eventually("they are closed", () => daemon.openFds() <= before);
  await goesOn();
});

test("stopped for a while, and continued", async () => {
  process.kill(daemon.pid, "SIGSTOP");
  const threads = `/proc/${daemon.pid}/task`;
  const stopped = (thread: string): boolean => /\) T /.test(readFileSync(`${threads}/${thread}/stat`, "utf8"));
  let waits: Promise<unknown> | undefined;
  try {
    await eventually("each thread has stopped", () => readdirSync(threads).every(stopped));
    waits = create("waits");
    expect(await one.ping("10.85.0.1", ["-w", "1"], 1)).toBe(0);
  } finally {
    process.kill(daemon.pid, "SIGCONT");
  }
  await waits;
  await remove("waits");
  await goesOn();
});

test("its state directory moved away, and back", async () => {
  const { stateDir } = daemon;
  const api = new ApiClient(daemon.socket);
  await api.call("sandbox", "List", {}); // connected, by a path that won't be there
  renameSync(stateDir, `${stateDir}.away`);
  const change = { name: "lost", driver: "bridge" };
  await expect(api.call("network", "Create", change)).rejects.toMatchObject({ message: expect.stringMatching(/ENOENT|no such file/i) });
  expect(await new Host(one.path.replace(stateDir, `${stateDir}.away`)).ping("10.85.0.1", [], 1)).toBe(1);
  renameSync(`${stateDir}.away`, stateDir);
  api.close();
  await goesOn();
});

// Programs in sandboxes: on a terminal, in the background with a log, and what the daemon knows of them, whoever was killed.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { processOf } from "../../src/netns/process.ts";
import { ROOT } from "../../src/paths.ts";
import { Daemon, eventually, WEFT } from "../support/daemon.ts";
import { execute, type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;

beforeAll(async () => {
  host = await lab.host("h");
  daemon = await Daemon.start(lab, host);
  await daemon.must("network", "create", "--subnet", "10.87.0.0/24", "web");
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

const names = async (): Promise<string[]> => (await daemon.api.call("sandbox", "List", {})).sandboxes.map(({ name }) => name);
const alive = (pid: number): boolean => processOf(pid) !== null;

/** What a terminal shows while `steps` are done on it. */
async function onTerminal(argv: readonly string[], ...steps: readonly string[]): Promise<string> {
  const outcome = await execute(["python3", join(ROOT, "test/support/on-terminal.py"), WEFT, "--socket", daemon.socket, ...argv], {
    input: `${steps.join("\n")}\n`,
  });
  expect(outcome.stdout + outcome.stderr).not.toContain("never shown");
  return outcome.stdout;
}

describe("a terminal", () => {
  const shell = ["run", "-it", "--rm", "--network", "web", "--", "sh", "-c"];

  test("of the program's own: its size, its new size, its line editing, its exit code", async () => {
    const script = 'tty; stty size; trap "stty size; got=1" WINCH; echo up; until read line; do :; done; echo "<$line>"; exit 5';
    const shown = await onTerminal(
      [...shell, script],
      "until up",
      "size 41 132",
      "until 41 132",
      "type wrong\\x15right\\n",
      "until <right>",
    );
    expect(shown).toMatch(/^\/dev\/pts\/\d+\n30 100\nup\n/);
    expect(shown).toMatch(/exit 5 restored\n$/);
    expect(await names()).toEqual([]);
  });

  test("without -i: what is typed is not passed on", async () => {
    const script = 'echo up; IFS= read -r -t 0.5 line; echo "<$line>"';
    const shown = await onTerminal(
      ["run", "-t", "--rm", "--network", "web", "--", "bash", "-c", script],
      "until up",
      "type typed\\n",
      "until >",
    );
    expect(shown).toContain("<>");
    expect(shown).not.toContain("<typed>");
  });

  test("^C is the program's", async () => {
    const shown = await onTerminal(
      [...shell, "trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.05; done"],
      "until up",
      "type \\x03",
    );
    expect(shown).toContain("interrupted");
    expect(shown).toMatch(/exit 9 restored\n$/);
  });

  test("a signal to the command is the program's too", async () => {
    const shown = await onTerminal(
      [...shell, "trap 'echo terminated; exit 8' TERM; echo up; while :; do sleep 0.05; done"],
      "until up",
      "kill 15",
    );
    expect(shown).toMatch(/exit 8 restored\n$/);
  });

  test("all of a long output is shown before the end", async () => {
    const shown = await onTerminal([...shell, "seq 20000"], "until 20000");
    expect(shown.split("\n").filter((line) => /^\d+$/.test(line))).toHaveLength(20000);
  });

  test("and on a slow terminal, which is not done with it when the program is", async () => {
    const shown = await onTerminal([...shell, "echo up; seq 20000"], "until up", "slow 0.03", "until 20000");
    expect(shown.split("\n").filter((line) => /^\d+$/.test(line))).toHaveLength(20000);
  });

  test("one whose width nobody knows has tables whole", async () => {
    expect(await onTerminal(["network", "ls"], "size 0 0")).toMatch(/^NETWORK ID .*\n[^…]*\b10\.87\.0\.0\/24\n/);
  });

  test("for exec; and refused where the input is none", async () => {
    await daemon.must("sandbox", "create", "--network", "web", "box");
    expect(await onTerminal(["sandbox", "exec", "-it", "box", "--", "tty"])).toMatch(/^\/dev\/pts\/\d+\n\nexit 0 restored\n$/);
    const refused = await daemon.cli(["sandbox", "exec", "-it", "box", "--", "tty"]);
    expect(refused).toMatchObject({ code: 1, stderr: "weft: the input device is not a TTY\n" });
    expect(await daemon.cli(["sandbox", "exec", "-t", "box", "--", "tty"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/pts/),
    });
    await daemon.must("sandbox", "rm", "box");
  });
});

describe("in the background", () => {
  const show = async (name: string, template: string): Promise<string> => daemon.must("sandbox", "inspect", "-f", template, name);

  test("its state, its log and its exit code are known, its sandbox is not removed from under it", async () => {
    const script = "echo one; echo two >&2; read line; echo never";
    await daemon.must("run", "-d", "-i", "--name", "job", "--network", "web", "--", "sh", "-c", script);
    await eventually("it has written", async () => (await daemon.must("logs", "job")) === "one\ntwo");
    expect(await daemon.must("logs", "--tail", "1", "job")).toBe("two");
    expect(await daemon.must("logs", "--tail", "-1", "job")).toBe("one\ntwo");
    expect(await daemon.must("sandbox", "ls", "--format", "{{.Name}} {{.State}} {{.Status}} {{.Command}}")).toMatch(
      /^job running Up .* "sh -c/,
    );
    expect(await daemon.must("sandbox", "ls", "--filter", "status=running", "--format", "{{.Name}}")).toBe("job");
    expect(await daemon.cli(["sandbox", "rm", "job"])).toMatchObject({
      code: 1,
      stderr: 'weft: cannot remove sandbox "job": sandbox is running: stop its program before attempting removal or force remove (-f)\n',
    });
    const pid = Number(await show("job", "{{.State.Pid}}"));
    process.kill(pid, "SIGUSR1");
    await eventually("it has ended", async () => (await show("job", "{{.State.Status}} {{.State.ExitCode}}")) === "exited 138");
    expect(await daemon.must("sandbox", "ls", "--format", "{{.Status}}")).toMatch(/^Exited \(138\) .* ago$/);
    expect(await daemon.must("logs", "-f", "job")).toBe("one\ntwo");
    const log = await show("job", "{{.LogPath}}");
    await daemon.must("sandbox", "rm", "job");
    expect(existsSync(log)).toBe(false);
  });

  test("the log is followed to the program's end, and its size has a bound", async () => {
    const script = "for i in $(seq 3000); do echo line $i; done; exit 3";
    await daemon.must("run", "-d", "--name", "talker", "--log-opt", "max-size=8k", "--", "sh", "-c", script);
    const followed = (await daemon.must("logs", "-f", "talker")).split("\n");
    expect(followed.at(-1)).toBe("line 3000");
    const kept = await daemon.must("logs", "talker");
    expect(kept.length).toBeLessThanOrEqual(8192);
    expect(kept.length).toBeGreaterThanOrEqual(4000);
    expect(kept.endsWith("line 2999\nline 3000")).toBe(true);
    await daemon.must("sandbox", "rm", "talker");
  });

  test("-dit: a shell waits on a terminal of its own; -f ends it and what it started", async () => {
    await daemon.must("run", "-dit", "--name", "shell", "--network", "web", "--", "sh", "-c", "tty; sleep 600 & echo $!; exec sh");
    const shown = await eventually("it is up", async () => /pts\/\d+\r\n(\d+)/.exec(await daemon.must("logs", "shell")));
    const pids = [Number(shown[1]), Number(await show("shell", "{{.State.Pid}}"))];
    expect(pids.map(alive)).toEqual([true, true]);
    await daemon.must("sandbox", "rm", "-f", "shell");
    expect(pids.map(alive)).toEqual([false, false]);
    expect(await names()).toEqual([]);
  });

  test("outlives the daemon; what ended while no daemon was there is known", async () => {
    await daemon.must("run", "-d", "--name", "stays", "--network", "web", "--", "sh", "-c", "exec sleep 600");
    await daemon.must("run", "-d", "--name", "ends", "--network", "web", "--", "sleep", "600");
    await daemon.must("run", "-d", "--rm", "--name", "goes", "--network", "web", "--", "sleep", "600");
    await daemon.must("run", "-d", "--rm", "--name", "holds", "--network", "web", "--", "sleep", "600");
    const pidOf = async (name: string) => Number(await show(name, "{{.State.Pid}}"));
    const [ends, goes, holds] = [await pidOf("ends"), await pidOf("goes"), await pidOf("holds")];
    expect(await daemon.sigterm()).toBe(0);
    process.kill(ends, "SIGTERM");
    process.kill(goes, "SIGKILL");
    await eventually("they have ended", () => !alive(ends) && !alive(goes));
    await daemon.start();
    await eventually("the one of --rm is gone", async () => (await names()).join() === "ends,holds,stays");
    expect(await show("stays", "{{.State.Status}}")).toBe("running");
    expect(await show("ends", "{{.State.Status}} {{.State.ExitCode}}")).toBe("exited 143");
    await daemon.kill9();
    await daemon.start();
    process.kill(holds, "SIGKILL");
    await eventually("that one is gone as well", async () => (await names()).join() === "ends,stays");
    await daemon.must("sandbox", "rm", "-f", "stays", "ends");
  });

  test("of a killed shim nothing is left with --rm, and what can't be known is not made up", async () => {
    const shimOf = (pid: number): number => Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
    await daemon.must("run", "-d", "--rm", "--name", "lone", "--", "sleep", "600");
    await daemon.must("run", "-d", "--name", "left", "--", "sleep", "600");
    const [lone, left] = [Number(await show("lone", "{{.State.Pid}}")), Number(await show("left", "{{.State.Pid}}"))];
    for (const pid of [lone, left]) process.kill(shimOf(pid), "SIGKILL");
    expect(await show("lone", "{{.State.Status}}")).toBe("running");
    for (const pid of [lone, left]) process.kill(pid, "SIGKILL");
    await eventually("the one of --rm is gone", async () => (await names()).join() === "left");
    expect(await daemon.must("sandbox", "ls", "--format", "{{.Status}}")).toBe("Exited (unknown)");
    await daemon.must("sandbox", "rm", "left");
  });
});

test("a killed `run --rm` in the foreground: the sandbox goes with its program, not before", async () => {
  // A process group of its own for the program: the lab ends that of the command with it.
  const argv = ["run", "--rm", "--name", "orphan", "--network", "web", "--", "setsid", "--wait", "sh", "-c", "echo $$; exec sleep 600"];
  const run = lab.background(host, [WEFT, "--socket", daemon.socket, ...argv]);
  const inner = Number((await run.until(/^(\d+)$/m))[1]);
  // Its streams stay open for the program, so `end` would wait for that.
  process.kill(run.pid, "SIGKILL");
  await eventually("the command has ended", () => !alive(run.pid));
  expect(alive(inner)).toBe(true);
  expect(await names()).toEqual(["orphan"]);
  process.kill(inner, "SIGKILL");
  await eventually("its sandbox is gone", async () => (await names()).length === 0);
});

test("variables: of -e and files, in the background, of exec and on a terminal; those linked hear of them", async () => {
  const path = join(daemon.stateDir, "some.env");
  writeFileSync(path, "# of the database\nUSER=file\nQUOTED='q'\n");
  const flags = ["--env-file", path, "-e", "USER=app", "-e", "TZ", "-e", "UNSET_HERE"];
  const db = [WEFT, "--socket", daemon.socket, "run", "-d", "--name", "db", ...flags, "--", "env"];
  expect(await execute(db, { env: { TZ: "UTC" } })).toMatchObject({ code: 0 });
  const lines = (shown: string): string[] => shown.split("\n").filter((line) => /^(DB_|USER=|QUOTED=|TZ=|UNSET_HERE|ONLY=)/.test(line));
  expect(lines(await daemon.must("logs", "-f", "db")).sort()).toEqual(["QUOTED='q'", "TZ=UTC", "USER=app"]);
  const exec = lines(await daemon.must("sandbox", "exec", "-e", "ONLY=here", "-e", "USER=exec", "db", "--", "env"));
  expect(exec.sort()).toEqual(["ONLY=here", "QUOTED='q'", "TZ=UTC", "USER=exec"]);
  const linked = lines(await onTerminal(["run", "-it", "--rm", "--link", "db", "-e", "DB_NAME=mine", "-e", "USER=me", "--", "env"]));
  const told = ["DB_ENV_QUOTED='q'", "DB_ENV_TZ=UTC", "DB_ENV_USER=app", "DB_NAME=mine"];
  expect(linked.filter((line) => !line.startsWith("TZ=")).sort()).toEqual([...told, "USER=me"]);
  const given = ["USER=file", "QUOTED='q'", "USER=app", "TZ=UTC", "UNSET_HERE"];
  expect((await daemon.json("sandbox", "inspect", "db"))[0].Config.Env).toEqual(given);
  expect(daemon.log).not.toMatch(/QUOTED|USER/);
  await daemon.must("sandbox", "rm", "db");
});

test("exit codes that are not the program's", async () => {
  expect(await daemon.cli(["run", "--rm", "--network", "nowhere", "--", "true"])).toMatchObject({
    code: 125,
    stderr: "weft: network nowhere not found\n",
  });
  expect(await daemon.cli(["run", "-d", "--rm", "--", "/etc/passwd"])).toMatchObject({ code: 126, stdout: "" });
  expect(await names()).toEqual([]);
});

test("renamed: the new name answers at once, the old one is unknown and free", async () => {
  for (const name of ["asker", "old"]) await daemon.must("sandbox", "create", "--network", "web", name);
  const asker = await daemon.enter("asker");
  const dig = async (name: string) => (await asker.must(["dig", "@127.0.0.11", "+short", "+tries=1", name])).trim();
  const address = await dig("old");
  expect(address).toMatch(/^10\.87\.0\.\d+$/);
  await daemon.must("sandbox", "rename", "old", "new");
  expect(await dig("new")).toBe(address);
  expect(await dig("old")).toBe("");
  expect(await dig(`-x${address}`)).toBe("new.web.");
  for (const [to, reason] of [
    ["new", "Renaming a sandbox with the same name as its current name"],
    ["asker", 'Conflict. The sandbox name "asker" is already in use by sandbox'],
    ["-x", 'invalid sandbox name "-x"'],
  ] as const) {
    const { code, stderr } = await daemon.cli(["sandbox", "rename", "new", "--", to]);
    expect([code, stderr]).toEqual([1, expect.stringContaining(reason)]);
  }
  await daemon.must("sandbox", "create", "old");
  await daemon.kill9();
  await daemon.start();
  expect(await dig("new")).toBe(address);
  await daemon.must("sandbox", "rm", "old", "new", "asker");
});

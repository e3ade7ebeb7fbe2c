// Programs in sandboxes and their callers: streams, signals, and what is said where there is no program.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Daemon, WEFT } from "../support/daemon.ts";
import { execute, type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
let host: Host;
let daemon: Daemon;

beforeAll(async () => {
  host = await lab.host("h");
  daemon = await Daemon.start(lab, host);
});
afterAll(() => lab.dispose());

const names = async (): Promise<string[]> => (await daemon.api.call("sandbox", "List", {})).sandboxes.map(({ name }) => name);

test("what can't be run is said in Docker's words, in the foreground and in the background", async () => {
  const script = join(daemon.stateDir, "script");
  writeFileSync(script, "#!/no/such/interpreter\n", { mode: 0o755 });
  for (const [program, code, reason] of [
    ["no-such-program", 127, "executable file not found in $PATH"],
    ["/no/such/program", 127, "no such file or directory"],
    ["/etc/passwd/x", 127, "no such file or directory"],
    [script, 127, "the interpreter that it names is not there (its first line, or its loader)"],
    ["/etc/passwd", 126, "permission denied: is it executable (chmod +x)?"],
    ["/tmp", 126, "is a directory"],
  ] as const) {
    // By the same errno in the background: two will do.
    for (const flags of ["no-such-program", "/tmp"].includes(program) ? [[], ["-d"]] : [[]]) {
      expect(await daemon.cli(["run", "--rm", "--name", "box", ...flags, "--", program]), `${program} ${flags}`).toEqual({
        code,
        stdout: "",
        stderr: `weft: cannot run "${program}" in sandbox box: ${reason}\n`,
      });
    }
  }
  expect(await names()).toEqual([]);
});

test("a program's streams are as the caller's, whose pipe may be slow: a write waits, it does not fail", async () => {
  // Node makes its pipes non-blocking, and flags are the pipe's, not the descriptor's: `seq` would die of EAGAIN when it is full.
  const script = "cat /proc/self/fdinfo/1; cat /proc/self/fdinfo/2; seq 100000";
  for (const words of [
    ["run", "--rm", "--"],
    ["sandbox", "exec", "streams"],
  ]) {
    if (words[0] === "sandbox") await daemon.must("sandbox", "create", "streams");
    const through = `"$@" 2>&3 | { read -r first; cat; }`;
    const { stdout, stderr } = await execute(
      ["sh", "-c", `exec 3>&2; ${through}`, "sh", WEFT, "--socket", daemon.socket, ...words, "sh", "-c", script],
      {},
    );
    expect(stderr).toBe("");
    const flags = [...stdout.matchAll(/^flags:\s+(\d+)$/gm)].map(([, octal]) => Number.parseInt(octal!, 8) & 0o4000);
    expect(flags).toEqual([0, 0]);
    expect(stdout.endsWith("\n99999\n100000\n")).toBe(true);
  }
  await daemon.must("sandbox", "rm", "streams");
});

test("standard input is a program's with -i; a loop that reads a list keeps it without", async () => {
  await daemon.must("sandbox", "create", "--network", "none", "reads");
  const input = "one\ntwo\nthree\n";
  for (const words of [
    ["run", "--rm", "--network", "none"],
    ["sandbox", "exec", "reads"],
  ]) {
    const loop = 'while read -r x; do echo "item $x"; "$@" cat; done';
    const weft = [WEFT, "--socket", daemon.socket, ...words];
    const listed = await execute(["sh", "-c", loop, "sh", ...weft], { input });
    expect(listed).toMatchObject({ code: 0, stdout: "item one\nitem two\nitem three\n", stderr: "" });
    // Reads end at once, they don't fail.
    expect(await daemon.cli([...words, "readlink", "/proc/self/fd/0"], { input })).toMatchObject({ stdout: "/dev/null\n" });
    const position = words[0] === "run" ? 1 : 2;
    const interactive = [...words.slice(0, position), "-i", ...words.slice(position), "cat"];
    expect(await daemon.cli(interactive, { input })).toEqual({ code: 0, stdout: input, stderr: "" });
  }
  await daemon.must("sandbox", "rm", "reads");
});

test("a program in the background holds nothing that its caller had open, and hears why it can't be started", async () => {
  const inherited = join(daemon.stateDir, "inherited");
  const weft = [WEFT, "--socket", daemon.socket, "run", "-d", "--name"];
  const started = ["sh", "-c", `exec 9>${inherited}; "$@"`, "sh", ...weft, "open", "--", "ls", "-l", "/proc/self/fd"];
  expect(await execute(started)).toMatchObject({ code: 0 });
  const descriptors = await daemon.must("logs", "-f", "open");
  expect(descriptors).toContain(" 2 -> pipe:");
  expect(descriptors).not.toContain(inherited);
  await daemon.must("sandbox", "rm", "open");
  const big = join(daemon.stateDir, "big.env");
  writeFileSync(big, `BIG=${"x".repeat(200_000)}\n`);
  for (const flags of [[], ["-d"]]) {
    const { code, stderr } = await daemon.cli(["run", "--rm", ...flags, "--env-file", big, "--", "true"]);
    expect([code, stderr]).toEqual([126, expect.stringContaining("argument list too long")]);
  }
  expect(await names()).toEqual([]);
});

test.each(["SIGALRM", "SIGWINCH", "SIGUSR1"] as const)("%s to the command is the program's", async (signal) => {
  const script = `trap 'echo heard; exit 7' ${signal.slice(3)}; echo up; while :; do sleep 0.05; done`;
  const run = lab.background(host, [WEFT, "--socket", daemon.socket, "run", "--rm", "--", "bash", "-c", script]);
  await run.until(/^up$/m);
  process.kill(run.pid, signal);
  expect([await run.ended, run.stdout]).toEqual([7, "up\nheard\n"]);
});

// bin/weft as a person or a script uses it, against a real daemon: programs in sandboxes, streams into files and pipes, the
// launcher, a second daemon. What crosses networks is other files' matter.
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Daemon, eventually, WEFT } from "../support/daemon.ts";
import { execute, type Host, Lab } from "../support/hosts.ts";

const lab = new Lab();
const folder = mkdtempSync(join(tmpdir(), `${lab.prefix}-api-`));
let host: Host;
let daemon: Daemon;

beforeAll(async () => {
  host = await lab.host("h");
  daemon = await Daemon.start(lab, host, { nodeName: "node-a", args: ["--metrics", "127.0.0.1:9469"] });
  await daemon.must("network", "create", "--subnet", "10.86.0.0/24", "web");
  await daemon.must("sandbox", "create", "--network", "web,ip=10.86.0.11", "box");
});
afterAll(async () => {
  await lab.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const names = async (): Promise<string[]> => (await daemon.json("sandbox", "ls")).map(({ Name }: { Name: string }) => Name);

describe("run", () => {
  test.each([
    { what: "an exit code", argv: ["sh", "-c", "exit 7"], code: 7 },
    { what: "success", argv: ["true"], code: 0 },
    { what: "a signal", argv: ["sh", "-c", "kill -9 $$"], code: 137 },
    { what: "a program that is not there", argv: ["no-such-program"], code: 127, says: 'weft: cannot run "no-such-program" in' },
    { what: "a program that is none", argv: ["/etc/passwd"], code: 126, says: 'weft: cannot run "/etc/passwd" in' },
  ])("passes $what on, and --rm leaves nothing", async ({ argv, code, says }) => {
    const outcome = await daemon.cli(["run", "--rm", "--network", "web", "--", ...argv]);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).toContain(says ?? "");
    expect(await names()).toEqual(["box"]);
  });

  test("has our standard streams, a network and the sandbox's name", async () => {
    const script =
      'cat; echo to stderr >&2; echo "$WEFT_SANDBOX"; cat /sys/class/net/lo/address; ping -c1 -W2 -q 10.86.0.11 >/dev/null && echo reached';
    const argv = ["run", "-i", "--rm", "--name", "streams", "--network", "web,ip=10.86.0.99", "--", "sh", "-c", script];
    const outcome = await daemon.cli(argv, { input: "from stdin\n" });
    expect(outcome).toMatchObject({ code: 0, stderr: "to stderr\n" });
    expect(outcome.stdout).toMatch(/^from stdin\nstreams\n[\s\S]*reached\n$/);
  });

  test("forwards a signal and waits for the program's own end", async () => {
    const script = 'trap "echo caught; exit 3" TERM; echo up; while :; do sleep 0.05; done';
    const run = lab.background(host, [WEFT, "--socket", daemon.socket, "run", "--rm", "--name", "trapped", "--", "sh", "-c", script]);
    await run.until(/up/);
    expect(await run.end("SIGTERM")).toBe(3);
    expect(run.stdout).toContain("caught");
    expect(await names()).toEqual(["box"]);
  });

  test("keeps the sandbox without --rm", async () => {
    await daemon.must("run", "--name", "kept", "--network", "web", "--", "true");
    expect(await names()).toEqual(["box", "kept"]);
    await daemon.must("sandbox", "rm", "kept");
  });

  test("-d prints the id, goes on in the background with its output in a log, and --rm removes it at the end", async () => {
    const fifo = join(folder, "go");
    await host.must(["mkfifo", fifo]);
    const outcome = await daemon.cli([
      "run",
      "-d",
      "--rm",
      "--name",
      "behind",
      "--network",
      "web",
      "--",
      "sh",
      "-c",
      `echo began; cat ${fifo}`,
    ]);
    expect(outcome).toMatchObject({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/) });
    const log = /output in (\S+)/.exec(outcome.stderr)![1]!;
    expect(await names()).toEqual(["behind", "box"]);
    await eventually("its output is in the log", () => readFileSync(log, "utf8") === "began\n");
    await host.must(["sh", "-c", `echo go > ${fifo}`]);
    await eventually("its sandbox is gone", async () => (await names()).length === 1);
    expect(existsSync(log)).toBe(false);
  });

  test("-d says so if the program can't be started", async () => {
    const outcome = await daemon.cli(["run", "-d", "--rm", "--", "no-such-program"]);
    expect(outcome).toMatchObject({ code: 127, stdout: "" });
    expect(outcome.stderr).toContain('weft: cannot run "no-such-program" in');
    await eventually("its sandbox is gone", async () => (await names()).length === 1);
  });
});

describe("exec", () => {
  test.each([
    { what: "behind --", argv: ["sandbox", "exec", "box", "--", "echo", "-n", "--format", "x"] },
    { what: "without --", argv: ["sandbox", "exec", "box", "echo", "-n", "--format", "x"] },
    { what: "of run, without --", argv: ["run", "--rm", "echo", "-n", "--format", "x"] },
  ])("leaves a program's own options alone, $what", async ({ argv }) => {
    expect(await daemon.cli(argv)).toEqual({ code: 0, stdout: "--format x", stderr: "" });
  });

  test("runs in the sandbox's namespace", async () => {
    const outcome = await daemon.cli(["sandbox", "exec", "box", "--", "ip", "-4", "-o", "addr", "show", "dev", "eth0"]);
    expect(outcome.stdout).toContain("10.86.0.11/24");
  });

  test("passes exit code and standard input on", async () => {
    const program = ["box", "--", "sh", "-c", "read x; exit $x"];
    expect(await daemon.cli(["sandbox", "exec", "-i", ...program], { input: "5\n" })).toMatchObject({ code: 5 });
  });
});

describe("streams", () => {
  test("a capture ends by a signal, complete, and tshark reads it", async () => {
    const file = join(folder, "box.pcapng");
    const capture = lab.background(host, [WEFT, "--socket", daemon.socket, "capture", "-w", file, "box"]);
    await capture.until(/capturing box/);
    // Ended at once: what was captured in the last milliseconds is in the file too.
    expect(await (await daemon.enter("box")).pings("10.86.0.1", 2, 0)).toEqual({ sent: 2, received: 2 });
    expect(await capture.end("SIGINT")).toBe(0);
    const { stdout } = await execute(["tshark", "-r", file, "-Y", "icmp", "-T", "fields", "-e", "icmp.type"]);
    expect(stdout).toBe("8\n0\n8\n0\n");
  });

  test("a capture goes through a pipe, which may close before it", async () => {
    const script = `"$0" --socket "$1" capture box | head -c 4 | od -An -tx1`;
    expect((await host.must(["sh", "-c", script, WEFT, daemon.socket])).trim()).toBe("0a 0d 0d 0a");
  });

  test("a reader that has enough is no error", async () => {
    const script = `"$0" --socket "$1" drops --all | head -1`;
    const outcome = await host.execute(["sh", "-c", script, WEFT, daemon.socket]);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
  });
});

describe("the daemon", () => {
  test("serves metrics", async () => {
    const text = await host.must(["curl", "-sf", "http://127.0.0.1:9469/metrics"]);
    expect(text).toMatch(/^weft_engine_total\{counter="rx"\} \d+$/m);
    expect(text).toContain("weft_law_difference 0\n");
  });

  test("is the only one of its state directory, and its pid is named", async () => {
    const outcome = await host.execute([WEFT, "daemon", "--state-dir", daemon.stateDir, "--socket", join(folder, "second.sock")]);
    const pid = (await daemon.json("status")).Pid;
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain(
      `another weft daemon (pid ${pid}) uses state directory ${daemon.stateDir}; stop it or give --state-dir`,
    );
  });

  test("removes a sandbox of run --rm whose program did not outlive a crash, and no other", async () => {
    const run = lab.background(host, [
      WEFT,
      "--socket",
      daemon.socket,
      ...["run", "--rm", "--name", "orphan", "--network", "web", "--", "sh", "-c", "echo up; exec sleep 600"],
    ]);
    await run.until(/up/);
    const inside = Number(await host.must(["pgrep", "-P", String(run.pid)]));
    await daemon.kill9();
    process.kill(inside, "SIGKILL");
    expect(await run.ended).toBe(137);
    // Which of the two depends on whether the end of the connection was heard of before.
    expect(run.stderr).toMatch(/weft: sandbox orphan was not removed: (cannot reach the weft daemon|the weft daemon .* went away)/);
    await daemon.start();
    expect(await names()).toEqual(["box"]);
    await daemon.must("sandbox", "exec", "box", "--", "ping", "-c1", "-W2", "-q", "10.86.0.1");
  });

  test("ends by SIGINT as by SIGTERM, and its socket goes", async () => {
    const socket = join(folder, "other.sock");
    const argv = [WEFT, "daemon", "--state-dir", join(folder, "other"), "--socket", socket, "--log-format", "text"];
    const other = lab.background(host, argv);
    await other.until(/ ready /);
    expect(existsSync(socket)).toBe(true);
    expect(await other.end("SIGINT")).toBe(0);
    expect(existsSync(socket)).toBe(false);
    expect(other.stderr).toContain("stopped");
  });
});

describe("the launcher", () => {
  test("works by a symlink from anywhere", async () => {
    const link = join(folder, "weft");
    symlinkSync(WEFT, link);
    const { stdout, code } = await execute([link, "--socket", daemon.socket, "version", "--format", "{{.Daemon.Version}}"]);
    expect({ stdout, code }).toEqual({ stdout: "0.1.0\n", code: 0 });
  });

  test("says how to build what is not built", async () => {
    const bare = join(folder, "bare");
    await host.must(["sh", "-c", 'mkdir -p "$0/bin" && cp "$1" "$0/bin/weft"', bare, WEFT]);
    expect(await execute([join(bare, "bin/weft"), "version"])).toMatchObject({
      code: 1,
      stderr: `weft: not built: run \`npm run build\` in ${bare}\n`,
    });
  });
});

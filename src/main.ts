// Entry of bin/weft: hands argv and the process's streams to the CLI and ends with its exit code.
import { createInterface } from "node:readline";
import { buffer } from "node:stream/consumers";
import { type CliHost, runCli } from "./cli/index.ts";

// `weft network ls | head -1` closes the pipe early: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`weft: cannot write to stdout: ${error.message}\n`);
  process.exit(1);
});

const host: CliHost = {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  stdoutIsTerminal: process.stdout.isTTY === true,
  // 0: a terminal whose width nobody has told the kernel (a serial console, one that a script opened).
  columns: process.stdout.isTTY ? process.stdout.columns || undefined : undefined,
  readLine() {
    const lines = createInterface({ input: process.stdin });
    return new Promise((done) => {
      lines.once("line", (line) => {
        done(line);
        lines.close();
      });
      lines.once("close", () => done(null));
    });
  },
  readInput: () => buffer(process.stdin),
  interrupted() {
    const controller = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => controller.abort());
    return controller.signal;
  },
  async runDaemon(flags) {
    const { runDaemon } = await import("./daemon/daemon.ts");
    return runDaemon(flags);
  },
  async purgeDaemon(flags, say) {
    const { purgeDaemon } = await import("./daemon/daemon.ts");
    return purgeDaemon(flags, say);
  },
};

process.exitCode = await runCli(process.argv.slice(2), host);

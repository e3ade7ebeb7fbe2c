// Hands rulesets to nftables by its own program, nft, in the daemon's network namespace: one process a change, however large,
// and the kernel takes a transaction whole or not at all.
import { spawn } from "node:child_process";
import { unavailable, WeftError } from "../errors.ts";
import { TABLE } from "./rules.ts";

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function nft(argv: readonly string[], input: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn("nft", argv, { stdio: ["pipe", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.stdin.on("error", () => {}); // it ended before it had read all: its exit code says why
    child.on("error", (error: NodeJS.ErrnoException) => {
      const missing = "the program nft is missing: install nftables (`apt-get install nftables`); bridge networks need it";
      reject(unavailable(error.code === "ENOENT" ? missing : `nft can't be run: ${error.message}`));
    });
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

/** Replaces our table by a transaction of rules.ts. */
export async function applyRuleset(text: string): Promise<void> {
  const { code, stderr } = await nft(["-f", "-"], text);
  if (code === 0) return;
  const reason = stderr.trim().split("\n")[0] ?? "";
  if (/Operation not permitted/.test(stderr)) throw new WeftError("PERMISSION_DENIED", `nft refused: ${reason}: run the daemon as root`);
  throw unavailable(
    `nft refused the rules of ${TABLE}: ${reason}: the kernel may lack nf_tables, nft_nat or nft_fib (\`modprobe nft_nat\`)`,
  );
}

/** Our table as the kernel has it, in nft's own spelling; "" if there is none. */
export async function listTable(): Promise<string> {
  const { code, stdout } = await nft(["-s", "list", "table", ...TABLE.split(" ")], "");
  return code === 0 ? stdout : "";
}

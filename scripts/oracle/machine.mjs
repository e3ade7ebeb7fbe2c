// A machine for one of the two engines: namespaces of its own for network, mounts, processes and host name, alike for both. A
// link leads to a client outside, which is a namespace too and the only thing that either engine can reach.
//
//   outside (192.0.2.2) ── 192.0.2.1 uplink | machine: init, engine, its containers
//
// /run is empty, /etc, /opt and /var/lib take changes in memory. All that runs inside dies with the machine's first process
// (--kill-child), and the mounts with the last; only control groups would stay, and removeGroups removes those.
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { run, StepError } from "../steps.mjs";
import { programEnvironment, programPath } from "./packages.mjs";

export const HOST_ADDRESS = "192.0.2.1";
export const OUTSIDE_ADDRESS = "192.0.2.2";
export const HOST_ADDRESS6 = "2001:db8::1";
export const OUTSIDE_ADDRESS6 = "2001:db8::2";
const READY_MS = 10_000;
const COMMAND_MS = 60_000;

const SETUP = `set -e
hostname oracle
mount -t tmpfs -o mode=755 tmpfs /run
for folder in etc opt var/lib; do
  mkdir -p /run/layers/$folder/upper /run/layers/$folder/work
  mount -t overlay -o lowerdir=/$folder,upperdir=/run/layers/$folder/upper,workdir=/run/layers/$folder/work overlay /$folder
done
rm -f /etc/resolv.conf
printf 'nameserver ${OUTSIDE_ADDRESS}\\nsearch example.test\\n' > /etc/resolv.conf
printf '127.0.0.1\\tlocalhost\\n' > /etc/hosts
echo ready
exec "$1" -s -- sleep infinity`;

/**
 * @typedef {{ code: number, stdout: string, stderr: string }} Outcome
 */

/** @param {string[]} argv @param {{ input?: string, env?: Record<string, string>, timeoutMs?: number }} [options] @returns {Promise<Outcome>} */
export function outcome(argv, options = {}) {
  const [program, ...rest] = /** @type {[string, ...string[]]} */ (argv);
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...options.env } });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (/** @type {Buffer} */ bytes) => {
      stdout += bytes;
    });
    child.stderr.on("data", (/** @type {Buffer} */ bytes) => {
      stderr += bytes;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs ?? COMMAND_MS);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? 128, stdout, stderr: signal === null ? stderr : `${stderr}ended by ${signal}` });
    });
  });
}

export class Machine {
  /** @param {import("../lab.mjs").Lab} lab @param {string} short */
  constructor(lab, short) {
    this.lab = lab;
    this.short = short;
    this.init = 0;
    /** @type {Record<string, string>} */
    this.environment = programEnvironment();
  }

  async start() {
    const { lab, short } = this;
    const [machine, outside] = [`${lab.name}-${short}`, `${lab.name}-${short}-out`];
    for (const name of [machine, outside]) {
      await run(["ip", "netns", "add", name]);
      await run(["ip", "-n", name, "link", "set", "lo", "up"]);
    }
    await run(["ip", "-n", machine, "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", outside]);
    await this.address(machine, "uplink", HOST_ADDRESS, HOST_ADDRESS6);
    await this.address(outside, "eth0", OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6);
    await run(["ip", "-n", machine, "route", "add", "default", "via", OUTSIDE_ADDRESS]);

    const log = join(lab.folder, `${short}-machine.log`);
    const parent = lab.start(
      lab.namespacePath(short),
      [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--uts",
        "--mount-proc",
        "sh",
        "-c",
        SETUP,
        "sh",
        programPath("tini"),
      ],
      { log, env: this.environment },
    );
    for (const deadline = Date.now() + READY_MS; !readFileSync(log, "utf8").includes("ready"); await wait(10)) {
      if (Date.now() > deadline) throw new StepError(`the namespaces of ${short} could not be made`, readFileSync(log, "utf8"));
    }
    this.init = Number(readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim());
  }

  /** @param {string} namespace @param {string} link @param {string} ipv4 @param {string} ipv6 */
  async address(namespace, link, ipv4, ipv6) {
    await run(["ip", "-n", namespace, "address", "add", `${ipv4}/24`, "dev", link]);
    await run(["ip", "-n", namespace, "address", "add", `${ipv6}/64`, "dev", link, "nodad"]);
    await run(["ip", "-n", namespace, "link", "set", link, "up"]);
  }

  /** The command that runs `argv` inside. @param {string[]} argv */
  inside(argv) {
    return ["nsenter", "--target", String(this.init), "--mount", "--pid", "--net", "--uts", "--", ...argv];
  }

  /** @param {string[]} argv @param {{ input?: string, timeoutMs?: number }} [options] */
  do(argv, options = {}) {
    return outcome(this.inside(argv), { ...options, env: this.environment });
  }

  /** As the client on the other end of the link. @param {string[]} argv @param {{ input?: string, timeoutMs?: number }} [options] */
  outside(argv, options = {}) {
    const enter = ["nsenter", `--net=${this.lab.namespacePath(`${this.short}-out`)}`, "--", ...argv];
    return outcome(enter, { ...options, env: this.environment });
  }

  /** Starts something that goes on. @param {string[]} argv @param {string} name of its log */
  serve(argv, name) {
    return this.lab.start(null, this.inside(argv), { log: join(this.lab.folder, `${name}.log`), env: this.environment });
  }

  /** @param {string[]} argv @param {string} name of its log */
  serveOutside(argv, name) {
    return this.lab.start(this.lab.namespacePath(`${this.short}-out`), argv, {
      log: join(this.lab.folder, `${name}.log`),
      env: this.environment,
    });
  }
}

/** Control groups of one name in every hierarchy, innermost first. @param {string} name */
export function removeGroups(name) {
  const remove = (/** @type {string} */ folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) remove(join(folder, entry.name));
    rmdirSync(folder);
  };
  const root = "/sys/fs/cgroup";
  if (!existsSync(root)) return;
  for (const folder of [join(root, name), ...readdirSync(root).map((one) => join(root, one, name))]) if (existsSync(folder)) remove(folder);
}

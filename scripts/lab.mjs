// A lab: network namespaces and processes under one name, on this machine. It can be torn down whatever happened, also by
// a later run when this one was killed: processes are noted in /run/<name>/processes, namespaces carry the name's prefix.
//
// Programs enter a namespace by `nsenter --net=`, never by `ip netns exec`: that makes a mount namespace of its own, in
// which namespaces that a daemon creates would be invisible to everyone else.
import { spawn } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { ROOT, run, StepError } from "./steps.mjs";

const TERMINATE_MS = 5000;

/** The start time of a process in ticks: with the pid it names one process for ever. @param {number} pid */
function startTime(pid) {
  try {
    return (
      readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ")[19] ?? null
    );
  } catch {
    return null;
  }
}

export class Lab {
  /** @param {string} name prefix of all that the lab makes: "weft-demo" */
  constructor(name) {
    this.name = name;
    /** Sockets, state and logs. */
    this.folder = `/run/${name}`;
    this.ownerFile = join(this.folder, "owner");
    this.processFile = join(this.folder, "processes");
    /** A signal came: the lab is being torn down and the process is about to end. What fails now fails because of that. */
    this.interrupted = false;
    /** @type {Promise<void> | null} */
    this.tearing = null;
  }

  /** Takes the name. A live owner is refused, a dead one's lab is torn down first. From here on a signal tears down. */
  async claim() {
    if (existsSync(this.ownerFile)) {
      const [pid, started] = readFileSync(this.ownerFile, "utf8").trim().split(" ");
      if (startTime(Number(pid)) === started) {
        throw new StepError(`another run of ${this.name} is under way, process ${pid}: wait for it, or end it by \`kill ${pid}\``);
      }
      await this.tearDown();
    } else if (this.namespaces().length > 0) {
      throw new StepError(
        `namespaces named ${this.namespaces().join(", ")} exist and no run of ours is known to have made them: remove each by \`ip netns delete NAME\``,
      );
    }
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(this.ownerFile, `${process.pid} ${startTime(process.pid)}\n`);
    for (const signal of /** @type {NodeJS.Signals[]} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
      process.once(signal, () => {
        this.interrupted = true;
        console.error(`\n${signal}: cleaning up`);
        this.tearDown().finally(() => process.exit(1));
      });
    }
  }

  /** Names of the lab's namespaces. */
  namespaces() {
    if (!existsSync("/run/netns")) return [];
    return readdirSync("/run/netns").filter((name) => name.startsWith(`${this.name}-`));
  }

  /** @param {string} short "a" makes `weft-demo-a` */
  namespacePath(short) {
    return `/run/netns/${this.name}-${short}`;
  }

  /**
   * Starts a program that outlives this process if it must; its output goes to a file. Answers the pid.
   *
   * @param {string | null} namespacePath
   * @param {string[]} argv
   * @param {{ log: string, env?: Record<string, string> }} options
   */
  start(namespacePath, argv, options) {
    const [program, ...rest] = inNamespace(namespacePath, argv);
    const log = openSync(options.log, "a");
    const env = { ...process.env, ...options.env };
    const child = spawn(program ?? "", rest, { cwd: ROOT, detached: true, stdio: ["ignore", log, log], env });
    closeSync(log);
    const pid = child.pid;
    if (pid === undefined) throw new StepError(`${program} could not be started`);
    child.unref();
    appendFileSync(this.processFile, `${pid} ${startTime(pid)}\n`);
    return pid;
  }

  /** Ends a process that `start` started: asked first, then made to. @param {number} pid */
  async end(pid) {
    const started = startTime(pid);
    const alive = () => started !== null && startTime(pid) === started && !/^State:\s+Z/m.test(statusOf(pid));
    if (!alive()) return;
    process.kill(pid, "SIGTERM");
    for (const deadline = Date.now() + TERMINATE_MS; alive() && Date.now() < deadline; ) await wait(20);
    if (alive()) process.kill(pid, "SIGKILL");
    while (alive()) await wait(20);
  }

  /** Removes some of the lab's namespaces, and with them their interfaces. @param {string[]} shorts as for namespacePath */
  async removeNamespaces(shorts) {
    const wanted = shorts.map((short) => `${this.name}-${short}`);
    for (const name of this.namespaces().filter((one) => wanted.includes(one))) await run(["ip", "netns", "delete", name]);
  }

  /** Removes all that carries the lab's name. Safe to call twice, also at the same time. */
  tearDown() {
    this.tearing ??= this.removeAll().finally(() => {
      this.tearing = null;
    });
    return this.tearing;
  }

  async removeAll() {
    const lines = existsSync(this.processFile) ? readFileSync(this.processFile, "utf8").trim().split("\n") : [];
    const ours = lines.map((line) => line.split(" ")).filter(([pid, started]) => started !== "null" && startTime(Number(pid)) === started);
    await Promise.all(ours.map(([pid]) => this.end(Number(pid))));
    // What runs inside the lab's namespaces is the lab's, whoever started it.
    const mounts = [...this.namespaces().map((name) => `/run/netns/${name}`), ...namespaceMountsBelow(this.folder)];
    await Promise.all(processesInside(mounts).map((pid) => this.end(pid)));
    for (const name of this.namespaces()) await run(["ip", "netns", "delete", name]);
    for (const path of namespaceMountsBelow(this.folder)) await run(["umount", path]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** @param {number} pid */
function statusOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}

/** @param {string} folder */
function namespaceMountsBelow(folder) {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" - nsfs "))
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${folder}/`));
}

/** @param {string[]} paths of network namespaces */
function processesInside(paths) {
  const inodes = new Set(paths.map((path) => statSync(path, { throwIfNoEntry: false })?.ino));
  const found = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (inodes.has(statSync(`/proc/${pid}/ns/net`).ino)) found.push(Number(pid));
    } catch {
      // it ended meanwhile, or is a kernel thread
    }
  }
  return found;
}

/** The command that runs `argv` in a namespace. @param {string | null} namespacePath @param {string[]} argv */
export function inNamespace(namespacePath, argv) {
  return namespacePath === null ? argv : ["nsenter", `--net=${namespacePath}`, ...argv];
}

// Hosts for tests out of network namespaces: a lab makes them, joins them by veth pairs, starts programs in them and takes
// all of it down again, also when the test process ends before its time.
//
// Programs enter by `nsenter --net=PATH`, never by `ip netns exec`: that makes a private mount namespace, in which a
// daemon's namespaces of sandboxes would be mounted unseen by everybody else and vanish with it. Names bear the prefix
// `weft-t<pid>-`, by which `npm test` tells a run's leftovers from another, living run's.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export interface Outcome {
  /** 128 + n when signal n ended it, as a shell says it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ExecuteOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 30_000;
const PING = fileURLToPath(new URL("ping.py", import.meta.url));

/** Runs a program to its end. Rejects only if it can't be started or does not end in time. */
export function execute(argv: readonly string[], options: ExecuteOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = argv;
    const child = spawn(program!, rest, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`\`${argv.join(" ")}\` did not end within ${timeoutMs} ms\n${Buffer.concat(stderr)}${Buffer.concat(stdout)}`));
    }, timeoutMs);
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => {}); // it may end without having read all
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({
        code: code ?? 128 + (signalNumbers[signal!] ?? 0),
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
    child.stdin.end(options.input ?? "");
  });
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

/** Runs a program that has to succeed; answers its standard output. */
export async function must(argv: readonly string[], options: ExecuteOptions = {}): Promise<string> {
  const outcome = await execute(argv, options);
  if (outcome.code !== 0) throw new Error(`\`${argv.join(" ")}\` ended with ${outcome.code}:\n${outcome.stderr}${outcome.stdout}`);
  return outcome.stdout;
}

/** A program that runs beside the test. */
export class Background {
  readonly child: ChildProcess;
  readonly argv: readonly string[];
  readonly ended: Promise<number>;
  stdout = "";
  stderr = "";
  #over = false;
  readonly #waiting = new Set<() => void>();

  constructor(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.argv = argv;
    const [program, ...rest] = argv;
    // A process group of its own, so that what it started itself ends with it.
    this.child = spawn(program!, rest, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env }, detached: true });
    running.add(this);
    this.child.stdin!.on("error", () => {});
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#look();
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#look();
    });
    this.ended = new Promise((resolve) => {
      const finish = (code: number) => {
        this.#over = true;
        running.delete(this);
        this.#look();
        resolve(code);
      };
      this.child.on("error", (error) => {
        this.stderr += String(error);
        finish(127);
      });
      this.child.on("exit", () => this.#killGroup());
      this.child.on("close", (code, signal) => finish(code ?? 128 + (signalNumbers[signal!] ?? 0)));
    });
  }

  #killGroup(): void {
    killGroup(this.child);
  }

  get pid(): number {
    return this.child.pid!;
  }

  get over(): boolean {
    return this.#over;
  }

  #look(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** Resolves when what it printed so far matches; rejects when it ends before. */
  until(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        this.#waiting.delete(look);
        clearTimeout(timer);
        finish();
      };
      const failure = (why: string) => new Error(`\`${this.argv.join(" ")}\` ${why} ${pattern}:\n${this.stderr}${this.stdout}`);
      const look = () => {
        const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
        if (match) settle(() => resolve(match));
        else if (this.#over) settle(() => reject(failure("ended before it printed")));
      };
      const timer = setTimeout(() => settle(() => reject(failure(`printed in ${timeoutMs} ms nothing like`))), timeoutMs);
      this.#waiting.add(look);
      look();
    });
  }

  /** Ends it and waits until it has ended; a program that ignores the signal for 5 s is killed. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    if (!this.#over) this.child.kill(signal);
    const timer = setTimeout(() => this.#killGroup(), 5000);
    const code = await this.ended;
    clearTimeout(timer);
    return code;
  }
}

// ── what must not outlive this process ───────────────────────────────────────────────────────────────────────────────

const running = new Set<Background>();
const namespaces = new Set<string>();
/** Called at exit only; synchronous. */
const lastResorts = new Set<() => void>();

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // all of it has ended
  }
}

function onExit(): void {
  for (const background of running) killGroup(background.child);
  for (const resort of lastResorts) resort();
  for (const name of namespaces) spawnSync("ip", ["netns", "del", name], { stdio: "ignore" });
}

let hooked = false;
function hookExit(): void {
  if (hooked) return;
  hooked = true;
  process.on("exit", onExit);
  for (const [signal, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
    ["SIGHUP", 1],
  ] as const) {
    process.once(signal, () => process.exit(128 + number)); // the default action would skip the exit hook
  }
}

/** Has `resort` called if the process ends before the answered function is. */
export function atExit(resort: () => void): () => void {
  hookExit();
  lastResorts.add(resort);
  return () => lastResorts.delete(resort);
}

/** Paths of namespaces mounted somewhere below `folder`. */
export function namespaceMounts(folder: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(" - nsfs "))
    .map((line) => line.split(" ")[4]!)
    .filter((path) => path.startsWith(folder));
}

// ── hosts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface LinkInfo {
  readonly ifindex: number;
  readonly ifname: string;
  readonly mtu: number;
  readonly address: string;
  readonly operstate: string;
  readonly flags: readonly string[];
}

/** A network namespace and what one does in it. Also stands for namespaces that somebody else made (sandboxes). */
export class Host {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  argv(argv: readonly string[]): string[] {
    return ["nsenter", `--net=${this.path}`, ...argv];
  }

  execute(argv: readonly string[], options?: ExecuteOptions): Promise<Outcome> {
    return execute(this.argv(argv), options);
  }

  must(argv: readonly string[], options?: ExecuteOptions): Promise<string> {
    return must(this.argv(argv), options);
  }

  background(argv: readonly string[], env?: Readonly<Record<string, string>>): Background {
    hookExit();
    return new Background(this.argv(argv), env);
  }

  /** `ip ...` commands, one a line, in one run. */
  ip(commands: string): Promise<string> {
    return this.must(["ip", "-batch", "-"], { input: commands });
  }

  async links(): Promise<LinkInfo[]> {
    return JSON.parse(await this.must(["ip", "-json", "link"])) as LinkInfo[];
  }

  async link(name: string): Promise<LinkInfo> {
    return (JSON.parse(await this.must(["ip", "-json", "link", "show", "dev", name])) as LinkInfo[])[0]!;
  }

  /** Offloads of an interface: `{ tso: "off" }`. */
  ethtool(name: string, features: Readonly<Record<string, "on" | "off">>): Promise<string> {
    return this.must(["ethtool", "-K", name, ...Object.entries(features).flat()]);
  }

  /**
   * Exactly `count` echo requests, and how many of them were answered: for tests in which none may be lost. `intervalS` 0: each once
   * the one before is answered, for those that look at the order.
   */
  async pings(destination: string, count: number, intervalS: number): Promise<{ sent: number; received: number }> {
    const argv = ["python3", PING, destination, String(count), String(intervalS)];
    const timeoutMs = TIMEOUT_MS + count * intervalS * 1000;
    const [sent, received] = (await this.must(argv, { timeoutMs })).trim().split(" ").map(Number);
    return { sent: sent!, received: received! };
  }

  /**
   * Sends echo requests 50 ms apart until `count` were answered or 2 s are over; how many were answered. It sends more where some
   * are lost or late, so it tells whether there is a way, not whether all came through.
   */
  async ping(destination: string, options: readonly string[] = [], count = 3): Promise<number> {
    // -w, for -W alone waits but two round trips for the last answer, too short on a busy machine.
    const argv = ["ping", "-n", "-i", "0.05", "-c", String(count), "-w", "2", ...options, destination];
    const { stdout } = await this.execute(argv);
    // With -w it sends on until `count` are answered: where answers are late, more than those are in the end.
    return Math.min(count, Number(/(\d+) received/.exec(stdout)?.[1] ?? 0));
  }
}

let labs = 0;

export class Lab {
  readonly prefix: string;
  readonly #programs: Background[] = [];
  readonly #undo: (() => unknown)[] = [];

  constructor() {
    hookExit();
    labs += 1;
    this.prefix = `weft-t${process.pid}-${labs}`;
  }

  /** Does `undo` when the lab is taken down: the last one first. */
  defer(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  /** A host with its loopback up and without IPv6's duplicate address detection, which would cost seconds. */
  async host(name: string): Promise<Host> {
    const full = `${this.prefix}-${name}`;
    namespaces.add(full);
    await must(["ip", "netns", "add", full]);
    this.defer(async () => {
      await must(["ip", "netns", "del", full]);
      namespaces.delete(full);
    });
    const host = new Host(`/run/netns/${full}`);
    const sysctls = ["all", "default"].map((scope) => `echo 0 > /proc/sys/net/ipv6/conf/${scope}/accept_dad`);
    await host.must(["sh", "-c", `${sysctls.join("; ")}; ip link set lo up`]);
    return host;
  }

  /** Joins two hosts by a veth pair: [host, interface, addresses with prefix length]. */
  async wire(a: readonly [Host, string, ...string[]], b: readonly [Host, string, ...string[]], mtuBytes = 1500): Promise<void> {
    const [hostA, nameA] = a;
    const [hostB, nameB] = b;
    await must([
      ...["ip", "link", "add", nameA, "mtu", String(mtuBytes), "netns", hostA.path],
      ...["type", "veth", "peer", "name", nameB, "mtu", String(mtuBytes), "netns", hostB.path],
    ]);
    for (const [host, name, ...addresses] of [a, b]) {
      await host.ip([...addresses.map((address) => `address add ${address} dev ${name} nodad`), `link set ${name} up`].join("\n"));
    }
  }

  /** Takes away a mount of a namespace, as its owner might behind a daemon's back. */
  umount(path: string): Promise<string> {
    return must(["umount", "-l", path]);
  }

  /** A program in a host, ended with the lab. */
  background(host: Host, argv: readonly string[], env?: Readonly<Record<string, string>>): Background {
    const background = host.background(argv, env);
    this.#programs.push(background);
    this.defer(() => background.end());
    return background;
  }

  /** Ends all programs that were started so far. */
  async endPrograms(): Promise<void> {
    await Promise.all(this.#programs.splice(0).map((program) => program.end("SIGKILL")));
  }

  /** Takes all down, also after a failure; reports the first failure. */
  async dispose(): Promise<void> {
    const errors: unknown[] = [];
    for (const undo of this.#undo.splice(0).reverse()) {
      try {
        await undo();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

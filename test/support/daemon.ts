// One Weft daemon in a test host, and the CLI that talks to it. What a test is about goes through the CLI (`cli`, `json`);
// what it only has to look at again and again (figures, state) goes through the API.
//
// `law` is to be called after each scenario: rx + cloned + originated = tx + drops, for every packet that the engine saw.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ApiClient } from "../../src/api/client.ts";
import type { Sandbox__Output } from "../../src/api/generated/weft/v1/Sandbox.ts";
import { ROOT } from "../../src/paths.ts";
import { cli } from "./cli.ts";
import { atExit, type Background, type ExecuteOptions, execute, Host, type Lab, namespaceMounts, type Outcome } from "./hosts.ts";

export const WEFT = join(ROOT, "bin", "weft");

export interface DaemonOptions {
  /** Of the daemon's underlay; none: local bridges only. */
  readonly underlayAddress?: string;
  readonly vxlanPort?: number;
  readonly nodeName?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Further arguments of `weft daemon`. */
  readonly args?: readonly string[];
  /** A program that starts the daemon, with its arguments. */
  readonly by?: readonly string[];
}

export interface Figures {
  readonly counters: Readonly<Record<string, bigint>>;
  /** By port id; `name` is "<sandbox>/<interface>" or the id itself. */
  readonly ports: readonly {
    readonly id: string;
    readonly name: string;
    readonly rx: bigint;
    readonly tx: bigint;
    readonly drops: bigint;
  }[];
  readonly drops: bigint;
  readonly lawDifference: bigint;
  readonly rebuilds: number;
  readonly mended: number;
}

const ASKS: ReadonlySet<string> = new Set([
  "network",
  "sandbox",
  "peer",
  "port",
  "info",
  "drops",
  "fdb",
  "neigh",
  "vtep",
  "audit",
  "status",
]);

/** Whether a command starts no program and needs no terminal, signal or standard input. */
const onlyAsks = ([group = "", ...rest]: readonly string[]): boolean => ASKS.has(group) && !(group === "sandbox" && rest.includes("exec"));

/** How often state is looked at that gives no event. */
const LOOK_MS = 10;

/** Waits until `look` answers something true; rejects with `what` after `timeoutMs`. */
export async function eventually<T>(what: string, look: () => Promise<T> | T, timeoutMs = 5000): Promise<NonNullable<T>> {
  for (const deadline = Date.now() + timeoutMs; ; await pause(LOOK_MS)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`within ${timeoutMs} ms it did not come true that ${what}`);
  }
}

export class Daemon {
  readonly host: Host;
  readonly stateDir: string;
  readonly socket: string;
  readonly #options: DaemonOptions;
  readonly #namespacePaths = new Set<string>();
  #process: Background | undefined;
  #api: ApiClient;

  /** In `host`, with a state directory of its own; taken down with the lab, sandboxes and networks too. */
  constructor(lab: Lab, host: Host, options: DaemonOptions = {}) {
    this.host = host;
    this.#options = options;
    this.stateDir = mkdtempSync(join(tmpdir(), `${lab.prefix}-`));
    this.socket = join(this.stateDir, "api.sock");
    this.#api = new ApiClient(this.socket);
    const forget = atExit(() => this.#unmount());
    lab.defer(async () => {
      try {
        await this.#destroy();
      } finally {
        this.#api.close();
        this.#unmount();
        rmSync(this.stateDir, { recursive: true, force: true });
        forget();
      }
    });
  }

  static async start(lab: Lab, host: Host, options: DaemonOptions = {}): Promise<Daemon> {
    const daemon = new Daemon(lab, host, options);
    await daemon.start();
    return daemon;
  }

  /** The command line of `weft daemon` for this host and state. */
  argv(options: DaemonOptions = this.#options): string[] {
    const { underlayAddress, vxlanPort, nodeName, args = [], by = [] } = options;
    const argv = [...by, WEFT, "daemon", "--state-dir", this.stateDir, "--socket", this.socket];
    if (nodeName !== undefined) argv.push("--node-name", nodeName);
    if (underlayAddress !== undefined) argv.push("--underlay-address", underlayAddress);
    if (vxlanPort !== undefined) argv.push("--vxlan-port", String(vxlanPort));
    return [...argv, ...args];
  }

  get api(): ApiClient {
    return this.#api;
  }

  get pid(): number {
    return this.#process!.pid;
  }

  /** All that the daemon wrote since it was started last. */
  get log(): string {
    return this.#process === undefined ? "" : this.#process.stdout + this.#process.stderr;
  }

  /** Starts it and waits until it serves. `args`: further ones for this life. */
  async start(args: readonly string[] = []): Promise<void> {
    const process = this.host.background([...this.argv(), ...args], this.#options.env);
    this.#process = process;
    this.#api.close(); // one that saw its daemon vanish would wait before it tries again
    this.#api = new ApiClient(this.socket);
    const ready = await Promise.race([this.cli(["status", "--wait", "20s"]), process.ended.then(() => undefined)]);
    if (ready?.code !== 0) throw new Error(`the daemon does not serve: ${ready?.stderr ?? "it ended"}\n${this.log}`);
  }

  /** Ends it without a word, as a crash would. */
  async kill9(): Promise<void> {
    await this.#process!.end("SIGKILL");
  }

  /** Asks it to end in good order; answers its exit code. */
  async sigterm(): Promise<number> {
    return await this.#process!.end("SIGTERM");
  }

  /** Has the engine execute `unreachable`, as a bug would. Resolves when it is on its way. */
  async trap(): Promise<void> {
    process.kill(this.pid, "SIGUSR2");
  }

  // ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What only asks the daemon is done in this process, by the same code: a start of node costs ten times the question. */
  async cli(args: readonly string[], options: ExecuteOptions = {}): Promise<Outcome> {
    const argv = ["--socket", this.socket, ...args];
    if (Object.keys(options).length > 0 || !onlyAsks(args)) return execute([WEFT, ...argv], options);
    const { code, stdout, stderr } = await cli(argv);
    return { code, stdout, stderr };
  }

  /** A command that has to succeed; answers its standard output without the last newline. */
  async must(...args: readonly string[]): Promise<string> {
    const outcome = await this.cli(args);
    if (outcome.code !== 0) throw new Error(`\`weft ${args.join(" ")}\` ended with ${outcome.code}: ${outcome.stderr}${outcome.stdout}`);
    return outcome.stdout.trimEnd();
  }

  /** The JSON that a command prints. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look at documents as scripts do, without types
  async json(...args: readonly string[]): Promise<any> {
    const [group, ...rest] = args;
    const end = rest.indexOf("--");
    const at = end < 0 ? rest.length : end;
    return JSON.parse(await this.must(group!, ...rest.slice(0, at), "--format", "json", ...rest.slice(at)));
  }

  // ── state ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async sandbox(name: string): Promise<Sandbox__Output> {
    const sandbox = (await this.api.call("sandbox", "Inspect", { sandbox: name })).sandbox!;
    this.#namespacePaths.add(sandbox.namespacePath);
    return sandbox;
  }

  /** A sandbox as a host: programs can be run in it. */
  async enter(name: string): Promise<Host> {
    return new Host((await this.sandbox(name)).namespacePath);
  }

  async enterAll(...names: readonly string[]): Promise<Host[]> {
    return await Promise.all(names.map((name) => this.enter(name)));
  }

  /** Everything that is stored and shown, as one text: two of them are equal when nothing changed. */
  async state(): Promise<string> {
    const [networks, sandboxes, peers] = await Promise.all([
      this.api.call("network", "List", {}),
      this.api.call("sandbox", "List", {}),
      this.api.call("staticPeer", "List", {}),
    ]);
    const views = await Promise.all(networks.networks.map(({ id }) => this.api.call("network", "Inspect", { network: id })));
    return JSON.stringify({ views, sandboxes, peers }, null, 1);
  }

  async figures(): Promise<Figures> {
    for await (const stats of this.api.stream("diagnostics", "Stats", {})) {
      return {
        counters: Object.fromEntries(stats.counters.map(({ name, value }) => [name, BigInt(value)])),
        ports: stats.ports.map(({ port, rxPackets, txPackets, drops }) => ({
          id: port?.id ?? "",
          name: port?.sandboxName ? `${port.sandboxName}/${port.interfaceName}` : (port?.id ?? ""),
          rx: BigInt(rxPackets),
          tx: BigInt(txPackets),
          drops: BigInt(drops),
        })),
        drops: BigInt(stats.drops),
        lawDifference: BigInt(stats.lawDifference),
        rebuilds: stats.rebuilds,
        mended: stats.mended,
      };
    }
    throw new Error("the daemon sent no figures");
  }

  /** Drop counts by reason, all reasons. */
  async drops(): Promise<Record<string, number>> {
    const { reasons } = await this.api.call("diagnostics", "Drops", { all: true });
    return Object.fromEntries(reasons.map(({ name, packets }) => [name, Number(packets)]));
  }

  /** The law of packets, by `weft stats`, and that the engine was not rebuilt. */
  async law(rebuilds = 0): Promise<void> {
    const { counters, drops, lawDifference, rebuilds: rebuilt } = await this.figures();
    const got = counters.rx! + counters.cloned! + counters.originated!;
    if (got !== counters.tx! + drops || lawDifference !== 0n) {
      const sums = Object.entries({ ...counters, drops, lawDifference }).map(([name, value]) => `${name} ${value}`);
      throw new Error(`packets are lost or doubled without a reason: ${sums.join(", ")}\n${JSON.stringify(await this.drops())}`);
    }
    if (rebuilt !== rebuilds) throw new Error(`the engine trapped and was rebuilt ${rebuilt} times, not ${rebuilds}\n${this.log}`);
  }

  /** Overwrites the stopped daemon's database with rubbish; the answered function puts back what was there. */
  async corruptStore(): Promise<() => void> {
    const files = readdirSync(this.stateDir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((path) => /\.(mdb|lmdb|db)$/.test(path));
    if (files.length === 0) throw new Error(`no database under ${this.stateDir}: ${readdirSync(this.stateDir).join(" ")}`);
    const contents = files.map((path) => readFileSync(path));
    for (const [i, path] of files.entries()) {
      writeFileSync(path, Buffer.alloc(contents[i]!.length, 0xa5));
    }
    return () => {
      for (const [i, path] of files.entries()) writeFileSync(path, contents[i]!);
    };
  }

  openFds(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Resident memory in bytes. */
  residentBytes(): number {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))![1]) * 1024;
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes down its sandboxes and networks, predefined ones aside. */
  async clear(): Promise<void> {
    if (this.#process!.over) await this.start(); // what a crash left is taken down as its user would do it
    const { sandboxes } = await this.api.call("sandbox", "List", {});
    for (const { id, namespacePath, ownsNamespace } of sandboxes) {
      if (ownsNamespace) this.#namespacePaths.add(namespacePath);
      await this.api.call("sandbox", "Remove", { sandbox: id, force: true });
    }
    const { networks } = await this.api.call("network", "List", {});
    for (const { id } of networks) await this.api.call("network", "Remove", { network: id }).catch(() => {}); // predefined ones stay
  }

  async #destroy(): Promise<void> {
    if (this.#process === undefined) return;
    await this.clear();
    const code = await this.sigterm();
    if (code !== 0) throw new Error(`the daemon ended with ${code} after SIGTERM\n${this.log}`);
  }

  /** Whatever is left of the namespaces that its sandboxes had. */
  #unmount(): void {
    this.#process?.child.kill("SIGKILL");
    const known = namespaceMounts("/").filter((path) => this.#namespacePaths.has(path));
    for (const path of new Set([...namespaceMounts(this.stateDir), ...known])) spawnSync("umount", ["-l", path]);
    spawnSync("umount", ["-l", this.stateDir], { stdio: "ignore" });
  }
}

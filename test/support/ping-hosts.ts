// Network namespaces for tests that need real interfaces: named after the test process, gone when the test is over.
import { execFile, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);
const PING = fileURLToPath(new URL("ping.py", import.meta.url));

/** Runs `ip` and the like; rejects with what it wrote to stderr. */
async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute(program, args, { encoding: "utf8" });
  return stdout;
}

export class Namespaces {
  readonly #prefix: string;
  readonly #names = new Set<string>();

  /** `tag`: at most 3 characters, to tell test files apart. */
  constructor(tag: string) {
    this.#prefix = `weft-t${process.pid}${tag}`;
  }

  path(name: string): string {
    return `/run/netns/${this.#prefix}${name}`;
  }

  async create(name: string): Promise<string> {
    await run("ip", "netns", "add", `${this.#prefix}${name}`);
    this.#names.add(name);
    await this.ip(name, "link", "set", "lo", "up");
    return this.path(name);
  }

  ip(name: string, ...args: string[]): Promise<string> {
    return run("ip", "-n", `${this.#prefix}${name}`, ...args);
  }

  exec(name: string, ...argv: string[]): Promise<string> {
    return run("ip", "netns", "exec", `${this.#prefix}${name}`, ...argv);
  }

  /** A veth pair between two namespaces, up, with these addresses; each end is named `name`. */
  async join(one: string, other: string, name: string, addresses: readonly [readonly string[], readonly string[]]): Promise<void> {
    await this.ip(one, "link", "add", name, "type", "veth", "peer", "name", name, "netns", `${this.#prefix}${other}`);
    for (const [namespace, list] of [
      [one, addresses[0]],
      [other, addresses[1]],
    ] as const) {
      await this.ip(namespace, "link", "set", name, "up");
      for (const address of list)
        await this.ip(namespace, "address", "add", address, "dev", name, ...(address.includes(":") ? ["nodad"] : []));
    }
  }

  /** Sends exactly so many echo requests; how many of them were answered, the last within two seconds. */
  async ping(name: string, destination: string, count: number, intervalS: number): Promise<{ sent: number; received: number }> {
    const program = ["/usr/bin/python3", PING, destination, String(count), String(intervalS)];
    const child = spawn("ip", ["netns", "exec", `${this.#prefix}${name}`, ...program], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    await new Promise((resolve) => child.on("close", resolve));
    const [, sent, received] = /^(\d+) (\d+)$/m.exec(output) ?? [];
    if (sent === undefined) throw new Error(`ping said: ${output}`);
    return { sent: Number(sent), received: Number(received) };
  }

  async remove(name: string): Promise<void> {
    await run("ip", "netns", "delete", `${this.#prefix}${name}`);
    this.#names.delete(name);
  }

  /** Removes the namespace's path, then runs this in the namespace itself, which ends with it. */
  async removeThen(name: string, ...argv: string[]): Promise<void> {
    const child = spawn("nsenter", [`--net=${this.path(name)}`, "sh", "-c", 'echo in; read line; exec "$@"', "sh", ...argv], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await this.remove(name);
    child.stdin.end("go\n");
    const code = await ended;
    if (code !== 0) throw new Error(`${argv.join(" ")} ended with ${code}`);
  }

  async removeAll(): Promise<void> {
    for (const name of [...this.#names]) await this.remove(name);
  }
}

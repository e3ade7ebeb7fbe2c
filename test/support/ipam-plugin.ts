// The IPAM plugin of ipam-plugin.py as a process of the test: what it was asked, what it has given, and how to make it fail.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { request as secureRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "../../src/paths.ts";
import type { PluginHost } from "../../src/plugins/plugin.ts";

export interface PluginRequest {
  readonly path: string;
  readonly http: string;
  readonly headers: Readonly<Record<string, string>>;
  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire
  readonly body: any;
  /** Over TLS: names in the certificate that Weft showed. */
  readonly client?: readonly string[];
  /** Over TLS: there was no request, for this reason. */
  readonly refused?: string;
}

/** To speak to a plugin over TLS. */
export interface TlsOfTest {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export type Books = Readonly<Record<string, { readonly pool: string; readonly addresses: readonly string[] }>>;

export class IpamPluginFolder {
  readonly folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-plugins-`));
  readonly #plugins: TestIpamPlugin[] = [];

  /** For the product: looks for plugins here only. */
  host(retryMs = 300): PluginHost {
    return {
      folders: { sockets: [this.folder], specs: [this.folder] },
      retryMs,
      monotonicMs: () => performance.now(),
      wait: (ms) => new Promise((done) => setTimeout(done, Math.min(ms, 20))),
    };
  }

  async start(name: string, ...flags: readonly string[]): Promise<TestIpamPlugin> {
    return await this.#run(new TestIpamPlugin(join(this.folder, `${name}.sock`), flags));
  }

  /** On a port of the loopback. With `tls`, --tls must be among the flags. */
  async startTcp(flags: readonly string[] = [], tls?: TlsOfTest): Promise<TestIpamPlugin> {
    return await this.#run(new TestIpamPlugin("tcp:0", flags, tls));
  }

  async #run(plugin: TestIpamPlugin): Promise<TestIpamPlugin> {
    this.#plugins.push(plugin);
    await plugin.start();
    return plugin;
  }

  async close(): Promise<void> {
    for (const plugin of this.#plugins) await plugin.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class TestIpamPlugin {
  readonly socket: string;
  readonly #flags: readonly string[];
  readonly #tls: TlsOfTest | undefined;
  #process: ChildProcess | null = null;
  #port = 0;
  requests: PluginRequest[] = [];

  constructor(socket: string, flags: readonly string[], tls?: TlsOfTest) {
    this.socket = socket;
    this.#flags = flags;
    this.#tls = tls;
  }

  async start(): Promise<void> {
    const child = spawn("python3", [join(ROOT, "test/support/ipam-plugin.py"), this.socket, ...this.#flags], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = child;
    await new Promise<void>((ready, fail) => {
      child.once("exit", (code) => fail(new Error(`ipam-plugin.py ended with ${code}`)));
      createInterface({ input: child.stdout! }).on("line", (line) => {
        const message = JSON.parse(line) as PluginRequest & { ready?: number };
        if (message.ready === undefined) return void this.requests.push(message);
        this.#port = message.ready;
        ready();
      });
    });
  }

  get port(): number {
    return this.#port;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await ended;
    rmSync(this.socket, { force: true });
  }

  /** Bodies of the calls of a function so far. */
  // biome-ignore lint/suspicious/noExplicitAny: what came over the wire
  bodies(method: string): any[] {
    return this.requests.filter(({ path }) => path.endsWith(`.${method}`)).map(({ body }) => body);
  }

  books(): Promise<Books> {
    return this.#ask("/Test.Books", {}) as Promise<Books>;
  }

  /** As books, and it starts with empty ones. */
  takeBooks(): Promise<Books> {
    return this.#ask("/Test.TakeBooks", {}) as Promise<Books>;
  }

  /** The next call of `method` fails. */
  async fail(method: string, how: string): Promise<void> {
    await this.#ask("/Test.Fail", { method, how });
  }

  #ask(path: string, body: object): Promise<unknown> {
    const text = JSON.stringify(body);
    const at = this.#port === 0 ? { socketPath: this.socket } : { host: "127.0.0.1", port: this.#port };
    const send = this.#tls === undefined ? request : secureRequest;
    return new Promise((resolve, reject) => {
      const call = send(
        { ...at, ...this.#tls, path, method: "POST", agent: false, headers: { "Content-Length": text.length } },
        (answer) => {
          let all = "";
          answer.setEncoding("utf8").on("data", (part: string) => {
            all += part;
          });
          answer.on("end", () => resolve(JSON.parse(all)));
        },
      );
      call.on("error", reject);
      call.end(text);
    });
  }
}

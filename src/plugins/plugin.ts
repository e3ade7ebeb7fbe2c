// A program that serves Docker's plugin protocol, by its name: found, greeted once (Plugin.Activate says what it implements)
// and called. While it can't be reached, a call tries again for some seconds, as plugins are restarted; a call that may have
// been heard is never repeated.
//
// What a plugin refuses ({"Err": ...} or {"Error": ...}) is FORBIDDEN with its own words, what it says badly or not at all is
// UNAVAILABLE with its name and address.
import { unavailable, WeftError } from "../errors.ts";
import { describeAddress, findPlugin, type PluginAddress, type PluginFolders } from "./discovery.ts";
import { type Answer, NotConnected, post } from "./post.ts";
import { TlsFailed } from "./tls.ts";

const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 2000;

export interface PluginHost {
  readonly folders: PluginFolders;
  /** How long to try while it can't be reached. */
  readonly retryMs: number;
  monotonicMs(): number;
  wait(ms: number): Promise<void>;
}

/** The plugin has no such function: older ones lack some. */
export class NotImplemented extends Error {}

export class Plugin {
  readonly name: string;
  readonly #host: PluginHost;
  #greeted: Promise<readonly string[]> | null = null;

  constructor(name: string, host: PluginHost) {
    this.name = name;
    this.#host = host;
  }

  /** Whether there is anything under its name. */
  get present(): boolean {
    return findPlugin(this.name, this.#host.folders) !== null;
  }

  /** Throws unless it says that it is one of `kind` ("IpamDriver"). */
  async require(kind: string): Promise<void> {
    this.#greeted ??= this.#greet();
    try {
      const kinds = await this.#greeted;
      if (kinds.includes(kind)) return;
      throw unavailable(
        `plugin ${this.name} does not implement the requested driver: it is no ${kind} but ${kinds.join(", ") || "nothing that it says"}`,
      );
    } catch (error) {
      this.#greeted = null;
      throw error;
    }
  }

  async #greet(): Promise<readonly string[]> {
    const answer = await this.call("Plugin.Activate", null);
    const kinds = (answer as { Implements?: unknown } | null)?.Implements;
    if (!Array.isArray(kinds)) throw unavailable(`plugin ${this.name} answers Plugin.Activate without {"Implements": [...]}`);
    return kinds.filter((kind) => typeof kind === "string");
  }

  /** `method`: "IpamDriver.RequestPool". `retry` false: now or not. Throws NotImplemented where the plugin has no such function. */
  async call(method: string, body: object | null, retry = true): Promise<unknown> {
    const { answer, address } = await this.#reach(method, body === null ? null : JSON.stringify(body), retry ? this.#host.retryMs : 0);
    let value: unknown;
    try {
      value = answer.text.trim() === "" ? null : JSON.parse(answer.text);
    } catch {
      value = undefined;
    }
    if (answer.status === 404) throw new NotImplemented(`plugin ${this.name} does not implement ${method}`);
    const refusal = refusalIn(value);
    if (refusal !== null) throw refused(refusal);
    if (answer.status !== 200) {
      // Whatever it is, it may have its reason in plain text.
      const reason = answer.text.trim().slice(0, 200);
      throw unavailable(`plugin ${this.name} (${describeAddress(address)}) answers ${method} with HTTP status ${answer.status}: ${reason}`);
    }
    if (value === undefined)
      throw unavailable(`plugin ${this.name} (${describeAddress(address)}) answers ${method} with something that is no JSON`);
    return value;
  }

  async #reach(method: string, body: string | null, retryMs: number): Promise<{ answer: Answer; address: PluginAddress }> {
    const { folders, monotonicMs, wait } = this.#host;
    const deadline = monotonicMs() + retryMs;
    for (let pause = PAUSE_FIRST_MS; ; pause = Math.min(2 * pause, PAUSE_MAX_MS)) {
      let reason = `it has no file in ${[...folders.sockets, ...folders.specs].join(", ")}`;
      const address = findPlugin(this.name, folders);
      if (address !== null) {
        try {
          return { answer: await post(address, `/${method}`, body), address };
        } catch (error) {
          if (error instanceof TlsFailed) {
            this.#greeted = null;
            throw unavailable(`no TLS with plugin ${this.name} (${describeAddress(address)}): ${error.message}`);
          }
          reason = `${(error as Error).message} (${describeAddress(address)})`;
          if (!(error instanceof NotConnected)) throw this.#silent(method, reason);
        }
      }
      if (monotonicMs() + pause > deadline) {
        this.#greeted = null;
        throw this.#silent(method, reason);
      }
      await wait(pause);
    }
  }

  #silent(method: string, reason: string): WeftError {
    return unavailable(`plugin ${this.name} does not answer ${method}: ${reason}; start it, or see its log`);
  }
}

/** {"Err": "..."} or {"Error": "..."}; empty ones are none. */
function refusalIn(value: unknown): string | null {
  const { Err, Error: error } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  for (const text of [Err, error]) if (typeof text === "string" && text !== "") return text;
  return null;
}

/** As Docker words it; the code by the words that libnetwork has for what went wrong. */
function refused(text: string): WeftError {
  const code = /no available addresses|fully subnetted/i.test(text)
    ? "RESOURCE_EXHAUSTED"
    : /already in use|overlaps/i.test(text)
      ? "ADDRESS_IN_USE"
      : /out of range|invalid/i.test(text)
        ? "INVALID_ARGUMENT"
        : "FORBIDDEN";
  return new WeftError(code, `remote: ${text}`);
}

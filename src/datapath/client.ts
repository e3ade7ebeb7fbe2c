// The main thread's end of the worker: requests with replies as promises, notices as a callback. The worker sleeps in the
// kernel, so each message is followed by a write to its eventfd.
//
// When the worker dies (which no frame should be able to bring about), every request that waits is rejected, and so is every
// later one; what to do about it is the datapath's business.
import { join } from "node:path";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { unavailable, WeftError } from "../errors.ts";
import { ROOT } from "../paths.ts";
import { wakePoller } from "../ports/port.ts";
import type { CipherInfo, FromWorker, Kind, Notice, Protocol, Request, ToWorker, WorkerStart } from "./messages.ts";
import type { CryptoChoice } from "./shard/aead.ts";

/** Compiled: a worker can't be started from TypeScript on Node 20, and so tests run the built one as well. */
const WORKER_PATH = join(ROOT, "build", "dist", "src", "datapath", "shard", "worker.js");

export interface ClientOptions {
  readonly module: WebAssembly.Module;
  readonly fdbSlots: number;
  readonly spinUs: number;
  readonly crypto: CryptoChoice;
  readonly trapsFolder: string;
  readonly onNotice: (notice: Notice) => void;
  /** The worker ended without having been asked to. */
  readonly onDeath: (error: WeftError) => void;
}

interface Waiting {
  readonly resolve: (reply: never) => void;
  readonly reject: (error: Error) => void;
}

export class Client {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #bell: Int32Array;
  readonly #options: ClientOptions;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #wakeFd = -1;
  #cipher: CipherInfo = { by: "none", reason: "the worker has not started" };
  #death: WeftError | null = null;
  #stopping = false;
  #ready: { resolve: () => void; reject: (error: Error) => void } | null = null;
  readonly #exited: Promise<void>;

  private constructor(options: ClientOptions) {
    this.#options = options;
    const { port1, port2 } = new MessageChannel();
    const bell = new SharedArrayBuffer(4);
    const start: WorkerStart = {
      module: options.module,
      fdbSlots: options.fdbSlots,
      spinUs: options.spinUs,
      crypto: options.crypto,
      trapsFolder: options.trapsFolder,
      bell,
    };
    this.#port = port1;
    this.#bell = new Int32Array(bell);
    this.#worker = new Worker(WORKER_PATH, {
      name: "weft-datapath",
      execArgv: [],
      workerData: { port: port2, start },
      transferList: [port2],
    });
    this.#port.on("message", (message: FromWorker) => this.#receive(message));
    let failure: unknown;
    this.#worker.on("error", (error) => {
      failure = error;
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.on("exit", (code) => {
        this.#ended(failure, code);
        resolve();
      });
    });
  }

  /** Starts the worker; resolves when its loop runs. */
  static async start(options: ClientOptions): Promise<Client> {
    const client = new Client(options);
    await new Promise<void>((resolve, reject) => {
      client.#ready = { resolve, reject };
    });
    return client;
  }

  /** Whether the worker has ended; its poller's duplicates are then closed. */
  get dead(): boolean {
    return this.#death !== null;
  }

  get cipher(): CipherInfo {
    return this.#cipher;
  }

  request<K extends Kind>(
    request: Protocol[K]["request"] & { kind: K },
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<Protocol[K]["reply"]> {
    if (this.#death !== null) return Promise.reject(this.#death);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send({ id, request: request as Request }, transfer);
    });
  }

  /** Tells the worker that captured records were taken. It reads this when it reads anything: no need to wake it. */
  captured(lengthBytes: number): void {
    if (this.#death === null) this.#port.postMessage({ captured: lengthBytes } satisfies ToWorker);
  }

  /** Ends the thread wherever it is, as a bug of ours might. For tests of what follows. */
  async kill(): Promise<void> {
    const ended = this.#worker.terminate();
    this.#wake(); // it can't be ended while it sleeps in the kernel
    await ended;
  }

  /** Ends the loop; the descriptors are let go of. Resolves when the thread has gone. */
  async stop(): Promise<Protocol["stop"]["reply"]["released"]> {
    if (this.#death !== null) return [];
    this.#stopping = true;
    const { released } = await this.request({ kind: "stop" });
    await this.#exited;
    return released;
  }

  #send(message: ToWorker, transfer: readonly ArrayBuffer[]): void {
    this.#port.postMessage(message, [...transfer]);
    Atomics.add(this.#bell, 0, 1);
    Atomics.notify(this.#bell, 0);
    this.#wake();
  }

  #wake(): void {
    try {
      wakePoller(this.#wakeFd);
    } catch {
      // The eventfd went with a worker that is about to be known as dead; its end rejects what waits.
    }
  }

  #receive(message: FromWorker): void {
    if ("notice" in message) {
      if (message.notice !== "ready") {
        this.#options.onNotice(message);
        return;
      }
      this.#wakeFd = message.wakeFd;
      this.#cipher = message.cipher;
      this.#ready?.resolve();
      this.#ready = null;
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    this.#waiting.delete(message.id);
    if ("failure" in message) waiting.reject(new WeftError("INTERNAL", `the datapath worker could not do it: ${message.failure}`));
    else waiting.resolve(message.reply as never);
  }

  #ended(failure: unknown, code: number): void {
    const reason = failure instanceof Error ? failure.message : `exit code ${code}`;
    this.#death = unavailable(this.#stopping ? "the datapath has been stopped" : `the datapath worker died: ${reason}`);
    for (let rest = receiveMessageOnPort(this.#port); rest !== undefined; rest = receiveMessageOnPort(this.#port))
      this.#receive(rest.message);
    this.#port.close();
    this.#ready?.reject(this.#death);
    for (const { reject } of this.#waiting.values()) reject(this.#death);
    this.#waiting.clear();
    if (!this.#stopping && this.#ready === null) this.#options.onDeath(this.#death);
    this.#ready = null;
  }
}

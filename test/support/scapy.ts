// scapy in a namespace: frames are given as scapy expressions, sent and received raw. The program beside this file does the
// work; one runs for as long as the lab stands, because importing scapy takes a quarter of a second.
//
// scapy is the independent builder of the interop tests: no offset or checksum in these frames comes from our code.
import { fileURLToPath } from "node:url";
import type { Background, Host, Lab } from "./hosts.ts";

const AGENT = fileURLToPath(new URL("scapy-agent.py", import.meta.url));
/** Debian's, which python3-scapy belongs to; another Python on the path would not know it. */
const PYTHON = "/usr/bin/python3";

interface Reply {
  readonly id: number;
  readonly error?: string;
  readonly value?: unknown;
  readonly sent?: number;
  readonly frames?: readonly string[];
  readonly errors?: readonly string[];
}

export interface ListenOptions {
  readonly interface: string;
  /** Python: `p` is the frame as scapy's Ether, `raw` its bytes. */
  readonly filter: string;
  /** Ends when this many have come; 1 unless given. */
  readonly count?: number;
  /** Ends then anyway; 3 unless given. */
  readonly seconds?: number;
}

export interface DatagramOptions {
  readonly to: string;
  readonly port: number;
  /** Hexadecimal. */
  readonly payloads: readonly string[];
  readonly source?: string;
  readonly sourcePort?: number;
  /** IPv4: with the checksum field 0. */
  readonly noChecksum?: boolean;
}

export class Scapy {
  readonly #agent: Background;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #next = 1;

  private constructor(agent: Background) {
    this.#agent = agent;
    let rest = "";
    agent.child.stdout!.on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith("{")) this.#answer(JSON.parse(line) as Reply);
    });
    agent.ended.then((code) => {
      for (const [id, settle] of this.#waiting) settle({ id, error: `scapy ended with ${code}: ${agent.stderr}` });
    });
  }

  static async start(lab: Lab, host: Host): Promise<Scapy> {
    const agent = lab.background(host, [PYTHON, AGENT]);
    await agent.until(/ready/, 20_000);
    return new Scapy(agent);
  }

  #answer(reply: Reply): void {
    this.#waiting.get(reply.id)?.(reply);
    this.#waiting.delete(reply.id);
  }

  #request(op: string, fields: object): Promise<Reply> {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (reply) => (reply.error === undefined ? resolve(reply) : reject(new Error(`scapy, ${op}: ${reply.error}`))));
      this.#agent.child.stdin!.write(`${JSON.stringify({ id, op, ...fields })}\n`);
    });
  }

  /** The bytes of a packet, or of a list of packets, in hexadecimal. */
  async bytes(expression: string): Promise<string[]> {
    return [...(await this.#request("bytes", { expression })).frames!];
  }

  /** The value of an expression over a received frame `p`. */
  async eval(frame: string, expression: string): Promise<unknown> {
    return (await this.#request("eval", { frame, expression })).value;
  }

  /** Sends frames (scapy expressions) by an interface; answers how many. */
  async send(interfaceName: string, ...expressions: string[]): Promise<number> {
    return (await this.#request("send", { interface: interfaceName, expressions })).sent!;
  }

  /** Sends ready bytes (hexadecimal) by an interface; answers how many the kernel took. */
  async sendFrames(interfaceName: string, frames: readonly string[]): Promise<number> {
    return (await this.#request("raw", { interface: interfaceName, frames })).sent!;
  }

  async sendDatagrams(options: DatagramOptions): Promise<number> {
    return (await this.#request("udp", options)).sent!;
  }

  /**
   * Begins to listen and, once the socket is open, does `work`; answers the frames (hexadecimal) that passed the filter.
   * Frames that this host itself sent are not among them.
   */
  async during(options: ListenOptions, work: () => Promise<unknown>): Promise<string[]> {
    const listener = this.#next++;
    await this.#request("listen", { count: 1, seconds: 3, ...options, listener });
    await work();
    return [...(await this.#request("collect", { listener })).frames!];
  }
}

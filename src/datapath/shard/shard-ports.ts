// The descriptors that a shard polls, by port. They are the main thread's, and the poller has duplicates: what a port is released
// by is what the main thread knows it as. How each port's packets are framed is kept for whoever saves a batch.
import { PORT_LENGTH, PORT_UDP_PORT } from "../../../wasm/shared/abi.ts";
import { PORTS } from "../../../wasm/shared/layout.ts";
import type { Poller } from "../../ports/native.ts";
import type { Views } from "../memory.ts";
import type { Attachment } from "../messages.ts";
import type { PortFraming } from "./trap-file.ts";

export class ShardPorts {
  readonly #poller: Poller;
  readonly #views: Views;
  readonly #framings = new Map<number, PortFraming>();
  readonly #descriptors = new Map<number, readonly number[]>();

  constructor(poller: Poller, views: Views) {
    this.#poller = poller;
    this.#views = views;
  }

  get framings(): ReadonlyMap<number, PortFraming> {
    return this.#framings;
  }

  /** Has the poller poll descriptors, all or none; the reason if none. */
  attach(attachments: readonly Attachment[]): string | null {
    const taken: number[] = [];
    try {
      for (const attachment of attachments) {
        this.#add(attachment);
        taken.push(attachment.port);
      }
      return null;
    } catch (error) {
      for (const port of taken) this.release(port);
      return error instanceof Error ? error.message : String(error);
    }
  }

  #add({ port, kind, fds }: Attachment): void {
    if (kind === "tap") this.#poller.addTap(port, fds[0]!);
    else if (kind === "packet") this.#poller.addPacket(port, fds[0]!);
    else if (kind === "icmp") this.#poller.addQuiet(port, fds[0]!);
    else this.#poller.addUdp(port, [...fds]);
    const framing: PortFraming =
      kind === "tap" || kind === "packet" ? { kind } : { kind: kind === "icmp" ? kind : "udp", udpPort: this.#udpPort(port) };
    this.#framings.set(port, framing);
    this.#descriptors.set(port, fds);
  }

  /** UDP port of an underlay port, from its entry. */
  #udpPort(port: number): number {
    return this.#views.data.getUint16(PORTS + port * PORT_LENGTH + PORT_UDP_PORT, true);
  }

  /** None: the port has no descriptors. */
  release(port: number): Attachment[] {
    const framing = this.#framings.get(port);
    if (framing === undefined) return [];
    const fds = this.#descriptors.get(port) ?? [];
    this.#framings.delete(port);
    this.#descriptors.delete(port);
    this.#poller.release(port);
    return [{ port, kind: framing.kind, fds: [...fds] }];
  }

  releaseAll(): Attachment[] {
    return [...this.#framings.keys()].flatMap((port) => this.release(port));
  }
}

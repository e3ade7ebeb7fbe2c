// A resolver behind the two sockets of its sandbox. Whatever comes wrong from there concerns the sender only: a datagram that
// can't be answered is dropped, a connection that breaks is forgotten.
import { createSocket, type Socket as Datagrams } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server as Listener, type Socket } from "node:net";
import type { LoopbackService } from "../ports/native.ts";
import { LengthReader, lengthFramed } from "./framing.ts";
import type { Resolver } from "./resolver.ts";

/** RFC 7766 section 6.2.3 asks for seconds. */
const IDLE_MS = 10_000;
const CONNECTIONS_MAX = 128;

export class ResolverServer {
  readonly #resolver: Resolver;
  readonly #datagrams: Datagrams;
  readonly #listener: Listener;
  readonly #connections = new Set<Socket>();
  #closed = false;

  private constructor(resolver: Resolver) {
    this.#resolver = resolver;
    // Askers are given by address: nothing to look up, and no tick to wait for it.
    this.#datagrams = createSocket({ type: "udp4", lookup: (address, _, done) => done(null, address, 4) });
    this.#datagrams.on("message", (bytes, { port, address }) => {
      void this.#answer(bytes, false, (answer) => this.#datagrams.send(answer, 0, answer.length, port, address, ignore));
    });
    this.#datagrams.on("error", ignore);
    this.#listener = createServer((connection) => this.#accept(connection));
    this.#listener.maxConnections = CONNECTIONS_MAX;
    this.#listener.on("error", ignore);
  }

  /** Takes over both descriptors. */
  static async start(resolver: Resolver, { udp, tcp }: LoopbackService): Promise<ResolverServer> {
    const server = new ResolverServer(resolver);
    const listening = Promise.all([once(server.#datagrams, "listening"), once(server.#listener, "listening")]);
    server.#datagrams.bind({ fd: udp });
    server.#listener.listen({ fd: tcp });
    await listening;
    return server;
  }

  close(): void {
    this.#closed = true;
    this.#datagrams.close();
    this.#listener.close();
    for (const connection of this.#connections) connection.destroy();
  }

  #accept(connection: Socket): void {
    this.#connections.add(connection);
    connection.on("close", () => this.#connections.delete(connection));
    connection.on("error", ignore);
    connection.setTimeout(IDLE_MS, () => connection.destroy());
    const reader = new LengthReader();
    connection.on("data", (chunk) => {
      for (const bytes of reader.push(chunk)) {
        void this.#answer(bytes, true, (answer) => {
          // Who asks and does not listen is not read from either, or answers would pile up here.
          if (connection.writable && !connection.write(lengthFramed(answer))) connection.pause();
        });
      }
    });
    connection.on("drain", () => connection.resume());
  }

  async #answer(bytes: Uint8Array, overTcp: boolean, send: (answer: Uint8Array) => unknown): Promise<void> {
    const prompt = this.#resolver.answer(bytes, overTcp);
    const answer = prompt instanceof Promise ? await prompt : prompt;
    if (answer !== null && !this.#closed) send(answer);
  }
}

const ignore = (): void => {};

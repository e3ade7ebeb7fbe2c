// A resolver behind the two sockets of its sandbox. Whatever comes wrong from there concerns the sender only: a datagram that
// can't be answered is dropped, a connection that breaks is forgotten. Connections that are open and say nothing don't keep others
// out: the one that was silent longest makes room.
import { createSocket, type Socket as Datagrams } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server as Listener, type Socket } from "node:net";
import type { LoopbackService } from "../ports/native.ts";
import { Conversation } from "./conversation.ts";
import type { Resolver } from "./resolver.ts";

const CONNECTIONS_MAX = 128;

export class ResolverServer {
  readonly #resolver: Resolver;
  readonly #datagrams: Datagrams;
  readonly #listener: Listener;
  /** Who was heard of last is last. */
  readonly #conversations = new Set<Conversation>();
  #closed = false;

  private constructor(resolver: Resolver) {
    this.#resolver = resolver;
    // Askers are given by address: nothing to look up, and no tick to wait for it.
    this.#datagrams = createSocket({ type: "udp4", lookup: (address, _, done) => done(null, address, 4) });
    this.#datagrams.on("message", (bytes, { port, address }) => {
      // From port 0 anybody may send who has raw sockets; to it nobody can.
      if (port !== 0) void this.#answerDatagram(bytes, port, address);
    });
    this.#datagrams.on("error", ignore);
    this.#listener = createServer({ allowHalfOpen: true }, (connection) => this.#accept(connection));
    this.#listener.on("error", ignore);
  }

  /** Takes over both descriptors. */
  static async start(resolver: Resolver, { udp, tcp }: LoopbackService): Promise<ResolverServer> {
    const server = new ResolverServer(resolver);
    const listening = Promise.all([once(server.#datagrams, "listening"), once(server.#listener, "listening")]);
    listening.catch(ignore); // the first failure is thrown by what made it
    try {
      server.#datagrams.bind({ fd: udp });
      server.#listener.listen({ fd: tcp });
      await listening;
      return server;
    } catch (error) {
      server.close(); // the other descriptor with it
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#datagrams.close();
    this.#listener.close();
    for (const conversation of this.#conversations) conversation.close();
  }

  #accept(connection: Socket): void {
    const all = this.#conversations;
    if (all.size >= CONNECTIONS_MAX) {
      const oldestFirst = [...all];
      const silent = oldestFirst.find(({ idle }) => idle) ?? oldestFirst[0]!;
      all.delete(silent);
      silent.close();
    }
    const conversation = new Conversation(
      connection,
      (question) => this.#resolver.answer(question, true),
      () => {
        all.delete(conversation);
        all.add(conversation);
      },
    );
    all.add(conversation);
    connection.on("close", () => all.delete(conversation));
  }

  async #answerDatagram(bytes: Uint8Array, port: number, address: string): Promise<void> {
    const prompt = this.#resolver.answer(bytes, false);
    const answer = prompt instanceof Promise ? await prompt : prompt;
    if (answer !== null && !this.#closed) this.#datagrams.send(answer, 0, answer.length, port, address, ignore);
  }
}

const ignore = (): void => {};

// The way from an IPv6 port of the host to a sandbox that has IPv4 only. No rule translates between the families, so the daemon
// itself takes what comes by the port that it holds and speaks to the sandbox by IPv4, as Docker's userland proxy does: who
// calls is then unknown to the sandbox, which sees the gateway.
//
//   client ── [::]:8080, held ── relay ── 172.17.0.2:80            TCP: a pair of connections, each end ended by the other's
//                                                                  UDP: a socket a client, until nothing was heard for a while
//
// Each relay leads to one place or to none; what it carried to another place ends with the change. All relays of the host share
// one budget of descriptors: clients must not take those that the daemon lives by.
//
// A UDP answer leaves by the address that the kernel chooses; on a host with several of one reach it may not be the one that the
// client asked (Node tells not which that was).
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from "node:dgram";
import { connect, type Server, type Socket } from "node:net";

export interface Place {
  /** IPv4. */
  readonly address: string;
  readonly port: number;
}

export interface Relay {
  /** Where to; null: whoever calls is turned away. */
  lead(place: Place | null): void;
  /** Ends what it carries. */
  close(): void;
}

/** What Docker's proxy waits. */
const UDP_IDLE_MS = 90_000;
const KEEP_ALIVE_MS = 30_000;

/** A number of things that may be open at the same time, whoever has them. */
export class Budget {
  #left: number;

  constructor(most: number) {
    this.#left = most;
  }

  take(): boolean {
    if (this.#left <= 0) return false;
    this.#left--;
    return true;
  }

  give(): void {
    this.#left++;
  }
}

const samePlace = (a: Place | null, b: Place | null): boolean => a?.address === b?.address && a?.port === b?.port;

/** For a server with `allowHalfOpen`: one side may have said all that it has while the other still speaks. */
export class TcpRelay implements Relay {
  readonly #budget: Budget;
  readonly #open = new Set<Socket>();
  #place: Place | null = null;

  constructor(server: Server, budget: Budget) {
    this.#budget = budget;
    server.on("connection", (client) => this.#accept(client));
  }

  lead(place: Place | null): void {
    if (samePlace(place, this.#place)) return;
    this.close();
    this.#place = place;
  }

  close(): void {
    this.#place = null;
    for (const client of this.#open) client.resetAndDestroy();
  }

  #accept(client: Socket): void {
    client.on("error", () => {}); // "close" follows
    if (this.#place === null || !this.#budget.take()) {
      client.resetAndDestroy();
      return;
    }
    this.#open.add(client);
    const sandbox = connect({ host: this.#place.address, port: this.#place.port, allowHalfOpen: true });
    sandbox.on("error", () => client.resetAndDestroy());
    client.on("error", () => sandbox.resetAndDestroy());
    for (const socket of [client, sandbox]) socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
    // A pipe ends its target when its source ends, and only that direction.
    client.pipe(sandbox).pipe(client);
    client.once("close", () => {
      this.#open.delete(client);
      this.#budget.give();
      sandbox.destroy();
    });
    sandbox.once("close", () => {
      if (!client.destroyed && !client.writableEnded) client.destroy();
    });
  }
}

interface Session {
  readonly socket: UdpSocket;
  readonly timer: NodeJS.Timeout;
}

export class UdpRelay implements Relay {
  readonly #socket: UdpSocket;
  readonly #budget: Budget;
  readonly #idleMs: number;
  /** By client; who was heard of last is last. */
  readonly #sessions = new Map<string, Session>();
  #place: Place | null = null;

  constructor(socket: UdpSocket, budget: Budget, idleMs = UDP_IDLE_MS) {
    this.#socket = socket;
    this.#budget = budget;
    this.#idleMs = idleMs;
    socket.on("message", (message, client) => this.#receive(message, client));
  }

  /** Clients that are remembered. */
  get sessions(): number {
    return this.#sessions.size;
  }

  lead(place: Place | null): void {
    if (samePlace(place, this.#place)) return;
    this.close();
    this.#place = place;
  }

  close(): void {
    this.#place = null;
    for (const key of [...this.#sessions.keys()]) this.#end(key);
  }

  #receive(message: Buffer, client: RemoteInfo): void {
    const place = this.#place;
    if (place === null) return;
    const key = `${client.address} ${client.port}`;
    const session = this.#sessions.get(key) ?? this.#begin(key, client, place);
    if (session === null) return;
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    session.timer.refresh();
    session.socket.send(message, place.port, place.address, () => {}); // what can't be sent is lost, as datagrams are
  }

  /** Null: there is no room, and none of this port's to be had either. */
  #begin(key: string, client: RemoteInfo, place: Place): Session | null {
    if (!this.#budget.take()) {
      const [oldest] = this.#sessions.keys();
      if (oldest === undefined) return null;
      this.#end(oldest);
      this.#budget.take();
    }
    const socket = createSocket("udp4").unref();
    const timer = setTimeout(() => this.#end(key), this.#idleMs).unref();
    socket.on("error", () => this.#end(key));
    socket.on("message", (message, from) => {
      if (from.address !== place.address || from.port !== place.port) return;
      timer.refresh();
      this.#socket.send(message, client.port, client.address, () => {});
    });
    return { socket, timer };
  }

  #end(key: string): void {
    const session = this.#sessions.get(key);
    if (session === undefined) return;
    this.#sessions.delete(key);
    clearTimeout(session.timer);
    session.socket.close();
    this.#budget.give();
  }
}

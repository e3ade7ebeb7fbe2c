// The relay to sandboxes without IPv6, between real sockets on the loopback: what passes, how ends are passed on, what ends it.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { Budget, type Place, TcpRelay, UdpRelay } from "../../../src/nat/relay.ts";

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function listening(server: Server, host: string): Promise<Place> {
  server.listen(0, host);
  undo.push(() => server.close());
  await once(server, "listening");
  return { address: host, port: (server.address() as AddressInfo).port };
}

/** A server at 127.0.0.1 that does `serve` with each connection. */
const sandbox = (serve: (socket: Socket) => void): Promise<Place> =>
  listening(
    createServer({ allowHalfOpen: true }, (socket) => void serve(socket.on("error", () => {}))),
    "127.0.0.1",
  );

async function relay(
  place: Place | null,
  budget = new Budget(100),
): Promise<{ relay: TcpRelay; port: number; call: () => Promise<Socket> }> {
  const server = createServer({ allowHalfOpen: true });
  const made = new TcpRelay(server, budget);
  made.lead(place);
  const { port } = await listening(server, "::1");
  undo.push(() => made.close());
  const call = async (): Promise<Socket> => {
    const socket = connect({ host: "::1", port, allowHalfOpen: true });
    undo.push(() => socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  return { relay: made, port, call };
}

/** All that the other end says; the stream's own iterator would end our side with it. */
const all = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("end", () => resolve(Buffer.concat(chunks).toString()));
  });

/** How a connection that is not closed by its test ends: "end", or the error's code. */
const ending = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
    socket.once("end", () => resolve("end"));
    socket.resume();
  });

describe("TCP", () => {
  it("carries megabytes both ways, and each end by itself", async () => {
    const upward = Buffer.alloc(8_000_000, "up");
    // It answers only when all was said: half-closed in between.
    const place = await sandbox(async (socket) => {
      const said = await all(socket);
      socket.end(said === upward.toString() ? "down".repeat(2_000_000) : "other bytes");
    });
    const { call } = await relay(place);
    const client = await call();
    client.end(upward);
    expect(await all(client)).toBe("down".repeat(2_000_000));
  });

  it("goes on upward after the other end has said all", async () => {
    let heard: Promise<string> | undefined;
    const place = await sandbox((socket) => {
      socket.end("all");
      heard = all(socket);
    });
    const { call } = await relay(place);
    const client = await call();
    expect(await all(client)).toBe("all");
    client.write("still ");
    client.end("here");
    expect(await heard).toBe("still here");
  });

  it("resets who calls when nobody listens, when it leads nowhere, and when there is no room", async () => {
    const there = await sandbox(() => {});
    const relays = [await relay({ address: "127.0.0.1", port: 1 }), await relay(null), await relay(there, new Budget(0))];
    for (const { port } of relays) expect(await ending(connect(port, "::1"))).toBe("ECONNRESET");
  });

  it("passes a reset on, and gives back what it took", async () => {
    const budget = new Budget(1);
    const place = await sandbox((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const { call } = await relay(place, budget);
    for (let n = 0; n < 3; n++) {
      const client = await call();
      client.write("x");
      expect(await ending(client)).toBe("ECONNRESET");
      await eventually(() => budget.take());
      budget.give();
    }
  });

  it("ends with its place: another one is for who calls later", async () => {
    const [one, two] = await Promise.all(["one", "two"].map((word) => sandbox((socket) => void socket.write(word))));
    const { relay: made, call } = await relay(one!);
    const first = await call();
    expect(String((await once(first, "data"))[0])).toBe("one");
    made.lead({ ...one! }); // the same place: nothing happens
    made.lead(two!);
    expect(await ending(first)).toBe("ECONNRESET");
    const second = await call();
    expect(String((await once(second, "data"))[0])).toBe("two");
    made.close();
    expect(await ending(second)).toBe("ECONNRESET");
  });
});

async function eventually(look: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5000; !look(); await pause(5)) if (Date.now() > deadline) throw new Error("not within 5 s");
}

async function bound(type: "udp4" | "udp6"): Promise<UdpSocket> {
  const socket = createSocket(type);
  socket.bind(0, type === "udp4" ? "127.0.0.1" : "::1");
  await once(socket, "listening");
  undo.push(() => socket.close());
  return socket;
}

/** Answers each datagram with `word`, what it said and from which port it came. */
async function udpSandbox(word: string): Promise<Place> {
  const socket = await bound("udp4");
  socket.on("message", (message, { port, address }) => socket.send(`${word} ${message} ${port}`, port, address));
  return { address: "127.0.0.1", port: socket.address().port };
}

async function udpRelay(place: Place, budget = new Budget(100), idleMs = 60_000): Promise<{ relay: UdpRelay; port: number }> {
  const socket = await bound("udp6");
  const made = new UdpRelay(socket, budget, idleMs);
  made.lead(place);
  undo.push(() => made.close());
  return { relay: made, port: socket.address().port };
}

async function exchange(client: UdpSocket, port: number, word: string): Promise<string> {
  client.send(word, port, "::1");
  return String((await once(client, "message"))[0]);
}

describe("UDP", () => {
  it("keeps clients apart, and one by one port as long as it speaks", async () => {
    const { relay: made, port } = await udpRelay(await udpSandbox("db"));
    const clients = await Promise.all([bound("udp6"), bound("udp6")]);
    const [a, b] = await Promise.all(clients.map((client, n) => exchange(client, port, `hello${n}`)));
    expect([a!.slice(0, 9), b!.slice(0, 9)]).toEqual(["db hello0", "db hello1"]);
    expect(a!.split(" ")[2]).not.toBe(b!.split(" ")[2]);
    expect(await exchange(clients[0]!, port, "hello0")).toBe(a);
    expect(made.sessions).toBe(2);
  });

  it("forgets a client that is silent, and serves it when it speaks again", async () => {
    const budget = new Budget(1);
    const { relay: made, port } = await udpRelay(await udpSandbox("db"), budget, 30);
    const client = await bound("udp6");
    await exchange(client, port, "x");
    await eventually(() => made.sessions === 0);
    expect(budget.take()).toBe(true);
    budget.give();
    expect(await exchange(client, port, "y")).toMatch(/^db y /);
  });

  it("gives up the client that was silent longest where there is no room", async () => {
    const { relay: made, port } = await udpRelay(await udpSandbox("db"), new Budget(2));
    const [a, b, c] = await Promise.all([bound("udp6"), bound("udp6"), bound("udp6")]);
    const first = await exchange(a!, port, "a");
    const second = await exchange(b!, port, "b");
    expect(await exchange(a!, port, "a")).toBe(first);
    await exchange(c!, port, "c");
    expect(made.sessions).toBe(2);
    expect(await exchange(a!, port, "a")).toBe(first);
    expect(await exchange(b!, port, "b")).not.toBe(second);
  });

  it("ends with its place, and takes answers from nobody else", async () => {
    const [one, two] = await Promise.all([udpSandbox("one"), udpSandbox("two")]);
    const { relay: made, port } = await udpRelay(one!);
    const client = await bound("udp6");
    const answer = await exchange(client, port, "x");
    const stranger = await bound("udp4");
    const heard: string[] = [];
    client.on("message", (message) => heard.push(String(message)));
    stranger.send("forged", Number(answer.split(" ")[2]), "127.0.0.1");
    made.lead(two!);
    expect(await exchange(client, port, "x")).toMatch(/^two x /);
    expect(heard).toEqual([expect.stringMatching(/^two x /)]);
  });
});

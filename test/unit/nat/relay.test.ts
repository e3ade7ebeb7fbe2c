// The relay to sandboxes without IPv6 (native/src/relay), between real sockets on the loopback: what passes, how ends are passed on,
// what ends it, and its limits.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { native } from "../../../src/ports/native.ts";

const relay = native();
interface Place {
  readonly address: string;
  readonly port: number;
}

const undo: (() => unknown)[] = [];
beforeEach(() => relay.limitRelays(100, 60_000));
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
  expect(relay.relayed()).toBe(0);
});

async function listening(server: Server, host: string): Promise<Place> {
  server.listen(0, host);
  undo.push(() => server.close());
  await once(server, "listening");
  return { address: host, port: (server.address() as AddressInfo).port };
}

interface Held {
  readonly port: number;
  lead(place: Place | null): void;
  close(): void;
  /** TCP: a connection to it. */
  call(): Promise<Socket>;
}

/** A free port of ::1, held and led to `place`. */
async function held(protocol: "tcp" | "udp", place: Place | null): Promise<Held> {
  for (;;) {
    // One that the kernel gives to somebody who asks for any is free a moment later.
    const server = createServer().listen(0, "::1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    let handle: number;
    try {
      handle = relay.holdPort(protocol, "::1", port);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe("EADDRINUSE");
      continue;
    }
    const lead = (to: Place | null): void => relay.leadPort(handle, to?.address ?? null, to?.port ?? 0);
    const close = (): void => relay.releasePort(handle);
    undo.push(close);
    lead(place);
    const call = async (): Promise<Socket> => {
      const socket = connect({ host: "::1", port, allowHalfOpen: true });
      undo.push(() => socket.destroy());
      await once(socket, "connect");
      return socket;
    };
    return { port, lead, close, call };
  }
}

/** A server at 127.0.0.1 that does `serve` with each connection. */
const sandbox = (serve: (socket: Socket) => void): Promise<Place> =>
  listening(
    createServer({ allowHalfOpen: true }, (socket) => {
      undo.push(() => socket.destroy());
      serve(socket.on("error", () => {}));
    }),
    "127.0.0.1",
  );

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
    const { call } = await held("tcp", place);
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
    const { call } = await held("tcp", place);
    const client = await call();
    expect(await all(client)).toBe("all");
    client.write("still ");
    client.end("here");
    expect(await heard).toBe("still here");
  });

  it("resets who calls when nobody listens, when it leads nowhere, and when there is no room", async () => {
    const there = await sandbox(() => {});
    const ways = [await held("tcp", { address: "127.0.0.1", port: 1 }), await held("tcp", null)];
    for (const { port } of ways) expect(await ending(connect(port, "::1"))).toBe("ECONNRESET");
    relay.limitRelays(0, 60_000);
    expect(await ending(connect((await held("tcp", there)).port, "::1"))).toBe("ECONNRESET");
  });

  it("passes a reset on, both ways, and gives back what it took", async () => {
    relay.limitRelays(1, 60_000);
    const ended: Promise<string>[] = [];
    const place = await sandbox((socket) => {
      // Heard before the reset: libuv takes one that comes with data for an end.
      socket.once("data", (word) => (String(word) === "end" ? socket.resetAndDestroy() : ended.push(ending(socket))));
    });
    const { call } = await held("tcp", place);
    for (let n = 0; n < 3; n++) {
      const client = await call();
      client.write("end");
      expect(await ending(client)).toBe("ECONNRESET");
      await eventually(() => relay.relayed() === 0);
      const other = await call();
      other.write("x");
      await eventually(() => ended.length === n + 1);
      other.resetAndDestroy();
      expect(await ended.at(-1)).toBe("ECONNRESET");
      await eventually(() => relay.relayed() === 0);
    }
  });

  it("ends with its place: another one is for who calls later; a port let go is free", async () => {
    const [one, two] = await Promise.all(["one", "two"].map((word) => sandbox((socket) => void socket.write(word))));
    const made = await held("tcp", one!);
    const first = await made.call();
    expect(String((await once(first, "data"))[0])).toBe("one");
    made.lead({ ...one! }); // the same place: nothing happens
    expect(relay.relayed()).toBe(1);
    made.lead(two!);
    expect(await ending(first)).toBe("ECONNRESET");
    const second = await made.call();
    expect(String((await once(second, "data"))[0])).toBe("two");
    made.close();
    expect(await ending(second)).toBe("ECONNRESET");
    relay.releasePort(relay.holdPort("tcp", "::1", made.port));
    made.close(); // its name is nobody's now
  });

  it("reads no more than the other end takes, and goes on when it does", async () => {
    const bytes = 64 * 1024 * 1024;
    const slow: Socket[] = [];
    const place = await sandbox((socket) => void slow.push(socket.pause()));
    const { call } = await held("tcp", place);
    const client = await call();
    const chunk = Buffer.alloc(65536, "x");
    for (let n = 0; n < bytes; n += chunk.length) client.write(chunk);
    client.end();
    await eventually(() => slow.length === 1);
    // What sockets' buffers hold is gone; the rest waits here.
    for (let waiting = 0, same = 0; same < 20; await pause(5)) {
      same = client.writableLength === waiting ? same + 1 : 0;
      waiting = client.writableLength;
    }
    expect(client.writableLength).toBeGreaterThan(bytes / 4);
    let got = 0;
    slow[0]!.on("data", (chunk: Buffer) => {
      got += chunk.length;
    });
    slow[0]!.resume();
    await once(slow[0]!, "end");
    expect(got).toBe(bytes);
    slow[0]!.end();
    await all(client);
    await eventually(() => relay.relayed() === 0);
  });

  it("carries two thousand connections at once, and no more than it may", async () => {
    relay.limitRelays(2000, 60_000);
    const place = await sandbox((socket) => void socket.pipe(socket));
    const { call, port } = await held("tcp", place);
    const clients: Socket[] = [];
    for (let n = 0; n < 2000; n += 100) clients.push(...(await Promise.all(Array.from({ length: 100 }, call))));
    await eventually(() => relay.relayed() === 2000);
    expect(await ending(connect(port, "::1"))).toBe("ECONNRESET");
    const answers = clients.map(async (client, n) => {
      client.write(`${n}`);
      return String((await once(client, "data"))[0]) === `${n}`;
    });
    expect((await Promise.all(answers)).every(Boolean)).toBe(true);
    for (const client of clients) client.destroy();
    await eventually(() => relay.relayed() === 0);
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

async function exchange(client: UdpSocket, port: number, word: string): Promise<string> {
  client.send(word, port, "::1");
  return String((await once(client, "message"))[0]);
}

describe("UDP", () => {
  it("keeps clients apart, and one by one port as long as it speaks", async () => {
    const { port } = await held("udp", await udpSandbox("db"));
    const clients = await Promise.all([bound("udp6"), bound("udp6")]);
    const [a, b] = await Promise.all(clients.map((client, n) => exchange(client, port, `hello${n}`)));
    expect([a!.slice(0, 9), b!.slice(0, 9)]).toEqual(["db hello0", "db hello1"]);
    expect(a!.split(" ")[2]).not.toBe(b!.split(" ")[2]);
    expect(await exchange(clients[0]!, port, "hello0")).toBe(a);
    expect(relay.relayed()).toBe(2);
  });

  it("forgets a client that is silent, and serves it when it speaks again", async () => {
    relay.limitRelays(1, 30);
    const { port } = await held("udp", await udpSandbox("db"));
    const client = await bound("udp6");
    await exchange(client, port, "x");
    await eventually(() => relay.relayed() === 0);
    expect(await exchange(client, port, "y")).toMatch(/^db y /);
  });

  it("gives up the client that was silent longest where there is no room", async () => {
    relay.limitRelays(2, 60_000);
    const { port } = await held("udp", await udpSandbox("db"));
    const [a, b, c] = await Promise.all([bound("udp6"), bound("udp6"), bound("udp6")]);
    const first = await exchange(a!, port, "a");
    const second = await exchange(b!, port, "b");
    expect(await exchange(a!, port, "a")).toBe(first);
    await exchange(c!, port, "c");
    expect(relay.relayed()).toBe(2);
    expect(await exchange(a!, port, "a")).toBe(first);
    expect(await exchange(b!, port, "b")).not.toBe(second);
  });

  it("makes room for connections", async () => {
    relay.limitRelays(2, 60_000);
    const { port } = await held("udp", await udpSandbox("db"));
    const [a, b] = await Promise.all([bound("udp6"), bound("udp6")]);
    await exchange(a!, port, "a");
    const second = await exchange(b!, port, "b");
    const { call } = await held("tcp", await sandbox((socket) => void socket.pipe(socket)));
    const client = await call();
    client.write("x");
    expect(String((await once(client, "data"))[0])).toBe("x");
    expect(relay.relayed()).toBe(2);
    expect(await exchange(b!, port, "b")).toBe(second);
  });

  it("ends with its place, and takes answers from nobody else", async () => {
    const [one, two] = await Promise.all([udpSandbox("one"), udpSandbox("two")]);
    const made = await held("udp", one!);
    const { port } = made;
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

// Who may open the socket may send what he likes: bytes that are no protocol, frames that lie about their length, messages that
// unpack to more than memory, thousands of streams, calls that nobody waits for. The daemon refuses what is wrong, in gRPC's words
// where there is somebody to be told, does what is right, and goes on for everybody else.
import { setMaxListeners } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ApiClient } from "../../src/api/client.ts";
import { Daemon, eventually } from "../support/daemon.ts";
import { Lab, namespaceMounts } from "../support/hosts.ts";

const lab = new Lab();
let daemon: Daemon;
let session: ClientHttp2Session;

beforeAll(async () => {
  daemon = await Daemon.start(lab, await lab.host("h"));
  await daemon.must("network", "create", "--subnet", "10.85.0.0/24", "net");
  await daemon.must("sandbox", "create", "--network", "net", "one");
  session = connectHttp2("http://localhost", { createConnection: () => connect(daemon.socket) });
});
afterAll(async () => {
  session.destroy();
  await lab.dispose();
});

/** A message as gRPC frames it: a flag, a length, the bytes. */
function framed(bytes: Buffer, { length = bytes.length, compressed = false } = {}): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

/** What `network create` answers: its gRPC status. */
function status(body: Buffer, encoding?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = session.request({
      ...{ ":method": "POST", ":path": "/weft.v1.NetworkService/Create", "content-type": "application/grpc", te: "trailers" },
      ...(encoding === undefined ? {} : { "grpc-encoding": encoding }),
    });
    const look = (headers: Record<string, unknown>): void => {
      if (headers["grpc-status"] !== undefined) resolve(Number(headers["grpc-status"]));
    };
    call.on("response", look).on("trailers", look).on("error", reject).resume();
    call.on("close", () => reject(new Error("closed without a status")));
    call.end(body);
  });
}

const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const NAME_U1 = Buffer.from([0x0a, 2, 0x75, 0x31]); // field 1, "u1"

test.each([
  ["no message", framed(Buffer.alloc(8, 0xff)), undefined, INTERNAL],
  ["less than it says", framed(Buffer.from([0x0a]), { length: 500 }), undefined, UNIMPLEMENTED],
  ["4 GiB, it says", framed(Buffer.from([0x0a]), { length: 0xffffffff }), undefined, RESOURCE_EXHAUSTED],
  ["no gzip", framed(Buffer.from([0x0a, 0x0a]), { compressed: true }), "gzip", INTERNAL],
  ["200 MiB in a few", framed(gzipSync(Buffer.alloc(200 << 20)), { compressed: true }), "gzip", RESOURCE_EXHAUSTED],
  ["fields of a later version", framed(Buffer.concat([NAME_U1, Buffer.from([0xfa, 0x3f, 1, 0x68])])), undefined, 0],
])("%s", async (_what, body, encoding, expected) => {
  const resident = daemon.residentBytes();
  expect(await status(body, encoding)).toBe(expected);
  expect(daemon.residentBytes() - resident).toBeLessThan(100 << 20);
});

test("bytes that are no HTTP/2, and connections that say nothing", async () => {
  const before = daemon.openFds();
  const strangers = Array.from({ length: 200 }, () => connect(daemon.socket).on("error", () => {}));
  for (const [i, stranger] of strangers.entries()) if (i % 2 === 0) stranger.write(Buffer.alloc(100_000, i));
  await daemon.must("network", "ls");
  for (const stranger of strangers) stranger.destroy();
  await eventually("their descriptors are closed", () => daemon.openFds() <= before);
});

test("a thousand streams at a time, and calls that nobody waits for", async () => {
  const clients = Array.from({ length: 10 }, () => new ApiClient(daemon.socket));
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  let answers = 0;
  const streams = clients.flatMap((client) =>
    Array.from({ length: 100 }, async () => {
      for await (const _ of client.stream("diagnostics", "Stats", { intervalMs: 1000 }, over.signal)) answers++;
    }),
  );
  await eventually("all are answered", () => answers >= 1000, 30_000);
  const creates = clients.map((client, i) => client.call("sandbox", "Create", { name: `s${i}`, attachments: [{ network: "net" }] }));
  over.abort();
  await Promise.all(streams);
  for (const client of clients) client.close();
  await Promise.allSettled(creates);
  // Each is there as a whole or not at all, once those that were begun are done.
  const { sandboxes } = await daemon.api.call("sandbox", "List", {});
  for (const { id, name } of sandboxes) if (name !== "one") await daemon.api.call("sandbox", "Remove", { sandbox: id });
  await eventually("no namespace is left but one", async () => {
    const late = (await daemon.api.call("sandbox", "List", {})).sandboxes.filter(({ name }) => name !== "one");
    for (const { id } of late) await daemon.api.call("sandbox", "Remove", { sandbox: id });
    return namespaceMounts(daemon.stateDir).length === 1;
  });
  expect(await (await daemon.enter("one")).ping("10.85.0.1", [], 1)).toBe(1);
  expect(daemon.log).not.toMatch(/"level":"(error|fatal)"|internal error/);
  await daemon.law();
});

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { renameSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  type Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApiClient } from "../../src/api/client.ts";
import { SERVICE_NAMES, SERVICES } from "../../src/api/proto.ts";
import { startApi } from "../../src/api/server.ts";
import { ERROR_CODES, WeftError } from "../../src/errors.ts";
import { createLogger } from "../../src/log.ts";
import { metricsRegistry, serveMetrics } from "../../src/metrics.ts";
import { ROOT } from "../../src/paths.ts";
import { type ServedApi, serveApi } from "../support/api.ts";

const require = createRequire(import.meta.url);
let api: ServedApi;

beforeEach(async () => {
  api = await serveApi();
});
afterEach(() => api.close());

/** The raw call, as any gRPC client in any language sees it. */
function rawCreate(name: string): Promise<{ code: status; details: string; metadata: Metadata }> {
  const client = new Client(`unix:${api.socketPath}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = SERVICES.network.Create;
  return new Promise((done) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { name }, (error) => {
      client.close();
      done(error as ServiceError);
    });
  });
}

describe("errors", () => {
  const STATUS: Record<(typeof ERROR_CODES)[number], status> = {
    INVALID_ARGUMENT: status.INVALID_ARGUMENT,
    NOT_FOUND: status.NOT_FOUND,
    ALREADY_EXISTS: status.ALREADY_EXISTS,
    FORBIDDEN: status.FAILED_PRECONDITION,
    RESOURCE_EXHAUSTED: status.RESOURCE_EXHAUSTED,
    ADDRESS_IN_USE: status.ALREADY_EXISTS,
    UNAVAILABLE: status.UNAVAILABLE,
    PERMISSION_DENIED: status.PERMISSION_DENIED,
    DATA_LOSS: status.DATA_LOSS,
    INTERNAL: status.INTERNAL,
  };

  it.each(ERROR_CODES)("%s becomes its status, with the code in the trailer", async (code) => {
    api.controller.failNext = new WeftError(code, "the reason, wörtlich");
    const error = await rawCreate("a");
    expect(error.code).toBe(STATUS[code]);
    expect(error.metadata.get("weft-error-code")).toEqual([code]);
    if (code !== "INTERNAL") expect(error.details).toBe("the reason, wörtlich");
  });

  it.each(ERROR_CODES.filter((code) => code !== "INTERNAL"))("%s is the same WeftError again at the client", async (code) => {
    api.controller.failNext = new WeftError(code, "why");
    await expect(api.client.call("network", "Create", { name: "a" })).rejects.toEqual(new WeftError(code, "why"));
  });

  it.each(["x", "😀"])("too long for trailers are sent without their middle, of %s", async (character) => {
    api.controller.failNext = new WeftError("FORBIDDEN", `what ${character.repeat(200_000)} why`);
    const error = await api.client.call("network", "Create", { name: "a" }).catch((caught: WeftError) => caught);
    expect(error).toMatchObject({ code: "FORBIDDEN", message: expect.stringMatching(/^what .* … .* why$/u) });
    await expect(api.client.call("network", "Create", { name: "a" })).resolves.toBeDefined();
  });

  it("hides an unknown error behind an id, and logs it under that id", async () => {
    api.controller.failNext = new TypeError("secret of line 7");
    const error = await api.client.call("network", "Create", { name: "a" }).catch((caught: WeftError) => caught);
    expect(error).toMatchObject({ code: "INTERNAL" });
    const message = (error as WeftError).message;
    expect(message).not.toContain("secret");
    const line = api.logged.find((one) => one.msg === "internal error");
    expect(message).toContain(String(line?.request));
    expect(line).toMatchObject({ level: "error", method: "/weft.v1.NetworkService/Create", err: { message: "secret of line 7" } });
  });

  it("of a daemon that is not there say how to start it", async () => {
    const client = new ApiClient(`unix://${api.folder}/none.sock`);
    await expect(client.call("node", "Status", {})).rejects.toEqual(
      new WeftError(
        "UNAVAILABLE",
        `cannot reach the weft daemon at unix://${api.folder}/none.sock: is it running? start it with \`weft daemon\``,
      ),
    );
    client.close();
  });

  it("of a path where no daemon is say what is there", async () => {
    const file = join(api.folder, "file");
    writeFileSync(file, "");
    const asked = async (path: string, greetingMs?: number): Promise<WeftError> => {
      const client = new ApiClient(path, greetingMs);
      const error = await client.call("node", "Status", {}).catch((reason: WeftError) => reason);
      client.close();
      return error as WeftError;
    };
    expect((await asked(file)).message).toBe(`cannot reach the weft daemon at unix://${file}: that is no socket; give --socket`);
    expect((await asked(join(file, "x"))).message).toMatch(/is it running\?/);
    const others: [string, (socket: Socket) => void, RegExp][] = [
      ["talks", (socket) => socket.end("SSH-2.0-x\r\n"), /what listens there is another program, or a daemon that ends; give --socket$/],
      [
        "silent",
        () => {},
        /does not answer for 0\.1 s: it is stopped or stuck, or another program listens there; end that, or give --socket$/,
      ],
    ];
    for (const [name, serve, says] of others) {
      const path = join(api.folder, name);
      const sockets: Socket[] = [];
      const other = createServer((socket) => {
        sockets.push(socket.on("error", () => {}));
        serve(socket);
      });
      other.listen(path);
      await once(other, "listening");
      expect(await asked(path, 100)).toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(says) });
      const client = new ApiClient(path, 100);
      const stream = async (): Promise<void> => {
        for await (const _ of client.stream("diagnostics", "Stats", {})) break;
      };
      await expect(stream()).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(says) });
      client.close();
      for (const socket of sockets) socket.destroy();
      other.close();
    }
  });

  it("do not keep who asks again from a daemon that starts: it is tried anew at once", async () => {
    let tries = 0;
    const path = join(api.folder, "starting.sock");
    const starting = createServer((socket) => {
      tries++;
      socket.destroy();
    });
    starting.listen(path);
    await once(starting, "listening");
    const client = new ApiClient(path);
    const asked = async (): Promise<number> => {
      await expect(client.call("node", "Status", {})).rejects.toMatchObject({ code: "UNAVAILABLE" });
      return tries;
    };
    // By gRPC's own habit it is tried after 1 s, 1.6 s and so on.
    await expect.poll(asked, { timeout: 3000, interval: 20 }).toBeGreaterThan(6);
    client.close();
    starting.close();
  });

  it("reach streams too", async () => {
    const stream = api.client.stream("diagnostics", "Fdb", { network: "none" });
    await expect(stream.next()).rejects.toEqual(new WeftError("NOT_FOUND", "network none not found"));
  });
});

describe("the socket", () => {
  const log = createLogger({ level: "silent" });
  const handlers = {} as never;

  it("has mode 0660", () => {
    const mode = statSync(api.socketPath).mode;
    expect((mode & 0o777).toString(8)).toBe("660");
  });

  it("goes with the server", async () => {
    await api.server.close();
    expect(statSync(api.socketPath, { throwIfNoEntry: false })).toBeUndefined();
  });

  it.each([
    {
      what: "a live daemon's socket",
      prepare: async () => api.socketPath,
      message: /another daemon serves on .*weft.sock, or another program listens there: stop it or give --socket/,
    },
    {
      what: "a file that is no socket",
      prepare: async () => {
        writeFileSync(join(api.folder, "file"), "precious");
        return join(api.folder, "file");
      },
      message: /exists and is no socket/,
    },
    { what: "a path that is too long", prepare: async () => join(api.folder, "x".repeat(120)), message: /at most 107 bytes/ },
    {
      what: "a folder that can't be made",
      prepare: async () => {
        writeFileSync(join(api.folder, "file"), "precious");
        return join(api.folder, "file", "weft.sock");
      },
      message: /cannot listen on .*ENOTDIR|EEXIST/,
    },
  ])("refuses $what", async ({ prepare, message }) => {
    const socketPath = await prepare();
    const bound = startApi({ socketPath, handlers: Object.fromEntries(Object.keys(SERVICES).map((key) => [key, every])) as never, log });
    await expect(bound).rejects.toThrow(message);
  });

  it("replaces what a dead daemon left", async () => {
    const path = join(api.folder, "stale.sock");
    // A listening socket that is renamed away survives its server: nobody listens, the file stays.
    const dead = createServer().listen(join(api.folder, "dying.sock"));
    await new Promise((done) => dead.once("listening", done));
    renameSync(join(api.folder, "dying.sock"), path);
    await new Promise((done) => dead.close(done));
    expect(statSync(path).isSocket()).toBe(true);

    const server = await startApi({
      socketPath: path,
      handlers: Object.fromEntries(Object.keys(SERVICES).map((key) => [key, every])) as never,
      log,
    });
    const client = new ApiClient(path);
    await expect(client.call("node", "Status", {})).resolves.toMatchObject({ pid: 7 });
    client.close();
    await server.close();
  });

  const every = new Proxy(handlers, { get: () => async () => ({ pid: 7 }) });
});

/** A client of a service that isn't ours, made from its own proto file. */
function foreignClient(protoPath: string, service: string): Client & Record<string, (...args: unknown[]) => never> {
  const found = loadPackageDefinition(loadSync(require.resolve(protoPath)));
  const Service = service.split(".").reduce((at: unknown, name) => (at as Record<string, unknown>)[name], found);
  return new (Service as new (address: string, credentials: ChannelCredentials) => never)(
    `unix:${api.socketPath}`,
    credentials.createInsecure(),
  );
}

describe("what every gRPC tool expects", () => {
  it.each(["v1", "v1alpha"])("reflection %s lists the services and knows their files", async (version) => {
    const path = `@grpc/reflection/build/proto/grpc/reflection/${version}/reflection.proto`;
    const client = foreignClient(path, `grpc.reflection.${version}.ServerReflection`);
    const call = client.ServerReflectionInfo!() as ClientDuplexStream<object, Record<string, never>>;
    const ask = async (question: object): Promise<Record<string, unknown>> => {
      const answer = once(call, "data");
      call.write(question);
      return (await answer)[0];
    };
    const { listServicesResponse } = await ask({ listServices: "" });
    const names = (listServicesResponse as { service: { name: string }[] }).service.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining([...SERVICE_NAMES, "grpc.health.v1.Health"]));
    const files = new Set<string>();
    for (const name of [...SERVICE_NAMES, "grpc.health.v1.Health"]) {
      const { fileDescriptorResponse } = await ask({ fileContainingSymbol: name });
      for (const file of (fileDescriptorResponse as { fileDescriptorProto: Buffer[] }).fileDescriptorProto)
        files.add(file.toString("base64"));
    }
    const read = spawnSync("/usr/bin/python3", [join(ROOT, "test/support/descriptors.py")], {
      input: JSON.stringify([...files]),
      encoding: "utf8",
    });
    expect(read.stderr).toBe("");
    const messages = JSON.parse(read.stdout) as Record<string, Record<string, [string, boolean, boolean]>>;
    expect(messages["weft.v1.PollerStats"]).toMatchObject({
      receive_errors: ["receiveErrors", true, false],
      spin_us: ["spinUs", false, false],
    });
    expect(messages["weft.v1.CreateNetworkRequest"]).toMatchObject({ enable_ipv4: ["enableIpv4", false, true] });
    expect(messages["weft.v1.CaptureRequest"]).toMatchObject({ sandbox: ["sandbox", false, false] });
    call.on("error", () => {});
    call.cancel();
    client.close();
  });

  it.each(["", ...SERVICE_NAMES])("health of %j is SERVING, and NOT_SERVING once it closes", async (service) => {
    const client = foreignClient("grpc-health-check/proto/health/v1/health.proto", "grpc.health.v1.Health");
    const watch = client.watch!({ service }) as ClientReadableStream<{ status: number }>;
    const seen: number[] = [];
    watch.on("data", ({ status }) => seen.push(status));
    watch.on("error", () => {});
    await once(watch, "data");
    const closed = api.server.close();
    await once(watch, "data");
    expect(seen).toEqual([1, 2]); // SERVING, NOT_SERVING
    client.close();
    await closed;
  });
});

describe("streams", () => {
  it("end on the daemon's side when the client goes", async () => {
    await api.controller.createNetwork({ name: "web" });
    await api.controller.createSandbox({ name: "s", networks: [{ network: "web" }] });
    api.datapath.captureEndless = true;
    const abort = new AbortController();
    const stream = api.client.stream("diagnostics", "Capture", { sandbox: "s" }, abort.signal);
    const first = await stream.next();
    expect((first.value as { data: Buffer }).data).toEqual(Buffer.from([10, 13, 13, 10]));
    abort.abort();
    for await (const _ of stream); // what was on its way, and no error
    await expect.poll(() => api.datapath.capturesEnded).toBe(1);
  });

  it("end when the daemon stops, and don't keep it from stopping", async () => {
    const stream = api.client.stream("diagnostics", "Stats", { intervalMs: 60_000 });
    await stream.next();
    const began = performance.now();
    await api.server.close();
    expect(performance.now() - began).toBeLessThan(1000);
    expect((await stream.next()).done).toBe(true);
  });

  it("wait for a reader that is slow", async () => {
    await api.controller.createNetwork({ name: "web" });
    await api.controller.createSandbox({ name: "s", networks: [{ network: "web" }] });
    const CHUNKS = 200;
    let made = 0;
    api.datapath.captureChunks = Array.from({ length: CHUNKS }, () => Buffer.alloc(65536));
    const chunks = api.datapath.captureChunks;
    api.datapath.captureChunks = {
      *[Symbol.iterator]() {
        for (const chunk of chunks) {
          made += 1;
          yield chunk;
        }
      },
    } as never;
    const stream = api.client.stream("diagnostics", "Capture", { sandbox: "s" });
    await stream.next();
    await new Promise((done) => setTimeout(done, 100));
    expect(made).toBeLessThan(CHUNKS); // 13 MB don't fit what lies between
    let bytes = 65536;
    for await (const { data } of stream) bytes += data.length;
    expect({ made, bytes }).toEqual({ made: CHUNKS, bytes: CHUNKS * 65536 });
  });

  it("refuse an interval that would be a load", async () => {
    const stream = api.client.stream("diagnostics", "Stats", { intervalMs: 5 });
    await expect(stream.next()).rejects.toThrow("an interval of 5 ms is too short: at least 100 ms");
    // Timers count to 2^31 - 1, and what is longer comes at once, for ever.
    const long = api.client.stream("diagnostics", "Stats", { intervalMs: 2 ** 31 });
    await expect(long.next()).rejects.toThrow("an interval of 2147483648 ms is too long: at most 2147483647 ms");
  });
});

describe("requests that no CLI would send", () => {
  it.each([
    { what: "a connect without an attachment", call: () => api.client.call("endpoint", "Connect", { sandbox: "s" }), message: "name" },
    {
      what: "a capture without a target",
      call: () => api.client.stream("diagnostics", "Capture", {}).next(),
      message: "a capture has a target",
    },
    { what: "an empty reference", call: () => api.client.call("network", "Inspect", {}), message: "not found" },
  ])("$what is refused", async ({ call, message }) => {
    await expect(call()).rejects.toThrow(message);
  });
});

describe("metrics", () => {
  it("are the engine's counters at the time of the scrape", async () => {
    const registry = metricsRegistry({
      stats: () => api.datapath.stats(),
      sizes: () => ({ networks: 2, sandboxes: 3, reclaimed: 4, waiting: 1 }),
    });
    const text = await registry.metrics();
    expect(text).toContain('weft_drops_total{reason="vni-unknown"} 5\n');
    expect(text).toContain("weft_networks 2\n");
    expect(text).toContain("weft_law_difference 0\n");
    expect(await registry.metrics()).toContain('weft_drops_total{reason="vni-unknown"} 5\n'); // set, not added up
  });

  it("are served at /metrics and nowhere else", async () => {
    const source = { stats: () => api.datapath.stats(), sizes: () => ({ networks: 0, sandboxes: 0, reclaimed: 0, waiting: 0 }) };
    const port = await freePort();
    const server = await serveMetrics(`127.0.0.1:${port}`, source);
    await expect(serveMetrics(`127.0.0.1:${port}`, source)).rejects.toThrow(/cannot serve metrics on 127.0.0.1:.*EADDRINUSE/);
    const answer = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([200, expect.stringContaining("text/plain")]);
    expect(await answer.text()).toContain("weft_engine_total");
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
    await server.close();
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

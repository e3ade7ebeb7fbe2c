import { statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Client, credentials, loadPackageDefinition, type Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApiClient } from "../../src/api/client.ts";
import { SERVICE_NAMES, SERVICES } from "../../src/api/proto.ts";
import { startApi } from "../../src/api/server.ts";
import { ERROR_CODES, WeftError } from "../../src/errors.ts";
import { createLogger } from "../../src/log.ts";
import { type ServedApi, serveApi } from "../support/api.ts";

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
      message: /another daemon serves on .*weft.sock: stop it or give --socket/,
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
    const { renameSync } = await import("node:fs");
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

describe("what every gRPC tool expects", () => {
  it("reflection lists the services", async () => {
    const grpc = loadPackageDefinition(loadSync(require.resolve("@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto")));
    const Reflection = (grpc.grpc as any).reflection.v1.ServerReflection;
    const client = new Reflection(`unix:${api.socketPath}`, credentials.createInsecure());
    const call = client.ServerReflectionInfo();
    const answer = new Promise<any>((done, fail) => call.once("data", done).once("error", fail));
    call.write({ listServices: "" });
    const names = (await answer).listServicesResponse.service.map(({ name }: { name: string }) => name);
    expect(names).toEqual(expect.arrayContaining([...SERVICE_NAMES]));
    call.end();
    client.close();
  });
});

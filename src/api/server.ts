// The gRPC server on a Unix socket. Handlers are plain: a method takes a request and returns a promise of the response, or an
// async iterable of responses where the method streams; it throws WeftErrors. Here they get cancellation, back-pressure and
// statuses. Health and reflection come with it, so that grpcurl and supervisors need no file of ours.
//
// The socket is bound beside its path and renamed over it: it appears with its mode, and it replaces what a dead daemon left
// behind in one step. Whether a daemon lives behind a socket is found out by connecting to it.
import { once } from "node:events";
import { chmodSync, existsSync, lstatSync, renameSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { alreadyExists, invalidArgument, WeftError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { makeFolders } from "../paths.ts";
import { addReflection } from "./late-reflection.ts";
import { type MethodsOf, type RequestOutOf, type ResponseOf, SERVICE_NAMES, SERVICES, type Services } from "./proto.ts";
import { toStatus } from "./status.ts";

const SOCKET_MODE = 0o660;
/** sun_path of struct sockaddr_un, less its closing zero. */
const SOCKET_PATH_MAX = 107;
/** Our calls under way at close have this long to end; then their answers have this long to leave. */
const CLOSE_GRACE_MS = 2000;
const FLUSH_MS = 50;

export interface CallContext {
  /** Aborted when the client cancels or the server closes. */
  readonly signal: AbortSignal;
}

type Handler<M> = (request: RequestOutOf<M>, context: CallContext) => Promise<ResponseOf<M>> | AsyncIterable<ResponseOf<M>>;
export type Handlers<D> = { readonly [M in keyof MethodsOf<D>]: Handler<MethodsOf<D>[M]> };
export type AllHandlers = { readonly [S in keyof Services]: Handlers<Services[S]> };

export interface ApiOptions {
  readonly socketPath: string;
  readonly handlers: AllHandlers;
  readonly log: Logger;
}

export interface ApiServer {
  /** "unix:///run/weft/weft.sock" */
  readonly address: string;
  /** Ends streams, lets other calls finish for a moment, and removes the socket. */
  close(): Promise<void>;
}

type AnyHandler = (request: unknown, context: CallContext) => Promise<unknown> | AsyncIterable<unknown>;

/** What all calls share: whether the server closes, and which calls are under way. */
interface Calls {
  readonly closing: AbortSignal;
  readonly active: Set<Promise<void>>;
  readonly log: Logger;
}

function track(calls: Calls, work: Promise<void>): void {
  calls.active.add(work);
  work.finally(() => calls.active.delete(work));
}

function unary(method: string, handler: AnyHandler, calls: Calls): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const cancelled = new AbortController();
    call.on("cancelled", () => cancelled.abort());
    // Not by `closing`: what has been begun is finished, for a client that was told "unavailable" could not know what is done.
    const context = { signal: cancelled.signal };
    // `async` so that a handler that throws at once is caught like one that rejects.
    const work = (async () => handler(call.request, context) as Promise<unknown>)().then(
      (response) => callback(null, response),
      (error: unknown) => callback(toStatus(error, method, calls.log)),
    );
    track(calls, work);
  };
}

function streaming(method: string, handler: AnyHandler, calls: Calls): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const cancelled = new AbortController();
    call.on("cancelled", () => cancelled.abort());
    const signal = AbortSignal.any([cancelled.signal, calls.closing]);
    const pump = async (): Promise<void> => {
      for await (const response of handler(call.request, { signal }) as AsyncIterable<unknown>) {
        if (signal.aborted) break;
        if (!call.write(response)) await once(call, "drain", { signal });
      }
    };
    const work = pump().then(
      () => void call.end(),
      (error: unknown) => {
        if (signal.aborted) call.end();
        else call.emit("error", toStatus(error, method, calls.log));
      },
    );
    track(calls, work);
  };
}

function implementation(definition: ServiceDefinition, handlers: Record<string, AnyHandler>, calls: Calls): UntypedServiceImplementation {
  const wrap = ([name, method]: [string, ServiceDefinition[string]]) => {
    const handler = handlers[name];
    if (handler === undefined) throw new Error(`no handler for ${method.path}`);
    return [name, (method.responseStream ? streaming : unary)(method.path, handler, calls)];
  };
  return Object.fromEntries(Object.entries(definition).map(wrap)) as UntypedServiceImplementation;
}

function isAlive(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      done(true);
    });
    socket.once("error", () => done(false));
  });
}

/**
 * Refuses a path that no socket can have, or that is taken by something alive or by something that is no socket. The daemon asks
 * before it touches the host: what can't serve should leave no trace.
 */
export async function checkSocketPath(socketPath: string): Promise<void> {
  const path = resolve(socketPath);
  if (Math.max(Buffer.byteLength(path), Buffer.byteLength(besideOf(path))) > SOCKET_PATH_MAX) {
    throw invalidArgument(
      `socket path ${path} is too long: a Unix socket's path has at most ${SOCKET_PATH_MAX} bytes; give a shorter --socket`,
    );
  }
  if (!existsSync(dirname(path)) || !statSync(dirname(path)).isDirectory()) return; // made later, or refused
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw alreadyExists(`${path} exists and is no socket: move it away or give --socket`);
  if (await isAlive(path))
    throw alreadyExists(`another daemon serves on ${path}, or another program listens there: stop it or give --socket`);
}

/** Where the socket is made before it takes its place. */
const besideOf = (path: string): string => join(dirname(path), `.${process.pid}.sock`);

function bind(server: Server, path: string): Promise<void> {
  return new Promise((done, fail) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => (error ? fail(error) : done()));
  });
}

export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const { log } = options;
  const path = resolve(options.socketPath);
  const beside = besideOf(path);
  await checkSocketPath(path);
  const closing = new AbortController();
  const calls: Calls = { closing: closing.signal, active: new Set(), log };
  const server = new Server();
  for (const [name, definition] of Object.entries(SERVICES)) {
    const handlers = options.handlers[name as keyof AllHandlers] as unknown as Record<string, AnyHandler>;
    server.addService(definition, implementation(definition, handlers, calls));
  }
  const health = new HealthImplementation(Object.fromEntries(["", ...SERVICE_NAMES].map((name) => [name, "SERVING" as const])));
  health.addToServer(server);
  addReflection(server);

  try {
    makeFolders(dirname(path), 0o755);
    await bind(server, beside);
    chmodSync(beside, SOCKET_MODE);
    renameSync(beside, path);
  } catch (error) {
    server.forceShutdown();
    if (existsSync(beside)) rmSync(beside);
    if (error instanceof WeftError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new WeftError("UNAVAILABLE", `cannot listen on ${path}: ${reason}`, { cause: error });
  }

  return {
    address: `unix://${path}`,
    async close() {
      for (const name of ["", ...SERVICE_NAMES]) health.setStatus(name, "NOT_SERVING");
      closing.abort();
      rmSync(path, { force: true });
      const drained = new Promise<void>((done) => server.tryShutdown(() => done()));
      await Promise.race([Promise.all(calls.active), wait(CLOSE_GRACE_MS, undefined, { ref: false })]);
      await Promise.race([drained, wait(FLUSH_MS)]);
      // What is left watches health or reflection, and would do so for ever.
      server.forceShutdown();
      await drained;
    },
  };
}

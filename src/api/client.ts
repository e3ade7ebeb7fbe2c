// The API's client side: typed calls by service and method, over the same definition as the server. Failures come back as the
// WeftErrors that the daemon threw; a daemon that can't be reached is one of UNAVAILABLE that says what to do (unreachable.ts).
//
// A call takes as long as it takes, but a connection doesn't: gRPC would wait for ever for a greeting that doesn't come.
import { Client, connectivityState, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { unavailable, WeftError } from "../errors.ts";
import { type MethodsOf, type RequestOf, type ResponseOutOf, SERVICES, type Services } from "./proto.ts";
import { fromStatus } from "./status.ts";
import { silent, unreachable } from "./unreachable.ts";

interface Definition {
  readonly path: string;
  readonly requestSerialize: (value: unknown) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

type Methods<S extends keyof Services> = MethodsOf<Services[S]>;

/** A table of a million entries comes in chunks, but a chunk is not the place for a limit. */
const RECEIVE_MAX_BYTES = 64 * 1024 * 1024;

/** A daemon greets with the next turn of its loop, also where it is loaded. */
const GREETING_MS = 10_000;
const RECONNECT_MS = 50;

export class ApiClient {
  readonly #socketPath: string;
  readonly #client: Client;
  readonly #greetingMs: number;

  /** Connects at the first call. `socketPath` may bear unix:// before it. */
  constructor(socketPath: string, greetingMs = GREETING_MS) {
    this.#greetingMs = greetingMs;
    this.#socketPath = socketPath.replace(/^unix:(\/\/)?/, "");
    this.#client = new Client(`unix:${this.#socketPath}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": RECEIVE_MAX_BYTES,
      // Or else a connection that failed for another client of this process would keep this one waiting.
      "grpc.use_local_subchannel_pool": 1,
      // To try a socket of this host costs nothing: who waits for a daemon that starts is not to wait a second longer.
      "grpc.initial_reconnect_backoff_ms": RECONNECT_MS,
      "grpc.max_reconnect_backoff_ms": RECONNECT_MS,
    });
  }

  call<S extends keyof Services, M extends keyof Methods<S> & string>(
    service: S,
    method: M,
    request: RequestOf<Methods<S>[M]>,
    greetingMs = this.#greetingMs,
  ): Promise<ResponseOutOf<Methods<S>[M]>> {
    const definition = this.#definition(service, method);
    return new Promise((done, fail) => {
      const call = this.#client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request as unknown,
        (error, response) => {
          const late = greeting();
          if (error) fail(late ?? this.#explain(error));
          else done(response as ResponseOutOf<Methods<S>[M]>);
        },
      );
      const greeting = this.#expectGreeting(call, greetingMs);
    });
  }

  /** Ends quietly when `signal` aborts. */
  async *stream<S extends keyof Services, M extends keyof Methods<S> & string>(
    service: S,
    method: M,
    request: RequestOf<Methods<S>[M]>,
    signal?: AbortSignal,
  ): AsyncGenerator<ResponseOutOf<Methods<S>[M]>, void, undefined> {
    const definition = this.#definition(service, method);
    const call = this.#client.makeServerStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      request as unknown,
    );
    const greeting = this.#expectGreeting(call, this.#greetingMs);
    const cancel = (): void => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      for await (const response of call) yield response as ResponseOutOf<Methods<S>[M]>;
    } catch (error) {
      if (signal?.aborted !== true) throw greeting() ?? this.#explain(error as ServiceError);
    } finally {
      greeting();
      signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  /** Cancels the call if nobody greets in time. What it answers is to be called at the call's end: the reason, if that was it. */
  #expectGreeting(call: { cancel(): void }, ms: number): () => WeftError | undefined {
    let late: WeftError | undefined;
    const timer = setTimeout(() => {
      if (this.#client.getChannel().getConnectivityState(false) === connectivityState.READY) return;
      late = silent(this.#socketPath, ms);
      call.cancel();
    }, ms);
    return () => {
      clearTimeout(timer);
      return late;
    };
  }

  #definition(service: keyof Services, method: string): Definition {
    return (SERVICES[service] as unknown as Record<string, Definition>)[method]!;
  }

  #explain(error: ServiceError): WeftError {
    const known = fromStatus(error);
    if (known !== undefined) return known;
    const details = error.details ?? error.message;
    if (error.code === status.UNAVAILABLE) return unreachable(this.#socketPath, details);
    if (error.code === status.UNIMPLEMENTED) {
      return unavailable(
        `the weft daemon at unix://${this.#socketPath} does not know this call: it is of another version (see \`weft version\`)`,
      );
    }
    return new WeftError("INTERNAL", `${status[error.code] ?? "UNKNOWN"}: ${details}`);
  }
}

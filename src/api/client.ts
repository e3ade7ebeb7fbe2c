// The API's client side: typed calls by service and method, over the same definition as the server. Failures come back as the
// WeftErrors that the daemon threw; a daemon that can't be reached is one of UNAVAILABLE that says what to do.
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { unavailable, WeftError } from "../errors.ts";
import { type MethodsOf, type RequestOf, type ResponseOutOf, SERVICES, type Services } from "./proto.ts";
import { fromStatus } from "./status.ts";

interface Definition {
  readonly path: string;
  readonly requestSerialize: (value: unknown) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

type Methods<S extends keyof Services> = MethodsOf<Services[S]>;

/** A table of a million entries comes in chunks, but a chunk is not the place for a limit. */
const RECEIVE_MAX_BYTES = 64 * 1024 * 1024;
const RECONNECT_MS = 50;

export class ApiClient {
  readonly #socketPath: string;
  readonly #client: Client;

  /** Connects at the first call. `socketPath` may bear unix:// before it. */
  constructor(socketPath: string) {
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
  ): Promise<ResponseOutOf<Methods<S>[M]>> {
    const definition = this.#definition(service, method);
    return new Promise((done, fail) => {
      this.#client.makeUnaryRequest(
        definition.path,
        definition.requestSerialize,
        definition.responseDeserialize,
        request as unknown,
        (error, response) => (error ? fail(this.#explain(error)) : done(response as ResponseOutOf<Methods<S>[M]>)),
      );
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
    const cancel = (): void => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      for await (const response of call) yield response as ResponseOutOf<Methods<S>[M]>;
    } catch (error) {
      if (signal?.aborted !== true) throw this.#explain(error as ServiceError);
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  #definition(service: keyof Services, method: string): Definition {
    return (SERVICES[service] as unknown as Record<string, Definition>)[method]!;
  }

  #explain(error: ServiceError): WeftError {
    const known = fromStatus(error);
    if (known !== undefined) return known;
    const details = error.details ?? error.message;
    if (error.code === status.UNAVAILABLE) {
      if (/EACCES|EPERM/.test(details)) {
        return new WeftError("PERMISSION_DENIED", `no permission to talk to the weft daemon at unix://${this.#socketPath}: run as root`);
      }
      if (/No connection established|ECONNREFUSED|ENOENT/.test(details)) {
        return unavailable(`cannot reach the weft daemon at unix://${this.#socketPath}: is it running? start it with \`weft daemon\``);
      }
      return unavailable(`the weft daemon at unix://${this.#socketPath} went away during the call`);
    }
    if (error.code === status.UNIMPLEMENTED) {
      return unavailable(
        `the weft daemon at unix://${this.#socketPath} does not know this call: it is of another version (see \`weft version\`)`,
      );
    }
    return new WeftError("INTERNAL", `${status[error.code] ?? "UNKNOWN"}: ${details}`);
  }
}

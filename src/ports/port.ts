// Ports: where frames enter and leave. Each kind is one file here that opens what the kernel has to give (a TAP, sockets) and
// hands out file descriptors. They are the main thread's for as long as the port is there: the worker's poller has duplicates, so
// that a worker can die at any moment and each descriptor still has one owner. Ports know neither
// networks nor engine tables.
//
// What the addon reports by errno becomes a WeftError here, where it is still known what was tried.
import { type ErrorCode, WeftError } from "../errors.ts";
import { type Aead, native, type Poller } from "./native.ts";

/** Loads the addon: a checkout without a build is told in words, before anything has been started. */
export function requireAddon(): void {
  native();
}

/** A poller for the calling thread. */
export function createPoller(): Poller {
  const { Poller } = native();
  return new Poller();
}

/** Ciphers for the calling thread; throws where the addon was built without. */
export function createAead(): Aead {
  const { Aead } = native();
  return new Aead();
}

/** Ends the sleep of the poller with this eventfd; from any thread. */
export function wakePoller(wakeFd: number): void {
  native().wake(wakeFd);
}

export function closeFds(fds: readonly number[]): Promise<unknown> {
  return Promise.all(fds.map((fd) => native().closeFd(fd)));
}

const CODE_OF_ERRNO: Readonly<Record<string, ErrorCode>> = {
  EACCES: "PERMISSION_DENIED",
  EADDRINUSE: "ADDRESS_IN_USE",
  EADDRNOTAVAIL: "INVALID_ARGUMENT",
  EBUSY: "ADDRESS_IN_USE",
  EEXIST: "ADDRESS_IN_USE",
  EINVAL: "INVALID_ARGUMENT",
  EMFILE: "RESOURCE_EXHAUSTED",
  ENFILE: "RESOURCE_EXHAUSTED",
  ENOBUFS: "RESOURCE_EXHAUSTED",
  ENOMEM: "RESOURCE_EXHAUSTED",
  ENOENT: "INVALID_ARGUMENT",
  EPERM: "PERMISSION_DENIED",
};

/** Name of the errno of an addon's error ("EBUSY"), or "" if it is none. */
export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** `what` could not be done: the addon's words behind it, and a remedy for the errno if one is known. */
export function portError(what: string, error: unknown, remedies: Readonly<Record<string, string>> = {}): WeftError {
  if (error instanceof WeftError) return error;
  const errno = errnoOf(error);
  const reason = error instanceof Error ? error.message : String(error);
  const remedy = remedies[errno];
  return new WeftError(CODE_OF_ERRNO[errno] ?? "UNAVAILABLE", `${what}: ${reason}${remedy === undefined ? "" : `; ${remedy}`}`, {
    cause: error,
  });
}

/** Runs `work` for each item, at most `limit` at a time; the results in the items' order. Never rejects on account of one item. */
export async function settleAll<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<PromiseSettledResult<R>[]> {
  const results: PromiseSettledResult<R>[] = new Array(items.length);
  let next = 0;
  async function lane(): Promise<void> {
    for (let i = next++; i < items.length; i = next++) {
      try {
        results[i] = { status: "fulfilled", value: await work(items[i]!) };
      } catch (reason) {
        results[i] = { status: "rejected", reason };
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  return results;
}

// Every refusal of the control plane is a WeftError: a closed set of codes that the API maps to gRPC statuses and the CLI
// to exit codes, and a message that names the value, the rule and the remedy. Data survives a thread or RPC boundary.

/** Append only: the names travel in RPC trailers (`weft-error-code`). */
export const ERROR_CODES = [
  "INVALID_ARGUMENT", // malformed, contradictory or unknown: would be refused whatever the state
  "NOT_FOUND", // no such network, sandbox, endpoint, peer
  "ALREADY_EXISTS", // a name or id is taken
  "FORBIDDEN", // the state forbids it: active endpoints, predefined network, already attached
  "RESOURCE_EXHAUSTED", // pools, addresses, VNIs, ports, table space used up
  "ADDRESS_IN_USE", // a particular address, VNI, port or subnet is taken
  "UNAVAILABLE", // the daemon can't do it now: not started, shutting down, host lacks something
  "PERMISSION_DENIED", // not root, no /dev/net/tun
  "DATA_LOSS", // the store is corrupt
  "INTERNAL", // a bug of ours
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export class WeftError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "WeftError";
    this.code = code;
  }
}

export const invalidArgument = (message: string): WeftError => new WeftError("INVALID_ARGUMENT", message);
export const notFound = (message: string): WeftError => new WeftError("NOT_FOUND", message);
export const alreadyExists = (message: string): WeftError => new WeftError("ALREADY_EXISTS", message);
export const forbidden = (message: string): WeftError => new WeftError("FORBIDDEN", message);
export const addressInUse = (message: string): WeftError => new WeftError("ADDRESS_IN_USE", message);
export const exhausted = (message: string): WeftError => new WeftError("RESOURCE_EXHAUSTED", message);
export const unavailable = (message: string): WeftError => new WeftError("UNAVAILABLE", message);

/** What a disk refuses without a bug of ours, by errno's name: what it is to us, and what to do about the file system. */
export const DISK_TROUBLE: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  ENOSPC: ["RESOURCE_EXHAUSTED", "free some space on its file system"],
  EDQUOT: ["RESOURCE_EXHAUSTED", "free some space in its quota"],
  EROFS: ["FORBIDDEN", "its file system is read-only: mount it writable"],
};

/** A file of ours that can't be written or removed: trouble of the host's, and no bug. `error` is Node's. */
export function cannotWrite(path: string, error: unknown): WeftError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const [kind, remedy] = DISK_TROUBLE[code] ?? ["UNAVAILABLE", "see to the daemon's state directory"];
  return new WeftError(kind, `cannot write ${path}: ${message}; ${remedy}`, { cause: error });
}

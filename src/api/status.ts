// Errors across the wire: a WeftError becomes a gRPC status with its code in the trailer `weft-error-code`, and the same error
// again at the client. Anything else is a bug of ours: the caller gets INTERNAL and an id, the log gets the id and the stack.
// The table is in proto/weft/v1/network.proto too.
import { randomBytes } from "node:crypto";
import { Metadata, type ServiceError, type StatusObject, status } from "@grpc/grpc-js";
import { ERROR_CODES, type ErrorCode, WeftError } from "../errors.ts";
import type { Logger } from "../log.ts";

const ERROR_CODE_TRAILER = "weft-error-code";
/** A status is in trailers, which HTTP/2 bounds (64 KiB, a character takes up to twelve bytes): one that doesn't fit is never sent. */
const DETAILS_MAX = 4000;

const STATUS: Readonly<Record<ErrorCode, status>> = {
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

function asWeftError(error: unknown, method: string, log: Logger): WeftError {
  if (error instanceof WeftError && error.code !== "INTERNAL") return error;
  const id = randomBytes(4).toString("hex");
  log.error({ err: error, request: id, method }, "internal error");
  return new WeftError("INTERNAL", `internal error ${id}: the daemon's log has it under this id`);
}

/** The beginning says what is wrong, the end what to do about it. */
function shortened(message: string): string {
  if (message.length <= DETAILS_MAX) return message;
  const characters = [...message];
  const [beginning, end] = [characters.slice(0, DETAILS_MAX / 2), characters.slice(-DETAILS_MAX / 2)];
  return `${beginning.join("")} … ${end.join("")}`;
}

export function toStatus(error: unknown, method: string, log: Logger): StatusObject {
  const known = asWeftError(error, method, log);
  const metadata = new Metadata();
  metadata.set(ERROR_CODE_TRAILER, known.code);
  return { code: STATUS[known.code], details: shortened(known.message), metadata };
}

/** The error that a handler threw, as far as it crossed the wire; `undefined` if no handler of ours answered. */
export function fromStatus(error: ServiceError): WeftError | undefined {
  const code = error.metadata?.get(ERROR_CODE_TRAILER)[0];
  const known = ERROR_CODES.find((one) => one === code);
  return known === undefined ? undefined : new WeftError(known, error.details);
}

// Why a daemon could not be reached, from what gRPC says of it, and what to do. A socket may be missing, left over, no socket at
// all, another user's, another program's, or that of a daemon that does not answer; each has another remedy.
import { statSync } from "node:fs";
import { unavailable, WeftError } from "../errors.ts";

/** Whether a call failed because nobody answered at all. */
export function unreachable(socketPath: string, details: string): WeftError {
  const at = `unix://${socketPath}`;
  if (/EACCES|EPERM/.test(details)) {
    return new WeftError("PERMISSION_DENIED", `no permission to talk to the weft daemon at ${at}: run as root`);
  }
  if (/ECONNREFUSED|ENOENT|ENOTDIR/.test(details)) {
    if (isNoSocket(socketPath)) return unavailable(`cannot reach the weft daemon at ${at}: that is no socket; give --socket`);
    return unavailable(`cannot reach the weft daemon at ${at}: is it running? start it with \`weft daemon\``);
  }
  // It took the connection and spoke something else, or hung up.
  if (/No connection established/.test(details)) {
    return unavailable(
      `cannot reach the weft daemon at ${at}: what listens there is another program, or a daemon that ends; give --socket`,
    );
  }
  return unavailable(`the weft daemon at ${at} went away during the call`);
}

/** It took the connection, or the kernel did in its name, and has said nothing since. */
export const silent = (socketPath: string, ms: number): WeftError =>
  unavailable(
    `the weft daemon at unix://${socketPath} does not answer for ${ms / 1000} s: it is stopped or stuck, or another program listens there; end that, or give --socket`,
  );

function isNoSocket(path: string): boolean {
  try {
    return !statSync(path).isSocket();
  } catch {
    return false;
  }
}

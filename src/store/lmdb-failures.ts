// What LMDB and the host's file system fail with, in the store's words: whose fault it is, and the remedy.
import { DISK_TROUBLE, WeftError } from "../errors.ts";

/** errno of failures that are the host's and not the file's. */
const HOST_ERRORS: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  5: "EIO",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  20: "ENOTDIR",
  21: "EISDIR",
  24: "EMFILE",
  28: "ENOSPC",
  30: "EROFS",
  122: "EDQUOT",
};

/** Of lmdb.h, and what they are to us. */
const MDB_MAP_FULL = -30792;

/** Where the store has more to say than DISK_TROUBLE. */
const REMEDIES: Readonly<Record<string, string>> = {
  EROFS: "its file system is read-only: mount it writable or choose another state directory",
  EACCES: "give the daemon's user the right to read and write it",
  EPERM: "give the daemon's user the right to read and write it",
  ENOENT: "make its folder, put back what was moved away, or choose another state directory",
  EISDIR: "a folder is in its place: move it away",
};

/** DATA_LOSS with the way out. */
export function corrupt(path: string, reason: string): WeftError {
  return new WeftError(
    "DATA_LOSS",
    `the store ${path} is corrupt: ${reason}; restore it from a backup, or move it away to start with no networks and sandboxes`,
  );
}

/** A failure that is the host's and not the file's, by its errno's name. */
export function hostFailure(path: string, verb: string, name: string, reason: string, cause?: unknown): WeftError {
  const [code, advice] = DISK_TROUBLE[name] ?? ["UNAVAILABLE"];
  const remedy = REMEDIES[name] ?? advice;
  return new WeftError(code, `cannot ${verb} the store ${path}: ${reason} (${name})${remedy === undefined ? "" : `; ${remedy}`}`, {
    cause,
  });
}

/** A failure of LMDB as ours. */
export function lmdbFailure(path: string, verb: string, error: unknown): WeftError {
  const { code, message } = error as { code?: unknown; message: string };
  const reason = message.split(":")[0]!.toLowerCase();
  if (code === MDB_MAP_FULL) {
    return new WeftError(
      "RESOURCE_EXHAUSTED",
      `cannot ${verb} the store ${path}: no room for a larger map (MDB_MAP_FULL): raise the daemon's limit of virtual memory (ulimit -v)`,
      {
        cause: error,
      },
    );
  }
  // Node's own words: "EROFS: read-only file system, open '/...'".
  if (typeof code === "string" && message.startsWith(`${code}: `))
    return hostFailure(path, verb, code, message.slice(code.length + 2).split(",")[0]!, error);
  if (typeof code === "number" && code > 0) return hostFailure(path, verb, HOST_ERRORS[code] ?? `errno ${code}`, reason, error);
  return corrupt(path, message);
}

// Files of keys as the command line reads them: whole, with a word about who else can. What is in them goes over the daemon's
// Unix socket and is overwritten here; nothing of it is printed or comes into a message.
import { type FileHandle, open } from "node:fs/promises";
import type { Context } from "./command.ts";
import { UsageError } from "./errors.ts";

/** A file that is longer is no file of keys. */
const BYTES_MAX = 64 * 1024;
const OTHERS = 0o077;

/** `path`: "-" is standard input. Throws a UsageError. */
export async function readSecretFile(context: Context, flag: string, path: string): Promise<Buffer> {
  const bytes = path === "-" ? await context.host.readInput() : await readPrivate(context, flag, path);
  if (bytes.length === 0) throw new UsageError(`${flag}: ${path === "-" ? "standard input" : path} is empty`);
  if (bytes.length > BYTES_MAX)
    throw new UsageError(`${flag}: ${path === "-" ? "standard input" : path} has over ${BYTES_MAX} bytes: it is no file of keys`);
  return bytes;
}

async function readPrivate(context: Context, flag: string, path: string): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { mode, size } = await file.stat();
    if ((mode & OTHERS) !== 0)
      context.complain(
        `warning: ${path} has mode 0${(mode & 0o777).toString(8)}: others of this host may read the keys; chmod 600 ${path}`,
      );
    return size > BYTES_MAX ? Buffer.alloc(BYTES_MAX + 1) : await file.readFile();
  } catch (error) {
    throw new UsageError(`${flag}: cannot read ${path}: ${(error as Error).message}`);
  } finally {
    await file?.close();
  }
}

// Signals and bugs, as the daemon's process takes them: the first SIGTERM or SIGINT stops it in order, the second and any bug at once.
import type { Logger } from "../log.ts";

const SIGNALLED = 128;

/** The first SIGTERM or SIGINT; later ones end the process. */
export function firstSignal(log: Logger): { readonly came: Promise<NodeJS.Signals>; readonly seen: () => boolean } {
  let seen = false;
  const came = new Promise<NodeJS.Signals>((done) => {
    for (const [signal, number] of [
      ["SIGTERM", 15],
      ["SIGINT", 2],
    ] as const) {
      process.on(signal, () => {
        if (seen) {
          log.warn({ signal }, "second signal: ending at once");
          process.exit(SIGNALLED + number);
        }
        seen = true;
        done(signal);
      });
    }
  });
  return { came, seen: () => seen };
}

/** Ends a process whose state can't be trusted any more: everything it has is in the store or persistent. */
export function dieOnBugs(log: Logger): void {
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error: unknown) => {
      log.fatal({ err: error }, event);
      process.exit(1);
    });
  }
}

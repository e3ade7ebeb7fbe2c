// -t: the user's terminal and a sandbox program's own. The program gets a pseudo-terminal; what is typed goes into it as it is
// typed (raw mode: ^C is a byte here, and the signal is made there), what it prints comes out, and when the user's window
// changes its size the program's does.
//
//   user's terminal ── stdin ──> master │ slave ── the program's streams
//                   <─ stdout ──        │
import { setTimeout as pause } from "node:timers/promises";
import { ReadStream } from "node:tty";
import { invalidArgument } from "../errors.ts";
import { native } from "../ports/native.ts";

const [STDIN_FD, STDOUT_FD] = [0, 1];
/** Where nobody's terminal gives a size. */
const SIZE_DEFAULT = { rows: 24, columns: 80 };
/** A program that the ended one left in the background may hold its terminal open: its output is not waited for longer. */
const DRAIN_MS = 200;

export interface TerminalOptions {
  /** What is typed goes to the program. */
  readonly input: boolean;
}

/** Runs `program` with a pseudo-terminal, whose slave it is given, and puts the user's own back as it was. */
export async function withTerminal<T>({ input }: TerminalOptions, program: (slave: number) => Promise<T>): Promise<T> {
  if (input && native().terminalSize(STDIN_FD) === null) throw invalidArgument("the input device is not a TTY");
  const { master, slave } = native().openTerminal();
  const resize = (): void => {
    const { rows, columns } = native().terminalSize(STDOUT_FD) ?? native().terminalSize(STDIN_FD) ?? SIZE_DEFAULT;
    native().resizeTerminal(master, rows, columns);
  };
  resize();
  const relay = new ReadStream(master);
  const over = new Promise<void>((done) => {
    // EIO: nobody has the slave any more.
    relay.on("error", () => done());
    relay.on("close", () => done());
  });
  relay.on("data", (bytes) => {
    if (process.stdout.write(bytes)) return;
    relay.pause();
    process.stdout.once("drain", () => relay.resume());
  });
  const typed = (bytes: Buffer): void => void relay.write(bytes);
  const drained = new AbortController();
  process.on("SIGWINCH", resize);
  if (input) {
    native().rawTerminal(STDIN_FD, true);
    process.stdin.on("data", typed);
    process.stdin.resume();
  }
  try {
    return await program(slave);
  } finally {
    await native().closeFd(slave);
    await Promise.race([over, pause(DRAIN_MS, undefined, { signal: drained.signal }).catch(() => {})]);
    drained.abort();
    relay.destroy();
    process.removeListener("SIGWINCH", resize);
    if (input) {
      native().rawTerminal(STDIN_FD, false);
      process.stdin.removeListener("data", typed);
      process.stdin.pause();
    }
  }
}

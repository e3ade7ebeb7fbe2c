// -t: the user's terminal and a sandbox program's own. The program gets a pseudo-terminal; what is typed goes into it as it is
// typed (raw mode: ^C is a byte here, and the signal is made there), what it prints comes out, and when the user's window
// changes its size the program's does.
//
//   user's terminal ── stdin ──> master │ slave ── the program's streams
//                   <─ stdout ──        │
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { ReadStream } from "node:tty";
import { invalidArgument } from "../errors.ts";
import { native } from "../ports/native.ts";

const [STDIN_FD, STDOUT_FD] = [0, 1];
/** Where nobody's terminal gives a size. */
const SIZE_DEFAULT = { rows: 24, columns: 80 };
/** More than the kernel keeps of what a terminal's reader has not read: what comes beyond is not the ended program's. */
const UNREAD_BYTES = 256 * 1024;

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
  let shownBytes = 0;
  relay.on("data", (bytes) => {
    shownBytes += bytes.length;
    if (process.stdout.write(bytes)) return;
    relay.pause();
    process.stdout.once("drain", () => relay.resume());
  });
  const typed = (bytes: Buffer): void => void relay.write(bytes);
  // All that the program printed is shown, however slow we or the user's terminal are. The slave stays open until then: with
  // nobody there Node takes the terminal for closed at its first read and leaves the rest (libuv, POLLHUP after a partial read).
  // What a program that was left in the background says is not waited for.
  const showTheRest = async (): Promise<void> => {
    for (const end = shownBytes + UNREAD_BYTES; shownBytes < end && native().terminalHasOutput(master); ) {
      if (relay.isPaused()) await once(process.stdout, "drain");
      await turn();
    }
  };
  process.on("SIGWINCH", resize);
  if (input) {
    native().rawTerminal(STDIN_FD, true);
    process.stdin.on("data", typed);
    process.stdin.resume();
  }
  try {
    return await program(slave);
  } finally {
    await showTheRest();
    relay.destroy();
    await native().closeFd(slave);
    process.removeListener("SIGWINCH", resize);
    if (input) {
      native().rawTerminal(STDIN_FD, false);
      process.stdin.removeListener("data", typed);
      process.stdin.pause();
    }
  }
}

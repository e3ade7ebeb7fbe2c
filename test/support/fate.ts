// At which of its calls to the kernel a daemon dies: what fatal-native.cjs is told by a file, and tells.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../src/paths.ts";
import type { Daemon } from "./daemon.ts";

/** No call has this number. */
const NEVER = -1;

export class Fate {
  readonly #folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-fate-`));
  readonly #file = join(this.#folder, "fate");

  /** The environment of a daemon that is to die by it. */
  readonly env = { WEFT_NATIVE: join(ROOT, "test", "support", "fatal-native.cjs"), WEFT_TEST_FATE: this.#file };

  /** The calls that the operation makes, by name, in their order. */
  async calls(operation: () => Promise<unknown>): Promise<string[]> {
    this.decide(NEVER);
    await operation();
    const made = readFileSync(this.#file, "utf8").trim().split("\n").slice(1);
    this.revoke();
    return made;
  }

  /**
   * Begins the operation with death in place of the call of that number, and starts the next daemon; whether the operation was
   * acknowledged all the same.
   */
  async strike(daemon: Daemon, fatal: number, operation: () => Promise<unknown>): Promise<boolean> {
    this.decide(fatal);
    const acknowledged = await operation().then(
      () => true,
      () => false,
    );
    this.revoke();
    await daemon.kill9();
    await daemon.start();
    return acknowledged;
  }

  decide(fatal: number): void {
    writeFileSync(this.#file, `${fatal}\n`);
  }

  revoke(): void {
    rmSync(this.#file, { force: true });
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true });
  }
}

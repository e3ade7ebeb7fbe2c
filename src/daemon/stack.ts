// What a daemon has started so far, each with how it is stopped.
import type { Logger } from "../log.ts";

/** What has been started, in order; taken down in reverse. */
export class Stack {
  readonly #log: Logger;
  readonly #steps: { readonly name: string; readonly stop: () => unknown }[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  push(name: string, stop: () => unknown): void {
    this.#steps.push({ name, stop });
  }

  /** One that fails does not keep the others up. */
  async unwind(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step.stop();
      } catch (error) {
        this.#log.error({ err: error }, `cannot stop ${step.name}`);
      }
    }
  }
}

// A key on its way from who derives it to who uses it. It doesn't print: not as text, not as JSON, not by inspection, so that
// whatever a declaration is written to holds no key.
import { inspect } from "node:util";
import { unavailable } from "../errors.ts";

const HIDDEN = "[key]";

export class KeyMaterial {
  readonly #bytes: Uint8Array;
  #isDestroyed = false;

  /** Key and salt, taken over: the caller keeps no copy. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get lengthBytes(): number {
    return this.#bytes.length;
  }

  /** A copy, for one use; whoever asks overwrites it. Of a destroyed key there is none: zeros would be a key that all know. */
  copy(): Uint8Array<ArrayBuffer> {
    if (this.#isDestroyed) throw unavailable("the key is gone: another takes its place");
    return this.#bytes.slice();
  }

  /** Overwrites the key: nobody has a use for it any more. */
  destroy(): void {
    this.#isDestroyed = true;
    this.#bytes.fill(0);
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [inspect.custom](): string {
    return HIDDEN;
  }
}

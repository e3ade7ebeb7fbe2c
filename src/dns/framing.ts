// Messages on a TCP stream: each behind its length in two bytes (RFC 1035 section 4.2.2).
//
// A message is filled into a buffer of its length as its bytes come: what a sender cuts into single bytes costs no more than what
// comes at once.

const LENGTH_BYTES = 2;

export function lengthFramed(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
  framed.writeUInt16BE(message.length);
  framed.set(message, LENGTH_BYTES);
  return framed;
}

export class LengthReader {
  #lengthBytes = 0;
  #length = 0;
  #message: Buffer | null = null;
  #filled = 0;

  /** The messages that this chunk completes. */
  push(chunk: Uint8Array): Buffer[] {
    const messages: Buffer[] = [];
    for (let at = 0; at < chunk.length; ) {
      if (this.#message === null) {
        this.#length = (this.#length << 8) | chunk[at++]!;
        this.#lengthBytes++;
        if (this.#lengthBytes === LENGTH_BYTES) this.#message = Buffer.allocUnsafe(this.#length);
      } else {
        const part = chunk.subarray(at, at + this.#length - this.#filled);
        this.#message.set(part, this.#filled);
        this.#filled += part.length;
        at += part.length;
      }
      if (this.#message === null || this.#filled < this.#length) continue;
      messages.push(this.#message);
      this.#message = null;
      this.#lengthBytes = 0;
      this.#length = 0;
      this.#filled = 0;
    }
    return messages;
  }
}

// Messages on a TCP stream: each behind its length in two bytes (RFC 1035 section 4.2.2).

const LENGTH_BYTES = 2;

export function lengthFramed(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
  framed.writeUInt16BE(message.length);
  framed.set(message, LENGTH_BYTES);
  return framed;
}

export class LengthReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The messages that this chunk completes. */
  push(chunk: Uint8Array): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const messages: Buffer[] = [];
    for (;;) {
      if (this.#rest.length < LENGTH_BYTES) return messages;
      const end = LENGTH_BYTES + this.#rest.readUInt16BE();
      if (this.#rest.length < end) return messages;
      messages.push(this.#rest.subarray(LENGTH_BYTES, end));
      this.#rest = this.#rest.subarray(end);
    }
  }
}

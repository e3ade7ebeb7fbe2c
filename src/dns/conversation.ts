// One TCP connection of an asker (RFC 7766): questions may come in any pieces and many at once, answers go as they are ready.
//
// Who asks much and hears little is not read from, or answers would pile up here; so only some questions are under way at a
// time. Who has said all that it has to ask (half-closed) is answered all the same.
import type { Socket } from "node:net";
import { LengthReader, lengthFramed } from "./framing.ts";

/** RFC 7766 section 6.2.3 asks for seconds. */
const IDLE_MS = 10_000;
const UNDER_WAY_MAX = 32;

/** Null: there is none. Never rejects. */
export type Answerer = (question: Uint8Array) => Uint8Array | null | Promise<Uint8Array | null>;

export class Conversation {
  readonly #socket: Socket;
  readonly #answer: Answerer;
  readonly #reader = new LengthReader();
  #waiting: Uint8Array[] = [];
  #underWay = 0;
  #allSaid = false;

  /** `onData`: whenever the asker says something. */
  constructor(socket: Socket, answer: Answerer, onData: () => void) {
    this.#socket = socket;
    this.#answer = answer;
    socket.on("error", () => {}); // "close" follows
    socket.setTimeout(IDLE_MS, () => {
      // An answer may take longer than that, where servers are silent.
      if (this.#underWay === 0) socket.destroy();
    });
    socket.on("data", (chunk) => {
      onData();
      this.#waiting.push(...this.#reader.push(chunk));
      this.#goOn();
    });
    socket.on("drain", () => this.#goOn());
    socket.on("close", () => {
      this.#waiting = []; // nobody is there to be answered
    });
    socket.on("end", () => {
      this.#allSaid = true;
      this.#goOn();
    });
  }

  /** Whether nothing that it asked is to be answered yet. */
  get idle(): boolean {
    return this.#underWay === 0 && this.#waiting.length === 0;
  }

  close(): void {
    this.#waiting = [];
    this.#socket.destroy();
  }

  #goOn(): void {
    let next = 0;
    while (next < this.#waiting.length && this.#underWay < UNDER_WAY_MAX && !this.#socket.writableNeedDrain) {
      this.#ask(this.#waiting[next++]!);
    }
    if (next > 0) this.#waiting = this.#waiting.slice(next);
    if (this.#waiting.length > 0) this.#socket.pause();
    else this.#socket.resume();
    if (this.#allSaid && this.idle && !this.#socket.writableEnded) this.#socket.end();
  }

  #ask(question: Uint8Array): void {
    const answer = this.#answer(question);
    if (!(answer instanceof Promise)) {
      this.#say(answer);
      return;
    }
    this.#underWay++;
    void answer.then((late) => {
      this.#underWay--;
      this.#say(late);
      this.#goOn();
    });
  }

  #say(answer: Uint8Array | null): void {
    if (answer !== null && this.#socket.writable) this.#socket.write(lengthFramed(answer));
  }
}

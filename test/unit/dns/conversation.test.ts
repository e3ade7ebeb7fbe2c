// A TCP connection of an asker: who waits for a slow server is kept, who has nothing to wait for is not kept for long.
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { Conversation } from "../../../src/dns/conversation.ts";

/** What Conversation uses of a socket, with the idle time-out as a call. */
class Wire extends EventEmitter {
  readonly said: string[] = [];
  writable = true;
  writableNeedDrain = false;
  writableEnded = false;
  paused = false;
  destroyed = false;
  idle = (): void => {};

  setTimeout(_ms: number, idle: () => void): void {
    this.idle = idle;
  }
  write(bytes: Uint8Array): void {
    this.said.push(Buffer.from(bytes.subarray(2)).toString());
  }
  end(): void {
    this.writableEnded = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  ask(...questions: string[]): void {
    for (const question of questions) this.emit("data", Buffer.concat([Buffer.from([0, question.length]), Buffer.from(question)]));
  }
}

function begin() {
  const wire = new Wire();
  const answers = new Map<string, (answer: Uint8Array | null) => void>();
  const answer = (question: Uint8Array) =>
    new Promise<Uint8Array | null>((resolve) => answers.set(Buffer.from(question).toString(), resolve));
  const conversation = new Conversation(wire as unknown as Socket, answer, () => {});
  const settle = async (question: string): Promise<void> => {
    answers.get(question)!(Buffer.from(question.toUpperCase()));
    await new Promise(setImmediate);
  };
  return { wire, conversation, answers, settle };
}

describe("a connection of an asker", () => {
  it("is kept past the idle time while an answer is due, and not after it", async () => {
    const { wire, settle } = begin();
    wire.ask("a");
    wire.idle();
    expect(wire.destroyed).toBe(false);
    await settle("a");
    expect(wire.said).toEqual(["A"]);
    wire.idle();
    expect(wire.destroyed).toBe(true);
  });

  it("is ended when all is answered that was asked before its half was closed", async () => {
    const { wire, settle } = begin();
    wire.ask("a", "b");
    wire.emit("end");
    await settle("b");
    expect(wire.writableEnded).toBe(false);
    await settle("a");
    expect([wire.said, wire.writableEnded]).toEqual([["B", "A"], true]);
  });

  it("is not read from while too much is under way, or while its end doesn't read", async () => {
    const { wire, answers, settle, conversation } = begin();
    const names = Array.from({ length: 40 }, (_, n) => `q${n}`);
    wire.ask(...names);
    expect([answers.size, wire.paused, conversation.idle]).toEqual([32, true, false]);
    wire.writableNeedDrain = true;
    await settle("q0");
    expect([answers.size, wire.paused]).toEqual([32, true]);
    wire.writableNeedDrain = false;
    wire.emit("drain");
    expect(answers.size).toBe(33);
    for (const name of names.slice(1)) await settle(name);
    expect([wire.said.length, wire.paused, conversation.idle]).toEqual([40, false, true]);
  });

  it("that is gone has nothing more asked for it", async () => {
    const { wire, answers, settle, conversation } = begin();
    wire.ask(...Array.from({ length: 40 }, (_, n) => `q${n}`));
    wire.writable = false;
    wire.emit("close");
    for (let n = 0; n < 32; n++) await settle(`q${n}`);
    expect([answers.size, conversation.idle]).toEqual([32, true]);
  });
});

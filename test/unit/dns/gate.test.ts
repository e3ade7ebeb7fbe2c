// So many questions to servers at a time: a sandbox's, and those of all sandboxes together.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Gate, through } from "../../../src/dns/gate.ts";

const WAIT_MS = 1000;

describe("a gate", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("lets so many in, as many more wait in their order, the rest is refused at once", async () => {
    const gate = new Gate(2, WAIT_MS);
    const order: string[] = [];
    expect([gate.enter(), gate.enter()]).toEqual([true, true]);
    const third = Promise.resolve(gate.enter()).then((entered) => order.push(`third ${entered}`));
    const fourth = Promise.resolve(gate.enter()).then((entered) => order.push(`fourth ${entered}`));
    expect(gate.enter()).toBe(false);
    gate.leave();
    await third;
    gate.leave();
    await fourth;
    expect(order).toEqual(["third true", "fourth true"]);
    gate.leave();
    gate.leave();
    expect([gate.enter(), gate.enter(), gate.enter()]).toEqual([true, true, expect.any(Promise)]);
  });

  it("keeps nobody waiting longer than an asker would, and his place is another's", async () => {
    const gate = new Gate(1, WAIT_MS);
    gate.enter();
    const late = gate.enter();
    expect(gate.enter()).toBe(false);
    vi.advanceTimersByTime(WAIT_MS);
    expect(await late).toBe(false);
    const next = gate.enter();
    gate.leave();
    expect(await next).toBe(true);
    gate.leave();
    expect(gate.enter()).toBe(true);
  });

  it("is left by whoever fails, and by whoever finds the next one shut", async () => {
    const [own, common] = [new Gate(1, WAIT_MS), new Gate(1, WAIT_MS)];
    await expect(through([own, common], () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
    expect(await through([own, common], async () => "done")).toBe("done");
    common.enter();
    const stuck = through([own, common], async () => "done");
    vi.advanceTimersByTime(WAIT_MS);
    await vi.runAllTimersAsync();
    expect(await stuck).toBe(null);
    expect(own.enter()).toBe(true);
  });
});

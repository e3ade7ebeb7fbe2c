// When a peer counts as one that does not understand us.
import { expect, it } from "vitest";
import { Deafness } from "../../../src/keys/deaf.ts";

function listening() {
  const world = { nowMs: 0, opened: 0n };
  const deafness = new Deafness(
    () => world.nowMs,
    async () => world.opened,
  );
  const after = async (ms: number): Promise<boolean> => {
    world.nowMs += ms;
    return await deafness.isFound();
  };
  return { world, deafness, after };
}

it("is one that goes on by an old position for 5 s, and every 5 s again", async () => {
  const { after } = listening();
  expect(await after(0)).toBe(false);
  expect(await after(4999)).toBe(false);
  expect(await after(1)).toBe(true);
  expect(await after(4999)).toBe(false);
  expect(await after(1)).toBe(true);
});

it("is none of which something new came meanwhile", async () => {
  const { world, after } = listening();
  for (let i = 0; i < 10; i++) {
    world.opened++;
    expect(await after(5000)).toBe(false);
  }
});

it("is none that was heard where it should be", async () => {
  const { deafness, after } = listening();
  await after(0);
  deafness.forget();
  expect(await after(5000)).toBe(false);
});

// Which sessions of the peer are newer: random worlds seldom replay the right datagram at the right moment.
import { describe, expect, it } from "vitest";
import { judge, type PairState, type Slot } from "../../../src/keys/pair.ts";
import { encodeSpi } from "../../../src/keys/spi.ts";

const STATE: PairState = { own: { epoch: 3, tag: 1 }, index: 10, floor: 8, peer: { epoch: 5, tag: 7 }, peerIndex: 10 };
const from = (epoch: number, tag: number, index: number): Slot => ({
  direction: "in",
  epoch,
  tag,
  index,
  spi: encodeSpi({ epoch, tag, index }),
});

describe("a datagram of another session", () => {
  it.each([
    ["of a later epoch", from(6, 9, 10), "accept"],
    ["of the same epoch behind the last index", from(5, 9, 11), "accept"],
    ["of the same epoch by an index that was heard", from(5, 9, 10), "contend"],
    ["of an earlier epoch by an index that was heard", from(4, 9, 10), "contend"],
    ["below the floor", from(6, 9, 7), "answer"],
    ["of a ring position that is past", from(6, 9, 8), "answer"],
  ])("%s", (_, slot, kind) => {
    expect(judge(STATE, slot).kind).toBe(kind);
  });
});

// Which sessions of the peer are newer: random worlds seldom replay the right datagram at the right moment.
import { createCipheriv } from "node:crypto";
import { describe, expect, it } from "vitest";
import { isWithinReach, judge, keyOf, type PairState, recognize, type Slot } from "../../../src/keys/pair.ts";
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

describe("a session that was taken", () => {
  it.each([
    [
      "of a later epoch is heard by all positions in use",
      from(6, 9, 10),
      { peer: { epoch: 6, tag: 9 }, peerIndex: 10, index: 10, floor: 8 },
    ],
    // It may have been taken before, and its windows are gone.
    ["of the same epoch by none below", from(5, 9, 11), { peer: { epoch: 5, tag: 9 }, peerIndex: 11, index: 11, floor: 11 }],
  ])("%s", (_, slot, state) => {
    expect(judge(STATE, slot)).toEqual({ kind: "accept", state: { ...STATE, ...state } });
  });
});

describe("a peer that is behind", () => {
  it.each([
    ["and was further on before", from(5, 7, 8), true],
    ["in the session that is known, never further", from(5, 7, 8), false, { peerIndex: 0 }],
    ["in another session", from(6, 9, 8), false],
  ])("%s", (_, slot, isLate, more: Partial<PairState> = {}) => {
    expect(judge({ ...STATE, ...more }, slot)).toEqual({ kind: "answer", isLate });
  });

  it("is not left further behind than the next position", () => {
    expect(isWithinReach({ ...STATE, floor: 10, peerIndex: 0 })).toBe(true);
    expect(isWithinReach({ ...STATE, floor: 9, peerIndex: 0 })).toBe(true);
    expect(isWithinReach({ ...STATE, floor: 8, peerIndex: 0 })).toBe(false);
    expect(isWithinReach({ ...STATE, floor: 8, peerIndex: 9 })).toBe(true);
  });
});

describe("the key of a datagram", () => {
  const seed = new Uint8Array(32).fill(9);
  const own = { seed, algorithm: "aes-256-gcm", localId: "here", peerId: "there" } as const;
  const peers = { ...own, localId: "there", peerId: "here" };

  function sealed(slot: Slot): Buffer {
    const material = keyOf(peers, { ...slot, direction: "out" });
    const front = Buffer.alloc(16);
    front.writeUInt32BE(slot.spi);
    front.writeUInt32BE(1, 4);
    front.writeBigUInt64BE(1n, 8);
    const cipher = createCipheriv("aes-256-gcm", material.subarray(0, 32), Buffer.concat([material.subarray(32), front.subarray(8)]));
    cipher.setAAD(Buffer.concat([front.subarray(0, 4), front.subarray(8, 12), front.subarray(4, 8)]));
    return Buffer.concat([front, cipher.update(Buffer.alloc(24)), cipher.final(), cipher.getAuthTag()]);
  }

  it.each([
    ["of the session that is known", from(5, 7, 10)],
    ["of the next start", from(6, 9, 12)],
    ["of a thousand positions on", from(6, 9, 1010)],
    ["of 255 starts on", from(260, 9, 12)],
    ["of 256 starts on, when the SPI says the same epoch", from(261, 9, 12)],
    ["of 4000 starts on", from(4005, 9, 60)],
  ])("is found: %s", (_, slot) => {
    expect(recognize(STATE, own, slot.spi, sealed(slot))).toEqual(slot);
  });

  const later = { ...STATE, peer: { epoch: 300, tag: 7 } };
  it.each([
    ["of an earlier start", STATE, own, from(4, 9, 12)],
    ["of 256 starts ago", later, own, from(44, 7, 12)],
    ["of another pair's seed", STATE, { ...own, seed: new Uint8Array(32).fill(8) }, from(6, 9, 12)],
    ["that we sent ourselves", STATE, peers, from(6, 9, 12)],
  ])("is not found: %s", (_, state, identity, slot) => {
    expect(recognize(state, identity, slot.spi, sealed(slot))).toBeNull();
  });
});

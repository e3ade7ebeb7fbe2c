// The SIMD checksum against the sum as RFC 1071 writes it, over every length up to 2000 and over odd places in memory.
import { beforeAll, describe, expect, it } from "vitest";
import * as layout from "../../../wasm/shared/layout.ts";
import { instantiate } from "../../support/batch.ts";
import { pattern } from "../../support/oracle.ts";

interface Exports {
  checksumInitialise(): void;
  checksumFold(p: number, length: number): number;
  checksumComplement(p: number, length: number): number;
  checksumComplementNonZero(p: number, length: number): number;
}

/** Words in memory order, carries added back in. */
function plainSum(bytes: Uint8Array, at: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i += 2) {
    sum += (bytes[at + i] ?? 0) | ((i + 1 < length ? (bytes[at + i + 1] ?? 0) : 0) << 8);
    sum = (sum & 0xffff) + (sum >>> 16);
  }
  return sum;
}

describe.each(["debug", "release"] as const)("checksum (%s)", (target) => {
  let exports: Exports;
  let bytes: Uint8Array;
  const base = layout.RX_ARENA;

  beforeAll(() => {
    const instance = instantiate<Exports>("testing", target);
    exports = instance.exports;
    exports.checksumInitialise();
    bytes = new Uint8Array(instance.memory.buffer);
  });

  it.each([0, 1, 2, 3, 7, 8, 15, 17])("agrees for lengths 0 to 2000, %i bytes past an aligned address", (offset) => {
    bytes.set(pattern(2100, 7 + offset), base);
    const wrong: number[] = [];
    for (let length = 0; length <= 2000; length++) {
      if (exports.checksumFold(base + offset, length) !== plainSum(bytes, base + offset, length)) wrong.push(length);
    }
    expect(wrong).toEqual([]);
  });

  it.each([0x00, 0x7f, 0x80, 0xff])("agrees for bytes that are all 0x%s, where lanes are fullest", (value) => {
    bytes.fill(value, base, base + 70000);
    for (const length of [32, 64, 1448, 1449, 9000, 65535]) {
      expect(exports.checksumFold(base + 1, length), `length ${length}`).toBe(plainSum(bytes, base + 1, length));
    }
  });

  it("reads nothing behind its length", () => {
    bytes.set(pattern(300, 3), base);
    const before = Array.from({ length: 200 }, (_, length) => exports.checksumFold(base, length));
    for (let length = 0; length < 200; length++) {
      bytes.fill(0xa5, base + length, base + 300);
      expect(exports.checksumFold(base, length)).toBe(before[length]);
      bytes.set(pattern(300, 3), base);
    }
  });

  it("computes the example of RFC 1071 section 3", () => {
    bytes.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], base);
    // The RFC has ddf2 in network order.
    expect(exports.checksumFold(base, 8)).toBe(0xf2dd);
    expect(exports.checksumComplement(base, 8)).toBe(~0xf2dd & 0xffff);
  });

  it("writes 0xffff where UDP's 0 would mean that there is none", () => {
    bytes.set([0xff, 0xff], base);
    expect(exports.checksumComplement(base, 2)).toBe(0);
    expect(exports.checksumComplementNonZero(base, 2)).toBe(0xffff);
  });
});

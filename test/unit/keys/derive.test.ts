// Derivation against RFC 5869's vectors, SPIs, and the test that a guessed key has to pass.
import { createCipheriv } from "node:crypto";
import { describe, expect, it } from "vitest";
import { deriveKey, fingerprint, hkdf } from "../../../src/keys/derive.ts";
import { decodeSpi, encodeSpi } from "../../../src/keys/spi.ts";
import { isSealedBy } from "../../../src/keys/verify.ts";

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const count = (from: number, to: number): Uint8Array => Uint8Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("hkdf", () => {
  // RFC 5869 appendix A.1 to A.3.
  it.each([
    [
      new Uint8Array(22).fill(0x0b),
      count(0, 0x0c),
      count(0xf0, 0xf9),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ],
    [
      count(0, 0x4f),
      count(0x60, 0xaf),
      count(0xb0, 0xff),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ],
    [
      new Uint8Array(22).fill(0x0b),
      new Uint8Array(0),
      new Uint8Array(0),
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ],
  ])("gives RFC 5869's bytes", (ikm, salt, info, okm) => {
    expect(hkdf(ikm, salt, info, okm.length / 2)).toEqual(hex(okm));
  });
});

describe("a derived key", () => {
  const name = { sender: "10.0.0.1", receiver: "10.0.0.2", index: 1, epoch: 1, spi: 0x80000001, algorithm: "aes-256-gcm" } as const;
  const seed = count(1, 32);

  it("is another when anything of its name is", () => {
    const others = [
      name,
      { ...name, sender: "10.0.0.2", receiver: "10.0.0.1" },
      { ...name, sender: "10.0.0.11", receiver: "0.0.0.2" },
      { ...name, index: 2 },
      { ...name, epoch: 2 },
      { ...name, index: 11, epoch: 1 },
      { ...name, index: 1, epoch: 11 },
      { ...name, spi: 0x80000002 },
      { ...name, algorithm: "chacha20-poly1305" } as const,
    ];
    const keys = others.map((one) => Buffer.from(deriveKey(seed, one)).toString("hex"));
    expect(new Set(keys).size).toBe(others.length);
    expect(keys[0]).toHaveLength(72);
    expect(deriveKey(seed, { ...name, algorithm: "aes-128-gcm" })).toHaveLength(20);
    expect(fingerprint(seed)).not.toBe(fingerprint(count(2, 33)));
  });
});

describe("an SPI", () => {
  it("says what was put in, and is none of IKE's or the reserved ones", () => {
    for (const parts of [
      { index: 0, epoch: 0, tag: 0 },
      { index: 3, epoch: 255, tag: 2 ** 21 - 1 },
      { index: 2, epoch: 129, tag: 77 },
    ]) {
      const spi = encodeSpi(parts);
      expect(decodeSpi(spi)).toEqual(parts);
      expect(spi).toBeGreaterThanOrEqual(2 ** 31);
      expect(spi).toBeLessThan(2 ** 32);
    }
    expect(encodeSpi({ index: 7, epoch: 257, tag: 1 })).toBe(encodeSpi({ index: 3, epoch: 1, tag: 1 }));
    expect(decodeSpi(0x7fffffff)).toBeNull();
  });
});

describe("isSealedBy", () => {
  it.each(["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"] as const)("knows its own of %s, and nothing changed or cut", (algorithm) => {
    const material = count(0, algorithm === "aes-128-gcm" ? 19 : 35);
    const front = hex("80000001000000070000000500000007"); // SPI, lower half, the whole number
    const key = material.subarray(0, -4);
    const nonce = Buffer.concat([material.subarray(-4), front.subarray(8)]);
    const cipher = createCipheriv(algorithm as "aes-256-gcm", key, nonce, { authTagLength: 16 });
    cipher.setAAD(hex("800000010000000500000007"), { plaintextLength: 8 });
    const datagram = Buffer.concat([front, cipher.update("8 bytes!"), cipher.final(), cipher.getAuthTag()]);
    expect(isSealedBy(datagram, algorithm, material)).toBe(true);
    for (let at = 0; at < datagram.length; at++) {
      const changed = Buffer.from(datagram);
      changed[at]! ^= 1;
      expect(isSealedBy(changed, algorithm, material), `byte ${at}`).toBe(false);
      expect(isSealedBy(datagram.subarray(0, at), algorithm, material)).toBe(false);
    }
  });
});

// Both ciphers against OpenSSL (node:crypto), over all lengths of a header's size and random ones up to a jumbo frame's; what
// is sealed opens again, and what was touched anywhere does not.
import { describe, expect, it } from "vitest";
import * as aead from "../../../wasm/shared/aead.ts";
import { ALGORITHMS, opensslSeal, perform, RIGS } from "../../support/aead.ts";
import { random } from "../../support/random.ts";

describe.each(RIGS)("%s", (_name, open) => {
  const rig = open();

  describe.each(ALGORITHMS)("algorithm %i", (algorithm) => {
    const rnd = random(algorithm);
    const message = (length: number, aadBytes: number) => {
      const key = rnd.bytes(aead.AEAD_KEY_BYTES[algorithm] ?? 0);
      const parts = { algorithm, key, nonce: rnd.bytes(12), aad: rnd.bytes(aadBytes), plain: rnd.bytes(length) };
      return { ...parts, sealed: opensslSeal(algorithm, key, parts.nonce, parts.aad, parts.plain) };
    };

    it("seals and opens as OpenSSL does", () => {
      const lengths = [...Array.from({ length: 300 }, (_, length) => length), ...Array.from({ length: 60 }, () => rnd.below(9001)), 9000];
      for (const length of lengths) {
        const one = message(length, rnd.pick([0, 8, 12, rnd.below(13)]));
        const sealed = perform(rig, aead.AEAD_SEAL, one, one.plain);
        expect([length, sealed.status, Buffer.from(sealed.bytes).equals(one.sealed)]).toEqual([length, aead.AEAD_DONE, true]);
        const opened = perform(rig, aead.AEAD_OPEN, one, one.sealed);
        expect([length, opened.status, Buffer.from(opened.bytes).equals(one.plain)]).toEqual([length, aead.AEAD_DONE, true]);
      }
    });

    it.each([8, 12])("seals and opens with an ICV cut to %i bytes", (icvBytes) => {
      for (const length of [0, 1, 15, 16, 17, 64, 1400, rnd.below(9001)]) {
        const one = { ...message(length, 8), icvBytes };
        const cut = one.sealed.subarray(0, length + icvBytes);
        expect(Buffer.from(perform(rig, aead.AEAD_SEAL, one, one.plain).bytes).equals(cut)).toBe(true);
        const opened = perform(rig, aead.AEAD_OPEN, one, cut);
        expect([length, opened.status, Buffer.from(opened.bytes).equals(one.plain)]).toEqual([length, aead.AEAD_DONE, true]);
      }
    });

    it.each([8, 12, 16])("refuses a message with one bit turned anywhere, ICV of %i bytes, and hands out no plaintext", (icvBytes) => {
      const one = { ...message(150, 12), icvBytes };
      const cut = one.sealed.subarray(0, 150 + icvBytes);
      for (let at = 0; at < cut.length; at++) {
        const forged = Uint8Array.from(cut);
        forged[at]! ^= 1 << rnd.below(8);
        const opened = perform(rig, aead.AEAD_OPEN, one, forged);
        expect([at, opened.status]).toEqual([at, aead.AEAD_FORGED]);
        const common = opened.bytes.filter((byte, i) => byte === one.plain[i]).length;
        expect(common, `byte ${at}`).toBeLessThan(20);
      }
      for (const part of ["aad", "nonce"] as const) {
        for (let at = 0; at < 12; at++) {
          const forged = { ...one, [part]: Uint8Array.from(one[part], (byte, i) => (i === at ? byte ^ 0x80 : byte)) };
          expect(perform(rig, aead.AEAD_OPEN, forged, cut).status).toBe(aead.AEAD_FORGED);
        }
      }
    });
  });
});

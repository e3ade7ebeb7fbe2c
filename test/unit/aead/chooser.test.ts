// The choice of a cipher, and that one which is wrong in any way gets no key.
import { beforeEach, describe, expect, it } from "vitest";
import type { EngineExports } from "../../../src/datapath/engine.ts";
import { viewsOf } from "../../../src/datapath/memory.ts";
import { type AeadOptions, openAead } from "../../../src/datapath/shard/aead.ts";
import { selfTest, type Tested } from "../../../src/datapath/shard/aead-self-test.ts";
import { ENGINE_RELEASE_PATH } from "../../../src/paths.ts";
import { native } from "../../../src/ports/native.ts";
import * as aead from "../../../wasm/shared/aead.ts";
import { ARGUMENTS, RX_ARENA, SCRATCH, SEAL_OPS } from "../../../wasm/shared/layout.ts";
import { opensslSeal, statusOf, writeOperation } from "../../support/aead.ts";
import { instantiate } from "../../support/wasm.ts";

let options: AeadOptions;

beforeEach(() => {
  const { exports, memory } = instantiate<EngineExports>(ENGINE_RELEASE_PATH);
  exports.reset(1024);
  options = { choice: "auto", views: viewsOf(memory), engine: () => exports, native: () => new (native().Aead)() };
});

const missing = (): never => {
  throw new Error("built without");
};

describe("the choice", () => {
  it.each([
    ["auto", "native"],
    ["native", "native"],
    ["wasm", "wasm"],
  ] as const)("%s takes %s", (choice, by) => {
    expect(openAead({ ...options, choice })).toMatchObject({ by, reason: "self-test passed" });
  });

  it("auto takes the engine where native is missing, and says so", () => {
    expect(openAead({ ...options, native: missing })).toMatchObject({ by: "wasm", reason: "self-test passed; native: built without" });
  });

  it("native is none where it is missing: keys are refused in words and overwritten, operations stay undone", () => {
    const none = openAead({ ...options, choice: "native", native: missing });
    expect(none.by).toBe("none");
    const material = new Uint8Array(36).fill(7);
    expect(() => none.setKey(1, 2, material)).toThrow(/encrypted networks can't be had: no cipher passed \(native: built without\)/);
    expect(material.every((byte) => byte === 0)).toBe(true);
    expect(none.run(SEAL_OPS, 3)).toBe(3);
  });

  it("fails closed when both are wrong", () => {
    const broken = { ...options.engine(), aeadRun: () => 0 };
    expect(openAead({ ...options, native: missing, engine: () => broken }).by).toBe("none");
  });
});

describe.each(["native", "wasm"] as const)("keys of %s", (choice) => {
  const nonce = new Uint8Array(12).fill(3);
  const aad = new Uint8Array(8).fill(4);
  const plain = new Uint8Array(100).fill(5);
  const key = new Uint8Array(32).fill(9);
  const material = () => Buffer.concat([key, nonce.subarray(0, 4)]);
  const seal = (run: (at: number, count: number) => number, slot: number): number => {
    options.views.bytes.set(plain, RX_ARENA);
    writeOperation(options.views.bytes, SEAL_OPS, { kind: aead.AEAD_SEAL, slot, nonce, aad, length: plain.length });
    run(SEAL_OPS, 1);
    return statusOf(options.views.bytes, SEAL_OPS);
  };

  it("seal until they are removed or all are cleared", () => {
    const cipher = openAead({ ...options, choice });
    for (const slot of [1, 77, aead.AEAD_KEYS - 1]) cipher.setKey(slot, 2, material());
    expect(seal(cipher.run, 77)).toBe(aead.AEAD_DONE);
    expect(Buffer.from(options.views.bytes.subarray(RX_ARENA, RX_ARENA + 116))).toEqual(opensslSeal(2, key, nonce, aad, plain));
    cipher.removeKey(77);
    expect(seal(cipher.run, 77)).toBe(aead.AEAD_REFUSED);
    expect(seal(cipher.run, 1)).toBe(aead.AEAD_DONE);
    cipher.clear();
    expect([1, aead.AEAD_KEYS - 1].map((slot) => seal(cipher.run, slot))).toEqual([aead.AEAD_REFUSED, aead.AEAD_REFUSED]);
  });

  it("take each other's place in a slot", () => {
    const cipher = openAead({ ...options, choice });
    cipher.setKey(5, 3, material());
    cipher.setKey(5, 2, material());
    expect(seal(cipher.run, 5)).toBe(aead.AEAD_DONE);
    expect(Buffer.from(options.views.bytes.subarray(RX_ARENA, RX_ARENA + 116))).toEqual(opensslSeal(2, key, nonce, aad, plain));
  });

  it("leave no copy where they passed", () => {
    const cipher = openAead({ ...options, choice });
    const given = material();
    cipher.setKey(5, 3, given);
    expect(given.every((byte) => byte === 0)).toBe(true);
    expect(options.views.bytes.subarray(ARGUMENTS, ARGUMENTS + 64).every((byte) => byte === 0)).toBe(true);
    cipher.removeKey(5);
    expect(Buffer.from(options.views.bytes.buffer).includes(Buffer.from(key))).toBe(false);
  });

  it.each([
    [0, 2, 36],
    [aead.AEAD_KEYS, 2, 36],
    [1, 0, 36],
    [1, 4, 36],
    [1, 1, 36],
    [1, 2, 20],
  ])("are refused: slot %i, algorithm %i, %i bytes", (slot, algorithm, length) => {
    const cipher = openAead({ ...options, choice });
    expect(() => cipher.setKey(slot, algorithm, new Uint8Array(length))).toThrow(/can't hold a key of/);
  });
});

it("native refuses what it can't hold by itself too", () => {
  const cipher = options.native();
  expect(() => cipher.setKey(0, 2, new Uint8Array(36))).toThrow("setKey slot 0: slots are 1 to 8191: EINVAL");
  expect(() => cipher.setKey(1, 9, new Uint8Array(36))).toThrow("setKey algorithm 9");
  expect(() => cipher.setKey(1, 2, new Uint8Array(32))).toThrow("setKey key of 32 bytes: 36 are wanted");
  expect(() => cipher.run(SEAL_OPS, 1)).toThrow("run before attach");
  expect(() => cipher.attach(new Uint8Array(new SharedArrayBuffer(4096)))).toThrow("memory that other threads may write to");
  cipher.attach(options.views.bytes);
  expect(() => cipher.run(options.views.bytes.length - 48, 2)).toThrow("not inside the memory");
  expect(() => cipher.run(SEAL_OPS, aead.AEAD_OPS + 1)).toThrow("not inside the memory");
});

describe("the self-test", () => {
  const sound = (): Tested => {
    const cipher = options.native();
    cipher.attach(options.views.bytes);
    return { setKey: (...all) => cipher.setKey(...all), removeKey: (slot) => cipher.removeKey(slot), run: (...all) => cipher.run(...all) };
  };
  /** A cipher that is right but for what `spoil` does after each operation. */
  const spoilt = (spoil: (kind: number, length: number) => void): Tested => {
    const cipher = sound();
    return {
      ...cipher,
      run: (at, count) => {
        const kind = options.views.bytes[at] ?? 0;
        const failed = cipher.run(at, count);
        spoil(kind, options.views.data.getUint32(at + aead.AEAD_BYTES, true));
        return failed;
      },
    };
  };
  const flip = (at: number): void => {
    options.views.bytes[at]! ^= 1;
  };
  const setStatus = (status: number): void => options.views.data.setUint32(SEAL_OPS + aead.AEAD_STATUS, status, true);

  it("passes what is right", () => {
    expect(selfTest(sound(), options.views.bytes)).toBeNull();
  });

  it.each<[string, (kind: number, length: number) => void, RegExp]>([
    ["a wrong ICV", (kind, length) => kind === aead.AEAD_SEAL && flip(SCRATCH + length + 15), /seals to something else/],
    [
      "a wrong ICV of long messages only",
      (kind, length) => kind === 1 && length > 1000 && flip(SCRATCH + length),
      /OpenSSL.*seals to something else/,
    ],
    ["wrong plaintext", (kind) => kind === aead.AEAD_OPEN && flip(SCRATCH), /opens to something else/],
    ["an ICV that isn't looked at", (kind) => kind === aead.AEAD_OPEN && setStatus(aead.AEAD_DONE), /opens a forgery/],
    ["no answer", () => setStatus(aead.AEAD_PENDING), /does not seal/],
  ])("finds %s", (_name, spoil, message) => {
    expect(selfTest(spoilt(spoil), options.views.bytes)).toMatch(message);
  });

  it("finds a cipher that throws", () => {
    expect(selfTest({ ...sound(), run: missing }, options.views.bytes)).toBe("built without");
  });
});

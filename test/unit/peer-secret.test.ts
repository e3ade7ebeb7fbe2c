// Files of keys: what is taken, what is refused by which words, and that no word of a refusal is a key's.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { destroySecret, peerSecret, type SecretRequest } from "../../src/api/peer-secret.ts";
import { ROOT } from "../../src/paths.ts";

const SEED = Buffer.from(Uint8Array.from({ length: 32 }, (_, i) => i * 7)).toString("base64");
const KEY = { out: "00112233445566778899aabbccddeeff", in: "f0e1d2c3b4a5968778695a4b3c2d1e0f" };
const SALT = "cafebabe";

const request = (given: { key?: string; sa?: string | object } & Partial<SecretRequest>): SecretRequest => {
  const { key = "", sa = "", ...rest } = given;
  const saText = typeof sa === "string" ? sa : JSON.stringify(sa);
  return { keyFile: Buffer.from(key), saFile: Buffer.from(saText), espTransport: "", localId: "", peerId: "", ...rest };
};

const direction = (name: "in" | "out", more: object = {}) => ({
  spi: name === "out" ? 0x1001 : "0x2002",
  algorithm: "aes-128-gcm",
  key: KEY[name],
  salt: SALT,
  esn: true,
  ...more,
});
const both = (out: object = {}, into: object = {}) => ({ out: direction("out", out), in: direction("in", into) });

describe("a seed", () => {
  it("is base64 of 32 bytes or more, with transport and names", () => {
    const secret = peerSecret(request({ key: `${SEED}\n`, espTransport: "raw", localId: "a", peerId: "b" }));
    if (secret?.kind !== "seed") throw new Error("no seed");
    expect(secret).toMatchObject({ transport: "raw", localId: "a", peerId: "b" });
    expect(Buffer.from(secret.seed.copy()).toString("base64")).toBe(SEED);
    destroySecret(secret);
    expect(() => secret.seed.copy()).toThrow("the key is gone");
    expect(peerSecret(request({}))).toBeUndefined();
    expect(peerSecret(request({ key: SEED }))).toMatchObject({ transport: "udp", localId: null, peerId: null });
  });

  it("is overwritten where it came", () => {
    const asked = request({ key: SEED });
    peerSecret(asked);
    expect(Buffer.from(asked.keyFile).every((byte) => byte === 0)).toBe(true);
  });

  it.each([
    ["too short", { key: SEED.slice(0, 40) }, /holds 30 bytes in base64: a seed has 32 to 1024/],
    ["no base64", { key: `${SEED}!` }, /not one line of base64: make one with `weft cluster keys new/],
    ["two lines", { key: `${SEED}\n${SEED}` }, /not one line of base64/],
    ["all the same", { key: Buffer.alloc(32, 7).toString("base64") }, /not random/],
    ["with associations", { key: SEED, sa: both() }, /--key-file or --sa-file, not both/],
    ["unknown transport", { key: SEED, espTransport: "tcp" }, /invalid value "tcp" for --esp-transport: give udp/],
    ["names without it", { localId: "a" }, /belong to --key-file/],
    ["transport with associations", { sa: both(), espTransport: "raw" }, /belong to --key-file/],
  ])("refused: %s", (_, given, message) => {
    expect(refusal(given)).toMatch(message);
  });
});

describe("associations by hand", () => {
  it("are taken as they are given, defaults filled in", () => {
    const secret = peerSecret(request({ sa: both({}, { icvBytes: 8, esn: false }) }));
    if (secret?.kind !== "hand") throw new Error("not by hand");
    expect(secret.out).toMatchObject({ spi: 0x1001, algorithm: "aes-128-gcm", icvBytes: 16, esn: true, transport: "udp", port: 4500 });
    expect(secret.in).toMatchObject({ spi: 0x2002, icvBytes: 8, esn: false });
    expect(Buffer.from(secret.out.key.copy()).toString("hex")).toBe(KEY.out + SALT);
  });

  it("the example of docs/encryption.md among them", () => {
    const [, example] = /```json\n(.*?)```/s.exec(readFileSync(join(ROOT, "docs/encryption.md"), "utf8")) ?? [];
    const digits = ["a1", "b2", "c3", "d4"];
    const filled = example!.replace(/<(\d+) [a-z ]+>/g, (_, count) => digits.shift()!.repeat(Number(count) / 2));
    expect(digits).toEqual([]);
    expect(peerSecret(request({ sa: filled }))).toMatchObject({ out: { algorithm: "aes-256-gcm", spi: 0x1001 }, in: { spi: 0x2002 } });
  });

  it.each([
    ["rfc4106(gcm(aes))", `${"00".repeat(15)}01`, "aes-128-gcm"],
    ["rfc4106(gcm(aes))", `${"00".repeat(31)}01`, "aes-256-gcm"],
    ["rfc7539esp(chacha20,poly1305)", `${"00".repeat(31)}01`, "chacha20-poly1305"],
  ])("by Linux's name %s, key %s", (algorithm, key, meant) => {
    const secret = peerSecret(request({ sa: both({ algorithm, key: `0x${key}` }) }));
    expect(secret?.kind === "hand" && secret.out.algorithm).toBe(meant);
  });

  it.each([
    ["no JSON", `{ "key": ${KEY.out} }`, /no JSON: docs\/encryption\.md has an example/],
    ["one direction", { out: direction("out") }, /in must be: /],
    ["a field too many", both({ kye: KEY.out }), /out has a field "kye" that there is not/],
    ["a key as a field", both({ [KEY.out]: 1 }), /out has a field that there is not/],
    ["a short key", both({ key: KEY.out.slice(2) }), /out\.key has 15 bytes: aes-128-gcm takes 16, the salt apart/],
    ["Linux's key with its salt", both({ key: KEY.out + SALT }), /out\.key has 20 bytes/],
    ["a key of odd length", both({ key: KEY.out.slice(1) }), /out\.key must be: a key is made of pairs of hexadecimal digits/],
    ["a key that is a number", both({ key: 12345678901 }), /out\.key must be: a key is a text of hexadecimal digits/],
    ["a short salt", both({ salt: SALT.slice(2) }), /out\.salt has 3 bytes, not 4/],
    ["a reserved SPI", both({ spi: 255 }), /out\.spi must be: an SPI is/],
    ["an SPI too long", both({}, { spi: "0x1ffffffff" }), /in\.spi must be: an SPI is/],
    ["an ICV of 10", both({ icvBytes: 10 }), /out\.icvBytes must be: 8, 12 or 16/],
    ["an unknown algorithm", both({ algorithm: KEY.out }), /out\.algorithm must be: one of aes-128-gcm/],
    ["ESN left open", both({ esn: undefined }), /out\.esn must be: true or false, as the peer has it/],
    ["two transports", both({ transport: "raw" }), /both are the same/],
    ["one key for both", both({ key: KEY.in }), /same key and salt/],
    ["chacha with a short ICV", both({ algorithm: "chacha20-poly1305", key: KEY.out + KEY.in, icvBytes: 8 }), /RFC 7634/],
  ])("refused: %s", (_, sa, message) => {
    expect(refusal({ sa })).toMatch(message);
  });
});

/** The words of a refusal, held against each run of eight digits of a key. */
function refusal(given: Parameters<typeof request>[0]): string {
  try {
    peerSecret(request(given));
  } catch (error) {
    const { message, code } = error as Error & { code: string };
    expect(code).toBe("INVALID_ARGUMENT");
    for (const secret of [KEY.out, KEY.in, SEED]) {
      for (let at = 0; at + 8 <= secret.length; at++) expect(message).not.toContain(secret.slice(at, at + 8));
    }
    return message;
  }
  throw new Error("it was taken");
}

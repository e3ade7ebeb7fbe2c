// Known answers that a cipher must give before it gets a key: one ESP datagram of a standard's for each algorithm, sealed and
// opened, one long message (the fast paths for many blocks), and each of them with a bit turned, which must not open.
//
// A cipher that is wrong would be noticed by no peer of the same build: both ends would agree on traffic that protects
// nothing. Hence answers from elsewhere, at each start.
import * as aead from "../../../wasm/shared/aead.ts";
import { SCRATCH, SEAL_OPS } from "../../../wasm/shared/layout.ts";
import type { Cipher } from "./cipher.ts";

export type Tested = Pick<Cipher, "setKey" | "removeKey" | "run">;

interface Answer {
  readonly from: string;
  readonly algorithm: number;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly plain: Uint8Array;
  /** What the sealed message ends in: ciphertext and ICV, or the ICV alone, which depends on all of it. */
  readonly end: Uint8Array;
}

const hex = (text: string): Uint8Array => Buffer.from(text, "hex");
const counting = (length: number, first: number, step = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => first + step * i);

/** Answer of OpenSSL 3: key and AAD count from 1, the nonce from 0xa0, the message is 1, 8, 15 ... */
const long = (algorithm: number, icv: string): Answer => ({
  from: "OpenSSL",
  algorithm,
  key: counting(aead.AEAD_KEY_BYTES[algorithm] ?? 0, 1),
  nonce: counting(12, 0xa0),
  aad: counting(12, 1),
  plain: counting(1413, 1, 7),
  end: hex(icv),
});

const ANSWERS: readonly Answer[] = [
  {
    from: "draft-mcgrew-gcm-test-01, an ESN case",
    algorithm: aead.AEAD_ALGORITHM_AES_128_GCM,
    key: hex("3de09874b388e6491988d0c3607eae1f"),
    nonce: hex("57690e434e280000a2fca1a3"),
    aad: hex("42f67e3f1010101010101010"),
    plain: hex("4500001c42a200008001441f406793b6e00000020a00f5ff01020201"),
    end: hex("fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed369f071f35e034be95f112e4e7d05d35"),
  },
  {
    from: "draft-mcgrew-gcm-test-01, a case of a 256-bit key",
    algorithm: aead.AEAD_ALGORITHM_AES_256_GCM,
    key: hex("abbccddef00112233445566778899aababbccddef00112233445566778899aab"),
    nonce: hex("112233440102030405060708"),
    aad: hex("4a2cbfe300000002"),
    plain: hex("4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b40101040201020201"),
    end: hex(
      "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c4915956c96",
    ),
  },
  {
    from: "RFC 7634, appendix A",
    algorithm: aead.AEAD_ALGORITHM_CHACHA20_POLY1305,
    key: counting(32, 0x80),
    nonce: hex("a0a1a2a31011121314151617"),
    aad: hex("0102030400000005"),
    plain: hex(
      "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204",
    ),
    end: hex(
      "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e076aaa8266b7fb0f7b11b369907e1ad43",
    ),
  },
  long(aead.AEAD_ALGORITHM_AES_128_GCM, "7fb5de1738740b6dd667a2c39d7e842b"),
  long(aead.AEAD_ALGORITHM_AES_256_GCM, "c691a7e307d66eca92db0efd66f50604"),
  long(aead.AEAD_ALGORITHM_CHACHA20_POLY1305, "d912fb19d2b092a9e25440f3ad8b91d4"),
];

const ICV_BYTES = 16;
const SLOT = aead.AEAD_KEYS - 1;
const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/**
 * What is wrong with the cipher, or null. Writes to SEAL_OPS and SCRATCH of the engine's memory, so: before the first batch, or
 * between two.
 */
export function selfTest(cipher: Tested, memory: Uint8Array<ArrayBuffer>): string | null {
  const view = new DataView(memory.buffer);
  const run = (answer: Answer, kind: number): number => {
    const op = memory.subarray(SEAL_OPS, SEAL_OPS + aead.AEAD_OP_LENGTH).fill(0);
    op[aead.AEAD_KIND] = kind;
    op[aead.AEAD_ICV_BYTES] = ICV_BYTES;
    op[aead.AEAD_AAD_BYTES] = answer.aad.length;
    op.set(answer.aad, aead.AEAD_AAD);
    op.set(answer.nonce.subarray(aead.AEAD_SALT_BYTES), aead.AEAD_IV);
    view.setUint16(SEAL_OPS + aead.AEAD_KEY, SLOT, true);
    view.setUint32(SEAL_OPS + aead.AEAD_OFFSET, SCRATCH, true);
    view.setUint32(SEAL_OPS + aead.AEAD_BYTES, answer.plain.length, true);
    cipher.run(SEAL_OPS, 1);
    return view.getUint32(SEAL_OPS + aead.AEAD_STATUS, true);
  };
  const wrong = (answer: Answer): string | null => {
    const { algorithm, key, nonce, plain, end } = answer;
    const name = `${aead.AEAD_ALGORITHM_NAMES[algorithm]} (${answer.from})`;
    cipher.setKey(SLOT, algorithm, Buffer.concat([key, nonce.subarray(0, aead.AEAD_SALT_BYTES)]));
    memory.set(plain, SCRATCH);
    const total = plain.length + ICV_BYTES;
    if (run(answer, aead.AEAD_SEAL) !== aead.AEAD_DONE) return `${name} does not seal`;
    const sealed = memory.slice(SCRATCH, SCRATCH + total);
    if (!equal(sealed.subarray(total - end.length), end)) return `${name} seals to something else`;
    if (run(answer, aead.AEAD_OPEN) !== aead.AEAD_DONE) return `${name} does not open what it sealed`;
    if (!equal(memory.subarray(SCRATCH, SCRATCH + plain.length), plain)) return `${name} opens to something else`;
    for (const place of [0, plain.length - 1, total - 1]) {
      memory.set(sealed, SCRATCH);
      memory[SCRATCH + place]! ^= 1;
      if (run(answer, aead.AEAD_OPEN) !== aead.AEAD_FORGED) return `${name} opens a forgery`;
    }
    return null;
  };
  try {
    for (const answer of ANSWERS) {
      const found = wrong(answer);
      if (found !== null) return found;
    }
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    cipher.removeKey(SLOT);
    memory.fill(0, SEAL_OPS, SEAL_OPS + aead.AEAD_OP_LENGTH);
  }
}

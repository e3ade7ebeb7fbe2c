// Who seals and opens: native code (native/src/aead, ten times as fast, keys out of the engine's memory) or the engine itself
// (wasm/crypto). The worker chooses once, by `datapath.crypto`, and tests the chosen one by known answers before it gets a key.
//
// "auto" takes native, and the engine where native is missing or wrong; "native" and "wasm" take that one or none. With none,
// encrypted networks are refused in words, and operations stay undone: nothing leaves in clear because a cipher is missing.
import { AEAD_KEY_BYTES, AEAD_KEYS, AEAD_SALT_BYTES } from "../../../wasm/shared/aead.ts";
import { unavailable, WeftError } from "../../errors.ts";
import type { Aead as NativeAead } from "../../ports/native.ts";
import type { EngineExports } from "../engine.ts";
import type { Views } from "../memory.ts";
import { selfTest, type Tested } from "./aead-self-test.ts";
import type { Cipher } from "./cipher.ts";

const CRYPTO_CHOICES = ["auto", "native", "wasm"] as const;
export type CryptoChoice = (typeof CRYPTO_CHOICES)[number];

export interface Aead extends Cipher {
  /** Who does it; "none": nobody. */
  readonly by: "native" | "wasm" | "none";
  /** Why it is this one, for `weft info`: "self-test passed", or what was wrong with the others. */
  readonly reason: string;
}

export interface AeadOptions {
  readonly choice: CryptoChoice;
  readonly views: Views;
  /** The engine as it is now: another one after a rebuild. */
  readonly engine: () => EngineExports;
  /** Makes native's; throws where there is none. */
  readonly native: () => NativeAead;
}

/** Chooses and tests. Between two batches only: the test writes to the engine's memory. */
export function openAead(options: AeadOptions): Aead {
  const failures: string[] = [];
  for (const by of options.choice === "auto" ? (["native", "wasm"] as const) : [options.choice]) {
    try {
      const cipher = by === "native" ? nativeCipher(options) : wasmCipher(options);
      const wrong = selfTest(cipher, options.views.bytes);
      if (wrong === null) return opened(by, cipher, ["self-test passed", ...failures].join("; "));
      failures.push(`${by}: the self-test failed: ${wrong}`);
    } catch (error) {
      failures.push(`${by}: ${(error as Error).message}`);
    }
  }
  return closed(failures.join("; "));
}

function nativeCipher({ views, native }: AeadOptions): Tested {
  const cipher = native();
  cipher.attach(views.bytes);
  return cipher;
}

function wasmCipher({ views, engine }: AeadOptions): Tested {
  return {
    setKey: (slot, algorithm, material) => {
      views.argumentBytes.set(material);
      const refused = engine().aeadSetKey(slot, algorithm);
      views.argumentBytes.fill(0, 0, material.length);
      if (refused !== 0) throw unavailable(`the engine refused the key of slot ${slot} (${refused})`);
    },
    removeKey: (slot) => engine().aeadRemoveKey(slot),
    run: (at, count) => engine().aeadRun(at, count),
  };
}

function opened(by: "native" | "wasm", cipher: Tested, reason: string): Aead {
  const slots = new Set<number>();
  return {
    by,
    reason,
    setKey(slot, algorithm, material) {
      try {
        checkKey(slot, algorithm, material);
        cipher.setKey(slot, algorithm, material);
        slots.add(slot);
      } finally {
        material.fill(0);
      }
    },
    removeKey(slot) {
      cipher.removeKey(slot);
      slots.delete(slot);
    },
    clear() {
      for (const slot of slots) cipher.removeKey(slot);
      slots.clear();
    },
    run: (at, count) => cipher.run(at, count),
  };
}

function checkKey(slot: number, algorithm: number, material: Uint8Array): void {
  const keyBytes = AEAD_KEY_BYTES[algorithm];
  if (!keyBytes || material.length !== keyBytes + AEAD_SALT_BYTES || !(slot > 0 && slot < AEAD_KEYS))
    throw new WeftError("INTERNAL", `slot ${slot} can't hold a key of ${material.length} bytes for algorithm ${algorithm}`);
}

function closed(reason: string): Aead {
  return {
    by: "none",
    reason,
    setKey(_slot, _algorithm, material) {
      material.fill(0);
      throw unavailable(`encrypted networks can't be had: no cipher passed (${reason}); change datapath.crypto, or build again`);
    },
    removeKey: () => {},
    clear: () => {},
    // Statuses stay AEAD_PENDING, which the engine drops.
    run: (_at, count) => count,
  };
}

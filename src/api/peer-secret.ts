// From the two files that `weft peer add` sends to what the key service takes. Whatever is wrong is said by field, rule and
// remedy and never by value: a typing error in a key is still nearly the key. So neither JSON.parse's nor zod's own words are
// passed on, which quote what they stumble over. The bytes that came are overwritten.
import { z } from "zod";
import { ESP_UDP_PORT, SPI_MIN } from "../../wasm/shared/protocol.ts";
import type { EspAlgorithm } from "../datapath/declarations.ts";
import { ALGORITHMS, keyBytes, SALT_BYTES } from "../datapath/esp-algorithms.ts";
import { KeyMaterial } from "../datapath/key-material.ts";
import { invalidArgument } from "../errors.ts";
import type { EspTransport, HandAssociation, PeerSecret } from "../keys/key-service.ts";

const SEED_BYTES_MIN = 32;
const SEED_BYTES_MAX = 1024;
const ID_BYTES_MAX = 255;
const SPI_MAX = 2 ** 32 - 1;

/** As Linux names them, where the key's length says the rest. */
const LINUX_GCM = "rfc4106(gcm(aes))";
const LINUX_CHACHA = "rfc7539esp(chacha20,poly1305)";
const NAMES = [...ALGORITHMS, LINUX_GCM, LINUX_CHACHA];

export interface SecretRequest {
  readonly keyFile: Uint8Array;
  readonly saFile: Uint8Array;
  readonly espTransport: string;
  readonly localId: string;
  readonly peerId: string;
}

/** Undefined: the peer gets none. Throws INVALID_ARGUMENT. */
export function peerSecret(request: SecretRequest): PeerSecret | undefined {
  const { keyFile, saFile, espTransport, localId, peerId } = request;
  try {
    if (keyFile.length > 0 && saFile.length > 0) throw invalidArgument("a peer has one secret: give --key-file or --sa-file, not both");
    if (keyFile.length === 0 && (localId !== "" || peerId !== "" || espTransport !== ""))
      throw invalidArgument("--esp-transport, --local-id and --peer-id belong to --key-file: give it, or leave them out");
    if (saFile.length > 0) return byHand(saFile);
    if (keyFile.length === 0) return undefined;
    const transport = transportOf(espTransport);
    const ids = { localId: idOf(localId, "--local-id"), peerId: idOf(peerId, "--peer-id") };
    return { kind: "seed", seed: new KeyMaterial(seedOf(keyFile)), transport, ...ids };
  } finally {
    keyFile.fill(0);
    saFile.fill(0);
  }
}

/** For a secret that nobody took over. */
export function destroySecret(secret: PeerSecret): void {
  for (const key of secret.kind === "seed" ? [secret.seed] : [secret.out.key, secret.in.key]) key.destroy();
}

function transportOf(text: string): EspTransport {
  if (text === "" || text === "udp") return "udp";
  if (text === "raw") return "raw";
  throw invalidArgument(`invalid value ${JSON.stringify(text)} for --esp-transport: give udp (port 4500) or raw (IP protocol 50)`);
}

function idOf(text: string, flag: string): string | null {
  const bytes = Buffer.byteLength(text);
  if (bytes > ID_BYTES_MAX) throw invalidArgument(`the name of ${flag} has ${bytes} bytes: at most ${ID_BYTES_MAX}`);
  return text === "" ? null : text;
}

const MAKE_ONE = "make one with `weft cluster keys new > FILE` and copy it to both hosts";

function seedOf(file: Uint8Array): Uint8Array {
  const text = Buffer.from(file.buffer, file.byteOffset, file.length).toString("latin1").trim();
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw invalidArgument(`the key file is not one line of base64: ${MAKE_ONE}`);
  const seed = new Uint8Array(Buffer.from(text, "base64"));
  if (seed.length < SEED_BYTES_MIN || seed.length > SEED_BYTES_MAX) {
    throw invalidArgument(
      `the key file holds ${seed.length} bytes in base64: a seed has ${SEED_BYTES_MIN} to ${SEED_BYTES_MAX} random ones; ${MAKE_ONE}`,
    );
  }
  if (new Set(seed).size < 8) throw invalidArgument(`the key file's bytes are not random, they are nearly all the same: ${MAKE_ONE}`);
  return seed;
}

const hex = (what: string) =>
  z.string({ error: `${what} is a text of hexadecimal digits` }).regex(/^(0x)?([0-9a-fA-F]{2})+$/, {
    error: `${what} is made of pairs of hexadecimal digits`,
  });

const spi = z.union(
  [
    z.int(),
    z
      .string()
      .regex(/^(0x[0-9a-fA-F]{1,8}|\d{1,10})$/)
      .transform(Number),
  ],
  {
    error: `an SPI is a number, or a text like "0x1234", from ${SPI_MIN} to ${SPI_MAX}`,
  },
);

const association = z.strictObject({
  spi: spi.refine((value) => value >= SPI_MIN && value <= SPI_MAX, { error: `an SPI is from ${SPI_MIN} to ${SPI_MAX}` }),
  algorithm: z.enum(NAMES as [string, ...string[]], { error: `one of ${NAMES.join(", ")}` }),
  key: hex("a key"),
  salt: hex("a salt"),
  esn: z.boolean({ error: "true or false, as the peer has it" }),
  icvBytes: z.literal([8, 12, 16], { error: "8, 12 or 16" }).default(16),
  transport: z.enum(["udp", "raw"], { error: '"udp" or "raw"' }).default("udp"),
  port: z.int({ error: "a UDP port" }).min(1, { error: "a UDP port" }).max(65535, { error: "a UDP port" }).default(ESP_UDP_PORT),
});

const saFileSchema = z.strictObject({ out: association, in: association }, { error: 'an object of two, "out" and "in"' });

type AssociationFile = z.output<typeof association>;

const SEE = "docs/encryption.md has an example";

function byHand(file: Uint8Array): PeerSecret {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(file.buffer, file.byteOffset, file.length).toString("utf8"));
  } catch {
    throw invalidArgument(`the file of security associations is no JSON: ${SEE}`);
  }
  const result = saFileSchema.safeParse(value);
  if (!result.success) throw invalidArgument(`the file of security associations: ${explain(result.error.issues[0]!)}; ${SEE}`);
  const [out, into] = [handAssociation("out", result.data.out), handAssociation("in", result.data.in)];
  if (out.transport !== into.transport) {
    throw invalidArgument(
      `the file of security associations: out.transport is ${out.transport} and in.transport ${into.transport}: both are the same`,
    );
  }
  const [one, other] = [out.key.copy(), into.key.copy()];
  const same = Buffer.from(one).equals(Buffer.from(other));
  one.fill(0);
  other.fill(0);
  if (same) {
    throw invalidArgument(
      "the file of security associations: out and in have the same key and salt, so both hosts would use each nonce: give each direction a key of its own",
    );
  }
  return { kind: "hand", out, in: into };
}

function explain(issue: z.core.$ZodIssue): string {
  const path = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    // A name that looks like one is a typing error; anything else might be a key in the wrong place.
    const name = /^[A-Za-z]{1,16}$/.test(issue.keys[0] ?? "") ? ` "${issue.keys[0]}"` : "";
    return `${path === "" ? "it" : path} has a field${name} that there is not`;
  }
  return `${path === "" ? "it" : path} must be: ${issue.message}`;
}

function handAssociation(name: "in" | "out", given: AssociationFile): HandAssociation {
  const wrong = (field: string, rule: string): Error =>
    invalidArgument(`the file of security associations: ${name}.${field} ${rule}; ${SEE}`);
  const key = fromHex(given.key);
  const salt = fromHex(given.salt);
  try {
    const algorithm = algorithmOf(given.algorithm, key.length);
    if (algorithm === null || keyBytes(algorithm) !== key.length) {
      const wanted = algorithm === null ? "16 or 32" : keyBytes(algorithm);
      throw wrong("key", `has ${key.length} bytes: ${given.algorithm} takes ${wanted}, the salt apart`);
    }
    if (salt.length !== SALT_BYTES)
      throw wrong("salt", `has ${salt.length} bytes, not ${SALT_BYTES}: the last ${SALT_BYTES} of what Linux calls the key`);
    if (algorithm === "chacha20-poly1305" && given.icvBytes !== 16) throw wrong("icvBytes", "must be 16 for chacha20-poly1305 (RFC 7634)");
    const material = new Uint8Array(key.length + SALT_BYTES);
    material.set(key);
    material.set(salt, key.length);
    const { esn, icvBytes, transport, port } = given;
    return { spi: given.spi, algorithm, key: new KeyMaterial(material), esn, icvBytes, transport, port };
  } finally {
    key.fill(0);
    salt.fill(0);
  }
}

function algorithmOf(name: string, lengthBytes: number): EspAlgorithm | null {
  if (name === LINUX_CHACHA) return "chacha20-poly1305";
  if (name !== LINUX_GCM) return name as EspAlgorithm;
  return lengthBytes === 16 ? "aes-128-gcm" : lengthBytes === 32 ? "aes-256-gcm" : null;
}

const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replace(/^0x/, ""), "hex"));

// Secrets as they are stored: JSON with the bytes in base64, under a key of their own, apart from all that is shown.
import { z } from "zod";
import { ALGORITHMS } from "../datapath/esp-algorithms.ts";
import { KeyMaterial } from "../datapath/key-material.ts";
import { WeftError } from "../errors.ts";
import { PEER_SECRET_PREFIX } from "../store/keys.ts";
import type { Entry, Json } from "../store/store.ts";
import type { HandAssociation, PeerSecret } from "./key-service.ts";

const transport = z.enum(["udp", "raw"]);
const algorithm = z.enum(ALGORITHMS);
const bytes = z.base64();

const hand = z.strictObject({
  spi: z.int(),
  algorithm,
  key: bytes,
  esn: z.boolean(),
  icvBytes: z.literal([8, 12, 16]),
  transport,
  port: z.int(),
});

const stored = z.strictObject({
  vxlanPort: z.int(),
  secret: z.discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("seed"),
      seed: bytes,
      algorithm,
      transport,
      localId: z.string().nullable(),
      peerId: z.string().nullable(),
    }),
    z.strictObject({ kind: z.literal("hand"), out: hand, in: hand }),
  ]),
});

export const DEFAULT_ALGORITHM = "aes-256-gcm";

export interface StoredSecret {
  readonly address: string;
  readonly vxlanPort: number;
  readonly secret: PeerSecret;
}

function textOf(key: KeyMaterial): string {
  const copy = key.copy();
  const text = Buffer.from(copy.buffer).toString("base64");
  copy.fill(0);
  return text;
}

const material = (text: string): KeyMaterial => new KeyMaterial(new Uint8Array(Buffer.from(text, "base64")));

export function secretJson(vxlanPort: number, secret: PeerSecret): Json {
  const byHand = ({ spi, algorithm, key, esn, icvBytes, transport, port }: HandAssociation): Json => {
    return { spi, algorithm, key: textOf(key), esn, icvBytes, transport, port };
  };
  if (secret.kind === "hand") return { vxlanPort, secret: { kind: "hand", out: byHand(secret.out), in: byHand(secret.in) } };
  const { kind, seed, algorithm, transport, localId, peerId } = secret;
  return { vxlanPort, secret: { kind, seed: textOf(seed), algorithm: algorithm ?? DEFAULT_ALGORITHM, transport, localId, peerId } };
}

/** DATA_LOSS if it is none; the message has nothing of the value. */
export function readSecret({ key, value }: Entry): StoredSecret {
  const address = key.slice(PEER_SECRET_PREFIX.length);
  const parsed = stored.safeParse(value);
  if (!parsed.success) throw new WeftError("DATA_LOSS", `the stored secret of peer ${address} is damaged: remove the peer and add it anew`);
  const { vxlanPort, secret } = parsed.data;
  if (secret.kind === "seed") return { address, vxlanPort, secret: { ...secret, seed: material(secret.seed) } };
  const byHand = (one: z.output<typeof hand>): HandAssociation => ({ ...one, key: material(one.key) });
  return { address, vxlanPort, secret: { kind: "hand", out: byHand(secret.out), in: byHand(secret.in) } };
}

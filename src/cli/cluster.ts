// weft cluster keys ...: the keys of encrypted networks, as long as hosts are told of each other by hand.
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import type { KeyedPeer__Output } from "../api/generated/weft/v1/KeyedPeer.ts";
import { group, leaf, type Session } from "./command.ts";
import { ago } from "./status-text.ts";

const SEED_BYTES = 32;
/** Keys are a pair's: with an encrypted network alone there are none yet. */
const ALONE =
  "is encrypted and no peer has keys for it, so it reaches no other host: make a seed (weft cluster keys new), and on both hosts weft peer add --key-file FILE ADDRESS";

/** A seed that differs looks like a peer that is down: neither answers. */
const SILENT =
  "has not been heard with these keys: there, weft peer add --key-file FILE with the same seed and this host's address; between the hosts UDP port 4500 must pass (with --esp-transport raw IP protocol 50)";

const row = (peer: KeyedPeer__Output) => ({
  Address: peer.address,
  Encryption: peer.encryption,
  Transport: peer.espTransport,
  Index: peer.index === undefined ? null : Number(peer.index),
  Since: peer.since,
  Heard: peer.heard,
  Remote: peer.espRemote,
});

export function register(program: Command, host: Session): void {
  const cluster = group(program, "cluster", "What hosts have in common");
  const keys = group(cluster, "keys", "Keys of encrypted networks: new, rotate, ls");

  leaf(keys, host, {
    usage: "new",
    summary: "Print a new seed, from which two hosts derive their keys; needs no daemon",
    examples: [
      "(umask 077; weft cluster keys new > pair.key)       on one host; copy the file to the other, then",
      "weft peer add --key-file pair.key 192.0.2.2         on 192.0.2.1, and",
      "weft peer add --key-file pair.key 192.0.2.1         on 192.0.2.2",
    ],
    async run(context) {
      const seed = randomBytes(SEED_BYTES);
      context.print(`${seed.toString("base64")}\n`);
      seed.fill(0);
    },
  });

  leaf(keys, host, {
    usage: "rotate",
    summary: "Move all pairs to new keys; no packet is lost over it",
    examples: ["weft cluster keys rotate"],
    async run(context) {
      const { pairs } = await context.client.call("key", "Rotate", {});
      context.one({ Pairs: pairs }, () => `${pairs} ${pairs === 1 ? "pair has a new key" : "pairs have new keys"}\n`);
    },
  });

  leaf(keys, host, {
    usage: "ls",
    summary: "Pairs that have keys, how old these are, and what is missing where a pair or a network has none that work",
    examples: ["weft cluster keys ls", "weft cluster keys ls --format json"],
    async run(context) {
      const { peers, networksAlone } = await context.client.call("key", "List", {});
      const now = Date.now();
      context.list(peers.map(row), {
        header: ["PEER", "ENCRYPTION", "TRANSPORT", "INDEX", "KEY SINCE", "HEARD"],
        cells: (one) => [
          ...[one.Address, one.Encryption, one.Transport, one.Index === null ? "" : String(one.Index)],
          ...[one.Since === "" ? "" : ago(one.Since, now), one.Heard ? "yes" : "no"],
        ],
        id: (one) => one.Address,
        whole: [0],
        right: [3],
      });
      for (const { address, heard, encryption } of peers) {
        if (!heard && encryption === "key") context.complain(`peer ${address} ${SILENT}`);
      }
      for (const network of networksAlone.sort()) context.complain(`network ${network} ${ALONE}`);
    },
  }).alias("list");
}

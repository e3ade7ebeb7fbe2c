// weft peer ...: static VTEPs.
import type { Command } from "commander";
import { ESP_UDP_PORT } from "../../wasm/shared/protocol.ts";
import type { StaticPeer__Output } from "../api/generated/weft/v1/StaticPeer.ts";
import { type Context, group, integer, leaf, type Session } from "./command.ts";
import { UsageError } from "./errors.ts";
import { bracketed } from "./port-text.ts";
import { readSecretFile } from "./secret-file.ts";

const row = (peer: StaticPeer__Output) => ({
  Address: peer.address,
  Port: peer.port,
  Network: peer.networkName || (peer.networkId === "" ? "*" : peer.networkId),
  Encryption: peer.encryption,
  Transport: peer.espTransport,
  Remote: peer.espRemote,
  LeftOutOf: [...peer.leftOutOf],
  CreatedAt: peer.createdAt,
});

/** "key, udp"; "key, udp at 198.51.100.7:61000" behind a NAT; "none, left out of prod". */
function encryptionText({ Address, Encryption, Transport, Remote, LeftOutOf }: ReturnType<typeof row>): string {
  if (LeftOutOf.length > 0) return `${Encryption}, left out of ${LeftOutOf.join(" ")}`;
  if (Transport === "") return Encryption;
  const isAtHome = Remote === "" || Remote === `${bracketed(Address)}:${ESP_UDP_PORT}`;
  return `${Encryption.replace("-", " ")}, ${Transport}${isAtHome ? "" : ` at ${Remote}`}`;
}

interface AddFlags {
  readonly network?: string;
  readonly port?: number;
  readonly keyFile?: string;
  readonly saFile?: string;
  readonly espTransport?: string;
  readonly localId?: string;
  readonly peerId?: string;
}

async function add(context: Context, address: string, flags: AddFlags): Promise<void> {
  if (flags.keyFile !== undefined && flags.saFile !== undefined) throw new UsageError("give --key-file or --sa-file, not both");
  const read = async (flag: string, path: string | undefined): Promise<Buffer> =>
    path === undefined ? Buffer.alloc(0) : await readSecretFile(context, flag, path);
  const [keyFile, saFile] = [await read("--key-file", flags.keyFile), await read("--sa-file", flags.saFile)];
  try {
    const { peer } = await context.client.call("staticPeer", "Add", {
      address,
      port: flags.port ?? 0,
      network: flags.network ?? "",
      ...{ keyFile, saFile, espTransport: flags.espTransport ?? "", localId: flags.localId ?? "", peerId: flags.peerId ?? "" },
    });
    const added = row(peer!);
    if (added.LeftOutOf.length > 0)
      context.complain(`warning: ${address} has no keys and is left out of encrypted networks: ${added.LeftOutOf.join(", ")}`);
    context.one(added, () => `${added.Address}\n`);
  } finally {
    keyFile.fill(0);
    saFile.fill(0);
  }
}

export function register(program: Command, host: Session): void {
  const peer = group(program, "peer", "Static peers: VTEPs of overlay networks, written down by hand");

  leaf<AddFlags>(peer, host, {
    usage: "add <address>",
    summary: "Add a VTEP to all overlay networks, or to one",
    examples: [
      "weft peer add 192.0.2.2",
      "weft peer add 192.0.2.3 --port 8472 --network prod",
      "weft peer add --key-file pair.key 192.0.2.2          encrypted networks too: the same file on both hosts",
      "weft peer add --sa-file kernel.json 192.0.2.4        keyed by hand, for a peer that is not Weft",
    ],
    run: (context, [address], flags) => add(context, address!, flags),
  })
    .option("--network <network>", "of this network only (default: all overlay networks)")
    .option("--port <port>", "UDP port it listens on (default: this node's VXLAN port)", integer("--port", 1, 65535))
    .option("--key-file <file>", "keys are derived from this seed, of `weft cluster keys new`; - is stdin")
    .option("--sa-file <file>", "security associations as JSON (docs/encryption.md); - is stdin")
    .option("--esp-transport <transport>", "with --key-file: udp (port 4500, the default) or raw (IP protocol 50)")
    .option("--local-id <name>", "with --key-file, where a NAT changes addresses: this host's name")
    .option("--peer-id <name>", "likewise the peer's; the other host gives the two the other way round");

  leaf<{ network?: string }>(peer, host, {
    usage: "rm <address...>",
    summary: "Remove VTEPs",
    examples: ["weft peer rm 192.0.2.2", "weft peer rm --network prod 192.0.2.3"],
    async run(context, addresses, flags) {
      await context.each(addresses, async (address) => {
        const { peer: removed } = await context.client.call("staticPeer", "Remove", { address, network: flags.network ?? "" });
        context.print(`${removed!.address}\n`);
      });
    },
  })
    .alias("remove")
    .option("--network <network>", "as given to add");

  leaf(peer, host, {
    usage: "ls",
    summary: "List static peers",
    examples: ["weft peer ls"],
    async run(context) {
      const { peers } = await context.client.call("staticPeer", "List", {});
      context.list(peers.map(row), {
        header: ["ADDRESS", "PORT", "NETWORK", "ENCRYPTION", "CREATED"],
        cells: (one) => [one.Address, String(one.Port), one.Network, encryptionText(one), one.CreatedAt],
        id: (one) => one.Address,
        whole: [0],
      });
    },
  }).alias("list");
}

// weft peer ...: static VTEPs.
import type { Command } from "commander";
import type { StaticPeer__Output } from "../api/generated/weft/v1/StaticPeer.ts";
import { group, integer, leaf, type Session } from "./command.ts";

const row = (peer: StaticPeer__Output) => ({
  Address: peer.address,
  Port: peer.port,
  Network: peer.networkName || (peer.networkId === "" ? "*" : peer.networkId),
  CreatedAt: peer.createdAt,
});

export function register(program: Command, host: Session): void {
  const peer = group(program, "peer", "Static peers: VTEPs of overlay networks, written down by hand");

  leaf<{ network?: string; port?: number }>(peer, host, {
    usage: "add <address>",
    summary: "Add a VTEP to all overlay networks, or to one",
    examples: ["weft peer add 192.0.2.2", "weft peer add 192.0.2.3 --port 8472 --network prod"],
    async run(context, [address], flags) {
      const { peer: added } = await context.client.call("staticPeer", "Add", {
        address: address!,
        port: flags.port ?? 0,
        network: flags.network ?? "",
      });
      context.one(row(added!), () => `${added!.address}\n`);
    },
  })
    .option("--network <network>", "of this network only (default: all overlay networks)")
    .option("--port <port>", "UDP port it listens on (default: this node's VXLAN port)", integer("--port", 1, 65535));

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
        header: ["ADDRESS", "PORT", "NETWORK", "CREATED"],
        cells: (one) => [one.Address, String(one.Port), one.Network, one.CreatedAt],
        id: (one) => one.Address,
      });
    },
  }).alias("list");
}

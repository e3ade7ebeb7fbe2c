// What is ours on the host beside rules: the interfaces of gateways, under their names, with their addresses, switched on. Programs
// that manage the host's network take addresses away, switch interfaces off or give them other names, and sandboxes would have no
// way out until the next start. So they are looked at with each audit, as tables and rules are, and what is mended is said.
//
// A gateway that got another name is deleted: the datapath makes it anew under its own. It is known by its MAC, which is nobody
// else's. Not here: interfaces that are gone (datapath/repair), and those in sandboxes, where programs may do as they like.
import type { NetworkRecord } from "../../records/records.ts";
import { attempt, type Context } from "../context.ts";
import { shared } from "../locks.ts";
import { networkLock } from "../networks/networks.ts";
import { configureHost } from "../networks/presence.ts";

/** The TAPs that networks have on the host. */
function gateways(context: Context): { readonly network: NetworkRecord; readonly name: string; readonly mac: string }[] {
  return [...context.state.networks.values()].flatMap((network) =>
    (context.drivers.get(network.driver).declareNetwork(network, []).ports ?? []).flatMap((port) =>
      port.kind === "tap" && port.namespacePath === null ? [{ network, name: port.interfaceName, mac: port.mac }] : [],
    ),
  );
}

/** Deletes gateways that have another name now; at start before anything is declared, for two with one address lead nowhere. */
export async function deleteRenamed(context: Context): Promise<void> {
  const ours = gateways(context);
  if (ours.length === 0) return;
  const [names, byMac] = [new Set(ours.map(({ name }) => name)), new Map(ours.map((one) => [one.mac, one]))];
  for (const { name, mac, kind } of await context.namespaces.hostLinks()) {
    const owner = byMac.get(mac);
    if (kind !== "tun" || owner === undefined || names.has(name)) continue;
    const fields = { network: owner.network.name, interface: name, own: owner.name };
    context.log("warn", "somebody renamed the interface of a network: it is made anew under its own name", fields);
    await context.namespaces.deleteHostLink(name);
  }
}

/** Gives gateways back what somebody took from them. */
export async function auditHost(context: Context): Promise<void> {
  await attempt(context, "deleting interfaces that were renamed", () => deleteRenamed(context));
  for (const network of await changed(context, [...context.state.networks.values()])) {
    await context.locks.run([shared(networkLock(network))], async () => {
      // It may have been on its way, in or out.
      const now = context.state.networks.get(network.id);
      const [still] = now === undefined ? [] : await changed(context, [now]);
      if (still === undefined) return;
      context.log("warn", "somebody changed the interface of a network: it is configured again", { network: still.name });
      await attempt(context, `configuring the interface of network ${still.name} again`, () => configureHost(context, still));
    });
  }
}

/** Those whose interface is there, but down or without an address of its own. */
async function changed({ drivers, namespaces }: Context, networks: readonly NetworkRecord[]): Promise<NetworkRecord[]> {
  const [links, addresses] = await Promise.all([namespaces.hostLinks(), namespaces.addresses(null)]);
  const up = new Map(links.map((link) => [link.name, link.up]));
  const found = new Set(addresses.map(({ interfaceName, address }) => `${interfaceName} ${address}`));
  return networks.filter((network) =>
    drivers
      .get(network.driver)
      .hostInterfaces(network)
      .some(({ name, addresses: own = [] }) => up.has(name) && !(up.get(name) && own.every((address) => found.has(`${name} ${address}`)))),
  );
}

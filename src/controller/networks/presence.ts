// A network's presence on this host: what it declares to the datapath, its interfaces of the host's own, and the host's rules.
import { setImmediate as turn } from "node:timers/promises";
import type { NetworkRecord } from "../../records/records.ts";
import { type Context, networkOwner, throwFirst } from "../context.ts";
import { admissiblePeers } from "../peers/peer-keys.ts";
import { openHost, routeHost } from "../ports/routing.ts";

/**
 * Makes a network true in data plane and host. Its interface is configured beside the engine's part, and the host's rules, which
 * name the interface only, are made from when it is being opened: each waits for others' threads most of its time.
 */
export async function realizeNetwork(context: Context, network: NetworkRecord): Promise<void> {
  const isRouted = context.drivers.get(network.driver).translation !== undefined;
  let configured: Promise<PromiseSettledResult<void>[]> = Promise.resolve([]);
  const declared = declareNetwork(context, network, () => {
    configured = Promise.allSettled([configureHost(context, network)]);
  });
  // By then a thread opens the interface.
  const routed = isRouted ? turn().then(() => routeHost(context)) : Promise.resolve();
  const settled = await Promise.allSettled([declared, routed]);
  throwFirst([...settled, ...(await configured)]);
}

/** `opened`: see Datapath.declare. */
export function declareNetwork(context: Context, network: NetworkRecord, opened?: () => void): Promise<void> {
  const driver = context.drivers.get(network.driver);
  return context.datapath.declare(networkOwner(network.id), driver.declareNetwork(network, admissiblePeers(context, network)), opened);
}

/** What its interfaces of the host's own need: addresses, "up", and what host programs reach published ports by. */
export async function configureHost(context: Context, network: NetworkRecord): Promise<void> {
  const driver = context.drivers.get(network.driver);
  for (const { withoutIpv6, ...config } of driver.hostInterfaces(network)) {
    if (withoutIpv6) await context.namespaces.enableIpv6(null, config.name, false);
    await context.namespaces.configure(null, config);
  }
  // The kernel takes no IPv6 route of an interface that is down.
  await openHost(context, network);
}

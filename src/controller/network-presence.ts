// A network's presence on this host: what it declares to the datapath, its interfaces of the host's own, and the host's rules.
import type { NetworkRecord } from "../records/records.ts";
import { type Context, networkOwner } from "./context.ts";
import { admissiblePeers } from "./peer-keys.ts";
import { openHost, routeHost } from "./routing.ts";

/** Makes a network true in data plane and host: the host's rules, which name its interface only, while that is being made. */
export async function realizeNetwork(context: Context, network: NetworkRecord): Promise<void> {
  const isRouted = context.drivers.get(network.driver).translation !== undefined;
  const make = async (): Promise<void> => {
    await declareNetwork(context, network);
    await configureHost(context, network);
    // The kernel takes no IPv6 route of an interface that is down.
    await openHost(context, network);
  };
  await all(make(), isRouted ? routeHost(context) : Promise.resolve());
}

/** As Promise.all, but nothing goes on behind the back of whoever takes back what a failed one has begun. */
async function all(...steps: readonly Promise<void>[]): Promise<void> {
  const settled = await Promise.allSettled(steps);
  for (const step of settled) if (step.status === "rejected") throw step.reason;
}

export function declareNetwork(context: Context, network: NetworkRecord): Promise<void> {
  const driver = context.drivers.get(network.driver);
  return context.datapath.declare(networkOwner(network.id), driver.declareNetwork(network, admissiblePeers(context, network)));
}

export async function configureHost(context: Context, network: NetworkRecord): Promise<void> {
  const driver = context.drivers.get(network.driver);
  for (const { withoutIpv6, ...config } of driver.hostInterfaces(network)) {
    if (withoutIpv6) await context.namespaces.enableIpv6(null, config.name, false);
    await context.namespaces.configure(null, config);
  }
}

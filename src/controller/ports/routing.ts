// The host as a router for networks: what it shall do is a pure function of the stored objects, computed anew and handed to
// nat/ whole, which finds out whether anything changed.
import type { NatPlan } from "../../nat/types.ts";
import type { NetworkRecord } from "../../records/records.ts";
import { attempt, type Context } from "../context.ts";
import type { Attachment } from "../endpoints/wants.ts";
import { translationOf } from "./translations.ts";
import { publicationsOf, relaysOf, waysTo } from "./ways-in.ts";

function natPlan(context: Context): NatPlan {
  const networks = [...context.state.networks.values()].flatMap((network) => translationOf(context, network) ?? []);
  const publishing = [...context.state.sandboxes.values()]
    .filter(({ ports }) => ports.length > 0)
    .map((sandbox) => ({ ports: sandbox.ports, ways: waysTo(context, sandbox) }));
  return {
    networks,
    publications: publishing.flatMap(({ ports, ways }) => publicationsOf(ports, ways)),
    relays: publishing.flatMap(({ ports, ways }) => relaysOf(ports, ways)),
  };
}

/** Makes the host route as the stored objects say. */
export async function routeHost(context: Context): Promise<void> {
  await context.nat?.apply(natPlan(context));
}

/** The same on the way back or after a removal: rules for what is gone do no harm, and the next change removes them. */
export async function rerouteHost(context: Context): Promise<void> {
  await attempt(context, "changing the host's address translation", () => routeHost(context));
}

/** Gives a gateway's interface that was made, or made again, what host programs need to reach ports by way of it. */
export async function openHost(context: Context, network: NetworkRecord): Promise<void> {
  const interfaceName = translationOf(context, network)?.interfaceName;
  if (interfaceName !== undefined) await context.nat?.interfaceMade(interfaceName);
}

/** Once nothing leads to these endpoints any more: their connections end with them. */
export async function forgetFlows(context: Context, attachments: readonly Attachment[]): Promise<void> {
  const addresses = attachments
    .filter(({ driver }) => driver.translation !== undefined)
    .flatMap(({ endpoint }) => [endpoint.ipv4, endpoint.ipv6].flatMap((text) => text?.split("/")[0] ?? []));
  if (addresses.length > 0) await attempt(context, "ending tracked connections", async () => context.nat?.forget(addresses));
}

// The host as a router for networks: what it shall do is a pure function of the stored objects, computed anew and handed to
// nat/ whole, which finds out whether anything changed.
import type { NatPlan } from "../nat/types.ts";
import { attempt, type Context } from "./context.ts";

export function natPlan(context: Pick<Context, "state" | "drivers">): NatPlan {
  const networks = [...context.state.networks.values()].flatMap((network) => {
    const translation = context.drivers.get(network.driver).translation?.(network);
    return translation === undefined ? [] : [translation];
  });
  return { networks, publications: [] };
}

/** Makes the host route as the stored objects say. */
export async function routeHost(context: Context): Promise<void> {
  await context.nat?.apply(natPlan(context));
}

/** The same on the way back or after a removal: rules for what is gone do no harm, and the next change removes them. */
export async function rerouteHost(context: Context): Promise<void> {
  await attempt(context, "changing the host's address translation", () => routeHost(context));
}

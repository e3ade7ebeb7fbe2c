// An interface that somebody deleted in a sandbox or on the host: the datapath makes it again, bare. Here it gets its addresses
// and routes back, as at a restore.

import { attachmentsOf, type Context } from "../context.ts";
import { configureInterface } from "../endpoints/attachments.ts";
import { sandboxInterfaces } from "../endpoints/wants.ts";
import { exclusive, shared } from "../locks.ts";
import { networkLock } from "../networks/networks.ts";
import { configureHost } from "../networks/presence.ts";
import { sandboxLock } from "../sandboxes/sandboxes.ts";

/** `port`: as declared, so the endpoint's id, or `<network id>/<what>` for an interface of the host's. */
export async function configureAgain(context: Context, port: string): Promise<void> {
  const endpoint = context.state.endpoints.get(port);
  if (endpoint !== undefined && endpoint.sandboxId !== null) await configureEndpoint(context, endpoint.sandboxId, port);
  const networkId = port.split("/")[0]!;
  if (context.state.networks.has(networkId)) {
    await context.locks.run([shared(networkLock({ id: networkId }))], async () => {
      const network = context.state.networks.get(networkId);
      if (network !== undefined) await configureHost(context, network);
    });
  }
}

/** It may be on its way out while we wait for the lock: then there is nothing to do. */
async function configureEndpoint(context: Context, sandboxId: string, endpointId: string): Promise<void> {
  await context.locks.run([exclusive(sandboxLock({ id: sandboxId }))], async () => {
    const sandbox = context.state.sandboxes.get(sandboxId);
    if (sandbox === undefined) return;
    const link = sandboxInterfaces(attachmentsOf(context, sandbox)).find((one) => one.endpointId === endpointId);
    if (link !== undefined) await configureInterface(context, sandbox, link, true);
  });
}

// The records that the name service answers from: the stored objects, without those that are not made true yet. A sandbox
// itself, though, is told of its own endpoints before the others are: its files are written while it is made.
import type { Member, NameRecords } from "../../dns/names.ts";
import type { Context } from "../context.ts";
import { attachmentsOf } from "../context.ts";
import { linkedTo, linkNames } from "../endpoints/links.ts";
import { routeOrder } from "../endpoints/wants.ts";
import { DEFAULT_BRIDGE, isEgress } from "../names.ts";

export function nameRecords(context: Context): NameRecords {
  const { state, pending } = context;
  return {
    get generation() {
      return state.generation + pending.generation;
    },
    sandbox: (id) => state.sandboxes.get(id),
    attachments: (sandboxId) =>
      attachmentsOf(context, { id: sandboxId })
        .filter(({ network }) => !isEgress(network))
        .sort(routeOrder)
        .map(({ endpoint, network }) => ({ endpoint, network, named: network.name !== DEFAULT_BRIDGE })),
    links: (sandboxId) =>
      linkedTo(context, sandboxId).map((link) => ({ names: linkNames(link), ipv4: link.endpoint.ipv4, ipv6: link.endpoint.ipv6 })),
    defaultBridge: () => state.networkByName(DEFAULT_BRIDGE),
    members: (networkId) =>
      state.endpointsOfNetwork(networkId).flatMap((endpoint): Member[] => {
        const sandbox = endpoint.sandboxId === null ? undefined : state.sandboxes.get(endpoint.sandboxId);
        if (sandbox === undefined || pending.has(endpoint.id) || pending.has(sandbox.id)) return [];
        return [{ endpoint, sandbox }];
      }),
  };
}

// The hosts that VTEPs and associations name. Nobody declares a host: it is there while an entry names it, with one UDP port.
import type { Change, Changes, Entry } from "./delta.ts";
import type { Host } from "./desired.ts";

const hostOfVtep = ({ address, port }: Entry<"vteps">): Host => ({ address, port });
const hostOfAssociation = ({ peer, vxlanPort }: Entry<"associations">): Host => ({ address: peer, port: vxlanPort });

/** How the hosts change, of which `known` stand; null if one has two UDP ports, or gets another. `naming` counts who names one then. */
export function hostChanges(
  vteps: Changes<"vteps">,
  associations: Changes<"associations">,
  known: ReadonlyMap<string, Host>,
  naming: (address: string) => number,
): Map<string, Change<Host>> | null {
  const hosts = new Map<string, Change<Host>>();
  for (const { before, after } of [...hostsIn(vteps, hostOfVtep), ...hostsIn(associations, hostOfAssociation)]) {
    const { address } = (after ?? before)!;
    const stands = known.get(address);
    if (after !== undefined) {
      const has = stands ?? hosts.get(address)?.after;
      if (has === undefined) hosts.set(address, { before: undefined, after });
      else if (has.port !== after.port) return null;
    } else if (stands !== undefined && naming(address) === 0) {
      hosts.set(address, { before: stands, after: undefined });
    }
  }
  return hosts;
}

/** The hosts that entries name, before and after; an entry that moves from one to another is two changes. */
function hostsIn<T>(changes: ReadonlyMap<string, Change<T>>, hostOf: (entry: T) => Host): Change<Host>[] {
  const hosts: Change<Host>[] = [];
  for (const change of changes.values()) {
    const before = change.before === undefined ? undefined : hostOf(change.before);
    const after = change.after === undefined ? undefined : hostOf(change.after);
    if (before?.address === after?.address) hosts.push({ before, after });
    else
      for (const one of [
        { before, after: undefined },
        { before: undefined, after },
      ])
        if (one.before !== one.after) hosts.push(one);
  }
  return hosts;
}

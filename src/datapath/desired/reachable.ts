// VTEPs that this host can't send to are left out of a declaration, with all that points to them, before anybody looks at the
// rest. They are no fault of the owner's: a peer is stored once and the daemon may be started with another underlay address
// later, and a network must not be lost for it. Whoever adds a peer is told at once, by the controller.
import type { Declaration, VtepDeclaration } from "../declarations.ts";
import { isIpv6 } from "../words.ts";
import { vtepKey } from "./identity.ts";

export interface LeftOut {
  readonly vtep: VtepDeclaration;
  readonly reason: string;
}

export interface Reachable {
  readonly declaration: Declaration;
  readonly leftOut: readonly LeftOut[];
}

/** `addresses`: the underlay's own. */
export function reachable(declaration: Declaration, addresses: readonly string[]): Reachable {
  const leftOut: LeftOut[] = [];
  for (const vtep of declaration.vteps ?? []) {
    const reason = whyNot(vtep.address, addresses);
    if (reason !== null) leftOut.push({ vtep, reason });
  }
  if (leftOut.length === 0) return { declaration, leftOut };
  const keys = new Set(leftOut.map(({ vtep }) => vtepKey(vtep.domain, vtep.address)));
  return {
    declaration: {
      ...declaration,
      vteps: (declaration.vteps ?? []).filter(({ domain, address }) => !keys.has(vtepKey(domain, address))),
      fdb: (declaration.fdb ?? []).filter(({ domain, to }) => !("vtep" in to && keys.has(vtepKey(domain, to.vtep)))),
    },
    leftOut,
  };
}

function whyNot(address: string, addresses: readonly string[]): string | null {
  if (addresses.includes(address)) return "it is this host's own underlay address";
  const ipv6 = isIpv6(address);
  if (addresses.some((own) => isIpv6(own) === ipv6)) return null;
  const family = ipv6 ? "IPv6" : "IPv4";
  return `it is ${family}, but the daemon has no ${family} underlay address; --underlay-address gives it one`;
}

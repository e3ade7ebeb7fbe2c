// `--subnet --ip-range --gateway --aux-address`, each repeatable, into one configuration a subnet, as Docker does it: a range,
// a gateway or an auxiliary address belongs to the subnet that contains it. With one subnet they all belong to that, and the
// daemon judges them, as it judges everything else.
import { invalidArgument } from "../errors.ts";
import { tryParseAddress } from "../net/address.ts";
import { containsAddress, tryParsePrefix } from "../net/prefix.ts";
import { strictPairs } from "./values.ts";

export interface IpamFlags {
  readonly subnet?: readonly string[];
  readonly ipRange?: readonly string[];
  readonly gateway?: readonly string[];
  readonly auxAddress?: readonly string[];
}

export interface IpamEntry {
  subnet: string;
  ipRange: string;
  gateway: string;
  auxAddresses: Record<string, string>;
}

/** What is malformed contains nothing and is left for the daemon to name. */
function contains(subnet: string, address: string): boolean {
  const outer = tryParsePrefix(subnet);
  const inner = tryParseAddress(address.split("/")[0]!);
  return outer !== null && inner !== null && containsAddress(outer, inner);
}

export function ipamEntries(flags: IpamFlags): IpamEntry[] {
  const { subnet = [], ipRange = [], gateway = [] } = flags;
  const auxiliary = strictPairs("--aux-address", flags.auxAddress);
  const entries = subnet.map((one): IpamEntry => ({ subnet: one, ipRange: "", gateway: "", auxAddresses: Object.create(null) }));
  const orphan = ipRange[0] ?? gateway[0] ?? Object.values(auxiliary)[0];
  if (entries.length === 0) {
    if (orphan !== undefined)
      throw invalidArgument(`every ip-range or gateway must have a corresponding subnet: give --subnet for ${orphan}`);
    return [];
  }
  const owner = (what: string, address: string): IpamEntry => {
    const found = entries.length === 1 ? entries[0] : entries.find((entry) => contains(entry.subnet, address));
    if (found === undefined) throw invalidArgument(`no matching subnet for ${what} ${address}`);
    return found;
  };
  for (const range of ipRange) {
    const entry = owner("range", range);
    if (entry.ipRange !== "")
      throw invalidArgument(`cannot configure multiple ranges (${range}, ${entry.ipRange}) on the same subnet (${entry.subnet})`);
    entry.ipRange = range;
  }
  for (const address of gateway) {
    const entry = owner("gateway", address);
    if (entry.gateway !== "")
      throw invalidArgument(`cannot configure multiple gateways (${address}, ${entry.gateway}) for the same subnet (${entry.subnet})`);
    entry.gateway = address;
  }
  for (const [name, address] of Object.entries(auxiliary)) owner("aux-address", address).auxAddresses[name] = address;
  return entries;
}

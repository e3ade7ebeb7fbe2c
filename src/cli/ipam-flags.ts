// `--subnet --ip-range --gateway --aux-address`, each repeatable, into one configuration a subnet, as Docker does it: a range,
// a gateway or an auxiliary address belongs to the subnet that contains it, and there are at most as many ranges and gateways
// as subnets. What is malformed belongs to none.
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

/** What is malformed contains nothing. */
function contains(subnet: string, address: string): boolean {
  const outer = tryParsePrefix(subnet);
  const inner = tryParseAddress(address.split("/")[0]!);
  return outer !== null && inner !== null && containsAddress(outer, inner);
}

/** Of one request; against networks there are, the daemon looks. */
function refuseOverlaps(subnets: readonly string[]): void {
  for (const [at, subnet] of subnets.entries()) {
    const first = subnets.slice(0, at).find((other) => contains(other, subnet) || contains(subnet, other));
    if (first !== undefined) throw invalidArgument(`multiple overlapping subnet configuration is not supported: ${subnet} and ${first}`);
  }
}

export function ipamEntries(flags: IpamFlags): IpamEntry[] {
  const { subnet = [], ipRange = [], gateway = [] } = flags;
  const auxiliary = strictPairs("--aux-address", flags.auxAddress);
  const entries = subnet.map((one): IpamEntry => ({ subnet: one, ipRange: "", gateway: "", auxAddresses: Object.create(null) }));
  const orphan = ipRange[entries.length] ?? gateway[entries.length];
  if (orphan !== undefined)
    throw invalidArgument(`every ip-range or gateway must have a corresponding subnet: give --subnet for ${orphan}`);
  refuseOverlaps(subnet);
  const owner = (what: string, address: string): IpamEntry => {
    const found = entries.find((entry) => contains(entry.subnet, address));
    if (found === undefined) {
      const isAddress = tryParseAddress(address.split("/")[0]!) !== null;
      const remedy = isAddress ? "give a --subnet that contains it" : "that is no address, give one such as 10.0.0.1 or fd00::1";
      throw invalidArgument(`no matching subnet for ${what} ${address}: ${remedy}`);
    }
    return found;
  };
  for (const range of ipRange) {
    if (!/\/\d{1,3}$/.test(range) || tryParseAddress(range.split("/")[0]!) === null)
      throw invalidArgument(`invalid CIDR address: ${range}: give an address and a length, 10.0.0.0/24`);
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

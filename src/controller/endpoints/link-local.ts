// `--link-local-ip`: further addresses of an endpoint's interface, of 169.254.0.0/16 and fe80::/10, which no pool gives and nobody
// routes: two stations of a link that know them reach each other by them. No name resolves to them, and nothing is published there.
// Docker hands one address to several sandboxes of a network; here it is refused, for then one of them would not be reached.
import { addressInUse, invalidArgument, type WeftError } from "../../errors.ts";
import { addressRange, formatAddress, parseAddress, tryParseAddress } from "../../net/address.ts";
import type { EndpointRecord, NetworkRecord } from "../../records/records.ts";

/** Canonical. Throws INVALID_ARGUMENT for what is none. */
export function readLinkLocal(given: readonly string[]): string[] {
  const found = given.map((text) => {
    const address = tryParseAddress(text);
    if (address === null || addressRange(address) !== "linkLocal") {
      throw invalidArgument(`invalid link-local IP address: ${text}: give one of 169.254.0.0/16 or fe80::/10`);
    }
    return formatAddress(address);
  });
  const twice = found.find((address, at) => found.indexOf(address) < at);
  if (twice !== undefined) throw invalidArgument(`invalid link-local IP address: ${twice}: it is given twice`);
  return found;
}

/** `others`: endpoints of the network. */
export function refuseUsedLinkLocal(addresses: readonly string[], network: NetworkRecord, others: readonly EndpointRecord[]): void {
  for (const address of addresses) {
    const user = others.find(({ requested }) => requested.linkLocal.includes(address));
    if (user !== undefined) throw linkLocalInUse(address, network, user.name);
  }
}

export const linkLocalInUse = (address: string, network: NetworkRecord, user: string): WeftError =>
  addressInUse(`Address already in use: ${address} is the link-local address of ${user} on network ${network.name}: give another`);

/** With the prefix length of the link, as its interface has it. */
export const withLinkLength = (address: string): string => `${address}/${parseAddress(address).family === 4 ? 16 : 64}`;

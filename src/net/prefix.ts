// Prefixes (subnets, pools, routes) as values: the network's number and a length. A prefix has no bits set behind its length;
// an address with a prefix length ("10.0.0.2/24", what an interface has) is an InterfaceAddress.
import { invalidArgument } from "../errors.ts";
import { type Address, addressBits, type Family, formatAddress, tryParseAddress } from "./address.ts";

export interface Prefix {
  readonly family: Family;
  /** Number of the first address. */
  readonly value: bigint;
  readonly length: number;
}

export interface InterfaceAddress {
  readonly address: Address;
  readonly prefix: Prefix;
}

const LENGTH = /^(?:0|[1-9]\d{0,2})$/;

/** "10.0.0.2/24" -> the address and its subnet; null if it is none. */
export function tryParseInterfaceAddress(text: string): InterfaceAddress | null {
  const slash = text.indexOf("/");
  if (slash < 0) return null;
  const address = tryParseAddress(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === null || !LENGTH.test(lengthText)) return null;
  const length = Number(lengthText);
  if (length > addressBits(address.family)) return null;
  return { address, prefix: prefixOf(address, length) };
}

/** Null if `text` is no prefix or has bits set behind its length. */
export function tryParsePrefix(text: string): Prefix | null {
  const parsed = tryParseInterfaceAddress(text);
  return parsed !== null && parsed.address.value === parsed.prefix.value ? parsed.prefix : null;
}

/** Throws INVALID_ARGUMENT naming `what` ("subnet"), the value and, where bits are set behind the length, the right one. */
export function parsePrefix(text: string, what = "subnet"): Prefix {
  const parsed = tryParseInterfaceAddress(text);
  if (parsed === null)
    throw invalidArgument(`invalid ${what} ${text}: invalid CIDR block notation, give an address and a length: 10.0.0.0/24`);
  if (parsed.address.value !== parsed.prefix.value) {
    throw invalidArgument(`invalid ${what} ${text}: it should be ${formatPrefix(parsed.prefix)}`);
  }
  return parsed.prefix;
}

/** Throws INVALID_ARGUMENT if `text` is no address with a prefix length. */
export function parseInterfaceAddress(text: string, what = "address"): InterfaceAddress {
  const parsed = tryParseInterfaceAddress(text);
  if (parsed === null) throw invalidArgument(`invalid ${what} ${text}: give an address and a length: 10.0.0.2/24`);
  return parsed;
}

export const formatPrefix = (prefix: Prefix): string => `${formatAddress(prefix)}/${prefix.length}`;

/** The prefix of that length that `address` lies in. */
export function prefixOf(address: Address, length: number): Prefix {
  const hostBits = BigInt(addressBits(address.family) - length);
  return { family: address.family, value: (address.value >> hostBits) << hostBits, length };
}

/** How many addresses it has. */
export const prefixSize = (prefix: Prefix): bigint => 1n << BigInt(addressBits(prefix.family) - prefix.length);

export const firstAddress = (prefix: Prefix): Address => ({ family: prefix.family, value: prefix.value });

export const lastAddress = (prefix: Prefix): Address => ({ family: prefix.family, value: prefix.value + prefixSize(prefix) - 1n });

export function containsAddress(prefix: Prefix, address: Address): boolean {
  return prefix.family === address.family && address.value >= prefix.value && address.value < prefix.value + prefixSize(prefix);
}

/** Whether all of `inner` is in `outer`. */
export function containsPrefix(outer: Prefix, inner: Prefix): boolean {
  return inner.length >= outer.length && containsAddress(outer, firstAddress(inner));
}

/** Two prefixes overlap exactly if one contains the other. */
export const prefixesOverlap = (a: Prefix, b: Prefix): boolean => containsPrefix(a, b) || containsPrefix(b, a);

/** IPv4 before IPv6, then by first address, then the larger prefix first. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : a.length - b.length;
}

/** The n-th prefix of `length` inside `base`; the caller keeps n below 2^(length - base.length). */
export function subPrefix(base: Prefix, length: number, n: bigint): Prefix {
  return { family: base.family, value: base.value + (n << BigInt(addressBits(base.family) - length)), length };
}

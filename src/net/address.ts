// IP addresses of both families as values: a family and a number. Text comes in through parseAddress and goes out through
// formatAddress, in the form ipaddr.js prints ("10.0.0.2", "fd00::2"), so that two spellings of one address compare equal
// everywhere behind the API.
//
// Numbers are bigint: address arithmetic (the n-th address of a /64) must not lose bits. What is not here: zones
// ("fe80::1%eth0", meaningless beyond one host) and the short IPv4 forms of inet_aton ("10.1", "0x7f.1", "010.0.0.1"), which
// different programs read differently.
import ipaddr from "ipaddr.js";
import { invalidArgument } from "../errors.ts";

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

const FOUR_DECIMALS = /^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/;

/** 32 or 128. */
export const addressBits = (family: Family): number => (family === 4 ? 32 : 128);

/** Null if `text` is no address. */
export function tryParseAddress(text: string): Address | null {
  if (text.includes(":")) {
    if (text.includes("%") || !ipaddr.IPv6.isValid(text)) return null;
    return { family: 6, value: fromBytes(ipaddr.IPv6.parse(text).toByteArray()) };
  }
  if (!FOUR_DECIMALS.test(text) || !ipaddr.IPv4.isValid(text)) return null;
  return { family: 4, value: fromBytes(ipaddr.IPv4.parse(text).toByteArray()) };
}

/** Throws INVALID_ARGUMENT naming `what` ("gateway") and the value. */
export function parseAddress(text: string, what = "address"): Address {
  const address = tryParseAddress(text);
  if (address === null) throw invalidArgument(`invalid ${what} ${JSON.stringify(text)}: give an IPv4 (10.0.0.2) or IPv6 (fd00::2) address`);
  return address;
}

/** The same for an address of one family, as `--ip` and `--ip6` take it. */
export function parseFamilyAddress(text: string, family: 4 | 6): Address {
  const address = tryParseAddress(text);
  const example = family === 4 ? "10.0.0.2" : "fd00::2";
  if (address === null) throw invalidArgument(`invalid IPv${family} address ${JSON.stringify(text)}: give one such as ${example}`);
  if (address.family === family) return address;
  throw invalidArgument(
    `invalid IPv${family} address: ${text}: it is IPv${address.family}, give it as such (--ip${family === 4 ? "6" : ""})`,
  );
}

export function formatAddress(address: Address): string {
  return ipaddr.fromByteArray([...addressBytes(address)]).toString();
}

/** In network order: 4 or 16 bytes. */
export function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(addressBits(address.family) / 8);
  let rest = address.value;
  for (let index = bytes.length - 1; index >= 0; index--) {
    bytes[index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

/** IPv4 before IPv6, then by number. */
export function compareAddresses(a: Address, b: Address): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

const MAPPED = 0xffffn;

/** The IPv4 address that ::ffff:192.0.2.1 stands for (RFC 4291 section 2.5.5.2); others as they are. */
export function unmapped(address: Address): Address {
  if (address.family === 4 || address.value >> 32n !== MAPPED) return address;
  return { family: 4, value: address.value & 0xffffffffn };
}

export const sameAddress = (a: Address, b: Address): boolean => a.family === b.family && a.value === b.value;

/** Canonical text of `text`: what two spellings of one address have in common. Throws as parseAddress does. */
export const canonicalAddress = (text: string, what?: string): string => formatAddress(parseAddress(text, what));

/** "unicast", "private", "uniqueLocal", "multicast", "loopback", "unspecified", "linkLocal", ... as ipaddr.js sorts them. */
export function addressRange(address: Address): string {
  return ipaddr.fromByteArray([...addressBytes(address)]).range();
}

function fromBytes(bytes: readonly number[]): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

// One subnet's addresses. Never given: the network's first address (in IPv6 the subnet-router anycast, RFC 4291 2.6.1) and in
// IPv4 its last (broadcast), but for prefixes too short to spare them (/31 by RFC 3021, /127 by RFC 6164, /32, /128); the
// gateway; auxiliary addresses, which belong to something we don't run.
//
// Addresses that nobody asks for by value are given serially: always behind the last one given, and round. So an address that
// was released comes back as late as can be, when the caches of neighbours have forgotten whom it meant.
//
// An address asked for by value may lie outside of --ip-range, which only bounds what is given unasked.

import { addressInUse, exhausted, invalidArgument, type WeftError } from "../errors.ts";
import { type Address, addressBits, formatAddress, parseAddress } from "../net/address.ts";
import { containsAddress, firstAddress, formatPrefix, lastAddress, type Prefix, parsePrefix, prefixSize } from "../net/prefix.ts";
import type { IpamConfig } from "../records/records.ts";
import { SparseBitmap } from "./bitmap.ts";

export interface PoolUsage {
  readonly ipsInUse: number;
  readonly dynamicIpsAvailable: number;
}

export class AddressPool {
  readonly subnet: Prefix;
  readonly #range: Prefix;
  readonly #taken = new SparseBitmap();
  /** Offsets of what is never given. */
  readonly #own: readonly bigint[];
  /** Offset in the subnet behind the last address given serially. */
  #next: bigint;
  /** First and last offset of the range. */
  readonly #first: bigint;
  readonly #last: bigint;

  constructor(config: IpamConfig) {
    this.subnet = parsePrefix(config.subnet);
    this.#range = config.ipRange === null ? this.subnet : parsePrefix(config.ipRange, "ip-range");
    this.#first = this.#range.value - this.subnet.value;
    this.#last = this.#first + prefixSize(this.#range) - 1n;
    this.#next = this.#first;
    const given = [config.gateway, ...Object.values(config.auxAddresses)].filter((text) => text !== null);
    this.#own = [...reservedAddresses(this.subnet), ...given.map((text) => parseAddress(text))].map((one) => this.#offset(one));
    for (const offset of this.#own) this.#taken.add(offset);
  }

  /** Continue behind this address, which a store remembered. One from elsewhere is ignored. */
  resumeBehind(address: Address): void {
    if (containsAddress(this.#range, address)) this.#next = this.#offset(address) + 1n;
  }

  /** The next one free. */
  request(): Address {
    let offset = this.#next > this.#last ? null : this.#taken.nextFree(this.#next, this.#last);
    offset ??= this.#taken.nextFree(this.#first, this.#last);
    if (offset === null) {
      throw exhausted(
        `no available addresses on this pool: all of ${formatPrefix(this.#range)} are in use; remove endpoints or create the network with a larger subnet or ip-range`,
      );
    }
    this.#taken.add(offset);
    this.#next = offset + 1n;
    return { family: this.subnet.family, value: this.subnet.value + offset };
  }

  /** This one. */
  requestAddress(address: Address): void {
    if (!containsAddress(this.subnet, address)) throw outOfRange(address, [this.subnet]);
    if (reservedAddresses(this.subnet).some((reserved) => reserved.value === address.value)) {
      throw invalidArgument(
        `requested address is out of range: ${formatAddress(address)} is ${reservedAs(this.subnet)}; choose another or leave it out to have one chosen`,
      );
    }
    if (!this.#taken.add(this.#offset(address))) {
      throw addressInUse(
        `Address already in use: ${formatAddress(address)} in ${formatPrefix(this.subnet)}; choose another or leave it out to have one chosen`,
      );
    }
  }

  release(address: Address): void {
    if (containsAddress(this.subnet, address)) this.#taken.delete(this.#offset(address));
  }

  /** Makes what is taken be what the subnet itself takes and `held`; answers what was too much and what was missing. */
  reconcile(held: Iterable<Address>): { readonly freed: Address[]; readonly claimed: Address[] } {
    const due = new SparseBitmap();
    for (const offset of this.#own) due.add(offset);
    for (const address of held) if (containsAddress(this.subnet, address)) due.add(this.#offset(address));
    const freed = this.#taken.without(due);
    const claimed = due.without(this.#taken);
    for (const offset of freed) this.#taken.delete(offset);
    for (const offset of claimed) this.#taken.add(offset);
    const address = (offset: bigint): Address => ({ family: this.subnet.family, value: this.subnet.value + offset });
    return { freed: freed.map(address), claimed: claimed.map(address) };
  }

  isTaken(address: Address): boolean {
    return containsAddress(this.subnet, address) && this.#taken.has(this.#offset(address));
  }

  /** In Docker's sense: in use counts what is reserved; both stop at the largest safe integer. */
  usage(): PoolUsage {
    const free = this.#last - this.#first + 1n - this.#taken.countIn(this.#first, this.#last);
    return { ipsInUse: saturate(this.#taken.count), dynamicIpsAvailable: saturate(free) };
  }

  #offset(address: Address): bigint {
    return address.value - this.subnet.value;
  }
}

/** Addresses of a subnet that mean the subnet itself. */
export function reservedAddresses(subnet: Prefix): readonly Address[] {
  if (addressBits(subnet.family) - subnet.length < 2) return [];
  return subnet.family === 4 ? [firstAddress(subnet), lastAddress(subnet)] : [firstAddress(subnet)];
}

/** What they are, for a message: "the network or broadcast address of 10.0.0.0/24". */
export const reservedAs = (subnet: Prefix): string =>
  `${subnet.family === 4 ? "the network or broadcast" : "the subnet-router anycast"} address of ${formatPrefix(subnet)}`;

/** What a gateway is unless the user says: the first address that an interface can have. */
export function defaultGateway(subnet: Prefix): Address {
  const first = firstAddress(subnet);
  return reservedAddresses(subnet).length === 0 ? first : { family: first.family, value: first.value + 1n };
}

export function outOfRange(address: Address, subnets: readonly Prefix[]): WeftError {
  const where =
    subnets.length === 0 ? `the network has no IPv${address.family} subnet` : `it must be in ${subnets.map(formatPrefix).join(" or ")}`;
  return invalidArgument(`requested address is out of range: ${formatAddress(address)}, ${where}`);
}

const saturate = (count: bigint): number => (count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(count));

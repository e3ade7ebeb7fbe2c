// Where subnets come from when the user names none: Docker's lists, in Docker's order, and for IPv6 the host's own unique
// local prefix (RFC 4193): fd00::/8, 40 bits drawn once and stored, a 16-bit number per network, /64.
import { exhausted, invalidArgument } from "../errors.ts";
import { addressBits, type Family } from "../net/address.ts";
import { formatPrefix, type Prefix, parsePrefix, prefixesOverlap, subPrefix } from "../net/prefix.ts";

/** "local": networks of this host. "global": networks that span hosts. */
export type AddressSpace = "local" | "global";

interface DefaultPool {
  readonly base: Prefix;
  /** Length of the subnets cut from it. */
  readonly length: number;
}

const pool = (base: string, length: number): DefaultPool => ({ base: parsePrefix(base), length });

const IPV4_POOLS: Readonly<Record<AddressSpace, readonly DefaultPool[]>> = {
  local: [
    pool("172.17.0.0/16", 16),
    pool("172.18.0.0/16", 16),
    pool("172.19.0.0/16", 16),
    pool("172.20.0.0/14", 16),
    pool("172.24.0.0/14", 16),
    pool("172.28.0.0/14", 16),
    pool("192.168.0.0/16", 20),
  ],
  global: [pool("10.0.0.0/8", 24)],
};

const ULA_SUBNET_LENGTH = 64;

/** The /48 below fd00::/8 with a 40-bit global id, in hexadecimal (RFC 4193 section 3.1). */
function ulaPrefix(globalId: string): Prefix {
  return { family: 6, value: ((0xfdn << 40n) | BigInt(`0x${globalId}`)) << 80n, length: 48 };
}

/**
 * The first default subnet that overlaps none of `taken`. `length`: the user asked for any subnet of this size
 * (`--subnet 0.0.0.0/24`). `globalId`: see ulaPrefix.
 */
export function chooseDefaultSubnet(
  space: AddressSpace,
  family: Family,
  taken: readonly Prefix[],
  globalId: string,
  length?: number,
): Prefix {
  const pools = family === 4 ? IPV4_POOLS[space] : [{ base: ulaPrefix(globalId), length: ULA_SUBNET_LENGTH }];
  const usable = pools.filter(({ base }) => length === undefined || length >= base.length);
  if (usable.length === 0 || (length !== undefined && length > addressBits(family))) {
    const largest = Math.min(...pools.map(({ base }) => base.length));
    throw invalidArgument(`no default address pool has a /${length}: the largest is a /${largest}; name a subnet`);
  }
  for (const { base, length: usual } of usable) {
    const free = firstFree(base, length ?? usual, taken);
    if (free !== null) return free;
  }
  throw exhausted(
    `all predefined address pools have been fully subnetted: none of ${usable.map(({ base }) => formatPrefix(base)).join(", ")} has a subnet left that no network and no route of this host uses; name one by --subnet or remove networks`,
  );
}

/** The first subnet of `length` in `base` that overlaps none of `taken`, hopping over each obstacle at once. */
function firstFree(base: Prefix, length: number, taken: readonly Prefix[]): Prefix | null {
  const hostBits = BigInt(addressBits(base.family) - length);
  const count = 1n << BigInt(length - base.length);
  const obstacles = taken.filter((prefix) => prefixesOverlap(prefix, base));
  for (let n = 0n; n < count; ) {
    const candidate = subPrefix(base, length, n);
    const hit = obstacles.find((prefix) => prefixesOverlap(prefix, candidate));
    if (hit === undefined) return candidate;
    const end = hit.value + (1n << BigInt(addressBits(base.family) - hit.length));
    const next = (end - base.value) >> hostBits;
    n = next > n ? next : n + 1n;
  }
  return null;
}

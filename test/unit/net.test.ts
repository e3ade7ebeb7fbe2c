// Addresses, prefixes and MACs: tables, and random prefixes against plain arithmetic on strings of bits.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Address, addressRange, compareAddresses, formatAddress, parseAddress, tryParseAddress } from "../../src/net/address.ts";
import { macFromIpv4, parseMac, randomMac } from "../../src/net/mac.ts";
import {
  comparePrefixes,
  containsAddress,
  containsPrefix,
  formatPrefix,
  lastAddress,
  type Prefix,
  parseInterfaceAddress,
  parsePrefix,
  prefixesOverlap,
  prefixOf,
  prefixSize,
  subPrefix,
  tryParsePrefix,
} from "../../src/net/prefix.ts";

describe("addresses", () => {
  const CANONICAL: readonly [string, string | null][] = [
    ["10.0.0.2", "10.0.0.2"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["FD00:0:0::2", "fd00::2"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["::", "::"],
    ["::ffff:10.0.0.1", "::ffff:a00:1"],
    ["10.0.0", null],
    ["10.0.0.256", null],
    ["010.0.0.1", null],
    ["0x0a.0.0.1", null],
    ["10.0.0.1 ", null],
    ["", null],
    ["fe80::1%eth0", null],
    ["fd00::1::2", null],
    ["fd00::zz", null],
    ["1:2:3:4:5:6:7:8:9", null],
    ["nonsense", null],
  ];
  it.each(CANONICAL)("reads %j as %j", (text, expected) => {
    const address = tryParseAddress(text);
    expect(address === null ? null : formatAddress(address)).toBe(expected);
  });

  it("names what is wrong", () => {
    expect(() => parseAddress("10.0.0", "gateway")).toThrow('invalid gateway "10.0.0"');
  });

  it("orders IPv4 before IPv6, then by number", () => {
    const texts = ["fd00::1", "10.0.0.10", "::1", "10.0.0.9"];
    expect(
      texts
        .map((text) => parseAddress(text))
        .sort(compareAddresses)
        .map(formatAddress),
    ).toEqual(["10.0.0.9", "10.0.0.10", "::1", "fd00::1"]);
  });

  it.each([
    ["10.0.0.1", "private"],
    ["224.0.0.1", "multicast"],
    ["fe80::1", "linkLocal"],
    ["fd00::1", "uniqueLocal"],
    ["::", "unspecified"],
  ])("sorts %s as %s", (text, range) => expect(addressRange(parseAddress(text))).toBe(range));
});

describe("prefixes", () => {
  it.each([
    ["10.0.0.0/8", "10.0.0.0/8"],
    ["FD00:0::/64", "fd00::/64"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["10.0.0.1/32", "10.0.0.1/32"],
    ["10.0.0.1/24", null],
    ["10.0.0.0/33", null],
    ["fd00::/129", null],
    ["10.0.0.0/08", null],
    ["10.0.0.0/-1", null],
    ["10.0.0.0", null],
    ["10.0.0.0/", null],
    ["10.0.0.0/8/8", null],
  ])("reads %j as %j", (text, expected) => {
    const prefix = tryParsePrefix(text);
    expect(prefix === null ? null : formatPrefix(prefix)).toBe(expected);
  });

  it("says what a prefix with host bits should be", () => {
    expect(() => parsePrefix("10.0.0.1/24")).toThrow("invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24");
    expect(() => parsePrefix("fd00::1/64", "ip-range")).toThrow("invalid ip-range fd00::1/64: it should be fd00::/64");
  });

  it("splits an interface's address", () => {
    const { address, prefix } = parseInterfaceAddress("fd00::5/64");
    expect([formatAddress(address), formatPrefix(prefix)]).toEqual(["fd00::5", "fd00::/64"]);
  });

  it("counts and cuts", () => {
    const ten = parsePrefix("10.0.0.0/8");
    expect(prefixSize(ten)).toBe(2n ** 24n);
    expect(formatAddress(lastAddress(ten))).toBe("10.255.255.255");
    expect(formatPrefix(subPrefix(ten, 24, 258n))).toBe("10.1.2.0/24");
    expect(prefixSize(parsePrefix("::/0"))).toBe(2n ** 128n);
  });

  it("orders by family, address and size", () => {
    const texts = ["fd00::/64", "10.0.1.0/24", "10.0.0.0/16", "10.0.0.0/8"];
    expect(
      texts
        .map((text) => parsePrefix(text))
        .sort(comparePrefixes)
        .map(formatPrefix),
    ).toEqual(["10.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "fd00::/64"]);
  });

  // The oracle works on strings of 0 and 1.
  const bits = (address: Address): string => address.value.toString(2).padStart(address.family === 4 ? 32 : 128, "0");
  const prefixBits = (prefix: Prefix): string => bits(prefix).slice(0, prefix.length);
  const anyAddress = fc.constantFrom<4 | 6>(4, 6).chain((family) => {
    const limit = family === 4 ? 2n ** 32n - 1n : 2n ** 128n - 1n;
    return fc.bigInt({ min: 0n, max: limit }).map((value): Address => ({ family, value }));
  });
  const anyPrefix = anyAddress.chain((address) =>
    fc.integer({ min: 0, max: address.family === 4 ? 32 : 128 }).map((length) => prefixOf(address, length)),
  );
  /** Two of which one is likely to be in the other. */
  const related = fc.tuple(anyPrefix, anyPrefix, fc.boolean()).map(([a, b, inside]) => {
    if (!inside || b.length < a.length || a.family !== b.family) return [a, b] as const;
    return [a, prefixOf({ family: a.family, value: a.value | (b.value % prefixSize(a)) }, b.length)] as const;
  });

  it("parses what it formats", () => {
    fc.assert(
      fc.property(anyAddress, anyPrefix, (address, prefix) => {
        expect(parseAddress(formatAddress(address))).toEqual(address);
        expect(parsePrefix(formatPrefix(prefix))).toEqual(prefix);
      }),
    );
  });

  it("contains and overlaps as strings of bits do", () => {
    fc.assert(
      fc.property(related, ([a, b]) => {
        const sameFamily = a.family === b.family;
        expect(containsPrefix(a, b)).toBe(sameFamily && prefixBits(b).startsWith(prefixBits(a)));
        expect(prefixesOverlap(a, b)).toBe(
          sameFamily && (prefixBits(b).startsWith(prefixBits(a)) || prefixBits(a).startsWith(prefixBits(b))),
        );
        expect(prefixesOverlap(a, b)).toBe(prefixesOverlap(b, a));
        expect(containsAddress(a, b)).toBe(sameFamily && bits(b).startsWith(prefixBits(a)));
      }),
    );
  });
});

describe("MACs", () => {
  it.each([
    ["02:42:0A:00:00:05", "02:42:0a:00:00:05"],
    ["02-42-0a-00-00-05", "02:42:0a:00:00:05"],
  ])("reads %s", (text, expected) => expect(parseMac(text)).toBe(expected));

  it.each([
    ["02:00", "give six bytes"],
    ["02:42:0a:00:00:5", "give six bytes"],
    ["02:42-0a:00:00:05", "give six bytes"],
    ["01:00:5e:00:00:01", "group address"],
    ["ff:ff:ff:ff:ff:ff", "group address"],
    ["00:00:00:00:00:00", "all zero"],
    ["", "give six bytes"],
  ])("refuses %s: %s", (text, reason) => expect(() => parseMac(text)).toThrow(reason));

  it("makes Docker's", () => {
    expect(macFromIpv4(parseAddress("10.0.0.5"))).toBe("02:42:0a:00:00:05");
    expect(randomMac((count) => new Uint8Array(count).fill(0xab))).toBe("02:42:ab:ab:ab:ab");
  });
});

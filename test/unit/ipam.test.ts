// Address management: the bitmap and pools against a plain Set, the choice of subnets as tables, costs of large pools.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SparseBitmap } from "../../src/ipam/bitmap.ts";
import { chooseDefaultSubnet } from "../../src/ipam/default-pools.ts";
import { EmbeddedIpam } from "../../src/ipam/embedded.ts";
import type { SubnetPlan, SubnetRequest } from "../../src/ipam/ipam.ts";
import { AddressPool } from "../../src/ipam/pool.ts";
import { planSubnets } from "../../src/ipam/subnets.ts";
import { formatAddress, parseAddress } from "../../src/net/address.ts";
import { formatPrefix, parsePrefix } from "../../src/net/prefix.ts";
import type { EndpointRecord, IpamConfig, NetworkRecord } from "../../src/records/records.ts";

const config = (subnet: string, more: Partial<IpamConfig> = {}): IpamConfig => ({
  subnet,
  ipRange: null,
  gateway: null,
  auxAddresses: {},
  ...more,
});
const code = (run: () => unknown): string => {
  try {
    run();
    return "none";
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe("sparse bitmap", () => {
  it("does what a Set of numbers does", () => {
    // Numbers near each other, near the borders of chunks and words, and far away.
    const index = fc.oneof(
      fc.bigInt({ min: 0n, max: 70n }),
      fc.bigInt({ min: 16380n, max: 16390n }),
      fc.bigInt({ min: 2n ** 64n - 40n, max: 2n ** 64n + 40n }),
    );
    const command = fc.tuple(fc.constantFrom("add", "delete", "has", "next", "count"), index, index);
    fc.assert(
      fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
        const bitmap = new SparseBitmap();
        const model = new Set<bigint>();
        for (const [what, a, b] of commands) {
          const [low, high] = a < b ? [a, b] : [b, a];
          if (what === "add") {
            expect(bitmap.add(a)).toBe(!model.has(a));
            model.add(a);
          } else if (what === "delete") expect(bitmap.delete(a)).toBe(model.delete(a));
          else if (what === "has") expect(bitmap.has(a)).toBe(model.has(a));
          else if (what === "next") {
            let free: bigint | null = low;
            while (free <= high && model.has(free)) free++;
            if (free > high) free = null;
            expect(bitmap.nextFree(low, high)).toBe(free);
          } else expect(bitmap.countIn(low, high)).toBe(BigInt([...model].filter((n) => n >= low && n <= high).length));
          expect(bitmap.count).toBe(BigInt(model.size));
        }
      }),
    );
  });

  it("finds the one hole in full words and chunks", () => {
    const bitmap = new SparseBitmap();
    for (let n = 0n; n < 40000n; n++) bitmap.add(n);
    expect(bitmap.nextFree(0n, 39999n)).toBeNull();
    expect(bitmap.nextFree(0n, 40000n)).toBe(40000n);
    for (const hole of [0n, 31n, 32n, 16383n, 16384n, 39999n]) {
      bitmap.delete(hole);
      expect(bitmap.nextFree(0n, 39999n)).toBe(hole);
      bitmap.add(hole);
    }
  });
});

describe("address pool", () => {
  const take = (pool: AddressPool, count: number): string[] => Array.from({ length: count }, () => formatAddress(pool.request()));

  it.each([
    ["10.0.0.0/29", ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]],
    ["10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]],
    ["10.0.0.0/31", ["10.0.0.0", "10.0.0.1"]],
    ["10.0.0.7/32", ["10.0.0.7"]],
    ["fd00::/125", ["fd00::1", "fd00::2", "fd00::3", "fd00::4", "fd00::5", "fd00::6", "fd00::7"]],
    ["fd00::/127", ["fd00::", "fd00::1"]],
    ["fd00::9/128", ["fd00::9"]],
  ])("gives all of %s and no more", (subnet, expected) => {
    const pool = new AddressPool(config(subnet));
    expect(take(pool, expected.length)).toEqual(expected);
    expect(() => pool.request()).toThrow(`no available addresses on this pool: all of ${subnet} are in use`);
    expect(code(() => pool.request())).toBe("RESOURCE_EXHAUSTED");
  });

  it("keeps gateway and auxiliary addresses back", () => {
    const pool = new AddressPool(config("10.0.0.0/29", { gateway: "10.0.0.1", auxAddresses: { router: "10.0.0.3" } }));
    expect(take(pool, 4)).toEqual(["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    expect(pool.usage()).toEqual({ ipsInUse: 8, dynamicIpsAvailable: 0 });
  });

  it("gives unasked from the range only, and all of it", () => {
    const pool = new AddressPool(config("10.0.0.0/24", { ipRange: "10.0.0.248/29", gateway: "10.0.0.1" }));
    expect(pool.usage()).toEqual({ ipsInUse: 3, dynamicIpsAvailable: 7 });
    expect(take(pool, 7)[0]).toBe("10.0.0.248");
    expect(code(() => pool.request())).toBe("RESOURCE_EXHAUSTED");
    pool.requestAddress(parseAddress("10.0.0.9"));
  });

  it("gives a released address late", () => {
    const pool = new AddressPool(config("10.0.0.0/29"));
    expect(take(pool, 3)).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    pool.release(parseAddress("10.0.0.1"));
    expect(take(pool, 4)).toEqual(["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.1"]);
  });

  it("goes on behind a remembered address", () => {
    const pool = new AddressPool(config("10.0.0.0/24"));
    pool.resumeBehind(parseAddress("10.0.0.9"));
    expect(take(pool, 1)).toEqual(["10.0.0.10"]);
    pool.resumeBehind(parseAddress("10.0.0.255"));
    expect(take(pool, 1)).toEqual(["10.0.0.1"]);
    pool.resumeBehind(parseAddress("10.9.0.9"));
    expect(take(pool, 1)).toEqual(["10.0.0.2"]);
  });

  it.each([
    ["10.0.0.1", "ADDRESS_IN_USE", "Address already in use: 10.0.0.1"],
    ["10.0.0.0", "INVALID_ARGUMENT", "requested address is out of range: 10.0.0.0"],
    ["10.0.0.255", "INVALID_ARGUMENT", "requested address is out of range: 10.0.0.255"],
    ["10.0.1.1", "INVALID_ARGUMENT", "requested address is out of range: 10.0.1.1, it must be in 10.0.0.0/24"],
    ["fd00::1", "INVALID_ARGUMENT", "requested address is out of range: fd00::1"],
  ])("refuses %s by value: %s", (text, expected, message) => {
    const pool = new AddressPool(config("10.0.0.0/24", { gateway: "10.0.0.1" }));
    expect(() => pool.requestAddress(parseAddress(text))).toThrow(message);
    expect(code(() => pool.requestAddress(parseAddress(text)))).toBe(expected);
  });

  it("says what an IPv6 subnet keeps", () => {
    const pool = new AddressPool(config("fd00::/64"));
    const anycast = "requested address is out of range: fd00:: is the subnet-router anycast address of fd00::/64; choose another";
    expect(() => pool.requestAddress(parseAddress("fd00::"))).toThrow(anycast);
    expect(() => pool.requestAddress(parseAddress("fd00::ffff:ffff:ffff:ffff"))).not.toThrow();
  });

  it("does what a Set of addresses does", () => {
    const octet = fc.integer({ min: 0, max: 17 });
    const command = fc.tuple(fc.constantFrom("any", "one", "release"), octet);
    fc.assert(
      fc.property(fc.array(command, { maxLength: 100 }), (commands) => {
        const pool = new AddressPool(config("10.0.0.0/28", { gateway: "10.0.0.1" }));
        const reserved = new Set([0, 15]);
        const model = new Set([1]);
        for (const [what, n] of commands) {
          const address = parseAddress(`10.0.0.${n}`);
          if (what === "any") {
            if (model.size === 14) expect(code(() => pool.request())).toBe("RESOURCE_EXHAUSTED");
            else {
              const given = Number(pool.request().value & 0xffn);
              expect(reserved.has(given) || model.has(given)).toBe(false);
              model.add(given);
            }
          } else if (what === "one") {
            const expected = n > 15 || reserved.has(n) ? "INVALID_ARGUMENT" : model.has(n) ? "ADDRESS_IN_USE" : "none";
            expect(code(() => pool.requestAddress(address))).toBe(expected);
            if (expected === "none") model.add(n);
          } else if (!reserved.has(n) && n !== 1) {
            pool.release(address);
            model.delete(n);
          }
          expect(pool.usage().ipsInUse).toBe(model.size + 2);
        }
      }),
    );
  });

  it("tells how full even a /64 is", () => {
    const pool = new AddressPool(config("fd00::/64", { gateway: "fd00::1" }));
    expect(take(pool, 2)).toEqual(["fd00::2", "fd00::3"]);
    expect(pool.usage()).toEqual({ ipsInUse: 4, dynamicIpsAvailable: Number.MAX_SAFE_INTEGER });
  });

  it("gives addresses of a full pool of a million in less than 50 microseconds each", () => {
    const pool = new AddressPool(config("10.0.0.0/12"));
    for (let n = 0; n < 2 ** 20 - 2; n++) pool.request();
    // Full: each release leaves one hole anywhere, the worst there is to look for.
    const base = parseAddress("10.0.0.1").value;
    const tookUs: number[] = [];
    for (let round = 0; round < 500; round++) {
      const value = base + BigInt((round * 7919 * 131) % 1_000_000);
      const started = performance.now();
      pool.release({ family: 4, value });
      const given = pool.request().value;
      tookUs.push((performance.now() - started) * 1000);
      if (given !== value) throw new Error(`${given} instead of ${value}`);
    }
    // The median: other processes share the machine.
    expect(tookUs.sort((x, y) => x - y)[250]).toBeLessThan(50);
  });
});

describe("default pools", () => {
  const local = (taken: string[]): string =>
    formatPrefix(
      chooseDefaultSubnet(
        "local",
        4,
        taken.map((text) => parsePrefix(text)),
        "0123456789",
      ),
    );

  it("are Docker's 31, in its order", () => {
    const taken: string[] = [];
    for (let n = 0; n < 31; n++) taken.push(local(taken));
    expect(taken.slice(0, 15)).toEqual(Array.from({ length: 15 }, (_, n) => `172.${17 + n}.0.0/16`));
    expect(taken.slice(15)).toEqual(Array.from({ length: 16 }, (_, n) => `192.168.${n * 16}.0/20`));
    expect(() => local(taken)).toThrow("all predefined address pools have been fully subnetted");
  });

  it.each([
    [["172.17.0.0/16"], "172.18.0.0/16"],
    [["172.17.5.0/24"], "172.18.0.0/16"],
    [["172.16.0.0/12"], "192.168.0.0/20"],
    [["172.16.0.0/12", "192.168.1.0/24"], "192.168.16.0/20"],
  ])("avoid %j: %s", (taken, expected) => expect(local(taken)).toBe(expected));

  it("give /24 of 10/8 to networks that span hosts, hopping over what is taken", () => {
    const choose = (taken: string[]) =>
      formatPrefix(
        chooseDefaultSubnet(
          "global",
          4,
          taken.map((text) => parsePrefix(text)),
          "0123456789",
        ),
      );
    expect(choose([])).toBe("10.0.0.0/24");
    expect(choose(["10.0.0.0/9"])).toBe("10.128.0.0/24");
    expect(() => choose(["10.0.0.0/8"])).toThrow("all predefined address pools");
  });

  it("give /64 of the host's unique local prefix to IPv6", () => {
    const choose = (taken: string[]) =>
      formatPrefix(
        chooseDefaultSubnet(
          "local",
          6,
          taken.map((text) => parsePrefix(text)),
          "0123456789",
        ),
      );
    expect(choose([])).toBe("fd01:2345:6789::/64");
    expect(choose(["fd01:2345:6789::/64"])).toBe("fd01:2345:6789:1::/64");
    expect(choose(["fd01:2345:6789::/49"])).toBe("fd01:2345:6789:8000::/64");
  });
});

describe("choosing subnets", () => {
  const plan = (requests: SubnetRequest[], more: Partial<SubnetPlan> = {}): SubnetPlan => ({
    space: "local",
    requests,
    enableIpv4: true,
    enableIpv6: requests.some(({ subnet }) => subnet?.includes(":")),
    networks: [
      { name: "web", prefix: parsePrefix("10.1.0.0/16") },
      { name: "six", prefix: parsePrefix("fd01::/64") },
    ],
    hostRoutes: [
      { prefix: parsePrefix("192.0.2.0/24"), onLink: true },
      { prefix: parsePrefix("10.0.0.0/8"), onLink: false },
      { prefix: parsePrefix("172.17.0.0/16"), onLink: true },
    ],
    ulaGlobalId: "0123456789",
    ...more,
  });

  const CHOSEN: readonly [string, SubnetPlan, Partial<IpamConfig>[]][] = [
    ["nothing asked: a default pool that no route has", plan([]), [{ subnet: "172.18.0.0/16", gateway: "172.18.0.1" }]],
    [
      "IPv6 without a subnet: one of the host's own",
      plan([], { enableIpv6: true }),
      [{ subnet: "172.18.0.0/16" }, { subnet: "fd01:2345:6789::/64", gateway: "fd01:2345:6789::1" }],
    ],
    ["IPv6 alone", plan([], { enableIpv4: false, enableIpv6: true }), [{ subnet: "fd01:2345:6789::/64" }]],
    [
      "an IPv6 subnet: IPv4 from the pools",
      plan([{ subnet: "fd02::/64" }]),
      [{ subnet: "172.18.0.0/16" }, { subnet: "fd02::/64", gateway: "fd02::1" }],
    ],
    ["inside what a router leads to", plan([{ subnet: "10.2.0.0/24" }]), [{ subnet: "10.2.0.0/24", gateway: "10.2.0.1" }]],
    ["any of a size", plan([{ subnet: "0.0.0.0/24" }]), [{ subnet: "172.18.0.0/24" }]],
    ["any of a size, IPv6", plan([{ subnet: "::/80" }]), [{}, { subnet: "fd01:2345:6789::/80" }]],
    ["with a gateway", plan([{ subnet: "10.2.0.0/24", gateway: "10.2.0.254" }]), [{ gateway: "10.2.0.254" }]],
    [
      "with a range and auxiliary addresses",
      plan([{ subnet: "10.2.0.0/24", ipRange: "10.2.0.128/25", auxAddresses: { a: "10.2.0.5" } }]),
      [{ ipRange: "10.2.0.128/25", gateway: "10.2.0.1", auxAddresses: { a: "10.2.0.5" } }],
    ],
    ["a point-to-point link", plan([{ subnet: "10.2.0.0/31" }]), [{ gateway: "10.2.0.0" }]],
    ["several", plan([{ subnet: "10.2.0.0/24" }, { subnet: "10.3.0.0/24" }]), [{ subnet: "10.2.0.0/24" }, { subnet: "10.3.0.0/24" }]],
  ];
  it.each(CHOSEN)("%s", (_what, given, expected) => expect(planSubnets(given)).toMatchObject(expected));

  const OVERLAP = "Pool overlaps with other one on this address space";
  const REFUSED: readonly [SubnetRequest[], string, string][] = [
    [[{ subnet: "10.1.0.0/16" }], "ADDRESS_IN_USE", `${OVERLAP}: 10.1.0.0/16 overlaps 10.1.0.0/16 of network web`],
    [[{ subnet: "10.1.2.0/24" }], "ADDRESS_IN_USE", OVERLAP],
    [[{ subnet: "10.0.0.0/8" }], "ADDRESS_IN_USE", OVERLAP],
    [[{ subnet: "fd01:0:0:0:8000::/65" }], "ADDRESS_IN_USE", `${OVERLAP}: fd01::8000:0:0:0/65 overlaps fd01::/64 of network six`],
    [[{ subnet: "192.0.2.128/25" }], "ADDRESS_IN_USE", `${OVERLAP}: 192.0.2.128/25 overlaps 192.0.2.0/24, which this host is attached to`],
    [[{ subnet: "10.2.0.0/24" }, { subnet: "10.2.0.128/25" }], "ADDRESS_IN_USE", "of the same network"],
    [[{ subnet: "10.2.0.1/24" }], "INVALID_ARGUMENT", "invalid subnet 10.2.0.1/24: it should be 10.2.0.0/24"],
    [[{ subnet: "10.2.0.0/33" }], "INVALID_ARGUMENT", "invalid subnet 10.2.0.0/33"],
    [[{ subnet: "10.2.0.0" }], "INVALID_ARGUMENT", "invalid CIDR block notation"],
    [[{ subnet: "224.0.0.0/24" }], "INVALID_ARGUMENT", "invalid subnet 224.0.0.0/24: multicast"],
    [[{ subnet: "127.0.0.0/24" }], "INVALID_ARGUMENT", "invalid subnet 127.0.0.0/24: loopback"],
    [[{ subnet: "ff02::/64" }], "INVALID_ARGUMENT", "multicast"],
    [[{ subnet: "11.0.0.0/7" }], "INVALID_ARGUMENT", "it should be 10.0.0.0/7"],
    [[{ subnet: "12.0.0.0/7" }], "INVALID_ARGUMENT", "larger than a /8"],
    [[{ subnet: "0.0.0.0/8" }], "INVALID_ARGUMENT", "no default address pool has a /8: the largest is a /14"],
    [
      [{ subnet: "10.2.0.0/24", gateway: "10.3.0.1" }],
      "INVALID_ARGUMENT",
      "invalid gateway 10.3.0.1: parent subnet 10.2.0.0/24 doesn't contain this address",
    ],
    [[{ subnet: "10.2.0.0/24", gateway: "10.2.0.0" }], "INVALID_ARGUMENT", "network or broadcast address"],
    [[{ subnet: "10.2.0.0/24", gateway: "10.2.0.255" }], "INVALID_ARGUMENT", "network or broadcast address"],
    [[{ subnet: "10.2.0.0/24", gateway: "fd02::1" }], "INVALID_ARGUMENT", "invalid gateway fd02::1: parent subnet is an IPv4 block"],
    [[{ subnet: "10.2.0.0/24", gateway: "gate" }], "INVALID_ARGUMENT", 'invalid gateway "gate"'],
    [
      [{ subnet: "10.2.0.0/24", ipRange: "10.3.0.0/25" }],
      "INVALID_ARGUMENT",
      "invalid ip-range 10.3.0.0/25: parent subnet 10.2.0.0/24 doesn't contain ip-range",
    ],
    [
      [{ subnet: "10.2.0.0/24", ipRange: "10.2.0.0/16" }],
      "INVALID_ARGUMENT",
      "invalid ip-range 10.2.0.0/16: CIDR block is bigger than its parent subnet 10.2.0.0/24",
    ],
    [[{ subnet: "10.2.0.0/24", ipRange: "10.2.0.1/25" }], "INVALID_ARGUMENT", "invalid ip-range 10.2.0.1/25: it should be 10.2.0.0/25"],
    [[{ subnet: "10.2.0.0/24", ipRange: "fd02::/65" }], "INVALID_ARGUMENT", "invalid ip-range fd02::/65: parent subnet is an IPv4 block"],
    [[{ subnet: "10.2.0.0/24", auxAddresses: { a: "10.3.0.1" } }], "INVALID_ARGUMENT", "invalid auxiliary address 10.3.0.1"],
    [
      [{ subnet: "10.2.0.0/24", auxAddresses: { a: "10.2.0.1" } }],
      "ADDRESS_IN_USE",
      "Address already in use: auxiliary address a=10.2.0.1",
    ],
    [[{ subnet: "10.2.0.0/24", auxAddresses: { a: "10.2.0.9", b: "10.2.0.9" } }], "ADDRESS_IN_USE", "b=10.2.0.9"],
    [[{ gateway: "10.2.0.1" }], "INVALID_ARGUMENT", "invalid gateway 10.2.0.1: a subnet must be given with it"],
    [[{ ipRange: "10.2.0.0/25" }], "INVALID_ARGUMENT", "invalid ip-range 10.2.0.0/25: a subnet must be given with it"],
  ];
  it.each(REFUSED)("refuses %j with %s: %s", (requests, expected, message) => {
    expect(() => planSubnets(plan(requests))).toThrow(message);
    expect(code(() => planSubnets(plan(requests)))).toBe(expected);
  });

  it("refuses a subnet of a family that is off", () => {
    expect(() => planSubnets(plan([{ subnet: "fd02::/64" }], { enableIpv6: false }))).toThrow("add --ipv6");
    expect(() => planSubnets(plan([{ subnet: "10.2.0.0/24" }], { enableIpv4: false, enableIpv6: true }))).toThrow("IPv4 is disabled");
  });
});

describe("embedded IPAM", () => {
  const network = (ipam: IpamConfig[]): NetworkRecord => ({ id: "n", ipam }) as unknown as NetworkRecord;
  const endpoint = (ipv4: string | null, ipv6: string | null): EndpointRecord => ({ ipv4, ipv6 }) as unknown as EndpointRecord;
  const TWO = [
    config("10.2.0.0/30", { gateway: "10.2.0.1" }),
    config("10.3.0.0/24", { gateway: "10.3.0.1" }),
    config("fd02::/64"),
    config("fd03::/64"),
  ];
  const ask = { ipv4: null, ipv6: null };

  it("computes what is taken from the endpoints there are", async () => {
    const ipam = new EmbeddedIpam();
    ipam.openNetwork(
      network([config("10.2.0.0/29", { gateway: "10.2.0.1" })]),
      "local",
      [endpoint("10.2.0.2/29", null), endpoint("10.2.0.4/29", null)],
      new Map(),
    );
    expect((await ipam.requestAddresses("n", ask)).ipv4).toBe("10.2.0.3/29");
    expect((await ipam.requestAddresses("n", ask)).ipv4).toBe("10.2.0.5/29");
    expect(ipam.usage("n")).toEqual({ "10.2.0.0/29": { ipsInUse: 7, dynamicIpsAvailable: 1 } });
  });

  it("goes on where the store says", async () => {
    const first = new EmbeddedIpam();
    const net = network([config("10.2.0.0/24", { ipRange: "10.2.0.128/25" })]);
    first.openNetwork(net, "local", [], new Map());
    const lease = await first.requestAddresses("n", ask);
    expect(lease).toEqual({ ipv4: "10.2.0.128/24", ipv6: null, puts: [{ key: "ipam/local/10.2.0.128/25", value: "10.2.0.128" }] });
    const second = new EmbeddedIpam();
    second.openNetwork(net, "local", [], new Map(lease.puts.map(({ key, value }) => [key, value])));
    expect((await second.requestAddresses("n", ask)).ipv4).toBe("10.2.0.129/24");
    expect(second.keysOf(net, "local")).toEqual(["ipam/local/10.2.0.128/25"]);
  });

  it("gives both families of one pair, and the next pair when the first is full", async () => {
    const ipam = new EmbeddedIpam();
    ipam.openNetwork(network(TWO), "global", [], new Map());
    expect(await ipam.requestAddresses("n", ask)).toMatchObject({ ipv4: "10.2.0.2/30", ipv6: "fd02::1/64" });
    expect(await ipam.requestAddresses("n", ask)).toMatchObject({ ipv4: "10.3.0.2/24", ipv6: "fd03::1/64" });
    expect(await ipam.requestAddresses("n", { ipv4: "10.3.0.9", ipv6: null })).toMatchObject({ ipv4: "10.3.0.9/24", ipv6: "fd03::2/64" });
    expect(await ipam.requestAddresses("n", { ipv4: null, ipv6: "fd03::9" })).toMatchObject({ ipv4: "10.3.0.3/24", ipv6: "fd03::9/64" });
    await expect(ipam.requestAddresses("n", { ipv4: "10.3.0.8", ipv6: "fd02::8" })).rejects.toThrow("don't share a link");
    await expect(ipam.requestAddresses("n", { ipv4: "10.9.0.1", ipv6: null })).rejects.toThrow("it must be in 10.2.0.0/30 or 10.3.0.0/24");
  });

  it("takes neither address if one can't be had", async () => {
    const ipam = new EmbeddedIpam();
    ipam.openNetwork(network([config("10.2.0.0/24"), config("fd02::/64", { gateway: "fd02::1" })]), "local", [], new Map());
    const before = ipam.usage("n");
    await expect(ipam.requestAddresses("n", { ipv4: "10.2.0.9", ipv6: "fd02::1" })).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
    expect(ipam.usage("n")).toEqual(before);
  });

  it("forgets what is released, also of networks that are gone", async () => {
    const ipam = new EmbeddedIpam();
    ipam.openNetwork(network([config("10.2.0.0/30")]), "local", [], new Map());
    const lease = await ipam.requestAddresses("n", ask);
    await ipam.requestAddresses("n", ask);
    await ipam.releaseAddresses("n", lease);
    expect((await ipam.requestAddresses("n", ask)).ipv4).toBe(lease.ipv4);
    ipam.closeNetwork("n");
    await ipam.releaseAddresses("n", lease);
    await expect(ipam.requestAddresses("n", ask)).rejects.toMatchObject({ code: "INTERNAL" });
  });
});

import { describe, expect, it } from "vitest";
import type { Declaration, DomainDeclaration, TapPortDeclaration } from "../../../src/datapath/declarations.ts";
import { merge } from "../../../src/datapath/desired/merge.ts";
import type { ErrorCode } from "../../../src/errors.ts";

const domain = (id: string, more: Partial<DomainDeclaration> = {}): DomainDeclaration => ({
  id,
  vni: null,
  mtuBytes: 1500,
  learning: true,
  proxyNeighbors: true,
  clampMss: true,
  fdbLimit: 1000,
  fdbAgeS: 300,
  ...more,
});
const port = (id: string, inDomain: string, more: Partial<TapPortDeclaration> = {}): TapPortDeclaration => ({
  kind: "tap",
  id,
  domain: inDomain,
  namespacePath: `/run/netns/${id}`,
  interfaceName: "eth0",
  mac: "02:42:0a:00:00:02",
  mtuBytes: 1500,
  isolated: false,
  ...more,
});

const NET: Declaration = { domains: [domain("n1", { vni: 7 })] };

interface Case {
  readonly description: string;
  readonly owners: Record<string, Declaration>;
  /** Owner, code, words of the message; absent: all stand. */
  readonly fails?: Record<string, [ErrorCode, string]>;
}

const cases: Case[] = [
  { description: "a domain and a port of two owners", owners: { net: NET, e1: { ports: [port("e1", "n1")] } } },
  {
    description: "a permit of another owner than its ports'",
    owners: {
      links: { permits: [{ client: "e1", server: "e2", protocol: "tcp", first: 80, last: 90 }] },
      net: NET,
      e1: { ports: [port("e1", "n1")] },
      e2: { ports: [port("e2", "n1")] },
    },
  },
  {
    description: "permits for ports that are not there, in two domains, the same, or in no order",
    owners: {
      net: NET,
      other: { domains: [domain("n2")] },
      e1: { ports: [port("e1", "n1")] },
      e2: { ports: [port("e2", "n2")] },
      missing: { permits: [{ client: "e1", server: "e9", protocol: "tcp", first: 80, last: 90 }] },
      apart: { permits: [{ client: "e1", server: "e2", protocol: "tcp", first: 80, last: 90 }] },
      self: { permits: [{ client: "e1", server: "e1", protocol: "tcp", first: 80, last: 90 }] },
      reverse: { permits: [{ client: "e1", server: "e2", protocol: "tcp", first: 90, last: 80 }] },
    },
    fails: {
      missing: ["NOT_FOUND", "the permit e1 e9 tcp 80-90 is for port e9, which nobody has declared"],
      apart: ["INVALID_ARGUMENT", "two bridge domains"],
      self: ["INVALID_ARGUMENT", "a permit from port e1 to itself"],
      reverse: ["INVALID_ARGUMENT", "last port 80 is not a whole number from 90 to 65535"],
    },
  },
  { description: "a port that is declared before its domain", owners: { e1: { ports: [port("e1", "n1")] }, net: NET } },
  { description: "the same thing in the same words by two owners", owners: { net: NET, again: { domains: [domain("n1", { vni: 7 })] } } },
  {
    description: "the same domain in other words: the first keeps it",
    owners: { net: NET, again: { domains: [domain("n1", { vni: 7, mtuBytes: 1400 })] } },
    fails: { again: ["ADDRESS_IN_USE", "bridge domain n1 is declared already, and differently"] },
  },
  {
    description: "a VNI that is taken",
    owners: { net: NET, other: { domains: [domain("n2", { vni: 7 })] } },
    fails: { other: ["ADDRESS_IN_USE", "VNI 7 is taken by bridge domain n1"] },
  },
  {
    description: "an owner whose domain fell falls as well",
    owners: { net: NET, other: { domains: [domain("n2", { vni: 7 })] }, e2: { ports: [port("e2", "n2")] } },
    fails: { other: ["ADDRESS_IN_USE", "VNI 7"], e2: ["NOT_FOUND", "port e2 is in bridge domain n2, which nobody has declared"] },
  },
  {
    description: "one interface for two ports",
    owners: {
      net: NET,
      e1: { ports: [port("e1", "n1", { namespacePath: null })] },
      e2: { ports: [port("e2", "n1", { namespacePath: null })] },
    },
    fails: { e2: ["ADDRESS_IN_USE", "interface eth0 in the host's namespace is port e1's"] },
  },
  {
    description: "a VNI out of range",
    owners: { net: { domains: [domain("n1", { vni: 16777216 })] } },
    fails: { net: ["INVALID_ARGUMENT", "VNI 16777216"] },
  },
  {
    description: "an MTU below IP's least",
    owners: { net: { domains: [domain("n1", { mtuBytes: 67 })] } },
    fails: { net: ["INVALID_ARGUMENT", "MTU 67"] },
  },
  {
    description: "an interface name longer than the kernel takes, counted in bytes",
    owners: { net: NET, e1: { ports: [port("e1", "n1", { interfaceName: "schnittstellé01" })] } },
    fails: { e1: ["INVALID_ARGUMENT", "has 16 bytes; the kernel takes at most 15"] },
  },
  {
    description: "a path for an interface name",
    owners: { net: NET, e1: { ports: [port("e1", "n1", { interfaceName: "a/b" })] } },
    fails: { e1: ["INVALID_ARGUMENT", "can't name an interface"] },
  },
  {
    description: "a multicast MAC",
    owners: { net: NET, e1: { ports: [port("e1", "n1", { mac: "03:00:00:00:00:01" })] } },
    fails: { e1: ["INVALID_ARGUMENT", "is no unicast address"] },
  },
  {
    description: "a VTEP of a domain, and an entry that points to it, by two owners",
    owners: {
      net: NET,
      peers: { vteps: [{ domain: "n1", address: "10.9.0.2", port: 4789 }] },
      e9: { fdb: [{ domain: "n1", mac: "02:42:0a:00:00:09", to: { vtep: "10.9.0.2" } }] },
    },
  },
  {
    description: "an entry that points to a VTEP that is not one of the domain's",
    owners: { net: NET, e9: { fdb: [{ domain: "n1", mac: "02:42:0a:00:00:09", to: { vtep: "10.9.0.2" } }] } },
    fails: { e9: ["NOT_FOUND", "points to VTEP 10.9.0.2, which nobody has declared for bridge domain n1"] },
  },
  {
    description: "an entry that points into another domain",
    owners: {
      net: {
        domains: [domain("n1"), domain("n2")],
        ports: [port("e1", "n1")],
        fdb: [{ domain: "n2", mac: "02:42:0a:00:00:02", to: { port: "e1" } }],
      },
    },
    fails: { net: ["INVALID_ARGUMENT", "of bridge domain n2 points to port e1 of n1"] },
  },
  {
    description: "a VTEP without a VNI",
    owners: { net: { domains: [domain("n1")], vteps: [{ domain: "n1", address: "10.9.0.2", port: 4789 }] } },
    fails: { net: ["INVALID_ARGUMENT", "has no VNI"] },
  },
  {
    description: "one host with two VXLAN ports",
    owners: {
      net: { domains: [domain("n1", { vni: 7 }), domain("n2", { vni: 8 })] },
      a: { vteps: [{ domain: "n1", address: "10.9.0.2", port: 4789 }] },
      b: { vteps: [{ domain: "n2", address: "10.9.0.2", port: 8472 }] },
    },
    fails: { b: ["INVALID_ARGUMENT", "a host has one"] },
  },
  {
    description: "one address with two MACs",
    owners: {
      net: NET,
      a: { neighbors: [{ domain: "n1", address: "10.0.0.2", mac: "02:42:0a:00:00:02" }] },
      b: { neighbors: [{ domain: "n1", address: "10.0.0.2", mac: "02:42:0a:00:00:03" }] },
    },
    fails: { b: ["ADDRESS_IN_USE", "address 10.0.0.2 of bridge domain n1"] },
  },
];

describe("merge", () => {
  it.each(cases)("$description", ({ owners, fails = {} }) => {
    const merged = merge(new Map(Object.entries(owners)));
    expect([...merged.failures.keys()].sort()).toEqual(Object.keys(fails).sort());
    for (const [owner, [code, words]] of Object.entries(fails)) {
      const failure = merged.failures.get(owner);
      expect(failure?.code).toBe(code);
      expect(failure?.message).toContain(words);
    }
  });

  it("gives the same tables whatever the order, when all can stand", () => {
    const owners: [string, Declaration][] = [
      ["net", NET],
      ["e1", { ports: [port("e1", "n1")], fdb: [{ domain: "n1", mac: "02:42:0a:00:00:02", to: { port: "e1" } }] }],
      ["e2", { ports: [port("e2", "n1", { mac: "02:42:0a:00:00:03" })] }],
    ];
    const sorted = (map: ReadonlyMap<string, unknown>): unknown[] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
    const one = merge(new Map(owners)).desired;
    const other = merge(new Map(owners.toReversed())).desired;
    expect(sorted(one.ports)).toEqual(sorted(other.ports));
    expect(sorted(one.fdb)).toEqual(sorted(other.fdb));
  });
});

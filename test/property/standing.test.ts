// The incremental way against the law: whatever owners declare, withdraw and fail to declare, what stands is what a merge of
// everything gives, and the engine's tables are those of a merge of everything.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type {
  AssociationDeclaration,
  Declaration,
  DomainDeclaration,
  FdbDeclaration,
  NeighborDeclaration,
  PermitDeclaration,
  PortDeclaration,
  VtepDeclaration,
} from "../../src/datapath/declarations.ts";
import { deltaBetween } from "../../src/datapath/desired/delta.ts";
import type { Desired } from "../../src/datapath/desired/desired.ts";
import { merge } from "../../src/datapath/desired/merge.ts";
import { Standing } from "../../src/datapath/desired/standing.ts";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import { applyPatch, callsOf, difference, emptyImage, type Image, patchBetween } from "../../src/datapath/tables/diff.ts";
import { NO_MARKS } from "../../src/datapath/tables/marks.ts";
import { Tables } from "../../src/datapath/tables/tables.ts";

const OWNERS = ["a", "b", "c", "d"];
const pick = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

// Few values, so that owners meet, and some that can't stand at all.
const domainId = pick("n1", "n1", "n2");
const portId = pick("p1", "p2");
const mac = pick("02:00:00:00:00:01", "02:00:00:00:00:02");
const address = pick("10.9.0.2", "10.9.0.3", "fd09::2");

const domain = fc
  .record({ id: domainId, vni: pick(null, 1, 2, 3), mtuBytes: pick(1500, 1500, 1500, 1400, 1) })
  .map((some): DomainDeclaration => ({ ...some, learning: true, proxyNeighbors: false, clampMss: false, fdbLimit: 10, fdbAgeS: 10 }));
const port = fc
  .record({
    id: portId,
    domain: domainId,
    interfaceName: pick("eth0", "eth1"),
    namespacePath: pick("/a", "/b", null),
    mtuBytes: pick(1500, 1400),
  })
  .map((some): PortDeclaration => ({ ...some, kind: "tap", mac: "02:00:00:00:00:09", isolated: false }));
const fdb: fc.Arbitrary<FdbDeclaration> = fc.record({
  domain: domainId,
  mac,
  to: fc.oneof(
    portId.map((one) => ({ port: one })),
    address.map((one) => ({ vtep: one })),
  ),
});
const neighbor: fc.Arbitrary<NeighborDeclaration> = fc.record({
  domain: domainId,
  address: pick("10.0.0.1", "fd00::1", "fd00::01"),
  mac: pick("02:00:00:00:00:01", "03:00:00:00:00:01"),
});
const vtep: fc.Arbitrary<VtepDeclaration> = fc.record({ domain: domainId, address, port: pick(4789, 4789, 4789, 8472) });

const permit: fc.Arbitrary<PermitDeclaration> = fc.record({
  client: portId,
  server: portId,
  protocol: pick<"tcp" | "udp">("tcp", "udp"),
  first: pick(80, 81),
  last: pick(81, 82, 80),
});

const key = new KeyMaterial(new Uint8Array(20));
const association: fc.Arbitrary<AssociationDeclaration> = fc
  .record({
    id: pick("s1", "s2", "s3"),
    direction: pick<"in" | "out">("in", "out"),
    peer: address,
    vxlanPort: pick(4789, 4789, 4789, 8472),
    spi: pick(1000, 2000, 3000, 1),
    current: fc.boolean(),
    packetLimit: pick(2 ** 32 - 1, 2 ** 32),
  })
  .map((some) => ({
    ...some,
    algorithm: "aes-128-gcm",
    icvBytes: 16,
    esn: false,
    udpPort: 4500,
    innerChecksum: false,
    byteLimit: 2 ** 38,
    firstSequence: 0,
    notify: false,
    key,
  }));

const some = <T>(one: fc.Arbitrary<T>, maxLength: number): fc.Arbitrary<T[]> => fc.array(one, { maxLength });
const declaration: fc.Arbitrary<Declaration> = fc.record({
  domains: some(domain, 2),
  ports: some(port, 2),
  fdb: some(fdb, 2),
  neighbors: some(neighbor, 2),
  vteps: some(vtep, 2),
  associations: some(association, 2),
  permits: some(permit, 2),
});
const network = (id: string, vni: number | null): DomainDeclaration => ({
  id,
  vni,
  mtuBytes: 1500,
  learning: true,
  proxyNeighbors: false,
  clampMss: false,
  fdbLimit: 10,
  fdbAgeS: 10,
});
const tap = (id: string, of: string, interfaceName: string): PortDeclaration => ({
  kind: "tap",
  id,
  domain: of,
  namespacePath: "/a",
  interfaceName,
  mac: "02:00:00:00:00:09",
  mtuBytes: 1500,
  isolated: false,
});
const secured = { id: pick("s1", "s2", "s3"), spi: pick(1000, 2000, 3000), peer: pick("10.9.0.2", "10.9.0.3") };
const secure = (one: Pick<AssociationDeclaration, "id" | "direction" | "spi" | "peer" | "current">): AssociationDeclaration => ({
  ...one,
  vxlanPort: 4789,
  algorithm: "aes-128-gcm",
  icvBytes: 16,
  esn: false,
  udpPort: 4500,
  innerChecksum: false,
  packetLimit: 1000,
  byteLimit: 1000,
  firstSequence: 0,
  notify: false,
  key,
});
/** What can stand more often than not, and on which others stand: networks, endpoints, peers, entries. */
const sound: fc.Arbitrary<Declaration> = fc.oneof(
  fc.record({ id: domainId, vni: pick(null, 1, 2, 3) }).map(({ id, vni }) => ({ domains: [network(id, vni)] })),
  fc.constant({ domains: [network("n1", 1), network("n2", 2)] }),
  fc.record({ id: portId, of: domainId, name: pick("eth0", "eth1", "eth2") }).map(({ id, of, name }) => ({ ports: [tap(id, of, name)] })),
  fc
    .record({ id: portId, of: domainId, name: pick("eth0", "eth1", "eth2"), mac })
    .map(({ id, of, name, mac: own }) => ({ ports: [tap(id, of, name)], fdb: [{ domain: of, mac: own, to: { port: id } }] })),
  fc.record({ id: portId, of: domainId, mac }).map(({ id, of, mac: own }) => ({ fdb: [{ domain: of, mac: own, to: { port: id } }] })),
  fc.record({ of: domainId, port: pick(4789, 8472) }).map(({ of, port: udp }) => ({
    vteps: [{ domain: of, address: "10.9.0.2", port: udp }],
  })),
  fc.record({ of: domainId, mac }).map(({ of, mac: own }) => ({ fdb: [{ domain: of, mac: own, to: { vtep: "10.9.0.2" } }] })),
  fc.record({ ...secured, direction: fc.constant("in" as const) }).map((one) => ({ associations: [secure({ ...one, current: false })] })),
  fc.record({ ...secured, direction: fc.constant("out" as const), other: pick("s1", "s2", "s3") }).map(({ other, ...one }) => ({
    associations: [secure({ ...one, current: true }), ...(other === one.id ? [] : [secure({ ...one, id: other, current: false })])],
  })),
  pick(["p1", "p2"] as const, ["p2", "p1"] as const).map(([client, server]) => ({
    permits: [{ client, server, protocol: "tcp" as const, first: 80, last: 81 }],
  })),
  domainId.map((of) => ({ neighbors: [{ domain: of, address: "10.0.0.1", mac: "02:00:00:00:00:01" }] })),
);
const step = fc.record({ owner: pick(...OWNERS), declaration: fc.oneof({ weight: 8, arbitrary: sound }, declaration, fc.constant(null)) });

/** What the law says of a change: the new owners, or null. */
function law(owners: ReadonlyMap<string, Declaration>, owner: string, wanted: Declaration | null): Map<string, Declaration> | null {
  const next = new Map(owners);
  next.delete(owner);
  if (wanted !== null) next.set(owner, wanted);
  return merge(next).failures.size === 0 ? next : null;
}

const plain = (desired: Desired): Record<string, unknown> => ({
  domains: new Map(desired.domains),
  ports: new Map(desired.ports),
  fdb: new Map(desired.fdb),
  neighbors: new Map(desired.neighbors),
  vteps: new Map(desired.vteps),
  hosts: new Map(desired.hosts),
  associations: new Map(desired.associations),
  permits: new Map(desired.permits),
});

describe("what stands", () => {
  it("is what merging everything gives, after any sequence of changes", () => {
    let proposed = 0;
    let possible = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        let owners: ReadonlyMap<string, Declaration> = new Map();
        let standing = new Standing();
        for (const { owner, declaration: wanted } of steps) {
          const next = law(owners, owner, wanted);
          const proposal = standing.propose(owner, wanted);
          if (next === null) {
            expect(proposal).toBeNull();
            continue;
          }
          possible++;
          const all = Standing.of(next);
          if (proposal === null) {
            standing = all;
          } else {
            proposed++;
            expect(proposal.delta).toEqual(deltaBetween(standing, all));
            standing.commit(proposal);
          }
          owners = next;
          expect([...standing.declarations]).toEqual([...owners]);
          expect(plain(standing)).toEqual(plain(merge(owners).desired));
          expect(plain(all)).toEqual(plain(standing));
        }
      }),
      { numRuns: 1000 },
    );
    // It may ask for a look at everything, but not as a habit.
    expect(proposed / possible).toBeGreaterThan(0.85);
  });

  it("comes to the same tables by patches as all at once", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 20 }), (steps) => {
        const tables = new Tables();
        tables.setUnderlays([
          { name: "underlay/10.9.0.1", address: "10.9.0.1", udpPort: 4789, socketCount: 16, errors: "path-errors/10.9.0.1" },
        ]);
        const standing = new Standing();
        const image: Image = tables.imageOf(standing, NO_MARKS);
        const engine = tables.imageOf(standing, NO_MARKS);
        for (const { owner, declaration: wanted } of steps) {
          const proposal = standing.propose(owner, wanted);
          if (proposal === null) continue;
          const patch = tables.patchOf(proposal.delta, NO_MARKS);
          const calls = callsOf(engine, patch);
          standing.commit(proposal);
          const whole = tables.imageOf(standing, NO_MARKS);
          expect(calls).toEqual(expect.arrayContaining(difference(engine, whole)));
          expect(calls.length).toBe(difference(engine, whole).length);
          applyPatch(image, patch);
          applyPatch(engine, patchBetween(engine, whole));
          tables.names.release(proposal.delta);
          expect(image).toEqual(whole);
        }
        const empty = Standing.of(new Map());
        applyPatch(image, tables.patchOf(deltaBetween(standing, empty), NO_MARKS));
        const { underlays: _, ports: __, ...rest } = image;
        expect(Object.values(rest).reduce((sum, table) => sum + table.size, 0)).toBe(0);
        expect(emptyImage().ports.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a change of one owner", () => {
  const peers = { vteps: [{ domain: "n1", address: "10.9.0.2", port: 4789 }] };
  const net = { domains: [network("n1", 1)] };

  it.each<[string, Declaration | null]>([
    ["takes the VNI from under another's VTEPs", { domains: [network("n1", null)] }],
    ["takes the domain from under another's VTEPs", null],
    ["says of an entry what another says in other words", { ...net, vteps: [{ domain: "n1", address: "10.9.0.2", port: 8472 }] }],
  ])("is not let pass when it %s", (_, change) => {
    const standing = Standing.of(new Map<string, Declaration>([["net", net], ["peers", peers]])); // biome-ignore format: one line
    expect(law(standing.declarations, "net", change)).toBeNull();
    expect(standing.propose("net", change)).toBeNull();
  });

  it("is let pass when it takes a VNI that nobody needs", () => {
    const proposal = Standing.of(new Map([["net", net]])).propose("net", { domains: [network("n1", null)] });
    expect([...proposal!.delta.domains.keys()]).toEqual(["n1"]);
  });
});

describe("one endpoint more beside 500 endpoints and 10,000 neighbours", () => {
  const hex = (n: number): string => n.toString(16).padStart(2, "0");
  const host = (n: number): string => `10.0.${n >> 8}.${n & 255}`;
  const macOf = (n: number): string => `02:00:00:00:${hex(n >> 8)}:${hex(n & 255)}`;
  const endpoint = (n: number): Declaration => ({
    ports: [
      {
        kind: "tap",
        id: `e${n}`,
        domain: "n1",
        namespacePath: `/n/${n}`,
        interfaceName: "eth0",
        mac: macOf(n),
        mtuBytes: 1500,
        isolated: false,
      },
    ],
    fdb: [{ domain: "n1", mac: macOf(n), to: { port: `e${n}` } }],
    neighbors: [{ domain: "n1", address: host(n), mac: macOf(n) }],
  });
  const everybody: Declaration = {
    domains: [network("n1", 1)],
    neighbors: Array.from({ length: 10_000 }, (_, i) => ({ domain: "n1", address: host(1000 + i), mac: macOf(1000 + i) })),
  };

  it("costs what it says, not what all say", () => {
    const owners = new Map([["net", everybody], ...Array.from({ length: 500 }, (_, i): [string, Declaration] => [`e${i}`, endpoint(i)])]);
    const standing = Standing.of(owners);
    const tables = new Tables();
    const image = tables.imageOf(standing, NO_MARKS);
    const times: number[] = [];
    for (let i = 0; i < 101; i++) {
      const before = performance.now();
      const proposal = standing.propose("new", i % 2 === 0 ? endpoint(600 + i) : null)!;
      const patch = tables.patchOf(proposal.delta, NO_MARKS);
      const calls = callsOf(image, patch);
      standing.commit(proposal);
      applyPatch(image, patch);
      tables.names.release(proposal.delta);
      times.push(performance.now() - before);
      expect(calls.length).toBe(i % 2 === 0 ? 3 : 3);
    }
    times.sort((a, b) => a - b);
    expect(times[50]).toBeLessThan(1); // milliseconds; some 0.02 on an idle machine
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyToImage, difference, emptyImage, type Image, put } from "../../../src/datapath/tables/diff.ts";
import {
  addressRow,
  DOMAIN_DELETE,
  DOMAIN_SET,
  FDB_DELETE,
  FDB_SET,
  MEMBER_DELETE,
  MEMBER_SET,
  NEIGHBOR_DELETE,
  NEIGHBOR_SET,
  PORT_DELETE,
  PORT_SET,
  type Row,
  UNDERLAY_SET,
  VTEP_DELETE,
  VTEP_SET,
} from "../../../src/datapath/tables/ops.ts";
import { DOMAIN_FLAG_HAS_VNI, PORT_TAP, PORT_UNDERLAY, VNI_NONE } from "../../../wasm/shared/abi.ts";

const A1 = [0, 0, 0xffff, 0x0a000001];
const A2 = [0, 0, 0xffff, 0x0a000002];
const domain = (index: number, vni: number, mtu = 1500): Row => [DOMAIN_SET, index, vni, DOMAIN_FLAG_HAS_VNI, mtu, 100, 300];
const port = (index: number, inDomain: number): Row => [PORT_SET, index, PORT_TAP, inDomain, 0, 1500];
const imageOf = (...rows: Row[]): Image => {
  const image = emptyImage();
  for (const row of rows) put(image, row);
  return image;
};

const full = [
  domain(1, 10),
  port(2, 1),
  [PORT_SET, 1, PORT_UNDERLAY, 0, 0, 1500],
  [UNDERLAY_SET, 1, 4789, 16],
  addressRow(VTEP_SET, [1, 4789, 1], A1),
  [MEMBER_SET, 1, 1],
  [FDB_SET, 1, 0x0242, 5, 2, 0],
  addressRow(NEIGHBOR_SET, [1, 0x0242, 5], A2),
] as const satisfies Row[];

const cases: { description: string; have: Row[]; want: Row[]; calls: Row[] }[] = [
  { description: "nothing from nothing", have: [], want: [], calls: [] },
  { description: "nothing when all is there", have: [...full], want: [...full], calls: [] },
  {
    description: "deletes what refers to others before what it refers to; an underlay's settings go with its port",
    have: [...full],
    want: [],
    calls: [
      addressRow(NEIGHBOR_DELETE, [1], A2),
      [FDB_DELETE, 1, 0x0242, 5],
      [MEMBER_DELETE, 1, 1],
      [VTEP_DELETE, 1],
      [PORT_DELETE, 2],
      [PORT_DELETE, 1],
      [DOMAIN_DELETE, 1],
    ],
  },
  { description: "one call for one changed field", have: [domain(1, 10)], want: [domain(1, 10, 1400)], calls: [domain(1, 10, 1400)] },
  {
    description: "deletes before it sets, so that a VNI can pass from a domain that goes to one that comes",
    have: [domain(1, 10)],
    want: [domain(2, 10)],
    calls: [[DOMAIN_DELETE, 1], domain(2, 10)],
  },
  {
    description: "has two domains give up the VNIs that they trade",
    have: [domain(1, 10), domain(2, 20)],
    want: [domain(1, 20), domain(2, 10)],
    calls: [[DOMAIN_SET, 1, VNI_NONE, 0, 1500, 100, 300], [DOMAIN_SET, 2, VNI_NONE, 0, 1500, 100, 300], domain(1, 20), domain(2, 10)],
  },
  {
    description: "tells a neighbour by its address: another MAC is an overwrite",
    have: [domain(1, 10), addressRow(NEIGHBOR_SET, [1, 0x0242, 5], A2)],
    want: [domain(1, 10), addressRow(NEIGHBOR_SET, [1, 0x0242, 6], A2)],
    calls: [addressRow(NEIGHBOR_SET, [1, 0x0242, 6], A2)],
  },
];

describe("difference", () => {
  it.each(cases)("$description", ({ have, want, calls }) => {
    expect(difference(imageOf(...have), imageOf(...want))).toEqual(calls);
  });

  it("sets what others refer to before what refers to it, whatever the order it was declared in", () => {
    const order = difference(emptyImage(), imageOf(...full.toReversed())).map(([code]) => code);
    expect(order).toEqual([DOMAIN_SET, PORT_SET, PORT_SET, UNDERLAY_SET, VTEP_SET, MEMBER_SET, FDB_SET, NEIGHBOR_SET]);
  });

  it("turns any image into any other, for an engine that does what it is told", () => {
    const small = fc.integer({ min: 1, max: 4 });
    const row = fc.oneof(
      fc.tuple(small, fc.integer({ min: 1, max: 9 })).map(([d, vni]) => domain(d, vni)),
      fc.tuple(small, small).map(([p, d]) => port(p, d)),
      fc.tuple(small, small).map(([v, a]) => addressRow(VTEP_SET, [v, 4789, 1], [0, 0, 0xffff, a])),
      fc.tuple(small, small).map(([d, v]): Row => [MEMBER_SET, d, v]),
      fc.tuple(small, small, small).map(([d, mac, p]): Row => [FDB_SET, d, 0x0242, mac, p, 0]),
      fc.tuple(small, small, small).map(([d, mac, a]) => addressRow(NEIGHBOR_SET, [d, 0x0242, mac], [0, 0, 0xffff, a])),
    );
    const image = fc.array(row, { maxLength: 20 }).map((rows) => imageOf(...rows));
    fc.assert(
      fc.property(image, image, (have, want) => {
        const engine = structuredClone(have);
        for (const call of difference(have, want)) applyToImage(engine, call);
        expect(engine).toEqual(want);
      }),
    );
  });
});

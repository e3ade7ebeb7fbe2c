// Table calls: what they refuse, what goes along when something is deleted, what dumps show.
import { describe, expect, it } from "vitest";
import { REFUSED_FULL, REFUSED_RANGE, REFUSED_TAKEN, REFUSED_UNKNOWN } from "../../../src/datapath/engine.ts";
import {
  DOMAIN_FLAG_HAS_VNI,
  MEMBER_DOMAIN,
  MEMBER_ENTRY_LENGTH,
  MEMBER_VTEP,
  PORT_TAP,
  PORT_UNDERLAY,
  VNI_NONE,
} from "../../../wasm/shared/abi.ts";
import { DOMAINS } from "../../../wasm/shared/layout.ts";
import { DOMAIN_MAX, MEMBER_MAX, PORT_MAX, VTEP_MAX } from "../../../wasm/shared/limits.ts";
import { BROADCAST, ethernet, mappedAddress, pattern, raw, vxlan } from "../../support/packet-builder.ts";
import { random } from "../../support/random.ts";
import { BUILDS, Engine } from "../../support/wasm.ts";

const MAC = [0x0200, 0x0000000a] as const;

describe.each(BUILDS)("tables (%s)", (build) => {
  const engine = new Engine(build);
  const { exports } = engine;
  const fresh = (): void => {
    engine.reset();
    engine.domain(0, { vni: 100 });
    engine.tap(1, 0);
    engine.underlay(8);
    engine.vtep(1, "10.9.0.2", 8, [0]);
  };

  it("refuses what is out of range", () => {
    fresh();
    expect(exports.portSet(PORT_MAX, PORT_TAP, 0, 0, 1500)).toBe(REFUSED_RANGE);
    expect(exports.portSet(2, 0, 0, 0, 1500)).toBe(REFUSED_RANGE);
    expect(exports.portSet(2, 9, 0, 0, 1500)).toBe(REFUSED_RANGE);
    expect(exports.portSet(2, PORT_TAP, 0, 0, 65536)).toBe(REFUSED_RANGE);
    expect(exports.underlaySet(8, 0, 1)).toBe(REFUSED_RANGE);
    expect(exports.underlaySet(8, 4789, 0)).toBe(REFUSED_RANGE);
    expect(exports.domainSet(DOMAIN_MAX, VNI_NONE, 0, 1500, 1, 1)).toBe(REFUSED_RANGE);
    expect(exports.domainSet(1, 2 ** 24, 0, 1500, 1, 1)).toBe(REFUSED_RANGE);
    expect(exports.domainSet(1, VNI_NONE, 0, 67, 1, 1)).toBe(REFUSED_RANGE);
    expect(exports.domainSet(1, VNI_NONE, 0, 65522, 1, 1)).toBe(REFUSED_RANGE);
    expect(exports.domainSet(1, VNI_NONE, 0, 1500, 1, 65001)).toBe(REFUSED_RANGE);
    engine.argument(mappedAddress("10.9.0.9"));
    expect(exports.vtepSet(0, 4789, 8)).toBe(REFUSED_RANGE);
    expect(exports.vtepSet(VTEP_MAX, 4789, 8)).toBe(REFUSED_RANGE);
    expect(exports.vtepSet(2, 0, 8)).toBe(REFUSED_RANGE);
    expect(exports.vtepSet(2, 4789, PORT_MAX)).toBe(REFUSED_RANGE);
    expect(exports.fdbSet(0, 0, 0, 1, 0)).toBe(REFUSED_RANGE);
    expect(exports.fdbSet(0, 0x0100, 1, 1, 0)).toBe(REFUSED_RANGE);
    expect(exports.neighborSet(0, 0, 0)).toBe(REFUSED_RANGE);
  });

  it("refuses what refers to nothing", () => {
    fresh();
    expect(exports.portSet(2, PORT_TAP, 5, 0, 1500)).toBe(REFUSED_UNKNOWN);
    expect(exports.underlaySet(1, 4789, 1)).toBe(REFUSED_UNKNOWN);
    expect(exports.underlaySet(9, 4789, 1)).toBe(REFUSED_UNKNOWN);
    expect(exports.memberSet(5, 1)).toBe(REFUSED_UNKNOWN);
    expect(exports.memberSet(0, 5)).toBe(REFUSED_UNKNOWN);
    expect(exports.memberSet(0, 0)).toBe(REFUSED_UNKNOWN);
    expect(exports.fdbSet(5, ...MAC, 1, 0)).toBe(REFUSED_UNKNOWN);
    expect(exports.fdbSet(0, ...MAC, 5, 0)).toBe(REFUSED_UNKNOWN);
    expect(exports.fdbSet(0, ...MAC, 0, 5)).toBe(REFUSED_UNKNOWN);
    expect(exports.neighborSet(5, ...MAC)).toBe(REFUSED_UNKNOWN);
    expect(exports.portSet(2, PORT_UNDERLAY, 5, 0, 1500)).toBe(0); // underlay ports are in no domain
  });

  it("refuses a VNI or an address that another has, and takes it once it is free", () => {
    fresh();
    expect(exports.domainSet(1, 100, 0, 1500, 1, 1)).toBe(REFUSED_TAKEN);
    expect(exports.domainSet(0, 100, 0, 1500, 1, 1)).toBe(0);
    expect(exports.domainSet(0, 101, 0, 1500, 1, 1)).toBe(0);
    expect(exports.domainSet(1, 100, 0, 1500, 1, 1)).toBe(0);
    engine.argument(mappedAddress("10.9.0.2"));
    expect(exports.vtepSet(2, 4789, 8)).toBe(REFUSED_TAKEN);
    expect(exports.vtepSet(1, 4790, 8)).toBe(0);
    exports.vtepDelete(1);
    engine.argument(mappedAddress("10.9.0.2"));
    expect(exports.vtepSet(2, 4789, 8)).toBe(0);
  });

  it("knows from the VNI whether a domain has one", () => {
    fresh();
    const flags = (domain: number): number => engine.view.getUint32(DOMAINS + 64 * domain, true);
    exports.domainSet(1, VNI_NONE, DOMAIN_FLAG_HAS_VNI, 1500, 1, 1);
    expect([flags(0) & DOMAIN_FLAG_HAS_VNI, flags(1) & DOMAIN_FLAG_HAS_VNI]).toEqual([DOMAIN_FLAG_HAS_VNI, 0]);
  });

  it("is silent about deleting what is not there", () => {
    fresh();
    for (const index of [5, 5000, 0xffffffff]) {
      exports.portDelete(index);
      exports.domainDelete(index);
      exports.vtepDelete(index);
      exports.memberDelete(index, index);
      exports.fdbDelete(index, ...MAC);
      exports.neighborDelete(index);
    }
    exports.fdbDelete(0, 0, 0);
    exports.memberDelete(0, 5);
  });

  it("finds every VNI and VTEP address among many, while others come and go", () => {
    engine.reset();
    engine.underlay(2000);
    const r = random(3);
    const address = (n: number): string => (n % 2 === 0 ? `10.9.${n >> 8}.${n & 255}` : `fd09::${n.toString(16)}`);
    const live = new Set<number>();
    for (let n = 1; n < 1000; n++) {
      engine.domain(n, { vni: n * 4099 });
      engine.tap(n, n);
      engine.vtep(n, address(n), 2000, [n]);
      live.add(n);
    }
    for (let turn = 0; turn < 500; turn++) {
      const n = 1 + r.below(999);
      if (live.delete(n)) {
        exports.domainDelete(n);
        exports.vtepDelete(n);
      } else {
        engine.domain(n, { vni: n * 4099 });
        engine.tap(n, n);
        engine.vtep(n, address(n), 2000, [n]);
        live.add(n);
      }
    }
    const frame = ethernet({ source: "02:00:00:00:00:01", destination: BROADCAST }, raw(0x88b5, pattern(46)));
    for (let n = 1; n < 1000; n += 7) {
      const sent = engine.run([{ port: 2000, datagrams: [vxlan(n * 4099, frame)], from: address(n) }]);
      expect(sent.map((one) => one.port)).toEqual(live.has(n) ? [n] : []);
    }
    expect(engine.lawDifference()).toBe(0);
  });

  it("keeps flood lists against a plain set, through collisions and gaps that close", () => {
    engine.reset();
    engine.underlay(8);
    for (let n = 0; n < 60; n++) engine.domain(n, { vni: n });
    for (let n = 1; n <= 60; n++) engine.vtep(n, `10.9.0.${n}`, 8);
    const model = new Set<string>();
    const r = random(5);
    for (let turn = 0; turn < 20_000; turn++) {
      const [domain, vtep] = [r.below(60), 1 + r.below(60)];
      if (r.chance(0.55)) {
        expect(exports.memberSet(domain, vtep)).toBe(0);
        model.add(`${domain}/${vtep}`);
      } else {
        exports.memberDelete(domain, vtep);
        model.delete(`${domain}/${vtep}`);
      }
    }
    const dumped = (): Set<string> =>
      new Set(
        engine
          .dump("memberDump", MEMBER_ENTRY_LENGTH)
          .map((entry) => `${entry.getUint16(MEMBER_DOMAIN, true)}/${entry.getUint16(MEMBER_VTEP, true)}`),
      );
    expect(dumped()).toEqual(model);
    // The lists that floods walk say the same as the table.
    const frame = ethernet({ source: "02:00:00:00:00:01", destination: BROADCAST }, raw(0x88b5, pattern(46)));
    for (let domain = 0; domain < 60; domain++) {
      engine.tap(100, domain);
      const reached = engine.run([{ port: 100, frame }]).map((one) => `${domain}/${Number.parseInt(one.destination.slice(-2), 16)}`);
      expect(reached.sort()).toEqual([...model].filter((key) => key.startsWith(`${domain}/`)).sort());
    }
    exports.vtepDelete(7);
    exports.domainDelete(9);
    expect(dumped()).toEqual(new Set([...model].filter((key) => !key.startsWith("9/") && !key.endsWith("/7"))));
    expect(engine.lawDifference()).toBe(0);
  });

  it("holds as many members as the limit says, refuses one more, and empties again", () => {
    engine.reset();
    const vteps = 1024;
    for (let n = 0; n < MEMBER_MAX / vteps; n++) engine.domain(n);
    engine.domain(100);
    for (let n = 1; n <= vteps; n++) engine.vtep(n, `10.9.${n >> 8}.${n & 255}`, 8);
    for (let n = 0; n < MEMBER_MAX / vteps; n++)
      for (let v = 1; v <= vteps; v++) if (exports.memberSet(n, v) !== 0) throw new Error(`${n}/${v} refused`);
    expect(exports.memberSet(100, 1)).toBe(REFUSED_FULL);
    expect(engine.dump("memberDump", MEMBER_ENTRY_LENGTH).length).toBe(MEMBER_MAX);
    for (let v = 1; v <= vteps; v++) exports.vtepDelete(v);
    expect(engine.dump("memberDump", MEMBER_ENTRY_LENGTH).length).toBe(0);
  });

  it("traps when told to, and only then", () => {
    const one = new Engine(build);
    expect(() => one.exports.trap()).toThrow(WebAssembly.RuntimeError);
  });
});

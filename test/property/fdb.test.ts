// The FDB against a plain Map: whatever learns, ages, moves, pins and forgets in whatever order, the table says what the
// model says. A table of 64 slots, so that clusters are long, wrap round the end and close their gaps often.
//
// The one freedom of the engine is when, within 17 seconds of its age, an entry goes: the sweep passes by once in 16 seconds.
// There the model takes over what the engine did.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FDB_AGE_S, FDB_ENTRY_LENGTH, FDB_FLAG_STATIC, FDB_FLAGS, FDB_KEY, FDB_PORT, FDB_VTEP } from "../../wasm/shared/abi.ts";
import { DOMAINS } from "../../wasm/shared/layout.ts";
import { BROADCAST, ethernet, pattern, raw, vxlan } from "../support/packet-builder.ts";
import { BUILDS, Engine, type Input, instantiateTesting, macWords } from "../support/wasm.ts";

const SLOTS = 64;
const LEARNED_MAX = (SLOTS / 16) * 13;
const USED_MAX = (SLOTS / 8) * 7;
const LIMIT = [20, 40] as const;
const AGE_S = [30, 300] as const;
const SWEEP_S = 17;
const PORTS = [
  [1, 2],
  [3, 4],
] as const;
const VNI = [100, 101] as const;

interface Entry {
  port: number;
  vtep: number;
  pinned: boolean;
  seenS: number;
}

interface Model {
  entries: Map<string, Entry>;
  nowS: number;
  refused: number;
  moved: number;
  spoofed: number;
}

type Command = fc.Command<Model, Engine>;

const macText = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, "0")}`;
const keyOf = (domain: number, n: number): string => `${domain}/${macText(n)}`;
const learnedIn = (model: Model, domain: number): number =>
  [...model.entries].filter(([key, entry]) => key.startsWith(`${domain}/`) && !entry.pinned).length;

/** Reads the whole table and compares; entries that are due may be gone. */
function compare(model: Model, engine: Engine): void {
  const table = new Map<string, Entry>();
  for (const entry of engine.dump("fdbDump", FDB_ENTRY_LENGTH)) {
    const key = entry.getBigUint64(FDB_KEY, true);
    const name = keyOf(Number(key >> 48n), Number(key & 0xffn));
    expect(table.has(name)).toBe(false);
    const pinned = (entry.getUint16(FDB_FLAGS, true) & FDB_FLAG_STATIC) !== 0;
    table.set(name, {
      port: entry.getUint16(FDB_PORT, true),
      vtep: entry.getUint16(FDB_VTEP, true),
      pinned,
      seenS: pinned ? 0 : model.nowS - entry.getUint16(FDB_AGE_S, true),
    });
  }
  for (const [key, entry] of [...model.entries]) {
    const over = entry.pinned ? 0 : model.nowS - entry.seenS - AGE_S[Number(key[0]) as 0 | 1];
    if (over > SWEEP_S) expect([key, table.has(key)]).toEqual([key, false]);
    if (over > 0 && !table.has(key)) model.entries.delete(key);
  }
  expect(table).toEqual(model.entries);
  expect(engine.counter("fdb-refused")).toBe(model.refused);
  expect(engine.counter("fdb-moved")).toBe(model.moved);
  expect(engine.drops()["static-moved"] ?? 0).toBe(model.spoofed);
  expect(engine.lawDifference()).toBe(0);
}

const command = (name: string, apply: (model: Model, engine: Engine) => void): Command => ({
  check: () => true,
  run: (model, engine) => {
    apply(model, engine);
    compare(model, engine);
  },
  toString: () => name,
});

/** A frame of `n` from the domain's first or second port (0, 1) or from the VTEP (2). */
function frameFrom(domain: 0 | 1, n: number, place: number): Command {
  return command(`frame(${domain}, ${macText(n)}, ${place})`, (model, engine) => {
    const frame = ethernet({ source: macText(n), destination: BROADCAST }, raw(0x88b5, pattern(46)));
    const port = place === 2 ? 0 : PORTS[domain][place as 0 | 1];
    const vtep = place === 2 ? 1 : 0;
    const input: Input = place === 2 ? { port: 8, datagrams: [vxlan(VNI[domain], frame)], from: "10.9.0.2" } : { port, frame };
    engine.run([input]);

    const key = keyOf(domain, n);
    const entry = model.entries.get(key);
    if (entry === undefined) {
      if (model.entries.size >= LEARNED_MAX || learnedIn(model, domain) >= LIMIT[domain]) model.refused++;
      else model.entries.set(key, { port, vtep, pinned: false, seenS: model.nowS });
    } else if (entry.pinned) {
      if (vtep === 0 && (entry.vtep !== 0 || entry.port !== port)) model.spoofed++;
    } else {
      if (entry.port !== port || entry.vtep !== vtep) model.moved++;
      model.entries.set(key, { port, vtep, pinned: false, seenS: model.nowS });
    }
  });
}

function pin(domain: 0 | 1, n: number, place: number): Command {
  return command(`pin(${domain}, ${macText(n)}, ${place})`, (model, engine) => {
    const port = place === 2 ? 0 : PORTS[domain][place as 0 | 1];
    const vtep = place === 2 ? 1 : 0;
    const key = keyOf(domain, n);
    const full = !model.entries.has(key) && model.entries.size >= USED_MAX;
    const [high, low] = macWords(macText(n));
    expect(engine.exports.fdbSet(domain, high, low, port, vtep)).toBe(full ? 2 : 0);
    if (!full) model.entries.set(key, { port, vtep, pinned: true, seenS: 0 });
  });
}

function remove(domain: 0 | 1, n: number): Command {
  return command(`remove(${domain}, ${macText(n)})`, (model, engine) => {
    const [high, low] = macWords(macText(n));
    engine.exports.fdbDelete(domain, high, low);
    model.entries.delete(keyOf(domain, n));
  });
}

function wait(seconds: number): Command {
  return command(`wait(${seconds})`, (model, engine) => {
    for (let i = 0; i < seconds; i++) engine.exports.tick(++model.nowS * 1000);
  });
}

function replug(domain: 0 | 1, place: 0 | 1): Command {
  return command(`replug(${domain}, ${place})`, (model, engine) => {
    const port = PORTS[domain][place];
    engine.exports.portDelete(port);
    engine.tap(port, domain);
    for (const [key, entry] of [...model.entries]) if (!entry.pinned && entry.vtep === 0 && entry.port === port) model.entries.delete(key);
  });
}

const forgetVtep = command("forgetVtep", (model, engine) => {
  engine.exports.vtepDelete(1);
  engine.vtep(1, "10.9.0.2", 8, [0, 1]);
  for (const [key, entry] of [...model.entries]) if (!entry.pinned && entry.vtep === 1) model.entries.delete(key);
});

const domain = fc.constantFrom(0 as const, 1 as const);
const station = fc.integer({ min: 1, max: 60 });
const place = fc.integer({ min: 0, max: 2 });
const commands = [
  fc.tuple(domain, station, place).map(([d, n, p]) => frameFrom(d, n, p)),
  fc.tuple(domain, station, place).map(([d, n, p]) => frameFrom(d, n, p)),
  fc.tuple(domain, station, place).map(([d, n, p]) => frameFrom(d, n, p)),
  fc.tuple(domain, station, place).map(([d, n, p]) => pin(d, n, p)),
  fc.tuple(domain, station).map(([d, n]) => remove(d, n)),
  fc.integer({ min: 1, max: 40 }).map(wait),
  fc.tuple(domain, fc.constantFrom(0 as const, 1 as const)).map(([d, p]) => replug(d, p)),
  fc.constant(forgetVtep),
];

describe.each(BUILDS)("FDB (%s)", (build) => {
  const engine = new Engine(build, SLOTS);

  it("agrees with a Map whatever happens", () => {
    fc.assert(
      fc.property(fc.commands(commands, { maxCommands: 300, size: "max" }), (sequence) => {
        engine.reset(SLOTS);
        for (const d of [0, 1] as const) {
          engine.domain(d, { vni: VNI[d], fdbLimit: LIMIT[d], fdbAgeS: AGE_S[d] });
          for (const port of PORTS[d]) engine.tap(port, d);
        }
        engine.underlay(8);
        engine.vtep(1, "10.9.0.2", 8, [0, 1]);
        fc.modelRun(() => ({ model: { entries: new Map(), nowS: 0, refused: 0, moved: 0, spoofed: 0 }, real: engine }), sequence);
      }),
      { numRuns: Number(process.env.WEFT_PROPERTY_RUNS ?? 60) },
    );
  });

  it("keeps one network's flood of MACs from evicting another's", () => {
    engine.reset(SLOTS);
    engine.domain(0, { fdbLimit: 8 });
    engine.domain(1, { fdbLimit: 40 });
    engine.tap(1, 0);
    engine.tap(3, 1);
    const frame = (n: number): Uint8Array => ethernet({ source: macText(n), destination: BROADCAST }, raw(0x88b5, pattern(46)));
    engine.run(Array.from({ length: 10 }, (_, i) => ({ port: 3, frame: frame(i + 1) })));
    engine.run(Array.from({ length: 200 }, (_, i) => ({ port: 1, frame: frame(i + 1) })));
    const domains = engine.dump("fdbDump", FDB_ENTRY_LENGTH).map((entry) => Number(entry.getBigUint64(FDB_KEY, true) >> 48n));
    expect(domains.filter((d) => d === 0).length).toBe(8);
    expect(domains.filter((d) => d === 1).length).toBe(10);
    expect(engine.counter("fdb-refused")).toBe(192);
  });

  it("never ages an entry of a domain whose age is 0, nor a pinned one", () => {
    engine.reset(SLOTS);
    engine.domain(0, { fdbAgeS: 0 });
    engine.tap(1, 0);
    engine.pin(0, macText(9), { port: 1 });
    engine.run([{ port: 1, frame: ethernet({ source: macText(1), destination: BROADCAST }, raw(0x88b5, pattern(46))) }]);
    for (let s = 1; s <= 200; s++) engine.exports.tick(s * 1000 * 1000);
    expect(engine.dump("fdbDump", FDB_ENTRY_LENGTH).length).toBe(2);
  });

  it("ages by the host's clock over its wrap after 2^32 ms", () => {
    engine.reset(SLOTS);
    engine.domain(0, { fdbAgeS: 30 });
    engine.tap(1, 0);
    engine.exports.tick(0xfffff000);
    engine.run([{ port: 1, frame: ethernet({ source: macText(1), destination: BROADCAST }, raw(0x88b5, pattern(46))) }]);
    const tick = (seconds: number): number => {
      for (let s = 1; s <= seconds; s++) engine.exports.tick((0xfffff000 + s * 1000) >>> 0);
      return engine.dump("fdbDump", FDB_ENTRY_LENGTH).length;
    };
    expect(tick(29)).toBe(1);
    expect(tick(48)).toBe(0);
    expect(engine.counter("fdb-aged")).toBe(1);
  });

  it("holds a million entries", () => {
    const { exports, memory } = instantiateTesting<{ fdbReset(slots: number): void; fdbRepeat(count: number, times: number): number }>(
      build,
    );
    new DataView(memory.buffer).setUint32(DOMAINS + 12, 2_000_000, true); // fdbLimit of domain 0
    exports.fdbReset(2 ** 21);
    expect(exports.fdbRepeat(1_000_000, 1)).toBe(0);
    expect(exports.fdbRepeat(1_000_000, 1)).toBe(1_000_000);
  });
});

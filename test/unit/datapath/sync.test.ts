import { describe, expect, it } from "vitest";
import type { AssociationDeclaration, Declaration } from "../../../src/datapath/declarations.ts";
import { merge } from "../../../src/datapath/desired/merge.ts";
import type { EngineExports } from "../../../src/datapath/engine.ts";
import { ALGORITHM_NUMBERS } from "../../../src/datapath/esp-algorithms.ts";
import { KeyMaterial } from "../../../src/datapath/key-material.ts";
import { emptyImage, type Image } from "../../../src/datapath/tables/diff.ts";
import { NO_MARKS } from "../../../src/datapath/tables/marks.ts";
import {
  addressRow,
  DOMAIN_SET,
  FDB_DELETE,
  FDB_SET,
  MEMBER_DELETE,
  NEIGHBOR_SET,
  PERMIT_DELETE,
  PERMIT_SET,
  PORT_SET,
  packRows,
  type Row,
} from "../../../src/datapath/tables/ops.ts";
import {
  associationRecords,
  readEntries,
  readFdb,
  readMembers,
  readNeighbors,
  readPermits,
} from "../../../src/datapath/tables/read-back.ts";
import { type AssociationKey, type Requester, Sync } from "../../../src/datapath/tables/sync.ts";
import { addressWords, macWords } from "../../../src/datapath/words.ts";
import { PORT_TAP, PROBE_DUMMY } from "../../../wasm/shared/abi.ts";
import { TestShard } from "../../support/shard.ts";

const MAC = ["02:42:0a:00:00:01", "02:42:0a:00:00:02"] as const;

function network(entries = 0): Declaration {
  const domain = { id: "n1", vni: 4097, mtuBytes: 1450, learning: true, proxyNeighbors: true, clampMss: true, fdbLimit: 100, fdbAgeS: 300 };
  const port = {
    kind: "tap",
    id: "e1",
    domain: "n1",
    namespacePath: null,
    interfaceName: "e1",
    mac: MAC[1],
    mtuBytes: 1450,
    isolated: false,
  } as const;
  const other = { ...port, id: "e2", interfaceName: "e2", mac: "02:42:0a:00:00:03" };
  const many = Array.from({ length: entries }, (_, i) => {
    const mac = `06:00:00:00:${(i >> 8).toString(16).padStart(2, "0")}:${(i & 255).toString(16).padStart(2, "0")}`;
    return { domain: "n1", mac, to: { port: "e1" } };
  });
  return {
    domains: [domain],
    ports: [port, other],
    fdb: [{ domain: "n1", mac: MAC[1], to: { port: "e1" } }, { domain: "n1", mac: MAC[0], to: { vtep: "10.9.0.2" } }, ...many],
    neighbors: [{ domain: "n1", address: "10.0.0.1", mac: MAC[0] }],
    vteps: [{ domain: "n1", address: "10.9.0.2", port: 4789 }],
    permits: [
      { client: "e1", server: "e2", protocol: "tcp", first: 80, last: 80 },
      { client: "e1", server: "e2", protocol: "udp", first: 1, last: 65535 },
    ],
  };
}

interface Rig {
  readonly shard: TestShard;
  readonly sync: Sync;
  want(declaration: Declaration): Image;
  /** Calls that went past the only writer. */
  tamper(...rows: Row[]): void;
  /** What the engine really has. */
  readonly engine: Image;
}

function rig(wrap?: (engine: EngineExports) => EngineExports, allKeys?: () => readonly AssociationKey[]): Rig {
  const shard = new TestShard("release", wrap);
  const requester: Requester = { request: async (request) => shard.execute(request as never) as never };
  return {
    shard,
    sync: new Sync(requester, shard.tables, allKeys),
    want(declaration) {
      const { desired } = merge(new Map([["test", declaration]]));
      return shard.tables.imageOf(desired, NO_MARKS);
    },
    tamper(...rows) {
      const reply = shard.execute({ kind: "apply", generation: shard.shard.generation, rows: packRows(rows), release: [], attach: [] });
      if (reply.done !== rows.length) throw new Error(`refused: ${JSON.stringify(reply)}`);
    },
    get engine() {
      const image = emptyImage();
      const { domains, ports, vteps } = shard.tables.names;
      readEntries(
        image,
        shard.execute({ kind: "entries", domains: domains.limit, ports: ports.limit, vteps: vteps.limit, associations: 0 }),
      );
      readFdb(image, shard.execute({ kind: "dump", table: "fdb", cursor: 0, staticOnly: true }).entries);
      readNeighbors(image, shard.execute({ kind: "dump", table: "neighbors", cursor: 0, staticOnly: false }).entries);
      readMembers(image, shard.execute({ kind: "dump", table: "members", cursor: 0, staticOnly: false }).entries);
      readPermits(image, shard.execute({ kind: "dump", table: "permits", cursor: 0, staticOnly: false }).entries);
      return image;
    },
  };
}

describe("an audit", () => {
  it("finds nothing to mend in what was written", async () => {
    const { sync, want } = rig();
    await sync.become(want(network()));
    expect(await sync.audit()).toEqual({ checked: 12, mended: 0 });
  });

  it("mends what is missing, what is wrong and what is left over, and counts it", async () => {
    const made = rig();
    const { sync, shard, want, tamper } = made;
    await sync.become(want(network()));
    const domain = shard.tables.names.domains.indexOf("n1")!;
    tamper(
      [FDB_DELETE, domain, ...macWords(MAC[1])],
      [MEMBER_DELETE, domain, 1],
      [PERMIT_DELETE, shard.port("e1"), shard.port("e2"), 6, 80, 80],
      [PERMIT_SET, shard.port("e2"), shard.port("e1"), 6, 80, 80],
      addressRow(NEIGHBOR_SET, [domain, ...macWords("02:42:0a:00:00:99")], addressWords("10.0.0.1")),
      addressRow(NEIGHBOR_SET, [domain, ...macWords("02:42:0a:00:00:98")], addressWords("10.0.0.98")),
      [FDB_SET, domain, ...macWords("02:42:0a:00:00:98"), shard.port("e1"), 0],
      [PORT_SET, shard.port("e1"), PORT_TAP, domain, 1, 1450],
      [DOMAIN_SET, domain, 4097, 0, 9000, 1, 1],
    );
    expect((await sync.audit()).mended).toBe(9);
    expect(made.engine).toEqual(want(network()));
    expect((await sync.audit()).mended).toBe(0);
  });
});

describe("a security association", () => {
  it("is read back as it was written, with all of a first number that takes more than 32 bits", () => {
    const shard = new TestShard();
    shard.openEsp();
    const association = (direction: "in" | "out", firstSequence: number): AssociationDeclaration => ({
      ...{ id: direction, direction, peer: "10.9.0.2", vxlanPort: 4789, spi: 300, algorithm: "aes-256-gcm", icvBytes: 16, esn: true },
      ...{ udpPort: 4500, innerChecksum: true, packetLimit: Number.MAX_SAFE_INTEGER, byteLimit: 2 ** 50, firstSequence },
      ...{ notify: true, current: direction === "out", key: new KeyMaterial(new Uint8Array(36)) },
    });
    const [incoming, outgoing] = [2 ** 40 + 0x80000001, Number.MAX_SAFE_INTEGER];
    shard.declare({ ...network(), associations: [association("in", incoming), association("out", outgoing)] });
    const image = emptyImage();
    const { domains, ports, vteps, associations } = shard.tables.names;
    const limits = { domains: domains.limit, ports: ports.limit, vteps: vteps.limit, associations: associations.limit };
    const entries = shard.execute({ kind: "entries", ...limits });
    readEntries(image, entries);
    expect(image.associations).toEqual(shard.tables.image.associations);
    const sequences = [...associationRecords(entries)].map(({ sequence }) => sequence);
    expect(sequences).toEqual([BigInt(incoming), BigInt(outgoing)]);
  });
});

describe("keys of associations that stand", () => {
  const association: AssociationDeclaration = {
    ...{ id: "out", direction: "out", peer: "10.9.0.2", vxlanPort: 4789, spi: 300, algorithm: "aes-256-gcm", icvBytes: 16, esn: true },
    ...{ udpPort: 4500, innerChecksum: false, packetLimit: 2 ** 40, byteLimit: 2 ** 50, firstSequence: 0 },
    ...{ notify: false, current: true, key: new KeyMaterial(new Uint8Array(36).fill(7)) },
  };

  it("come again with the tables when the first change after a rebuild is refused", async () => {
    const keys: AssociationKey[] = [];
    const { shard, sync, want } = rig(undefined, () => keys);
    shard.tables.setEspPorts([{ name: "esp", kind: "udp", address: "10.9.0.1", vxlanPort: 4789 }]);
    const standing = want({ ...network(), associations: [association] });
    const { names } = shard.tables;
    keys.push({ slot: names.associations.indexOf("out")!, algorithm: ALGORITHM_NUMBERS["aes-256-gcm"], key: association.key });
    await sync.become(standing, { release: [], attach: [{ port: shard.port("esp"), kind: "udp", fds: [101] }], keys });
    const speaks = (): number => {
      const before = shard.poller.sent.length;
      shard.execute({ kind: "probe", vtep: names.vteps.indexOf("10.9.0.2")!, what: PROBE_DUMMY });
      return shard.poller.sent.length - before;
    };
    expect(speaks()).toBe(1);
    shard.execute({ kind: "trap" });
    await expect(sync.become(want({ ...network(2000), associations: [association] }))).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
    });
    expect(speaks()).toBe(1);
  });
});

describe("a change", () => {
  it("that the engine refuses is taken back whole", async () => {
    const made = rig();
    await made.sync.become(made.want(network()));
    await expect(made.sync.become(made.want(network(2000)))).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringContaining("the table is full"),
    });
    expect(made.engine).toEqual(made.want(network()));
  });

  it("that crosses a rebuild is computed anew, for an empty engine", async () => {
    const made = rig();
    await made.sync.become(made.want(network()));
    made.shard.execute({ kind: "trap" });
    await made.sync.become(made.want(network(10)));
    expect(made.engine).toEqual(made.want(network(10)));
    expect(await made.sync.rebuilt(2)).toBe(0); // the notice comes late: all is there
  });

  it("that traps the engine each time is given up, and what was there is there again", async () => {
    const made = rig((engine) => ({
      ...engine,
      domainSet(domain, vni, flags, mtuBytes, fdbLimit, fdbAgeS) {
        if (mtuBytes === 1234) engine.trap();
        return engine.domainSet(domain, vni, flags, mtuBytes, fdbLimit, fdbAgeS);
      },
    }));
    await made.sync.become(made.want(network()));
    const wrong = network();
    const poison = { ...wrong, domains: [{ ...wrong.domains![0]!, mtuBytes: 1234 }] };
    await expect(made.sync.become(made.want(poison))).rejects.toMatchObject({ code: "INTERNAL" });
    expect(made.engine).toEqual(made.want(network()));
  });
});

describe("a rebuilt engine", () => {
  it("gets all its tables again", async () => {
    const made = rig();
    await made.sync.become(made.want(network(100)));
    made.shard.execute({ kind: "trap" });
    expect(made.engine).toEqual(emptyImage());
    await made.sync.rebuilt(2);
    expect(made.engine).toEqual(made.want(network(100)));
  });
});

describe("a poller that takes no descriptor", () => {
  /** A TAP is to be handed from e1 to e2, and at each adding `before` may throw. */
  async function handing(before: (shard: TestShard) => void) {
    const made = rig();
    const { shard, sync, want } = made;
    const [image, { poller }] = [want(network()), shard];
    const [from, to] = [shard.port("e1"), shard.port("e2")];
    await sync.become(image, { release: [], attach: [{ port: from, kind: "tap", fds: [7] }] });
    const polled = new Set([from]);
    poller.addTap = (port) => {
      before(shard);
      polled.add(port);
    };
    poller.release = (port) => void polled.delete(port);
    const hand = () => sync.become(image, { release: [from], attach: [{ port: to, kind: "tap", fds: [7] }] });
    return { ...made, from, polled, hand };
  }

  it("has back what it let go of, if not at once then with an audit", async () => {
    let full = true;
    const { sync, from, polled, hand } = await handing(() => {
      if (full) throw new Error("EMFILE");
    });
    await expect(hand()).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("EMFILE") });
    await sync.audit();
    expect([...polled]).toEqual([]);
    full = false;
    await sync.audit();
    expect([...polled]).toEqual([from]);
  });

  it.each([
    ["the next change", false],
    ["none that a change lets go of", true],
  ])("or with %s", async (_what, lets) => {
    let full = true;
    const { sync, want, from, polled, hand } = await handing(() => {
      if (full) throw new Error("EMFILE");
    });
    await expect(hand()).rejects.toThrow("EMFILE");
    full = false;
    await sync.become(want(network(1)), { release: lets ? [from] : [], attach: [] });
    await sync.audit();
    expect([...polled]).toEqual(lets ? [] : [from]);
  });

  it("has it back where the engine traps meanwhile", async () => {
    let first = true;
    const made = await handing((shard) => {
      if (!first) return;
      first = false;
      shard.execute({ kind: "trap" });
      throw new Error("EMFILE");
    });
    await expect(made.hand()).rejects.toThrow("EMFILE");
    expect([...made.polled]).toEqual([made.from]);
    expect(made.engine).toEqual(made.want(network()));
  });
});

// Leaked addresses: that there are none after ten thousand comings and goings, and that those that a bug leaves are found.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { SparseBitmap } from "../../src/ipam/bitmap.ts";
import { EmbeddedIpam } from "../../src/ipam/embedded.ts";
import { NullIpam } from "../../src/ipam/null.ts";
import { AddressPool } from "../../src/ipam/pool.ts";
import { IpamRegistry } from "../../src/ipam/registry.ts";
import { formatAddress, parseAddress } from "../../src/net/address.ts";
import type { NetworkRecord } from "../../src/records/records.ts";
import { repeat } from "../../src/repeat.ts";
import { openLmdbStore } from "../../src/store/lmdb.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { startController } from "../support/controller.ts";

const CONFIG = { subnet: "10.0.0.0/12", ipRange: null, gateway: "10.0.0.1", auxAddresses: { a: "10.0.0.9" } };

describe("bitmaps", () => {
  it("differ by what Sets differ by", () => {
    const numbers = fc.array(fc.bigInt({ min: 0n, max: 70_000n }), { maxLength: 200 });
    fc.assert(
      fc.property(numbers, numbers, (left, right) => {
        const [a, b] = [left, right].map((all) => {
          const map = new SparseBitmap();
          for (const one of all) map.add(one);
          return map;
        }) as [SparseBitmap, SparseBitmap];
        const expected = [...new Set(left)].filter((one) => !right.includes(one));
        const order = (x: bigint, y: bigint) => (x < y ? -1 : 1);
        expect(a.without(b).sort(order)).toEqual(expected.sort(order));
      }),
    );
  });
});

describe("ten thousand addresses given and taken back", () => {
  it("leave a pool as it was", () => {
    const pool = new AddressPool(CONFIG);
    for (let n = 0; n < 5000; n++) pool.request();
    const before = pool.usage();
    for (let n = 0; n < 10_000; n++) pool.release(pool.request());
    expect(pool.usage()).toEqual(before);
    const held = Array.from({ length: 5000 }, (_, n) => parseAddress("10.0.0.2").value + BigInt(n + (n >= 7 ? 1 : 0)));
    expect(pool.reconcile(held.map((value) => ({ family: 4, value })))).toEqual({ freed: [], claimed: [] });
  });

  it("leave the store's file and its entries as they were", async () => {
    const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
    const path = join(folder, "store.lmdb");
    const store = await openLmdbStore(path);
    try {
      const ipam = new EmbeddedIpam();
      const network = { id: "n", ipam: [CONFIG] } as unknown as NetworkRecord;
      ipam.openNetwork(network, "local", [], new Map());
      const pair = async (commits: boolean): Promise<void> => {
        const lease = await ipam.requestAddresses("n", { ipv4: null, ipv6: null });
        if (commits) await store.commit({ puts: [...lease.puts, { key: "endpoint/e", value: lease.ipv4 }] });
        await ipam.releaseAddresses("n", lease);
        if (commits) await store.commit({ deletes: ["endpoint/e"] });
      };
      for (let n = 0; n < 100; n++) await pair(true);
      const keys = async () => (await store.list("")).map(({ key }) => key);
      const before = [await keys(), ipam.usage("n"), statSync(path).size];
      // Each hundredth is also stored: a commit costs a sync, and the file shows a leak by the first hundred.
      for (let n = 0; n < 10_000; n++) await pair(n % 100 === 0);
      expect([await keys(), ipam.usage("n"), statSync(path).size]).toEqual(before);
      expect(readFileSync(path).length).toBe(before[2]);
      expect(ipam.reconcileNetwork("n", [])).toEqual({ freed: [], claimed: [] });
    } finally {
      await store.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a reconciliation", () => {
  const setUp = async () => {
    const embedded = new EmbeddedIpam();
    const store = new MemoryStore();
    const bench = await startController({ store, options: { ipam: new IpamRegistry([embedded, new NullIpam()]) } });
    const { id } = await bench.controller.createNetwork({ name: "net", ipam: [{ subnet: "10.1.0.0/24" }] });
    await bench.controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
    return { ...bench, store, embedded, id };
  };

  it("frees what is nobody's, claims what is somebody's, forgets pools that are gone, and says so", async () => {
    const { controller, embedded, store, id, logged } = await setUp();
    const before = controller.inspectNetwork("net").subnets;
    const leaked = await embedded.requestAddresses(id, { ipv4: null, ipv6: null });
    await embedded.releaseAddresses(id, { ipv4: "10.1.0.2/24", ipv6: null }); // box has it
    await store.commit({ puts: [{ key: "ipam/local/10.9.0.0/24", value: "10.9.0.7" }] });
    const report = await controller.reconcile();
    expect(report).toMatchObject({ freed: ["net 10.1.0.3"], claimed: ["net 10.1.0.2"], keys: ["ipam/local/10.9.0.0/24"] });
    expect(leaked.ipv4).toBe("10.1.0.3/24");
    expect(controller.reconciled).toMatchObject({ reclaimed: 3, waiting: 0 });
    expect(logged.filter((line) => line.startsWith("warn addresses that were leaked"))).toHaveLength(1);
    expect(controller.inspectNetwork("net").subnets).toEqual(before);
    expect(await controller.reconcile()).toMatchObject({ freed: [], claimed: [], keys: [] });
    expect(controller.reconciled.reclaimed).toBe(3);
  });

  it("are none that a slow plugin's network keeps a removal from giving back, nor given back twice", async () => {
    const ipam = new IpamRegistry([new EmbeddedIpam(), new NullIpam()]);
    const { controller } = await startController({ options: { ipam } });
    for (const name of ["plugged", "zone"]) await controller.createNetwork({ name });
    const address = "172.18.0.2";
    const alone = { network: "zone", ipv4: address };
    await controller.createSandbox({ name: "a", networks: [{ network: "plugged" }, alone] });
    const slow = controller.inspectNetwork("plugged").network.id;
    const release = ipam.releaseAddresses.bind(ipam);
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    ipam.releaseAddresses = async (network, addresses) => {
      if (network === slow) await answered;
      await release(network, addresses);
    };
    const removed = controller.removeSandbox("a", false);
    await expect.poll(() => controller.listSandboxes()).toEqual([]);
    const { freed } = await controller.reconcile();
    expect(freed.filter((text) => text.startsWith("zone"))).toEqual([]);
    await controller.createSandbox({ name: "b", networks: [alone] });
    answer();
    await removed;
    await expect(controller.createSandbox({ name: "c", networks: [alone] })).rejects.toThrow(address);
  });

  it("takes nothing from who is just getting it", async () => {
    const { controller } = await setUp();
    const made = Array.from({ length: 20 }, () => controller.createSandbox({ networks: [{ network: "net" }] }));
    const reports = [controller.reconcile(), controller.reconcile()];
    const given = (await Promise.all(made)).map(({ endpoints }) => endpoints[0]!.endpoint.ipv4);
    expect(new Set(given).size).toBe(20);
    for (const report of await Promise.all(reports)) expect(report).toMatchObject({ freed: [], claimed: [] });
  });

  it("finds three that are leaked among a million", () => {
    const pool = new AddressPool(CONFIG);
    const held = Array.from({ length: 1_000_000 }, () => pool.request());
    const leaked = [7, 16_384, 999_999].map((at) => held.splice(at - held.length, 1)[0]!);
    const { freed, claimed } = pool.reconcile(held);
    expect(new Set(freed.map(formatAddress))).toEqual(new Set(leaked.map(formatAddress)));
    expect(claimed).toEqual([]);
  });
});

describe("at start and hourly", () => {
  afterEach(() => vi.useRealTimers());

  it("it is done, never twice at a time, and a failure is not the last word", async () => {
    vi.useFakeTimers();
    const HOUR_MS = 3600_000;
    let finish = (): void => {};
    const work = vi.fn(
      () =>
        new Promise<void>((done) => {
          finish = done;
        }),
    );
    const failed = vi.fn();
    const repeated = repeat(work, HOUR_MS, failed);
    expect(work).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(3 * HOUR_MS);
    expect(work).toHaveBeenCalledTimes(1); // it takes its time
    finish();
    await vi.advanceTimersByTimeAsync(HOUR_MS - 1);
    expect(work).toHaveBeenCalledTimes(1);
    work.mockRejectedValueOnce(new Error("no"));
    await vi.advanceTimersByTimeAsync(1);
    expect(work).toHaveBeenCalledTimes(2);
    expect(failed.mock.calls).toEqual([[new Error("no")]]);
    await vi.advanceTimersByTimeAsync(HOUR_MS);
    expect(work).toHaveBeenCalledTimes(3);
    finish();
    await repeated.end();
    await vi.advanceTimersByTimeAsync(5 * HOUR_MS);
    expect(work).toHaveBeenCalledTimes(3);
  });
});

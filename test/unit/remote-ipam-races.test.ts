// Address management by a plugin while two things happen at once: a slow answer must not make one address two, and what is given
// back late must not be what somebody has got meanwhile. The plugin is a function; its HTTP is remote-ipam.test.ts's.
import { beforeEach, describe, expect, it } from "vitest";
import { addressLeaseKey, Leases } from "../../src/ipam/leases.ts";
import { RemoteIpam } from "../../src/ipam/remote/remote.ts";
import type { Plugin } from "../../src/plugins/plugin.ts";
import type { NetworkRecord } from "../../src/records/records.ts";
import { MemoryStore } from "../../src/store/memory.ts";

const NETWORK = {
  ...{ id: "n1", name: "net", ipamDriver: "books", ipamOptions: {} },
  ipam: [{ subnet: "10.79.0.0/24", ipRange: null, gateway: "10.79.0.1", auxAddresses: {}, poolId: "p" }],
} as unknown as NetworkRecord;
const ANY = { ipv4: null, ipv6: null };

let store: MemoryStore;
let leases: Leases;
let ipam: RemoteIpam;
/** What is given next, and what was given back. */
let next: string;
let returned: string[];
/** Answers to ReleaseAddress wait for it. */
let slow: Promise<void>;

beforeEach(() => {
  store = new MemoryStore();
  leases = new Leases(store);
  next = "10.79.0.5";
  returned = [];
  slow = Promise.resolve();
  const call = async (method: string, body: { Address: string } | null): Promise<unknown> => {
    if (method.endsWith("GetDefaultAddressSpaces")) return { LocalDefaultAddressSpace: "l", GlobalDefaultAddressSpace: "g" };
    if (method.endsWith("RequestAddress")) return { Address: `${next}/24` };
    if (method.endsWith("ReleaseAddress")) {
      returned.push(body!.Address);
      await slow;
    }
    return {};
  };
  ipam = new RemoteIpam({ name: "books", present: true, require: async () => {}, call } as unknown as Plugin, leases, () => {});
  ipam.openNetwork(NETWORK, "local", []);
});

describe("a plugin that gives one address twice", () => {
  it("is found out when both are asked for at the same time", async () => {
    const asked = await Promise.allSettled([ipam.requestAddresses("n1", ANY), ipam.requestAddresses("n1", ANY)]);
    expect(asked).toMatchObject([
      { status: "fulfilled", value: { ipv4: "10.79.0.5/24" } },
      { status: "rejected", reason: { code: "UNAVAILABLE", message: expect.stringContaining("gives 10.79.0.5 twice") } },
    ]);
    expect(returned).toEqual([]);
  });

  it("has not done so where the first could not be written down", async () => {
    await store.close();
    await expect(ipam.requestAddresses("n1", ANY)).rejects.toMatchObject({ message: "the store is closed" });
    await expect(ipam.requestAddresses("n1", ANY)).rejects.toMatchObject({ message: "the store is closed" });
    expect(returned).toEqual(["10.79.0.5", "10.79.0.5"]);
  });
});

describe("what is left over", () => {
  it("is not given back again when somebody has got it meanwhile", async () => {
    const lease = (address: string) => ({ key: addressLeaseKey("n1", address), value: { driver: "books", poolId: "p", address } });
    await store.commit({ puts: [lease("10.79.0.4"), lease("10.79.0.5")] });
    let answer = (): void => {};
    slow = new Promise((resolve) => {
      answer = resolve;
    });
    const reconciled = ipam.reconcile(await leases.left());
    await expect.poll(() => returned).toEqual(["10.79.0.4"]);
    slow = Promise.resolve();
    await ipam.releaseAddresses("n1", { ipv4: "10.79.0.5/24", ipv6: null });
    expect(await ipam.requestAddresses("n1", ANY)).toMatchObject({ ipv4: "10.79.0.5/24" });
    answer();
    expect(await reconciled).toEqual({ released: 2, waiting: 0 });
    expect(returned).toEqual(["10.79.0.4", "10.79.0.5"]);
    expect(await leases.get(addressLeaseKey("n1", "10.79.0.5"))).toMatchObject({ lease: { address: "10.79.0.5" } });
    expect(await leases.left()).toEqual([]);
  });
});

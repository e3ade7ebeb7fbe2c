// Encrypted overlays in the control plane: the option, the MTU, and who may be in such a network.
import { describe, expect, it } from "vitest";
import { KeyMaterial } from "../../src/datapath/key-material.ts";
import { overlayMtu } from "../../src/drivers/overlay/overlay.ts";
import type { PeerSecret } from "../../src/keys/key-service.ts";
import { type Bench, startController } from "../support/controller.ts";

const VNI_KEY = "com.docker.network.driver.overlay.vxlanid_list";
const MTU = "com.docker.network.driver.mtu";

const seed = (): PeerSecret => ({
  kind: "seed",
  seed: new KeyMaterial(Uint8Array.from({ length: 32 }, (_, i) => i)),
  transport: "udp",
  localId: null,
  peerId: null,
});

const encrypted = (name: string, options: Record<string, string> = {}) => ({
  name,
  driver: "overlay",
  options: { encrypted: "", ...options },
});

const vteps = ({ controller, datapath }: Bench, network: string): string[] => {
  const { domains } = controller.inspectNetwork(network);
  return datapath
    .all("vteps")
    .filter(({ domain }) => domains.includes(domain))
    .map(({ address }) => address)
    .sort();
};

describe("the option encrypted", () => {
  it.each([
    ["", true],
    ["true", true],
    ["1", true],
    ["false", false],
    ["0", false],
  ])("%j: %s", async (value, is) => {
    const { controller, datapath } = await startController();
    await controller.createNetwork({ name: "n", driver: "overlay", options: { encrypted: value } });
    expect(datapath.all("domains").find(({ vni }) => vni !== null)?.encrypted ?? false).toBe(is);
    const { network, encrypted: shown, chosenOptions } = controller.inspectNetwork("n");
    expect(network.options.encrypted).toBe(value);
    expect(shown).toBe(is);
    expect(chosenOptions).toEqual({ [VNI_KEY]: "4096", ...(is && { [MTU]: "1408" }) });
  });

  it("is refused without a cipher, in words, and nothing is left of the network", async () => {
    const cipher = () => ({ by: "none", reason: "native: the self-test failed" }) as const;
    const { controller, datapath } = await startController({ options: { cipher } });
    await expect(controller.createNetwork(encrypted("n"))).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringMatching(/network n can't be encrypted.*native: the self-test failed.*datapath\.crypto/),
    });
    expect(controller.listNetworks().map(({ name }) => name)).not.toContain("n");
    expect(datapath.declared.size).toBe(0);
    await controller.createNetwork({ name: "plain", driver: "overlay" });
    await expect(controller.addPeer("192.0.2.2", undefined, undefined, seed())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});

describe("the MTU inside", () => {
  // Spelt out: IP, UDP 8, SPI and number 8, IV 8, sealed (UDP 8, VXLAN 8, Ethernet 14, packet, padding, 2), ICV 16.
  const outer = (inner: number, ip: number): number => ip + 8 + 8 + 8 + Math.ceil((8 + 8 + 14 + inner + 2) / 4) * 4 + 16;

  it.each([
    [["192.0.2.1"], 20],
    [["2001:db8::1"], 40],
    [["192.0.2.1", "2001:db8::1"], 40],
  ] as const)("fits and could not be larger: underlay %j", (addresses, ip) => {
    for (let mtuBytes = 1280; mtuBytes < 1300; mtuBytes++) {
      const inner = overlayMtu({ addresses, mtuBytes, vxlanPort: 4789 }, true);
      expect(outer(inner, ip)).toBeLessThanOrEqual(mtuBytes);
      expect(outer(inner + 1, ip)).toBeGreaterThan(mtuBytes);
    }
  });

  it("is 1408 for IPv4 and 1388 for IPv6 on Ethernet", () => {
    expect(overlayMtu({ addresses: ["192.0.2.1"], mtuBytes: 1500, vxlanPort: 4789 }, true)).toBe(1408);
    expect(overlayMtu({ addresses: ["2001:db8::1"], mtuBytes: 1500, vxlanPort: 4789 }, true)).toBe(1388);
  });

  it("may be asked smaller, not larger", async () => {
    const { controller, datapath } = await startController();
    await controller.createNetwork(encrypted("small", { [MTU]: "1400" }));
    expect(datapath.all("domains").find(({ vni }) => vni !== null)?.mtuBytes).toBe(1400);
    await expect(controller.createNetwork(encrypted("large", { [MTU]: "1409" }))).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/MTU 1409 is too large: the underlay's is 1500, which leaves 1408 inside VXLAN in ESP/),
    });
  });
});

describe("peers of an encrypted network", () => {
  it("without keys: refused by name, left out as a peer of all, and warned of", async () => {
    const bench = await startController();
    const { controller, logged } = bench;
    await controller.createNetwork(encrypted("secret"));
    await controller.createNetwork({ name: "plain", driver: "overlay" });
    await expect(controller.addPeer("192.0.2.2", undefined, "secret")).rejects.toMatchObject({
      code: "FORBIDDEN",
      message: expect.stringMatching(/secret is encrypted and peer 192\.0\.2\.2 has no keys: give --key-file/),
    });
    expect(controller.listPeers()).toEqual([]);
    await controller.addPeer("192.0.2.2", undefined, undefined);
    expect(vteps(bench, "plain")).toEqual(["192.0.2.2"]);
    expect(vteps(bench, "secret")).toEqual([]);
    expect(controller.inspectNetwork("secret").peers).toEqual([]);
    expect(controller.inspectNetwork("secret").warnings).toEqual([expect.stringContaining("peer 192.0.2.2 has no keys: it is left out")]);
    expect(controller.inspectNetwork("plain").warnings).toEqual([]);
    expect(controller.warnings()).toEqual(controller.inspectNetwork("secret").warnings);
    expect(controller.listPeers()).toMatchObject([{ address: "192.0.2.2", keyed: null, leftOutOf: ["secret"] }]);
    expect(logged.filter((line) => line.startsWith("warn") && line.includes("left out"))).toHaveLength(1);
    await controller.createNetwork(encrypted("later"));
    expect(logged.filter((line) => line.startsWith("warn") && line.includes("network later"))).toHaveLength(1);
  });

  it("with keys: in all of them, over a restart, until the last record goes", async () => {
    const bench = await startController();
    const { controller, store, namespaces, keys } = bench;
    await controller.createNetwork(encrypted("secret"));
    await controller.createNetwork(encrypted("other"));
    await controller.addPeer("192.0.2.2", undefined, undefined, seed());
    expect([vteps(bench, "secret"), vteps(bench, "other")]).toEqual([["192.0.2.2"], ["192.0.2.2"]]);
    expect(controller.warnings()).toEqual([]);

    const later = await startController({ store, namespaces, keys });
    await later.controller.restore();
    expect(vteps(later, "secret")).toEqual(["192.0.2.2"]);

    await later.controller.addPeer("192.0.2.2", undefined, "secret");
    await later.controller.removePeer("192.0.2.2", undefined);
    expect([vteps(later, "secret"), vteps(later, "other")]).toEqual([["192.0.2.2"], []]);
    expect(keys.hasPeer("192.0.2.2")).toBe(true);
    await later.controller.removeNetwork("secret");
    expect(keys.hasPeer("192.0.2.2")).toBe(false);
  });

  it("that are there without keys are given none: they are removed first", async () => {
    const bench = await startController();
    const { controller, keys } = bench;
    await controller.createNetwork(encrypted("a"));
    await controller.createNetwork({ name: "plain", driver: "overlay" });
    await controller.addPeer("192.0.2.2", undefined, "plain");
    await expect(controller.addPeer("192.0.2.2", undefined, "a", seed())).rejects.toMatchObject({
      code: "FORBIDDEN",
      message: expect.stringContaining("is there without keys: remove it first (weft peer rm --network plain 192.0.2.2)"),
    });
    expect(keys.stored.size).toBe(0);
    await controller.removePeer("192.0.2.2", "plain");
    await controller.addPeer("192.0.2.2", undefined, "a", seed());
    await controller.addPeer("192.0.2.2", undefined, "plain");
    expect([vteps(bench, "a"), vteps(bench, "plain")]).toEqual([["192.0.2.2"], ["192.0.2.2"]]);
  });

  it("one secret and one port an address", async () => {
    const { controller } = await startController();
    await controller.createNetwork(encrypted("secret"));
    await controller.addPeer("192.0.2.2", undefined, undefined, seed());
    await expect(controller.addPeer("192.0.2.2", undefined, "secret", seed())).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
      message: expect.stringContaining("peer 192.0.2.2 has keys already"),
    });
    await expect(controller.addPeer("192.0.2.2", 8472, "secret")).rejects.toMatchObject({
      code: "FORBIDDEN",
      message: expect.stringContaining("give --port 4789, not 8472"),
    });
  });

  it("a secret that can't be taken, or a network that can't be declared, leaves nothing behind", async () => {
    const { controller, keys, datapath } = await startController();
    await controller.createNetwork(encrypted("secret"));
    keys.failNext = new Error("no");
    await expect(controller.addPeer("192.0.2.2", undefined, undefined, seed())).rejects.toThrow("no");
    expect(controller.listPeers()).toEqual([]);
    let failing = true;
    datapath.onChange = () => {
      if (failing) {
        failing = false;
        throw new Error("full");
      }
    };
    await expect(controller.addPeer("192.0.2.2", undefined, undefined, seed())).rejects.toThrow("full");
    expect(controller.listPeers()).toEqual([]);
    expect(keys.stored.size).toBe(0);
    expect(datapath.all("vteps")).toEqual([]);
  });

  it("a secret whose peer a crash has kept from the store goes at the next start", async () => {
    const { controller, keys, store, namespaces } = await startController();
    await controller.createNetwork(encrypted("secret"));
    await keys.setPeer("192.0.2.2", 4789, seed());
    const later = await startController({ store, namespaces, keys });
    await later.controller.restore();
    expect(keys.stored.size).toBe(0);
  });

  it("are left out again, and warned of, where secrets are lost", async () => {
    const { controller, store, namespaces } = await startController();
    await controller.createNetwork(encrypted("secret"));
    await controller.addPeer("192.0.2.2", undefined, "secret", seed());
    const later = await startController({ store, namespaces });
    await later.controller.restore();
    expect(vteps(later, "secret")).toEqual([]);
    expect(later.logged.some((line) => line.startsWith("warn") && line.includes("left out"))).toBe(true);
  });
});

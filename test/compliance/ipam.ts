// What every IPAM driver must do (src/ipam/ipam.ts), as the controller uses it. Run by test/unit/ipam-compliance.test.ts on each.
import { describe, expect, it } from "vitest";
import { containsAddress, parseInterfaceAddress, parsePrefix } from "../../src/net/prefix.ts";
import type { Bench } from "../support/controller.ts";

export interface IpamCase {
  readonly driver: string;
  /** Whether it gives addresses at all. */
  readonly gives: boolean;
  readonly start: () => Promise<Bench>;
  /** What its own books hold, for a driver that keeps some apart from ours. */
  readonly books?: () => Promise<object>;
}

export function ipamCompliance({ driver, gives, start, books = async () => ({}) }: IpamCase): void {
  const givesIt = gives ? it : () => {};

  describe(`IPAM compliance: ${driver}`, () => {
    const network = (bench: Bench, wish: object = {}) =>
      bench.controller.createNetwork({ name: "net", driver: "overlay", ipamDriver: driver, ...wish });
    const sandbox = async (bench: Bench, wish: object = {}) => {
      const { sandbox: box, endpoints } = await bench.controller.createSandbox({ networks: [{ network: "net", ...wish }] });
      return { ...endpoints[0]!.endpoint, id: box.id };
    };
    const removeAll = async (bench: Bench): Promise<void> => {
      for (const { sandbox: one } of bench.controller.listSandboxes()) await bench.controller.removeSandbox(one.id, false);
      for (const { id } of bench.controller.listNetworks()) await bench.controller.removeNetwork(id);
    };

    it.each([
      ["IPv4", {}, 1],
      ["both families", { enableIpv6: true }, 2],
      ["IPv6", { enableIpv4: false, enableIpv6: true }, 1],
    ])("gives a network of %s its pools, and has them back with it", async (_, wish, pools) => {
      const bench = await start();
      const { ipam, ipamDriver } = await network(bench, wish);
      expect([ipamDriver, ipam.length]).toEqual([driver, pools]);
      for (const { subnet, gateway } of ipam) {
        if (!gives) expect(gateway).toBeNull();
        else expect(parseInterfaceAddress(`${gateway}/${subnet.split("/")[1]}`).prefix).toEqual(parsePrefix(subnet));
      }
      await removeAll(bench);
      expect((await bench.store.list("")).map(({ key }) => key).filter((key) => key !== "ipam/ula/global-id")).toEqual([]);
      expect(await books()).toEqual({});
    });

    it("gives no address twice, and none that the network has for itself", async () => {
      const bench = await start();
      const { ipam } = await network(bench, { enableIpv6: true });
      const seen = new Set(ipam.flatMap(({ gateway }) => (gateway === null ? [] : [gateway])));
      const before = seen.size;
      for (let count = 0; count < 20; count++) {
        const { ipv4, ipv6 } = await sandbox(bench);
        for (const [index, text] of [ipv4, ipv6].entries()) {
          expect(text !== null).toBe(gives);
          if (text === null) continue;
          const { address } = parseInterfaceAddress(text);
          expect(containsAddress(parsePrefix(ipam[index]!.subnet), address)).toBe(true);
          seen.add(text.split("/")[0]!);
        }
      }
      expect(seen.size - before).toBe(gives ? 40 : 0);
      await removeAll(bench);
      expect(await books()).toEqual({});
    });

    givesIt("gives the address that is asked for, to one at a time, and keeps it until the endpoint goes", async () => {
      const bench = await start();
      const { ipam } = await network(bench);
      const wish = { ipv4: ipam[0]!.subnet.replace(/0\/\d+$/, "99") };
      const first = await sandbox(bench, wish);
      expect(first.ipv4?.split("/")[0]).toBe(wish.ipv4);
      await expect(sandbox(bench, wish)).rejects.toMatchObject({
        code: "ADDRESS_IN_USE",
        message: expect.stringContaining("Address already in use"),
      });
      await bench.controller.disconnect(first.id, "net", false);
      expect((await bench.controller.connect(first.id, { network: "net", ...wish })).ipv4).toBe(first.ipv4);
      await bench.controller.removeSandbox(first.id, false);
      await sandbox(bench, wish);
      await removeAll(bench);
      expect(await books()).toEqual({});
    });

    it.each([
      ["an address that is not in the pool", { ipv4: "192.0.2.1" }],
      ["the gateway's", { ipv4: "GATEWAY" }],
      ["a family that the network lacks", { ipv6: "2001:db8::1" }],
    ] as const)("refuses %s and has nothing of it", async (_, wish) => {
      const bench = await start();
      const { ipam } = await network(bench);
      const before = [await bench.store.list(""), await books()];
      const asked = "ipv4" in wish && wish.ipv4 === "GATEWAY" ? { ipv4: ipam[0]!.gateway ?? "192.0.2.1" } : wish;
      await expect(sandbox(bench, asked)).rejects.toMatchObject({ name: "WeftError", code: expect.stringMatching(/INVALID|IN_USE/) });
      expect([await bench.store.list(""), await books()]).toEqual(before);
      await removeAll(bench);
    });

    it("leaves no trace of what came and went", async () => {
      const bench = await start();
      await network(bench);
      const first = await sandbox(bench);
      await bench.controller.removeSandbox(first.id, false);
      const keys = async () => (await bench.store.list("")).map(({ key }) => key);
      const before = [await keys(), bench.controller.inspectNetwork("net").subnets, await books()];
      for (let count = 0; count < 20; count++) await bench.controller.removeSandbox((await sandbox(bench)).id, false);
      expect([await keys(), bench.controller.inspectNetwork("net").subnets, await books()]).toEqual(before);
      const { freed, claimed, keys: orphans, released, waiting } = await bench.controller.reconcile();
      expect([freed, claimed, orphans, released, waiting]).toEqual([[], [], [], 0, 0]);
      await removeAll(bench);
      expect(await books()).toEqual({});
    });
  });
}

// What every network driver must do (src/drivers/driver.ts). Run by test/unit/driver-compliance.test.ts on each of them. A
// driver is a set of functions over stored records, so most of it is: the same records, the same answers, nothing remembered,
// nothing changed.
import { describe, expect, it } from "vitest";
import { domainOf } from "../../src/datapath/declarations.ts";
import type { Driver, DriverHost, EndpointDraft, NetworkDraft } from "../../src/drivers/driver.ts";
import { sameAddress } from "../../src/net/address.ts";
import { parseInterfaceAddress, tryParseInterfaceAddress } from "../../src/net/prefix.ts";
import type { EndpointRecord, NetworkRecord } from "../../src/records/records.ts";
import { countingBytes, startController } from "../support/controller.ts";

export interface DriverCase {
  readonly make: () => Driver;
  /** Networks that the driver must take, beside the plain one; none where users can't make any. */
  readonly variants: Readonly<Record<string, { readonly options?: Record<string, string>; readonly internal?: boolean }>>;
}

const NAMESPACE = "/run/netns/box";
const SUBNETS = { ipv4: "10.1.0.0/24", ipv6: "fd01::/64" } as const;

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) for (const inner of Object.values(Object.freeze(value))) frozen(inner);
  return value;
}

/** As it comes back from the store. */
const stored = <T>(value: T): T => frozen(JSON.parse(JSON.stringify(value)) as T);

const hostWith = (networks: readonly NetworkRecord[]): DriverHost => ({
  networks,
  underlay: { addresses: ["192.0.2.1"], mtuBytes: 1500, vxlanPort: 4789 },
  cipher: () => ({ by: "native", reason: "self-test passed" }),
  hasLink: (name) => ["lo", "eth0"].includes(name),
  links: async () => [
    { name: "lo", mac: "00:00:00:00:00:00", mtuBytes: 65536 },
    { name: "eth0", mac: "02:00:00:00:ff:01", mtuBytes: 1500 },
  ],
  randomBytes: countingBytes(),
});

export function driverCompliance(name: string, { make, variants }: DriverCase): void {
  describe(`driver compliance: ${name}`, () => {
    const id = (digit: string): string => digit.repeat(64);

    function draftOf(driver: Driver, digit: string, variant: DriverCase["variants"][string] = {}): NetworkDraft {
      const config = (subnet: string, gateway: string) => ({ subnet, ipRange: null, gateway, auxAddresses: {} });
      return stored({
        id: id(digit),
        name: `net-${digit}`,
        createdAt: "2026-01-31T12:00:00.000Z",
        driver: driver.name,
        scope: driver.scope,
        enableIpv4: true,
        enableIpv6: true,
        internal: variant.internal ?? false,
        attachable: false,
        ingress: false,
        configOnly: false,
        configFrom: null,
        ipamDriver: "default",
        ipamOptions: {},
        ipam: driver.addressSpace === null ? [] : [config(SUBNETS.ipv4, "10.1.0.1"), config(SUBNETS.ipv6, "fd01::1")],
        options: variant.options ?? {},
        labels: {},
      });
    }

    async function networkOf(driver: Driver, digit = "a", variant: DriverCase["variants"][string] = {}): Promise<NetworkRecord> {
      const draft = draftOf(driver, digit, variant);
      return stored({ ...draft, driverState: await driver.createNetwork(draft, hostWith([])) });
    }

    const endpointDraft = (driver: Driver, digit: string, wish: Partial<EndpointDraft> = {}): EndpointDraft => ({
      id: id(digit),
      ipv4: driver.addressSpace === null ? null : "10.1.0.7/24",
      ipv6: driver.addressSpace === null ? null : "fd01::7/64",
      mac: null,
      takenMacs: new Set(),
      hostMacs: new Set(),
      ...wish,
    });

    function endpointOf(driver: Driver, network: NetworkRecord, digit = "e"): EndpointRecord {
      const draft = endpointDraft(driver, digit);
      const { mac, driverState } = driver.createEndpoint(network, draft, hostWith([network]));
      const { interfacePrefix } = driver.join(network, draft);
      return stored({
        id: draft.id,
        networkId: network.id,
        sandboxId: id("5"),
        name: "box",
        mac,
        ipv4: draft.ipv4,
        ipv6: draft.ipv6,
        requested: { ipv4: null, ipv6: null, linkLocal: [] },
        aliases: [],
        links: [],
        interfaceName: interfacePrefix === null ? null : `${interfacePrefix}0`,
        gwPriority: 0,
        driverOptions: {},
        driverState,
      });
    }

    const all = { plain: {}, ...variants };

    it.each(Object.entries(all))("computes the same from the same records, whoever computes it: %s", async (_, variant) => {
      const driver = make();
      const network = await networkOf(driver, "a", variant);
      const endpoint = endpointOf(driver, network);
      const peers = stored([{ address: "192.0.2.9", port: 4789, networkId: null, createdAt: "" }]);
      const answers = (one: Driver) => [
        one.declareNetwork(network, peers),
        one.hostInterfaces(network),
        one.join(network, endpoint),
        one.declareEndpoint(network, endpoint, NAMESPACE),
      ];
      expect(answers(driver)).toEqual(answers(driver));
      expect(answers(make())).toEqual(answers(driver));
    });

    it.each(Object.entries(all))("names what it declares after its network and its endpoint: %s", async (_, variant) => {
      const driver = make();
      const network = await networkOf(driver, "a", variant);
      const endpoint = endpointOf(driver, network);
      const own = driver.declareNetwork(network, []);
      const joined = driver.declareEndpoint(network, endpoint, NAMESPACE);
      const domains = new Set((own.domains ?? []).map((domain) => domain.id));
      // What is the host's and not the network's (a parent interface) is named after that: networks share it.
      const isNamed = (name: string): boolean => name.startsWith(`${network.id}/`) || name.startsWith("parent/");
      for (const domain of domains) expect(domain === network.id || isNamed(domain)).toBe(true);
      for (const port of own.ports ?? []) expect(isNamed(port.id)).toBe(true);
      expect(joined.domains ?? []).toEqual([]);
      for (const port of joined.ports ?? []) {
        expect(port).toMatchObject({ id: endpoint.id, namespacePath: NAMESPACE, interfaceName: endpoint.interfaceName, mac: endpoint.mac });
      }
      for (const one of [own, joined]) {
        const ports = (one.ports ?? []).map(domainOf).filter((domain) => domain !== null);
        for (const domain of [...ports, ...[...(one.fdb ?? []), ...(one.neighbors ?? [])].map(({ domain }) => domain)]) {
          expect([...domains]).toContain(domain);
        }
      }
      for (const { name: link } of driver.hostInterfaces(network)) {
        const port = (own.ports ?? []).find((one) => one.kind === "tap" && one.interfaceName === link && one.namespacePath === null);
        expect(port).toBeDefined();
      }
    });

    it("gives a sandbox the stack that it says", async () => {
      const driver = make();
      const network = await networkOf(driver);
      const endpoint = endpointOf(driver, network);
      const join = driver.join(network, endpoint);
      const declared = driver.declareEndpoint(network, endpoint, NAMESPACE);
      if (driver.stack === "interfaces") {
        expect(endpoint.mac).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
        expect(Number.parseInt(endpoint.mac!.slice(0, 2), 16) & 3).toBe(2); // locally administered, of one station
        expect(join.mtuBytes).toBeGreaterThanOrEqual(1280);
        expect((declared.ports ?? []).map((port) => port.kind === "tap" && port.mtuBytes)).toEqual([join.mtuBytes]);
        for (const address of ["10.1.0.7", "fd01::7"]) {
          expect(declared.neighbors).toContainEqual({ domain: expect.any(String), address, mac: endpoint.mac });
        }
      } else {
        expect(endpoint).toMatchObject({ mac: null, interfaceName: null });
        expect(driver.addressSpace).toBeNull();
        expect([driver.declareNetwork(network, []), driver.hostInterfaces(network), declared]).toEqual([{}, [], {}]);
        expect(join).toMatchObject({ gatewayIpv4: null, gatewayIpv6: null });
      }
      for (const [gateway, own] of [
        [join.gatewayIpv4, endpoint.ipv4],
        [join.gatewayIpv6, endpoint.ipv6],
      ]) {
        if (gateway == null) continue;
        const { prefix } = parseInterfaceAddress(own!);
        const { address } = tryParseInterfaceAddress(`${gateway}/${prefix.length}`)!;
        expect(parseInterfaceAddress(`${gateway}/${prefix.length}`).prefix).toEqual(prefix);
        expect(sameAddress(address, parseInterfaceAddress(own!).address)).toBe(false);
      }
    });

    const onInterfaces = make().stack === "interfaces" ? it : () => {};
    onInterfaces("gives every endpoint a MAC of its own, the one that is asked for where it is free", async () => {
      const driver = make();
      const network = await networkOf(driver);
      const host = hostWith([network]);
      const taken = new Set<string>();
      for (let count = 0; count < 100; count++) {
        const { mac } = driver.createEndpoint(network, endpointDraft(driver, "e", { takenMacs: taken }), host);
        expect(taken.has(mac!)).toBe(false);
        taken.add(mac!);
      }
      const wish = "02:00:00:00:00:77";
      expect(driver.createEndpoint(network, endpointDraft(driver, "e", { mac: wish, takenMacs: taken }), host).mac).toBe(wish);
      const [used] = taken;
      expect(() => driver.createEndpoint(network, endpointDraft(driver, "e", { mac: used!, takenMacs: taken }), host)).toThrowError(
        expect.objectContaining({ code: "ADDRESS_IN_USE" }),
      );
    });

    it("takes no option that it doesn't know, and no second network where there can be one", async () => {
      const driver = make();
      const unknown = draftOf(driver, "b", { options: { "com.example.misspelt": "1" } });
      const first = await networkOf(driver);
      if (driver.stack === "interfaces") {
        await expect(driver.createNetwork(unknown, hostWith([first]))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      } else {
        await expect(driver.createNetwork(draftOf(driver, "b"), hostWith([first]))).rejects.toMatchObject({
          code: "FORBIDDEN",
          message: expect.stringContaining(`only one instance of "${driver.name}" network is allowed`),
        });
      }
    });

    it("leaves nothing behind when its sandbox and its network are gone", async () => {
      const driver = make();
      const { controller, datapath, namespaces, store } = await startController();
      await controller.ensurePredefined();
      const before = await store.list("");
      const predefined = controller.listNetworks().find((network) => network.driver === driver.name);
      const reference = predefined?.name ?? "net";
      if (predefined === undefined) await controller.createNetwork({ name: reference, driver: driver.name });
      const { sandbox, endpoints } = await controller.createSandbox({ name: "box", networks: [{ network: reference }] });
      expect(endpoints.map(({ network }) => network.name)).toEqual([reference]);
      expect(controller.inspectNetwork(reference).endpoints.map((one) => one.sandbox?.name)).toEqual(["box"]);
      expect(sandbox.ownsNamespace).toBe(driver.stack !== "host");
      await controller.removeSandbox("box", false);
      if (predefined === undefined) await controller.removeNetwork(reference);
      expect(await store.list("")).toEqual(before);
      expect([...datapath.declared.keys()].filter((owner) => owner.startsWith("endpoint/"))).toEqual([]);
      expect(namespaces.paths).toEqual([]);
      expect([...namespaces.at(null).links.keys()]).toEqual(["lo", "eth0"]);
    });
  });
}

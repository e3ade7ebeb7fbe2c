// Where published ports are said to be reached: by the networks of the default routes, and nowhere if these publish nothing. What
// is said agrees with what the host is told, in each case.
import { describe, expect, it } from "vitest";
import type { CreateNetworkRequest } from "../../src/controller/types.ts";
import { parsePortSpec } from "../../src/net/port-spec.ts";
import { type Bench, startController } from "../support/controller.ts";
import { MemoryNat } from "../support/memory-nat.ts";

const MODE = "com.docker.network.bridge.gateway_mode";
const ROUTED = { [`${MODE}_ipv4`]: "routed", [`${MODE}_ipv6`]: "routed" };
/** What a macvlan's parent is in the bench's host. */
const PARENT = { parent: "eth0" };

const IPV4 = (n: number) => ({ ipam: [{ subnet: `10.${n}.0.0/24` }] });
const IPV6 = (n: number) => ({ enableIpv4: false, enableIpv6: true, ipam: [{ subnet: `fd00:${n}::/64` }] });
const DUAL = (n: number) => ({ ipam: [...IPV4(n).ipam, ...IPV6(n).ipam] });

const NETWORKS: readonly CreateNetworkRequest[] = [
  { name: "dual", ...DUAL(1) },
  { name: "old", ...IPV4(2) },
  { name: "new", ...IPV6(3) },
  { name: "shut", internal: true, ...DUAL(4) },
  { name: "lan", driver: "macvlan", options: PARENT, ...DUAL(5) },
  { name: "lan6", driver: "macvlan", options: { parent: "eth0.6" }, ...IPV6(6) },
  { name: "routed", options: ROUTED, ...DUAL(7) },
  { name: "routed4", options: ROUTED, ...IPV4(8) },
  { name: "mixed", options: { [`${MODE}_ipv6`]: "routed" }, ...DUAL(9) },
  { name: "over", driver: "overlay", ...IPV4(10) },
];

interface World extends Bench {
  readonly nat: MemoryNat;
}

async function world(): Promise<World> {
  const nat = new MemoryNat();
  const bench = await startController({ options: { nat, egress: true } });
  for (const network of NETWORKS) await bench.controller.createNetwork(network);
  return { ...bench, nat };
}

/** "old", or "old 1" with its gw-priority. */
function attachments(networks: readonly string[]) {
  return networks.map((text) => {
    const [network = "", priority = "0"] = text.split(" ");
    return { network, gwPriority: Number(priority) };
  });
}

const create = ({ controller }: Bench, networks: readonly string[], ...ports: string[]) =>
  controller.createSandbox({ name: "a", networks: attachments(networks), publish: ports.map(parsePortSpec) });

/** Each port's places, after the host was found to be told the same ones. */
function places({ controller, nat }: World): string[] {
  const { portPlaces } = controller.inspectSandbox("a");
  const { publications, relays } = nat.plan;
  const told = [
    ...publications.filter(({ mode }) => mode === "routed").map((one) => ({ address: one.target, port: one.targetPort })),
    ...[...publications.filter(({ mode }) => mode !== "routed"), ...relays].map((one) => ({
      address: one.hostAddress,
      port: one.hostPort,
    })),
  ];
  const texts = (all: readonly { address: string; port: number }[]) => all.map(({ address, port }) => `${address} ${port}`);
  expect(texts(portPlaces.flat()).sort()).toEqual(texts(told).sort());
  return portPlaces.map((some) => texts(some).join(", "));
}

const BOTH = "0.0.0.0 8080, :: 8080";

describe("a published port", () => {
  it.each<[what: string, networks: string[], port: string, places: string]>([
    ["of both families", ["dual"], "8080:80", BOTH],
    ["of IPv4, relayed from IPv6", ["old"], "8080:80", BOTH],
    ["of IPv4, as many as are relayed", ["old"], "8080-8335:80-335", BOTH],
    ["of IPv4, too many to be relayed", ["old"], "8080-8336:80-336", "0.0.0.0 8080"],
    ["of SCTP", ["old"], "8080:80/sctp", "0.0.0.0 8080"],
    ["of IPv6 alone", ["new"], "8080:80", ":: 8080"],
    ["at an address", ["dual"], "127.0.0.1:8080:80", "127.0.0.1 8080"],
    ["at an IPv6 address", ["dual"], "[::1]:8080:80", "::1 8080"],
    ["at an IPv6 address, relayed", ["old"], "[::1]:8080:80", "::1 8080"],
    ["at an IPv4 address, for a sandbox without", ["new"], "127.0.0.1:8080:80", ""],
    ["on an internal network", ["shut"], "8080:80", ""],
    ["on a macvlan", ["lan"], "8080:80", ""],
    ["by a macvlan that has the default route", ["lan", "old"], "8080:80", ""],
    ["by the bridge that has it", ["lan", "dual 1"], "8080:80", BOTH],
    ["by the bridge that has it, relayed past the macvlan", ["lan", "old 1"], "8080:80", BOTH],
    ["by a bridge for IPv4, where IPv6 is a macvlan's", ["lan6", "old"], "8080:80", BOTH],
    ["by the way out of an overlay", ["over"], "8080:80", BOTH],
    ["by two bridges, a family each", ["new", "old"], "8080:80", BOTH],
    ["routed", ["routed"], "8080:80", "10.7.0.2 80, fd00:7::2 80"],
    ["routed, at an address", ["routed"], "127.0.0.1:8080:80", "10.7.0.2 80"],
    ["routed, IPv4 alone", ["routed4"], "8080:80", "10.8.0.2 80"],
    ["routed in one family", ["mixed"], "8080:80", "0.0.0.0 8080, fd00:9::2 80"],
  ])("%s", async (_, networks, port, expected) => {
    const bench = await world();
    await create(bench, networks, port);
    expect(places(bench)).toEqual([expected]);
  });

  it("is reached where its sandbox is, each in its place", async () => {
    const bench = await world();
    const { controller } = bench;
    await create(bench, ["shut"], "8080:80", "[::1]:8081:81", "127.0.0.1:8082:82");
    expect(places(bench)).toEqual(["", "", ""]);
    await controller.connect("a", { network: "old" });
    expect(places(bench)).toEqual([BOTH, "::1 8081", "127.0.0.1 8082"]);
    await controller.connect("a", { network: "routed4", gwPriority: 1 });
    expect(places(bench)).toEqual(["10.8.0.2 80", "", "10.8.0.2 82"]);
    await controller.updateSandbox("a", { publishRemove: [parsePortSpec("80")] });
    for (const network of ["routed4", "old", "shut"]) await controller.disconnect("a", network, false);
    expect(places(bench)).toEqual(["", ""]);
    expect(controller.listSandboxes()[0]!.portPlaces).toEqual([[], []]);
  });

  it("that took none of the host's is reached nowhere on a network that translates", async () => {
    const bench = await world();
    await create(bench, ["routed"], "8080:80");
    await bench.controller.connect("a", { network: "dual", gwPriority: 1 });
    expect(places(bench)).toEqual([""]);
  });

  it("of a sandbox that is there has places in the answer to its update", async () => {
    const bench = await world();
    await create(bench, ["dual"]);
    const { portPlaces } = await bench.controller.updateSandbox("a", { publishAdd: [parsePortSpec("8080:80")] });
    expect(portPlaces).toEqual([
      [
        { address: "0.0.0.0", port: 8080 },
        { address: "::", port: 8080 },
      ],
    ]);
  });

  it("comes by the way out of an overlay last, while that stands beside another's default route", async () => {
    const bench = await world();
    const { controller, datapath, nat } = bench;
    await create(bench, ["over"], "8080:80");
    datapath.onChange = (what) => {
      if (what.startsWith("withdraw")) throw new Error("not now");
    };
    await controller.connect("a", { network: "new", gwPriority: -1 });
    expect(controller.inspectSandbox("a").endpoints).toHaveLength(3);
    expect(nat.published[1]).toBe("tcp :::8080+1 -> fd00:3::2:80");
    expect(places(bench)).toEqual([BOTH]);
  });
});

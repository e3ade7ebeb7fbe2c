// Where published ports are said to be reached: by the networks of the default routes, and nowhere if these publish nothing.
import { describe, expect, it } from "vitest";
import type { Sandbox__Output } from "../../src/api/generated/weft/v1/Sandbox.ts";
import { portBindings, portsText } from "../../src/cli/port-text.ts";

interface Link {
  readonly network: string;
  readonly driver?: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly gatewayIpv4?: string;
  readonly gatewayIpv6?: string;
  readonly gwPriority?: number;
}

const PORT = { protocol: "tcp", hostAddress: "", hostPort: 8080, port: 80, count: 1 };
const IPV4 = { ipv4: "10.1.0.2/24", gatewayIpv4: "10.1.0.1" };
const DUAL = { ...IPV4, ipv6: "fd01::2/64", gatewayIpv6: "fd01::1" };

const text = (links: readonly Link[], port: Partial<typeof PORT> = {}): string => portsText(sandbox(links, port));

const sandbox = (links: readonly Link[], port: Partial<typeof PORT> = {}): Sandbox__Output =>
  ({
    ports: [{ ...PORT, ...port }],
    exposed: [{ protocol: "tcp", portFirst: 80, portLast: 80 }],
    endpoints: links.map(({ network, driver = "bridge", ipv4 = "", ipv6 = "", gatewayIpv4 = "", gatewayIpv6 = "", gwPriority = 0 }) => ({
      network: { name: network, driver },
      endpoint: { ipv4, ipv6, gwPriority },
      gatewayIpv4,
      gatewayIpv6,
    })),
  }) as unknown as Sandbox__Output;

describe("published ports", () => {
  it.each<[what: string, links: Link[], port: Partial<typeof PORT>, text: string]>([
    ["of both families", [{ network: "a", ...DUAL }], {}, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"],
    ["of IPv4, relayed from IPv6", [{ network: "a", ...IPV4 }], {}, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"],
    ["of IPv4, too many to be relayed", [{ network: "a", ...IPV4 }], { count: 257 }, "0.0.0.0:8080-8336->80-336/tcp"],
    ["of SCTP", [{ network: "a", ...IPV4 }], { protocol: "sctp" }, "0.0.0.0:8080->80/sctp"],
    ["of IPv6 alone", [{ network: "a", ipv6: "fd01::2/64", gatewayIpv6: "fd01::1" }], {}, "[::]:8080->80/tcp"],
    ["at an address", [{ network: "a", ...DUAL }], { hostAddress: "127.0.0.1" }, "127.0.0.1:8080->80/tcp"],
    ["at an IPv6 address, relayed", [{ network: "a", ...IPV4 }], { hostAddress: "::1" }, "[::1]:8080->80/tcp"],
    ["on an internal network", [{ network: "a", ipv4: "10.1.0.2/24" }], {}, ""],
    ["on a macvlan", [{ network: "a", driver: "macvlan", ...DUAL }], {}, ""],
    [
      "by a macvlan that has the default route",
      [
        { network: "a", driver: "macvlan", ...IPV4 },
        { network: "b", ...IPV4 },
      ],
      {},
      "",
    ],
    [
      "by the bridge that has it",
      [
        { network: "a", driver: "macvlan", ...IPV4 },
        { network: "b", ...IPV4, gwPriority: 1 },
      ],
      {},
      "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
    ],
    [
      "by the way out of an overlay, which counts last",
      [
        { network: "over", driver: "overlay", ipv4: "10.9.0.2/24" },
        { network: "weft_gwbridge", ...IPV4, gwPriority: 1 },
        { network: "z", driver: "macvlan", ipv6: "fd01::2/64", gatewayIpv6: "fd01::1" },
      ],
      {},
      "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
    ],
    ["on no network", [], {}, ""],
    ["routed", [{ network: "a", ...DUAL }], { hostPort: 0 }, "10.1.0.2:80->80/tcp, [fd01::2]:80->80/tcp"],
    ["routed, IPv4 alone", [{ network: "a", ...IPV4 }], { hostPort: 0 }, "10.1.0.2:80->80/tcp"],
  ])("%s", (_, links, port, expected) => {
    expect(text(links, port)).toBe(expected);
  });

  it("that are reached nowhere are exposed all the same", () => {
    expect(portBindings(sandbox([{ network: "a", ipv4: "10.1.0.2/24" }]))).toEqual({ "80/tcp": null });
    expect(portBindings(sandbox([{ network: "a", ...DUAL }], { hostAddress: "::1" }))).toEqual({
      "80/tcp": [{ HostIp: "::1", HostPort: "8080" }],
    });
  });
});

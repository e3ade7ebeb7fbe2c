// Two hosts of Weft with a router between them, whose second link can be made narrower, and a forger beside it.
//
//   a (10.9.0.1, fd09::1) ── ra, r, rb ── b (10.9.1.1, fd09:1::1)        sandboxes 10.0.0.1 and 10.0.0.2 behind them
import { expect } from "vitest";
import { type EspEnd, espEnd } from "./esp-hosts.ts";
import type { Host, Lab } from "./hosts.ts";
import { Scapy } from "./scapy.ts";
import { servers } from "./traffic.ts";

export const OUTER = { ipv4: ["10.9.0.1", "10.9.1.1"], ipv6: ["fd09::1", "fd09:1::1"] } as const;
export const INNER = ["10.0.0.1", "10.0.0.2"] as const;
/** What the tests make of the second link, after 1500. */
export const NARROW = 1400;

export interface NarrowPath {
  readonly hosts: readonly [Host, Host];
  readonly router: Host;
  readonly ends: readonly [EspEnd, EspEnd];
  readonly forger: Scapy;
}

/** The hosts have no peers yet; servers of traffic.ts run in b's sandbox. */
export async function narrowPath(lab: Lab, options: { readonly mtuBytes: number; readonly encrypted?: boolean }): Promise<NarrowPath> {
  const [a, router, b] = [await lab.host("a"), await lab.host("r"), await lab.host("b")];
  await lab.wire([a, "up0", "10.9.0.1/24", "fd09::1/64"], [router, "ra", "10.9.0.254/24", "fd09::fe/64"]);
  await lab.wire([b, "up0", "10.9.1.1/24", "fd09:1::1/64"], [router, "rb", "10.9.1.254/24", "fd09:1::fe/64"]);
  await router.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
  await a.ip("route add default via 10.9.0.254\nroute add ::/0 via fd09::fe");
  await b.ip("route add default via 10.9.1.254\nroute add ::/0 via fd09:1::fe");
  const end = (host: Host, i: 0 | 1): Promise<EspEnd> =>
    espEnd(lab, {
      host,
      name: `w${i}`,
      addresses: [OUTER.ipv4[i], OUTER.ipv6[i]],
      peers: [],
      inner: [`${INNER[i]}/24`],
      mac: `02:42:0a:00:00:0${i + 1}`,
      ...options,
    });
  const ends = [await end(a, 0), await end(b, 1)] as const;
  await servers(lab, ends[1].sandbox);
  return { hosts: [a, b], router, ends, forger: await Scapy.start(lab, router) };
}

/** Pings with packets of so many bytes that may not be fragmented; how many of three were answered. */
export function pingWhole({ ends: [{ sandbox }] }: NarrowPath, bytes: number): Promise<number> {
  return sandbox.ping(INNER[1], ["-M", "do", "-s", String(bytes - 28)]);
}

/** That packets of so many bytes and no more come through from a's sandbox, which was told so. */
export async function expectInnerMtu(path: NarrowPath, bytes: number): Promise<void> {
  expect(await pingWhole(path, bytes)).toBe(3);
  expect(await pingWhole(path, bytes + 1)).toBe(0);
  expect(await path.ends[0].sandbox.must(["ip", "route", "get", INNER[1]])).toContain(`mtu ${bytes}`);
}

/** What routers said is forgotten, in the hosts and in the sandboxes. */
export async function forgetPaths({ hosts, ends }: NarrowPath): Promise<void> {
  for (const host of [...hosts, ends[0].sandbox, ends[1].sandbox]) {
    await host.ip("route flush cache");
    await host.must(["ip", "-6", "route", "flush", "cache"]);
  }
}

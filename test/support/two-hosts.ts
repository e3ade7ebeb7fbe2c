// Two hosts joined by a link, a daemon on each, and one overlay network with two sandboxes per host: a1, a2 on host a and b1,
// b2 on host b. Sandbox xn has address 10.50.0.<n> (a) or 10.50.0.1<n> (b), likewise fd50::<n>.
//
// Both daemons are given the same network by hand, with the same VNI and disjoint ranges to hand out addresses from, and
// each the other as a static peer: what a cluster will do by itself.
import { Daemon } from "./daemon.ts";
import type { Host, Lab } from "./hosts.ts";

export const NETWORK = "net";
export const OVERLAY_VNI = 5050;
export const ADDRESSES: Readonly<Record<string, readonly [string, string]>> = {
  a1: ["10.50.0.2", "fd50::2"],
  a2: ["10.50.0.3", "fd50::3"],
  b1: ["10.50.0.12", "fd50::12"],
  b2: ["10.50.0.13", "fd50::13"],
};
export const UNDERLAY = { a: "10.78.0.1", b: "10.78.0.2" } as const;

export interface TwoHosts {
  readonly hostA: Host;
  readonly hostB: Host;
  readonly a: Daemon;
  readonly b: Daemon;
  /** By name. */
  readonly sandboxes: Readonly<Record<string, Host>>;
}

/** The options of the network both hosts have. */
export function overlay(name: string, vni: number, third: number): string[] {
  return [
    ...["-d", "overlay", "--subnet", `10.${third}.0.0/24`, "--ipv6", "--subnet", `fd${third}::/64`],
    ...["-o", `com.docker.network.driver.overlay.vxlanid_list=${vni}`, name],
  ];
}

export async function twoHosts(lab: Lab): Promise<TwoHosts> {
  const [hostA, hostB] = await Promise.all([lab.host("a"), lab.host("b")]);
  await lab.wire([hostA, "up0", `${UNDERLAY.a}/24`], [hostB, "up0", `${UNDERLAY.b}/24`]);
  const [a, b] = await Promise.all([
    Daemon.start(lab, hostA, { underlayAddress: UNDERLAY.a, nodeName: "a" }),
    Daemon.start(lab, hostB, { underlayAddress: UNDERLAY.b, nodeName: "b" }),
  ]);
  const side = async (daemon: Daemon, peer: string, names: readonly string[]) => {
    await daemon.must("network", "create", ...overlay(NETWORK, OVERLAY_VNI, 50));
    await daemon.must("peer", "add", peer);
    for (const name of names) {
      const [ipv4, ipv6] = ADDRESSES[name]!;
      await daemon.must("sandbox", "create", "--network", `${NETWORK},ip=${ipv4},ip6=${ipv6}`, name);
    }
  };
  await Promise.all([side(a, UNDERLAY.b, ["a1", "a2"]), side(b, UNDERLAY.a, ["b1", "b2"])]);
  const [a1, a2] = (await a.enterAll("a1", "a2")) as [Host, Host];
  const [b1, b2] = (await b.enterAll("b1", "b2")) as [Host, Host];
  return { hostA, hostB, a, b, sandboxes: { a1, a2, b1, b2 } };
}

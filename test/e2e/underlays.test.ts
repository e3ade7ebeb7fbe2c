// Two daemons over underlays other than the usual one: IPv6, both families at once, another UDP port, jumbo frames, a path that
// is narrower than the link. Each is a pair of hosts of its own with one sandbox a side.
import { afterAll, describe, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { fieldsOf, LinkCapture } from "../support/link-capture.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const lab = new Lab();
afterAll(() => lab.dispose());

interface Underlay {
  /** [ours, theirs] of each family in use. */
  readonly addresses: readonly (readonly [string, string])[];
  readonly linkMtu: number;
  readonly vxlanPort?: number;
  /** What the sandboxes' interfaces should have. */
  readonly mtu: number;
}

const UNDERLAYS: readonly (readonly [string, Underlay])[] = [
  ["IPv6", { addresses: [["fd83::1", "fd83::2"]], linkMtu: 1500, mtu: 1430 }],
  ["another port", { addresses: [["10.83.0.1", "10.83.0.2"]], linkMtu: 1500, vxlanPort: 8472, mtu: 1450 }],
  ["jumbo frames", { addresses: [["10.83.0.1", "10.83.0.2"]], linkMtu: 9000, mtu: 8950 }],
  [
    "both families, the network by IPv6",
    {
      addresses: [
        ["fd83::1", "fd83::2"],
        ["10.83.0.1", "10.83.0.2"],
      ],
      linkMtu: 1500,
      mtu: 1430,
    },
  ],
];

async function pair(
  name: string,
  { addresses, linkMtu, vxlanPort }: Underlay,
): Promise<{ daemons: Daemon[]; hosts: Host[]; sandboxes: Host[] }> {
  const prefixed = (address: string) => `${address}/${address.includes(":") ? 64 : 24}`;
  const hosts = await Promise.all(["a", "b"].map((side) => lab.host(`${name}${side}`)));
  const [a, b] = hosts as [Host, Host];
  await lab.wire(
    [a, "up0", ...addresses.map(([ours]) => prefixed(ours))],
    [b, "up0", ...addresses.map(([, theirs]) => prefixed(theirs))],
    linkMtu,
  );
  const daemons = await Promise.all(
    hosts.map((host, side) => {
      const args = addresses.flatMap((both) => ["--underlay-address", both[side]!]);
      return Daemon.start(lab, host, { args, ...(vxlanPort === undefined ? {} : { vxlanPort }) });
    }),
  );
  const sandboxes = await Promise.all(
    daemons.map(async (daemon, side) => {
      await daemon.must(
        ...["network", "create", "-d", "overlay", "--subnet", "10.84.0.0/24", "--ipv6", "--subnet", "fd84::/64"],
        ...["-o", "com.docker.network.driver.overlay.vxlanid_list=8400", "net"],
      );
      await daemon.must("peer", "add", addresses[0]![1 - side]!);
      await daemon.must("sandbox", "create", "--network", `net,ip=10.84.0.1${side},ip6=fd84::1${side}`, "box");
      return await daemon.enter("box");
    }),
  );
  return { daemons, hosts, sandboxes };
}

describe.each(UNDERLAYS)("%s", (_, underlay) => {
  test("ping, TCP and UDP arrive, and frames fill the link", async () => {
    const { daemons, hosts, sandboxes } = await pair(String(UNDERLAYS.findIndex(([, one]) => one === underlay)), underlay);
    const [a, b] = sandboxes as [Host, Host];
    expect((await a.link("eth0")).mtu).toBe(underlay.mtu);
    for (const address of ["10.84.0.11", "fd84::11"]) expect(await a.ping(address)).toBe(3);
    await servers(lab, b);
    const capture = await LinkCapture.start(lab, hosts[1]!, "up0", "udp");
    expect(await a.ping("10.84.0.11", ["-M", "do", "-s", String(underlay.mtu - 28)])).toBe(3);
    const file = await capture.stop();
    const port = underlay.vxlanPort ?? 4789;
    const lengths = (await fieldsOf(file, `vxlan and icmp and udp.dstport == ${port}`, ["frame.len"], port)).map(([length]) =>
      Number(length),
    );
    expect(Math.max(...lengths)).toBe(underlay.linkMtu + 14);
    await transfer(a, "10.84.0.11", 100);
    await transfer(a, "fd84::11", 100);
    await datagramSizes(a, "10.84.0.11", 1, 1400);
    for (const daemon of daemons) await daemon.law();
  });
});

// The macvlan driver on one host whose parent is a trunk: sandboxes on VLAN 100, VLAN 200 and without a tag side by side, against
// plain kernel peers at the far end (vlan-peer.py writes and strips the peers' tags), tags proved by tshark on the parent.
//
//   sandboxes ── engine ── packet socket on eth0 ── veth ── trunk0: vlan-peer.py ── v0, v100, v200: the peers' interfaces

import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { datagramSizes, servers, transfer } from "../support/traffic.ts";

const VLAN_PEER = fileURLToPath(new URL("../support/vlan-peer.py", import.meta.url));
const PEERS = [
  { tap: "v0", vid: 0, parent: "eth0", net: "plain", octet: 70 },
  { tap: "v100", vid: 100, parent: "eth0.100", net: "red", octet: 71 },
  { tap: "v200", vid: 200, parent: "eth0.200", net: "blue", octet: 72 },
] as const;

const lab = new Lab();
let host: Host;
let wire: Host;
let daemon: Daemon;
const inside = new Map<string, Host>();

beforeAll(async () => {
  [host, wire] = [await lab.host("h"), await lab.host("p")];
  await lab.wire([host, "eth0", "10.70.0.9/24", "fd70::9/64"], [wire, "trunk0"]);
  const argv = ["/usr/bin/python3", VLAN_PEER, "trunk0", ...PEERS.map(({ tap, vid }) => `${tap}=${vid}`)];
  await lab.background(wire, argv).until(/ready/);
  await wire.ip(
    PEERS.flatMap(({ tap, octet }) => [
      `address add 10.${octet}.0.1/24 dev ${tap}`,
      `address add fd${octet}::1/64 dev ${tap} nodad`,
      `link set ${tap} up`,
    ]).join("\n"),
  );
  daemon = await Daemon.start(lab, host);
  for (const { net, parent, octet } of PEERS) {
    const subnets = ["--subnet", `10.${octet}.0.0/24`, "--gateway", `10.${octet}.0.1`, "--ipv6", "--subnet", `fd${octet}::/64`];
    await daemon.must("network", "create", "-d", "macvlan", ...subnets, "--gateway", `fd${octet}::1`, "-o", `parent=${parent}`, net);
    await daemon.must("sandbox", "create", "--network", `name=${net},ip=10.${octet}.0.5,ip6=fd${octet}::5`, `${net}1`);
    inside.set(net, await daemon.enter(`${net}1`));
  }
  await servers(lab, wire);
});
afterEach(() => daemon?.law());
afterAll(() => lab.dispose());

test.each(PEERS)("$net ($parent) reaches its peer, and the peer it", async ({ net, octet }) => {
  const sandbox = inside.get(net)!;
  for (const [own, peer] of [
    [`10.${octet}.0.5`, `10.${octet}.0.1`],
    [`fd${octet}::5`, `fd${octet}::1`],
  ] as const) {
    expect(await sandbox.ping(peer)).toBe(3);
    expect(await wire.ping(own)).toBe(3);
    await transfer(sandbox, peer, 30);
    await datagramSizes(sandbox, peer, 1400, peer.includes(":") ? 1452 : 1472);
  }
});

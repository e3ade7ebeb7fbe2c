// `network inspect` of one network for each thing that can be said at its creation.

/** @type {readonly (readonly [string, readonly string[]])[]} */
const NETWORKS = [
  ["defaults", []],
  ["one subnet", ["--subnet", "10.10.0.0/16"]],
  ["subnet, range and gateway", ["--subnet", "10.11.0.0/16", "--ip-range", "10.11.4.0/24", "--gateway", "10.11.4.254"]],
  ["auxiliary addresses", ["--subnet", "10.12.0.0/24", "--aux-address", "router=10.12.0.5", "--aux-address", "printer=10.12.0.6"]],
  ["dual stack", ["--ipv6", "--subnet", "10.14.0.0/24", "--subnet", "fd00:14::/64"]],
  ["dual stack, IPv6 subnet only", ["--ipv6", "--subnet", "fd00:15::/64"]],
  [
    "gateways of both families",
    ["--ipv6", "--subnet", "10.16.0.0/24", "--subnet", "fd00:16::/64", "--gateway", "10.16.0.9", "--gateway", "fd00:16::9"],
  ],
  ["internal", ["--internal", "--subnet", "10.17.0.0/24"]],
  ["attachable", ["--attachable", "--subnet", "10.18.0.0/24"]],
  ["scope local", ["--scope", "local", "--subnet", "10.19.0.0/24"]],
  ["labels", ["--label", "a=1", "--label", "b", "--label", "a=2", "--subnet", "10.20.0.0/24"]],
  ["MTU", ["-o", "com.docker.network.driver.mtu=1400", "--subnet", "10.21.0.0/24"]],
  ["ICC off", ["-o", "com.docker.network.bridge.enable_icc=false", "--subnet", "10.22.0.0/24"]],
  ["masquerade off", ["-o", "com.docker.network.bridge.enable_ip_masquerade=false", "--subnet", "10.23.0.0/24"]],
  ["bridge name", ["-o", "com.docker.network.bridge.name=orc0", "--subnet", "10.24.0.0/24"]],
  ["host binding", ["-o", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1", "--subnet", "10.25.0.0/24"]],
  ["interface prefix", ["-o", "com.docker.network.container_iface_prefix=net", "--subnet", "10.26.0.0/24"]],
  ["a /31", ["--subnet", "10.27.0.0/31"]],
  ["a /30", ["--subnet", "10.28.0.0/30"]],
  ["macvlan on a parent", ["-d", "macvlan", "-o", "parent=uplink", "--subnet", "10.31.0.0/24"]],
];

/** @param {import("../pair.mjs").Pair} pair */
export async function networks(pair) {
  for (const name of ["host", "none", "bridge"]) await pair.json(`predefined ${name}`, ["network", "inspect", name]);
  for (const [what, flags] of NETWORKS) {
    await pair.both(["network", "create", ...flags, "n1"]);
    await pair.json(what, ["network", "inspect", "n1"]);
    await pair.both(["network", "rm", "n1"]);
  }
  await pair.both([
    "network",
    "create",
    "--config-only",
    "--subnet",
    "10.40.0.0/24",
    "--label",
    "a=1",
    "-o",
    "com.docker.network.driver.mtu=1300",
    "c1",
  ]);
  await pair.json("configuration only", ["network", "inspect", "c1"]);
  await pair.both(["network", "create", "--config-from", "c1", "n1"]);
  await pair.json("made from a configuration", ["network", "inspect", "n1"]);
  await pair.refused("configuration in use", ["network", "rm", "c1"]);
  await pair.clean();
}

// What `network create` says to bad input, word by word, and with which exit code.

const SUBNET = ["--subnet", "10.50.0.0/24"];

/** @type {readonly (readonly [string, readonly string[]])[]} what is wrong -> arguments of `network create` */
const REFUSALS = [
  ["no name", []],
  ["empty name", [""]],
  ["name with a slash", ["a/b"]],
  ["name with a space", ["a b"]],
  ["name that begins with a dash of words", ["-x"]],
  ["name that begins with a dot", [".a"]],
  ["two names", ["a", "b"]],
  ["predefined name bridge", ["bridge"]],
  ["predefined name host", ["host"]],
  ["predefined name none", ["none"]],
  ["predefined name default", ["default"]],
  ["unknown driver", ["-d", "nosuch", "n1"]],
  ["driver host", ["-d", "host", "n1"]],
  ["driver null", ["-d", "null", "n1"]],
  ["driver none", ["-d", "none", "n1"]],
  ["unknown flag", ["--nosuch", "n1"]],
  ["subnet that is none", ["--subnet", "foo", "n1"]],
  ["subnet without a length", ["--subnet", "10.50.0.0", "n1"]],
  ["subnet of an impossible length", ["--subnet", "10.50.0.0/33", "n1"]],
  ["subnet with host bits", ["--subnet", "10.50.0.7/24", "n1"]],
  ["subnet that is one address", ["--subnet", "10.50.0.1/32", "n1"]],
  ["subnet that is everything", ["--subnet", "0.0.0.0/0", "n1"]],
  ["the same subnet twice", [...SUBNET, ...SUBNET, "n1"]],
  ["subnets that overlap", [...SUBNET, "--subnet", "10.50.0.128/25", "n1"]],
  ["two subnets of a bridge", [...SUBNET, "--subnet", "10.51.0.0/24", "n1"]],
  ["IPv6 subnet and IPv6 off", ["--ipv6=false", "--subnet", "fd00:50::/64", "n1"]],
  ["IPv6 subnet alone", ["--subnet", "fd00:50::/64", "n1"]],
  ["subnet of a multicast range", ["--subnet", "224.0.0.0/24", "n1"]],
  ["gateway outside", [...SUBNET, "--gateway", "10.51.0.1", "n1"]],
  ["gateway that is none", [...SUBNET, "--gateway", "foo", "n1"]],
  ["gateway that is the network's address", [...SUBNET, "--gateway", "10.50.0.0", "n1"]],
  ["gateway that is the broadcast address", [...SUBNET, "--gateway", "10.50.0.255", "n1"]],
  ["gateway without a subnet", ["--gateway", "10.50.0.1", "n1"]],
  ["two gateways", [...SUBNET, "--gateway", "10.50.0.1", "--gateway", "10.50.0.2", "n1"]],
  ["gateway of the other family", [...SUBNET, "--gateway", "fd00::1", "n1"]],
  ["range outside", [...SUBNET, "--ip-range", "10.51.0.0/25", "n1"]],
  ["range larger than the subnet", [...SUBNET, "--ip-range", "10.50.0.0/16", "n1"]],
  ["range that is none", [...SUBNET, "--ip-range", "foo", "n1"]],
  ["range with host bits", [...SUBNET, "--ip-range", "10.50.0.77/26", "n1"]],
  ["range without a subnet", ["--ip-range", "10.50.0.0/25", "n1"]],
  ["two ranges", [...SUBNET, "--ip-range", "10.50.0.0/26", "--ip-range", "10.50.0.64/26", "n1"]],
  ["auxiliary address outside", [...SUBNET, "--aux-address", "a=10.51.0.5", "n1"]],
  ["auxiliary address that is none", [...SUBNET, "--aux-address", "a=foo", "n1"]],
  ["auxiliary address without a name", [...SUBNET, "--aux-address", "10.50.0.5", "n1"]],
  ["auxiliary address without a subnet", ["--aux-address", "a=10.50.0.5", "n1"]],
  ["auxiliary address that is the gateway", [...SUBNET, "--gateway", "10.50.0.5", "--aux-address", "a=10.50.0.5", "n1"]],
  ["unknown IPAM driver", ["--ipam-driver", "nosuch", "n1"]],
  ["subnet in use", ["--subnet", "10.60.0.0/24", "n1"]],
  ["subnet inside of one in use", ["--subnet", "10.60.0.0/28", "n1"]],
  ["subnet around one in use", ["--subnet", "10.60.0.0/16", "n1"]],
  ["name in use", ["taken"]],
  ["name in use, other subnet", ["--subnet", "10.61.0.0/24", "taken"]],
  ["bridge name in use", ["-o", "com.docker.network.bridge.name=orctaken", "n1"]],
  ["bridge name too long", ["-o", "com.docker.network.bridge.name=abcdefghijklmnopq", "n1"]],
  ["ICC that is no truth", ["-o", "com.docker.network.bridge.enable_icc=maybe", "n1"]],
  ["masquerade that is no truth", ["-o", "com.docker.network.bridge.enable_ip_masquerade=maybe", "n1"]],
  ["host binding that is no address", ["-o", "com.docker.network.bridge.host_binding_ipv4=foo", "n1"]],
  ["MTU that is no number", ["-o", "com.docker.network.driver.mtu=foo", "n1"]],
  ["MTU below zero", ["-o", "com.docker.network.driver.mtu=-1", "n1"]],
  ["unknown gateway mode", ["-o", "com.docker.network.bridge.gateway_mode_ipv4=foo", "n1"]],
  ["isolated gateway of what is not internal", ["-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated", "n1"]],
  ["option of nobody", ["-o", "foo=bar", "n1"]],
  ["unknown scope", ["--scope", "foo", "n1"]],
  ["scope swarm", ["--scope", "swarm", "n1"]],
  ["ingress on a bridge", ["--ingress", "n1"]],
  ["ingress that is attachable", ["--ingress", "--attachable", "n1"]],
  ["configuration with internal", ["--config-only", "--internal", "n1"]],
  ["configuration with attachable", ["--config-only", "--attachable", "n1"]],
  ["configuration with scope", ["--config-only", "--scope", "local", "n1"]],
  ["configuration with ingress", ["--config-only", "--ingress", "n1"]],
  ["configuration with a driver", ["--config-only", "-d", "bridge", "n1"]],
  ["configuration of a configuration", ["--config-only", "--config-from", "settings", "n1"]],
  ["from an unknown configuration", ["--config-from", "nosuch", "n1"]],
  ["from what is no configuration", ["--config-from", "taken", "n1"]],
  ["from a configuration, with a subnet", ["--config-from", "settings", "--subnet", "10.62.0.0/24", "n1"]],
  ["from a configuration, with a label", ["--config-from", "settings", "--label", "a=b", "n1"]],
  ["from a configuration, with an option", ["--config-from", "settings", "-o", "com.docker.network.driver.mtu=1400", "n1"]],
];

/** @param {import("../pair.mjs").Pair} pair */
export async function refusals(pair) {
  await pair.both(
    ["network", "create", "--subnet", "10.60.0.0/24", "-o", "com.docker.network.bridge.name=orctaken", "taken"],
    ["network", "create", "--config-only", "--subnet", "10.70.0.0/24", "settings"],
  );
  for (const [what, flags] of REFUSALS) {
    await pair.refused(what, ["network", "create", ...flags]);
    // Whichever side took it must not be in the way of the next.
    await pair.act(["network", "rm", "n1"]);
  }
  await pair.clean();
}

// Connecting and disconnecting: what is refused and how, and what `inspect` says of both ends afterwards.

/** @type {readonly (readonly [string, readonly string[]])[]} */
const REFUSALS = [
  ["unknown network", ["connect", "nosuch", "c1"]],
  ["unknown container", ["connect", "n2", "nosuch"]],
  ["connected already", ["connect", "n1", "c1"]],
  ["address outside of the subnet", ["connect", "--ip", "10.99.0.5", "n2", "c1"]],
  ["address that is none", ["connect", "--ip", "foo", "n2", "c1"]],
  ["address in use", ["connect", "--ip", "10.81.0.2", "n1", "c2"]],
  ["address of the gateway", ["connect", "--ip", "10.82.0.1", "n2", "c1"]],
  ["address of the network", ["connect", "--ip", "10.82.0.0", "n2", "c1"]],
  ["address where the user chose no subnet", ["connect", "--ip", "172.30.0.5", "auto", "c1"]],
  ["IPv6 address of an IPv4 network", ["connect", "--ip6", "fd00::5", "n2", "c1"]],
  ["IPv4 address as IPv6", ["connect", "--ip6", "10.82.0.5", "n2", "c1"]],
  ["IPv6 address as IPv4", ["connect", "--ip", "fd00::5", "n2", "c1"]],
  ["to host", ["connect", "host", "c1"]],
  ["to none", ["connect", "none", "c1"]],
  ["to a configuration", ["connect", "settings", "c1"]],
  ["no container named", ["connect", "n1"]],
  ["disconnect from an unknown network", ["disconnect", "nosuch", "c1"]],
  ["disconnect an unknown container", ["disconnect", "n1", "nosuch"]],
  ["disconnect what is not connected", ["disconnect", "n2", "c1"]],
  ["disconnect, forced, an unknown container", ["disconnect", "-f", "n1", "nosuch"]],
  ["disconnect from host", ["disconnect", "host", "c1"]],
];

/** @type {readonly (readonly [string, readonly string[]])[]} arguments of a start */
const STARTS = [
  ["start on an unknown network", ["--network", "nosuch"]],
  ["start with an address outside", ["--network", "name=n1,ip=10.99.0.5"]],
  ["start with an address that is none", ["--network", "name=n1,ip=foo"]],
  ["start with an address in use", ["--network", "name=n1,ip=10.81.0.2"]],
  ["start with a MAC address that is none", ["--network", "name=n1,mac-address=foo"]],
  ["start with an unknown field", ["--network", "name=n1,foo=bar"]],
  ["start with a priority that is none", ["--network", "name=n1,gw-priority=high"]],
  ["start on one network twice", ["--network", "n1", "--network", "n1"]],
  ["start on host and a network", ["--network", "host", "--network", "n1"]],
  ["start on a configuration", ["--network", "settings"]],
  ["start in the stack of an unknown container", ["--network", "container:nosuch"]],
  ["start with a host name that is none", ["--network", "n1", "--hostname", "a_b!"]],
  ["start with a DNS server that is none", ["--network", "n1", "--dns", "foo"]],
];

/** Of a container, what Weft has as well. @param {any[]} documents */
const networksOf = (documents) => documents[0].NetworkSettings.Networks;

/** @param {import("../pair.mjs").Pair} pair */
export async function connect(pair) {
  await pair.both(
    ["network", "create", "--subnet", "10.81.0.0/24", "n1"],
    ["network", "create", "--subnet", "10.82.0.0/24", "n2"],
    ["network", "create", "--ipv6", "--subnet", "10.83.0.0/24", "--subnet", "fd00:83::/64", "n3"],
    ["network", "create", "auto"],
    ["network", "create", "--config-only", "settings"],
    ["start", "c1", "--network", "n1"],
    ["start", "c2", "--network", "n2"],
  );
  await pair.json("networks of a container", ["container-inspect", "c1"], networksOf);
  for (const [what, action] of REFUSALS) await pair.refused(what, ["network", ...action]);
  await pair.refused("remove a network in use", ["network", "rm", "n1"]);
  for (const [what, flags] of STARTS) {
    await pair.refused(what, ["start", "bad", ...flags]);
    await pair.act(["remove", "bad"]);
  }
  await pair.refused("name of a container in use", ["start", "c1", "--network", "n1"]);

  await pair.both(["network", "connect", "--ip", "10.83.0.77", "--ip6", "fd00:83::77", "--alias", "db", "--alias", "store", "n3", "c1"]);
  await pair.json("with addresses and aliases", ["container-inspect", "c1"], networksOf);
  await pair.json("network with containers", ["network", "inspect", "n3"], (documents) => documents[0].Containers);
  await pair.both(["network", "connect", "n3", "c2"]);
  await pair.json("network with two containers", ["network", "inspect", "n3"], (documents) => documents[0].Containers);
  await pair.both(["network", "disconnect", "n1", "c1"]);
  await pair.json("after a disconnect", ["container-inspect", "c1"], (documents) => Object.keys(networksOf(documents)));
  await pair.both(["network", "connect", "n1", "c1"]);
  await pair.json("address after connecting again", ["container-inspect", "c1"], (documents) => networksOf(documents).n1?.IPAddress);
  await pair.both(["remove", "c1"]);
  await pair.json("network after a removal", ["network", "inspect", "n3"], (documents) => Object.keys(documents[0].Containers));
  await pair.clean();
}

// What a program in a container finds: interfaces, addresses, routes, files, settings of the kernel.

/** Interfaces by what is said of them in `ip -j`, loopback aside. @param {string} text */
function links(text) {
  return JSON.parse(text)
    .filter((/** @type {any} */ { ifname }) => ifname !== "lo")
    .map((/** @type {any} */ { ifname, mtu, addr_info }) => {
      const addresses = addr_info.map(
        (/** @type {any} */ one) =>
          `${one.family} ${one.scope === "link" ? "link-local" : one.local}/${one.prefixlen} ${one.scope}${one.broadcast ? ` brd ${one.broadcast}` : ""}`,
      );
      return `${ifname} mtu ${mtu}\n${addresses.sort().join("\n")}`;
    })
    .sort()
    .join("\n");
}

/** @param {string} text */
const sorted = (text) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^(?:fe80|ff00|multicast)/.test(line))
    .sort()
    .join("\n");

/** Comments are each engine's own. @param {string} text */
const withoutComments = (text) =>
  text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => line.replace(/\s+/g, " ").trim())
    .join("\n");

const SETTINGS = [
  "net/ipv4/ip_unprivileged_port_start",
  "net/ipv4/ping_group_range",
  "net/ipv6/conf/all/disable_ipv6",
  "net/ipv6/conf/default/disable_ipv6",
  "net/ipv6/conf/eth0/disable_ipv6",
  "net/ipv4/ip_forward",
  "net/ipv6/conf/eth0/accept_dad",
];

/** Fresh ones for each case, so that addresses begin anew. @type {Record<string, readonly string[]>} */
const NETWORKS = {
  a: ["--subnet", "10.101.0.0/24"],
  b: ["--subnet", "10.102.0.0/24"],
  six: ["--ipv6", "--subnet", "10.103.0.0/24", "--subnet", "fd00:103::/64"],
  inner: ["--internal", "--subnet", "10.104.0.0/24"],
  odd: ["--subnet", "10.105.0.0/24", "-o", "com.docker.network.driver.mtu=1400", "-o", "com.docker.network.container_iface_prefix=net"],
};

/** What it starts with, and what it is connected to then: of several networks at its start Docker takes any first. */
/** @type {readonly { what: string, start: readonly string[], joins?: readonly (readonly string[])[] }[]} */
const CONTAINERS = [
  { what: "one network", start: ["--network", "a"] },
  { what: "two networks", start: ["--network", "b"], joins: [["a"]] },
  { what: "dual stack", start: ["--network", "six"] },
  { what: "priority", start: ["--network", "a"], joins: [["--gw-priority", "5", "b"]] },
  { what: "internal only", start: ["--network", "inner"] },
  { what: "internal and another", start: ["--network", "inner"], joins: [["b"]] },
  { what: "addresses of one's own", start: ["--network", "name=six,ip=10.103.0.50,ip6=fd00:103::50"] },
  { what: "MTU and prefix", start: ["--network", "odd"] },
  { what: "DNS settings", start: ["--network", "a", "--dns", "192.0.2.2", "--dns-search", "foo.test", "--dns-opt", "timeout:1"] },
  { what: "host name", start: ["--network", "a", "--hostname", "box"] },
  { what: "a host added", start: ["--network", "a", "--add-host", "other:10.9.9.9"] },
  { what: "none", start: ["--network", "none"] },
  { what: "default bridge", start: ["--network", "bridge"] },
];

/** On the host's stack, where files alone are the container's. @type {readonly { what: string, start: readonly string[] }[]} */
const ON_HOST = [
  { what: "host", start: ["--network", "host"] },
  { what: "host: a host added", start: ["--network", "host", "--add-host", "other:10.9.9.9"] },
  {
    what: "host: DNS settings",
    start: ["--network", "host", "--dns", "192.0.2.2", "--dns-search", "foo.test", "--dns-opt", "timeout:1"],
  },
  { what: "host: DNS search alone", start: ["--network", "host", "--dns-search", "foo.test"] },
];

/** What it is called and whom it knows. @param {import("../pair.mjs").Pair} pair @param {string} what */
async function files(pair, what) {
  await pair.printed(`${what}: /etc/hosts`, ["exec", "c1", "cat", "/etc/hosts"], { edit: withoutComments });
  await pair.printed(`${what}: /etc/resolv.conf`, ["exec", "c1", "cat", "/etc/resolv.conf"], { edit: withoutComments });
  await pair.printed(`${what}: host name`, ["exec", "c1", "hostname"]);
  await pair.printed(`${what}: /etc/hostname`, ["exec", "c1", "cat", "/etc/hostname"]);
}

/** @param {import("../pair.mjs").Pair} pair */
export async function inside(pair) {
  for (const { what, start, joins = [] } of CONTAINERS) {
    const text = [...start, ...joins.flat()].join(" ");
    const needed = Object.entries(NETWORKS).filter(([name]) => new RegExp(`\\b${name}\\b`).test(text));
    await pair.both(...needed.map(([name, flags]) => ["network", "create", ...flags, name]));
    await pair.both(["start", "c1", ...start], ...joins.map((flags) => ["network", "connect", ...flags, "c1"]));
    await pair.within(`${what}: interfaces`, "c1", ["ip", "-j", "address"], links);
    await pair.within(`${what}: routes`, "c1", ["ip", "-4", "route"], sorted);
    await pair.within(`${what}: IPv6 routes`, "c1", ["ip", "-6", "route"], sorted);
    await files(pair, what);
    await pair.clean();
  }
  for (const { what, start } of ON_HOST) {
    await pair.both(["start", "c1", ...start]);
    await files(pair, what);
    await pair.clean();
  }
  await pair.both(["network", "create", ...(NETWORKS.six ?? []), "six"], ["network", "create", ...(NETWORKS.a ?? []), "a"]);
  await pair.both(["start", "c1", "--network", "six"], ["start", "c2", "--network", "a"]);
  for (const setting of SETTINGS) {
    for (const container of ["c1", "c2"])
      await pair.printed(`${container === "c1" ? "dual stack" : "IPv4"}: ${setting}`, ["exec", container, "cat", `/proc/sys/${setting}`]);
  }
  await pair.clean();
}

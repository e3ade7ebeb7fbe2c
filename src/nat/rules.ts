// The host's packet filter and address translation for networks that it routes: a pure function from a plan to one nftables
// table, `inet weft`: collections (sets and maps), whose elements are what differs from plan to plan, and chains, which hardly
// do. How the kernel gets from one to the next is change-set.ts. Tables of others are not touched; they see the same packets and
// may still drop what this one lets pass.
//
//   guard        prerouting, before connection tracking: no sandbox reaches the host's 127.0.0.0/8. The gateways' interfaces
//                have route_localnet on, which answers to 127.0.0.1:8080 need, and that would open it. (For ::1 an own route
//                of the interface does the same, and the kernel takes no packet with ::1 from a wire.)
//   prerouting   destinations that are published: rewritten, for packets to addresses of the host
//   output       the same for the host's own programs
//   forward      what may pass between networks; see `forwardChain`
//   postrouting  sources: of packets that leave a network (masquerade), of those that come back into the network they came
//                from (or the answer would take the short way and be refused), of the host's loopback
//
// Published ports are elements of maps, never rules: a packet costs three look-ups however many there are, and a range that keeps
// its numbers is one element. (nftables can't add an offset to a port, so a range that is moved has an element a port.) Single
// ports are in maps without ranges, which are hash tables: ten thousand take the kernel 0.1 s, among ranges 2.4 s.
// Elements can't overlap: who publishes is refused a port that another has.
import type { GatewayMode, NatFamily, NatNetwork, NatPlan, Publication } from "./types.ts";

export const TABLE = "inet weft";
/** Whether forwarding was off before we needed it: then we forward for our networks only, as nothing was forwarded before. */
export interface Closed {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

/** A set, or a map: then each element ends with " : " and what it leads to. */
export interface Collection {
  readonly kind: "set" | "map";
  readonly name: string;
  readonly type: string;
  /** In nft's language, none twice. */
  readonly elements: readonly string[];
  /** Whether elements may be ranges. */
  readonly interval: boolean;
}

export interface Rules {
  readonly collections: readonly Collection[];
  /** Lines. */
  readonly chains: readonly string[];
}

/** Removes the table, whether it is there or not. */
export const NO_RULES = `table ${TABLE}\ndelete table ${TABLE}\n`;

/** What the table is to be; null: there is to be none. */
export function rulesOf(plan: NatPlan, closed: Closed): Rules | null {
  if (plan.networks.length === 0) return null;
  const networks = [...plan.networks].sort((a, b) => (a.interfaceName < b.interfaceName ? -1 : 1));
  return { collections: [...sets(networks), ...maps(plan.publications)], chains: chains(networks, closed) };
}

/** A transaction for `nft -f -` that makes it so, whatever is there. */
export function replacement(rules: Rules | null): string {
  if (rules === null) return NO_RULES;
  const lines = [...rules.collections.flatMap(collectionLines), ...rules.chains];
  return `${NO_RULES}table ${TABLE} {\n${lines.map((line) => `  ${line}`).join("\n")}\n}\n`;
}

function collectionLines({ kind, name, type, interval, elements }: Collection): string[] {
  return [
    `${kind} ${name} {`,
    `  type ${type}`,
    ...(interval ? ["  flags interval"] : []),
    ...(elements.length > 0 ? [`  elements = { ${elements.join(", ")} }`] : []),
    "}",
  ];
}

const quoted = (text: string): string => `"${text}"`;

function collection(kind: "set" | "map", name: string, type: string, elements: readonly string[], interval = false): Collection {
  return { kind, name, type, elements, interval };
}

/** Whether published ports are ports of the host there; else sandboxes are reached at their own. */
export const translates = ({ mode }: Pick<NatFamily, "mode">): boolean => mode === "nat" || mode === "nat-unprotected";

function sets(networks: readonly NatNetwork[]): Collection[] {
  const interfaces = (wanted: (network: NatNetwork) => boolean): string[] =>
    networks.filter(wanted).map(({ interfaceName }) => quoted(interfaceName));
  const all = [
    collection(
      "set",
      "bridges",
      "ifname",
      interfaces(() => true),
    ),
    collection(
      "set",
      "internal",
      "ifname",
      interfaces(({ internal }) => internal),
    ),
  ];
  for (const [digit, family, type] of [
    [4, "ipv4", "ipv4_addr"],
    [6, "ipv6", "ipv6_addr"],
  ] as const) {
    const present = networks.flatMap((network) => {
      const settings = network[family];
      return settings === null || network.internal ? [] : [{ interfaceName: quoted(network.interfaceName), ...settings }];
    });
    const names = (mode: GatewayMode): string[] => present.filter((one) => one.mode === mode).map(({ interfaceName }) => interfaceName);
    const translated = present.filter(translates);
    const masqueraded = translated.filter((one) => one.masquerade && one.source === null).map(({ subnet }) => subnet);
    const hairpins = translated.map(({ subnet, interfaceName }) => `${subnet} . ${interfaceName}`);
    all.push(
      collection("set", `masquerade${digit}`, type, masqueraded, true),
      collection("set", `hairpin${digit}`, `${type} . ifname`, hairpins, true),
      collection("set", `routed${digit}`, "ifname", names("routed")),
      collection("set", `unprotected${digit}`, "ifname", names("nat-unprotected")),
    );
  }
  return all;
}

const ports = (first: number, count: number): string => (count === 1 ? `${first}` : `${first}-${first + count - 1}`);
const ANY: Readonly<Record<string, string>> = { "0.0.0.0": "0.0.0.0/0", "::": "::/0" };

function maps(publications: readonly Publication[]): Collection[] {
  const all: Collection[] = [];
  for (const [digit, type] of [
    [4, "ipv4_addr"],
    [6, "ipv6_addr"],
  ] as const) {
    const anywhere: string[] = [];
    const at: string[] = [];
    const ranges: string[] = [];
    const ofFamily = publications.filter(({ family }) => family === digit).sort(byPort);
    for (const { protocol, hostAddress, hostPort, count, target, targetPort, mode } of ofFamily) {
      const any = ANY[hostAddress];
      if (!translates({ mode })) continue;
      if (hostPort === targetPort && count > 1) {
        ranges.push(`${protocol} . ${any ?? hostAddress} . ${ports(hostPort, count)} : ${target}`);
      } else if (any !== undefined) {
        for (let n = 0; n < count; n++) anywhere.push(`${protocol} . ${hostPort + n} : ${target} . ${targetPort + n}`);
      } else {
        for (let n = 0; n < count; n++) at.push(`${protocol} . ${hostAddress} . ${hostPort + n} : ${target} . ${targetPort + n}`);
      }
    }
    const to = `${type} . inet_service`;
    all.push(
      collection("map", `anywhere${digit}`, `inet_proto . inet_service : ${to}`, anywhere),
      collection("map", `at${digit}`, `inet_proto . ${type} . inet_service : ${to}`, at),
      collection("map", `ranges${digit}`, `inet_proto . ${type} . inet_service : ${type}`, ranges, true),
      collection("set", `open${digit}`, `${type} . inet_proto . inet_service`, opened(ofFamily), true),
    );
  }
  return all;
}

/** What clients reach at sandboxes' own addresses. Ports of two publications, which the host has apart, may be the same there. */
function opened(publications: readonly Publication[]): string[] {
  const runs = new Map<string, { first: number; last: number }[]>();
  const untranslated = publications.filter((one) => !translates(one)).sort((a, b) => a.targetPort - b.targetPort);
  for (const { target, protocol, targetPort, count } of untranslated) {
    const place = `${target} . ${protocol}`;
    const last = targetPort + count - 1;
    const all = runs.get(place) ?? [];
    const before = all.at(-1);
    if (before !== undefined && targetPort <= before.last) before.last = Math.max(before.last, last);
    else all.push({ first: targetPort, last });
    runs.set(place, all);
  }
  return [...runs].flatMap(([place, all]) => all.map(({ first, last }) => `${place} . ${ports(first, last - first + 1)}`));
}

function byPort(a: Publication, b: Publication): number {
  return a.hostPort - b.hostPort || (a.protocol < b.protocol ? -1 : a.protocol > b.protocol ? 1 : a.hostAddress < b.hostAddress ? -1 : 1);
}

function chain(name: string, rules: readonly string[], hook?: string): string[] {
  return [`chain ${name} {`, ...(hook === undefined ? [] : [`  ${hook}; policy accept`]), ...rules.map((rule) => `  ${rule}`), "}"];
}

const WITH_PORTS = "meta l4proto { tcp, udp, sctp }";

function chains(networks: readonly NatNetwork[], closed: Closed): string[] {
  const lookups = (["ip", "ip6"] as const).flatMap((family) => {
    const digit = family === "ip" ? 4 : 6;
    const by = (key: string, map: string): string => `${WITH_PORTS} dnat ${family} to meta l4proto . ${key}th dport map @${map}${digit}`;
    return [by("", "anywhere"), by(`${family} daddr . `, "at"), by(`${family} daddr . `, "ranges")];
  });
  return [
    ...chain("guard", ["iifname @bridges ip daddr 127.0.0.0/8 drop"], "type filter hook prerouting priority -300"),
    ...chain("published", lookups),
    // A neighbour that sends to 127.0.0.1 by wire is not served; to ::1 the kernel itself lets nobody send.
    ...chain(
      "prerouting",
      ["ip daddr 127.0.0.0/8 return", "fib daddr type local jump published"],
      "type nat hook prerouting priority -100",
    ),
    ...chain("output", ["fib daddr type local jump published"], "type nat hook output priority -100"),
    ...forwardChain(closed),
    ...chain("postrouting", sourceRules(networks), "type nat hook postrouting priority 100"),
  ];
}

/**
 * Networks are closed to each other and to the world but for published ports and for answers. `ct status dnat`: it came to a
 * published port. The rest that goes to a network is refused, also from itself: sandboxes whose network forbids them to speak
 * to each other must not do so by way of the gateway.
 */
function forwardChain(closed: Closed): string[] {
  return [
    ...chain("inward", [
      "ip daddr . meta l4proto . th dport @open4 accept",
      "ip6 daddr . meta l4proto . th dport @open6 accept",
      "iifname @bridges drop",
      "oifname @routed4 meta l4proto icmp accept",
      "oifname @routed6 meta l4proto ipv6-icmp accept",
      "meta nfproto ipv4 oifname @unprotected4 accept",
      "meta nfproto ipv6 oifname @unprotected6 accept",
      "drop",
    ]),
    ...chain("elsewhere", [
      ...(closed.ipv4 ? ["meta nfproto ipv4 drop"] : []),
      ...(closed.ipv6 ? ["meta nfproto ipv6 drop"] : []),
      "accept",
    ]),
    ...chain(
      "forward",
      [
        "iifname != @bridges oifname != @bridges goto elsewhere",
        "iifname @internal drop",
        "oifname @internal drop",
        "ct state established,related accept",
        "oifname @bridges ct status dnat accept",
        "oifname @bridges goto inward",
      ],
      "type filter hook forward priority 0",
    ),
  ];
}

function sourceRules(networks: readonly NatNetwork[]): string[] {
  const fixed = networks.flatMap(({ internal, ipv4, ipv6 }) =>
    [ipv4, ipv6].flatMap((family, index) => {
      if (family === null || internal || !translates(family) || !family.masquerade || family.source === null) return [];
      const word = index === 0 ? "ip" : "ip6";
      return [`${word} saddr ${family.subnet} oifname != @bridges snat ${word} to ${family.source}`];
    }),
  );
  return [
    "oifname @bridges ip saddr 127.0.0.0/8 masquerade",
    "oifname @bridges ip6 saddr ::1 masquerade",
    "ct status dnat ip saddr . oifname @hairpin4 masquerade",
    "ct status dnat ip6 saddr . oifname @hairpin6 masquerade",
    ...fixed,
    "ip saddr @masquerade4 oifname != @bridges masquerade",
    "ip6 saddr @masquerade6 oifname != @bridges masquerade",
  ];
}

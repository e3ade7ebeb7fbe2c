// Of what is printed: inspect, ls.

/** @type {readonly import("../differences.mjs").Reason[]} */
export const OF_ANSWERS = [
  {
    id: "status",
    aspect: /^(\[0\])?\.Status$/,
    docker: /^\(absent\)$/,
    title: "`Status.IPAM` is always there",
    reason: "Docker shows how many addresses are in use from API 1.52 on; the client that is compared here asks for an older one.",
  },
  {
    id: "empty-not-null",
    aspect: /\.(Config|Options|Aliases|DriverOpts|IPAMConfig)$/,
    docker: /^(null|\{\}|\[\])$/,
    weft: /^(null|\{\}|\[\])$/,
    title: "An empty list is `[]` and an empty map `{}`",
    reason: "Docker prints null for some of them, depending on how the object was made; a script that iterates need not ask.",
  },
  {
    id: "configuration-subnets",
    name: /^configuration only$/,
    aspect: /\.IPAM\.Config$/,
    engine: /moby/,
    docker: /^null$/,
    title: "A configuration-only network shows its subnets",
    reason: "They are what it is for; the newest Docker leaves them out.",
  },
  {
    id: "pools",
    area: /^networks$/,
    name: /^dual stack, IPv6 subnet only$/,
    aspect: /\.(Gateway|Subnet)$/,
    title: "Subnets are listed IPv4 first",
    reason: "Where a user gave only the IPv6 subnet, Docker lists it before the IPv4 one that it chose.",
  },
  {
    id: "default-interface",
    name: /^predefined bridge$/,
    aspect: /bridge\.name$/,
    title: "The interface of the network `bridge` is `weft0`",
    reason: "So that Docker and Weft can serve on one host.",
  },
  {
    id: "macvlan-gateway",
    engine: /moby/,
    name: /^macvlan/,
    aspect: /\.Gateway$/,
    title: "A macvlan network without `--gateway` has its subnet's first address for one",
    reason: "The newest Docker gives its containers no default route then.",
  },
  {
    id: "interface-name",
    aspect: /\.(InterfaceName|Subnets|Aliases|GwPriority)$/,
    docker: /^\(absent\)$/,
    title: "More fields",
    reason:
      "`InterfaceName` of an endpoint, `Subnets` of a row of `network ls`, and with `--verbose` aliases and priorities: Docker shows none.",
  },
  {
    id: "ghost-endpoints",
    area: /^connect$/,
    aspect: /^(\.(n2|settings)|\[\d\])$/,
    title: "A connect that was refused leaves nothing behind",
    reason: "Docker keeps the network among those of the container, without an address.",
  },
  {
    id: "cancelled-prune",
    name: /^prune, not confirmed$/,
    title: "A prune that is not confirmed ends with 1",
    reason: "Nothing was done: a script must not take it for success.",
  },
];

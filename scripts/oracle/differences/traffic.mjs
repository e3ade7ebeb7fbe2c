// Of what crosses the network, and of what a program finds in its namespace.

/** @type {readonly import("../differences.mjs").Reason[]} */
export const OF_TRAFFIC = [
  {
    id: "route-protocol",
    area: /^inside$/,
    name: /routes$/,
    weft: /proto static/,
    title: "Default routes are marked `proto static`",
    reason: "The kernel's word for routes that somebody set; routing daemons leave them alone.",
  },
  {
    id: "hosts-order",
    area: /^inside$/,
    name: /^(two networks|priority|internal and another): \/etc\/hosts$/,
    title: "/etc/hosts lists the address of the default route first",
    reason: "A program that looks its own name up gets the address by which it reaches others. Docker has the order of joining.",
  },
  {
    id: "none-resolv-conf",
    area: /^inside$/,
    name: /^none: \/etc\/resolv\.conf$/,
    title: "On `none`, resolv.conf names 127.0.0.11",
    reason: "Nothing else could be reached there; once it is connected to a network, names work without the file changing under programs.",
  },
  {
    id: "kernel-settings",
    area: /^inside$/,
    name: /net\/ipv[46]\//,
    title: "Kernel settings of a namespace",
    reason:
      "Duplicate address detection is off, for an address is unique by its making and usable at once; interfaces that a program adds have no IPv6 until it asks.",
  },
  {
    id: "time-to-live",
    area: /^names$/,
    name: /^time to live$/,
    title: "Local answers live 5 seconds",
    reason: "Docker says 600: clients then keep the address of what was replaced.",
  },
  {
    id: "no-leak",
    area: /^names$/,
    docker: /(NXDOMAIN|MX)/,
    weft: /NOERROR/,
    title: "No question about a local name leaves",
    reason: "Any type but address records is answered by NOERROR and nothing; Docker forwards most types to the servers outside.",
  },
  {
    id: "edns",
    area: /^names$/,
    name: /^(EDNS|class chaos)$/,
    title: "A question with EDNS is answered with EDNS",
    reason: "RFC 6891 section 6.1.1. Classes other than IN are refused; Docker answers them as IN.",
  },
];

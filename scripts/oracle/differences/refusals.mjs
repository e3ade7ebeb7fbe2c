// Of refusals: what one side takes, how it says no, exit codes. Weft's messages name the value and the rule; where Docker's are
// those of the Go library that failed, Weft says the same in words.

/** @type {readonly import("../differences.mjs").Reason[]} */
export const OF_REFUSALS = [
  {
    id: "exit-codes",
    aspect: /^exit code$/,
    docker: /^(1|125)$/,
    weft: /^(1|2)$/,
    title: "A wrong command line ends with 2, a refusal with 1",
    reason:
      "Docker ends with 1 or 125 for both; a script can tell them apart here. `run` ends with 125 for both, as Docker's. The messages of the command line's grammar differ too.",
  },
  {
    id: "usage",
    aspect: /^stderr$/,
    docker:
      /(requires (at least |exactly )?\d arguments?|unknown (shorthand )?flag|^invalid argument "|bad format of filter|^template|^invalid port \(|^invalid port specification|^invalid range format)/,
    title: "Words of the command line's grammar",
    reason: "What is missing or unknown is named by the value and what to write instead.",
  },
  {
    id: "stricter",
    name: /(option of nobody|name with a s|begins with a dot|multicast|is everything|IPv6 off|unknown scope|host name that is none|IPv6 address without brackets|exposed with an unknown protocol)/,
    aspect: /^(exit code|stderr)$/,
    docker: /^0?$/,
    title: "Mistakes that Docker takes are refused",
    reason:
      "Unknown driver options (`-o foo=bar`: a misspelt one would be without effect and nobody told), names with a slash, a space or a leading dot, unknown scopes, subnets of the multicast range or of everything, an IPv6 subnet with `--ipv6=false`, host names that are none, protocols that are none, in `-p` an IPv6 address without brackets, a multicast and a link-local one.",
  },
  {
    id: "library-words",
    aspect: /^stderr$/,
    docker:
      /(^invalid JSON: |^failed to parse |^invalid MTU|^numerical result|^operation not supported|^failed to allocate|not a valid mac|is specified multiple times|^plugin ".*" not found|^failed to parse value as time|networks have same bridge name)/,
    title: "Values that are malformed or taken",
    reason: "Docker passes on what its parser or the kernel said; Weft names the value, the rule and what to give.",
  },
  {
    id: "addresses",
    area: /^connect$/,
    docker: /(no configured subnet contains|Address already in use|invalid IPv[46] address)/,
    title: "Addresses that a network can't give",
    reason: 'Docker\'s older words, "requested address is out of range", followed by the range that it must be in.',
  },
  {
    id: "not-found",
    aspect: /^stderr$/,
    docker: /(No such container: |endpoint nosuch not found)/,
    title: "`sandbox X not found`",
    reason: "One wording for networks and sandboxes, whichever command asks.",
  },
  {
    id: "names-not-ids",
    area: /^connect$/,
    docker:
      /(is not connected to network|Conflict\. The container name|cannot connect container to host|cannot create endpoint on configuration-only)/,
    title: "Sandboxes are named as the user named them",
    reason: "Docker says the whole id in some messages, and looks at the network before the sandbox in some.",
  },
  {
    id: "order-of-checks",
    area: /^refusals$/,
    aspect: /^stderr$/,
    docker: /(Ingress network can only be|swarm scoped|driver options are not supported|name is empty|no matching subnet for aux-address$)/,
    title: "Of two mistakes another is named first",
    reason: "Both are mistakes. There is no swarm to be active: what `--scope swarm` needs is a driver of global scope.",
  },
  {
    id: "port-taken",
    engine: /moby/,
    area: /^ports$/,
    docker: /^Bind for /,
    title: "A conflict of ports names the address that was asked for",
    reason: "Docker names the address which holds it, 0.0.0.0 or [::].",
  },
];

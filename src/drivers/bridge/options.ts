// `-o` of bridge networks.

import { COMMON_OPTIONS } from "../common-options.ts";
import { boolean, interfaceName, type Option, type OptionValues, type RefusedOptions, readOptions } from "../options.ts";

const BRIDGE_OPTIONS = {
  ...COMMON_OPTIONS,
  bridgeName: {
    key: "com.docker.network.bridge.name",
    doc: "Name of the gateway's interface on the host; unless given br- and 12 digits of the network's id.",
    fallback: null,
    read: interfaceName,
  } as Option<string | null>,
  enableIcc: {
    key: "com.docker.network.bridge.enable_icc",
    doc: "Whether sandboxes of the network reach each other.",
    fallback: true,
    read: boolean,
  } as Option<boolean>,
  inhibitIpv4: {
    key: "com.docker.network.bridge.inhibit_ipv4",
    doc: "Give the gateway's interface no IPv4 address.",
    fallback: false,
    read: boolean,
  } as Option<boolean>,
} as const;

const NO_NAT = "addresses are not translated and ports not published yet, the host routes between the network and others";
const BRIDGE_REFUSED: RefusedOptions = {
  "com.docker.network.bridge.enable_ip_masquerade": NO_NAT,
  "com.docker.network.bridge.host_binding_ipv4": NO_NAT,
  "com.docker.network.bridge.gateway_mode_ipv4": NO_NAT,
  "com.docker.network.bridge.gateway_mode_ipv6": NO_NAT,
  "com.docker.network.bridge.trusted_host_interfaces": NO_NAT,
  "com.docker.network.bridge.default_bridge": "there is no default bridge",
  "com.docker.network.host_ipv4": NO_NAT,
  "com.docker.network.host_ipv6": NO_NAT,
};

export const readBridgeOptions = (given: Readonly<Record<string, string>>): OptionValues<typeof BRIDGE_OPTIONS> =>
  readOptions("bridge", BRIDGE_OPTIONS, given, BRIDGE_REFUSED);

// `-o` of bridge networks.

import { invalidArgument } from "../../errors.ts";
import type { GatewayMode } from "../../nat/types.ts";
import type { Family } from "../../net/address.ts";
import { canonicalAddress, parseAddress } from "../../net/address.ts";
import { COMMON_OPTIONS } from "../common-options.ts";
import { boolean, interfaceName, type Option, type OptionValues, type RefusedOptions, readOptions } from "../options.ts";

const GATEWAY_MODES: readonly GatewayMode[] = ["nat", "nat-unprotected", "routed", "isolated"];

function gatewayMode(text: string, key: string): GatewayMode {
  const mode = GATEWAY_MODES.find((one) => one === text);
  if (mode === undefined) throw invalidArgument(`unknown gateway mode ${text} for ${key}: give ${GATEWAY_MODES.join(", ")}`);
  return mode;
}

const addressOf =
  (family: Family) =>
  (text: string, key: string): string => {
    if (parseAddress(text, key).family !== family) throw invalidArgument(`invalid ${key} ${text}: give an IPv${family} address`);
    return canonicalAddress(text);
  };

const BRIDGE_OPTIONS = {
  ...COMMON_OPTIONS,
  bridgeName: {
    key: "com.docker.network.bridge.name",
    doc: "Name of the gateway's interface on the host; unless given br- and 12 digits of the network's id.",
    fallback: null,
    // Docker takes an empty one for none: `-o ...name=${NAME:-}` of scripts.
    read: (text, key) => (text === "" ? null : interfaceName(text, key)),
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
  masquerade: {
    key: "com.docker.network.bridge.enable_ip_masquerade",
    doc: "Whether sandboxes have the host's address where they reach out of their network.",
    fallback: true,
    read: boolean,
  } as Option<boolean>,
  hostBindingIpv4: {
    key: "com.docker.network.bridge.host_binding_ipv4",
    doc: "Address of the host that ports are published at where -p names none.",
    fallback: null,
    read: addressOf(4),
  } as Option<string | null>,
  gatewayModeIpv4: {
    key: "com.docker.network.bridge.gateway_mode_ipv4",
    doc: "nat, nat-unprotected, routed or isolated (only with --internal).",
    fallback: "nat",
    read: gatewayMode,
  } as Option<GatewayMode>,
  gatewayModeIpv6: {
    key: "com.docker.network.bridge.gateway_mode_ipv6",
    doc: "The same for IPv6.",
    fallback: "nat",
    read: gatewayMode,
  } as Option<GatewayMode>,
  defaultBridge: {
    key: "com.docker.network.bridge.default_bridge",
    doc: "Marks the predefined network bridge.",
    fallback: false,
    read: boolean,
  } as Option<boolean>,
  hostIpv4: {
    key: "com.docker.network.host_ipv4",
    doc: "The address that sandboxes reach out with; unless given that of the interface they leave by.",
    fallback: null,
    read: addressOf(4),
  } as Option<string | null>,
  hostIpv6: {
    key: "com.docker.network.host_ipv6",
    doc: "The same for IPv6.",
    fallback: null,
    read: addressOf(6),
  } as Option<string | null>,
} as const;

const BRIDGE_REFUSED: RefusedOptions = {
  "com.docker.network.bridge.trusted_host_interfaces": "published ports are reached by the host's addresses, from every interface",
};

export const readBridgeOptions = (given: Readonly<Record<string, string>>): OptionValues<typeof BRIDGE_OPTIONS> =>
  readOptions("bridge", BRIDGE_OPTIONS, given, BRIDGE_REFUSED);

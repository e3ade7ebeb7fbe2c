// The predefined network `bridge`: the one that a sandbox is on which asks for none, as in Docker.
//
// It is a network of the bridge driver, stored like others and made when the daemon starts, as Docker makes docker0: programs of
// the host and `host-gateway` count on its address whether or not a sandbox is on it yet. What sets it apart are rules that
// Docker's users know, held where they belong: no names are answered on it (name-records.ts), nobody chooses an address or an
// alias on it (endpoints/modes.ts), it can't be removed (names.ts).
//
// The daemon's settings say what it is like. They may have changed since it was stored: then it is made anew, unless sandboxes
// are on it. A host that can't have it (pools used up, the subnet is routed elsewhere) has a daemon all the same: it is
// reported, and made by the first sandbox that asks for it and can have it.
import { exhausted, unavailable } from "../../errors.ts";
import { formatAddress } from "../../net/address.ts";
import { formatPrefix, parseInterfaceAddress } from "../../net/prefix.ts";
import type { NetworkRecord } from "../../records/records.ts";
import type { Context, DefaultBridgeSettings } from "../context.ts";
import { exclusive } from "../locks.ts";
import { DEFAULT_BRIDGE } from "../names.ts";
import type { CreateNetworkRequest } from "../types.ts";
import { makeNetwork } from "./making.ts";
import { dropNetwork } from "./removal.ts";

const NAME_KEY = "com.docker.network.bridge.name";
const NAMES_TRIED = 100;
/** Taken before any other. */
const LOCK = "default-bridge";

/** Makes it be as the settings say. What stands in the way is a warning of the daemon's, not an error. */
export async function ensureDefaultBridge(context: Context): Promise<void> {
  try {
    warn(context, await context.locks.run([exclusive(LOCK)], () => bring(context)));
  } catch (error) {
    warn(context, `network ${DEFAULT_BRIDGE} could not be made: ${(error as Error).message}`);
  }
}

/** The network for sandboxes that name none; null: they get a loopback and nothing else. */
export async function defaultNetwork(context: Context): Promise<NetworkRecord | null> {
  const { state, defaultBridge } = context;
  if (state.networkByName(DEFAULT_BRIDGE) === undefined && defaultBridge?.enabled) await ensureDefaultBridge(context);
  const network = state.networkByName(DEFAULT_BRIDGE);
  if (network === undefined && defaultBridge?.enabled) {
    throw unavailable(`${context.warnings.get(DEFAULT_BRIDGE)}; name another network (--network), or none`);
  }
  return network ?? null;
}

/** Answers what is not as the settings say. */
async function bring(context: Context): Promise<string | null> {
  const { state, defaultBridge: settings } = context;
  const stored = state.networkByName(DEFAULT_BRIDGE);
  if (settings === undefined) return null;
  const wanted = settings.enabled ? requestFor(settings) : null;
  if (stored !== undefined) {
    if (wanted !== null && matches(stored, wanted)) return null;
    if (state.endpointsOfNetwork(stored.id).length > 0) {
      return `network ${DEFAULT_BRIDGE} stays as it was: sandboxes are on it; its new settings count from a start without any`;
    }
    await dropNetwork(context, stored.id);
  }
  if (wanted === null) return null;
  const name = settings.interfaceName ?? freeName((name) => context.host.hasLink(name));
  await makeNetwork(context, { ...wanted, options: { ...wanted.options, [NAME_KEY]: name } });
  return null;
}

/** All but the interface's name. The options are those that Docker shows. */
function requestFor(settings: DefaultBridgeSettings): CreateNetworkRequest {
  const { ipv4, ipv6, enableIpv6, icc, masquerade, mtuBytes, interfaceName } = settings;
  const given = [ipv4, ipv6].filter((text) => text !== null).map((text) => parseInterfaceAddress(text));
  return {
    name: DEFAULT_BRIDGE,
    driver: "bridge",
    enableIpv6: enableIpv6 || ipv6 !== null,
    ipam: given.map(({ address, prefix }) => ({ subnet: formatPrefix(prefix), gateway: formatAddress(address) })),
    options: {
      "com.docker.network.bridge.default_bridge": "true",
      "com.docker.network.bridge.enable_icc": String(icc),
      "com.docker.network.bridge.enable_ip_masquerade": String(masquerade),
      "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
      ...(interfaceName === null ? {} : { [NAME_KEY]: interfaceName }),
      "com.docker.network.driver.mtu": String(mtuBytes),
    },
  };
}

function matches(stored: NetworkRecord, wanted: CreateNetworkRequest): boolean {
  const options = Object.entries(wanted.options ?? {}).every(([key, value]) => stored.options[key] === value);
  const subnets = (wanted.ipam ?? []).every(({ subnet, gateway }) =>
    stored.ipam.some((one) => one.subnet === subnet && one.gateway === gateway),
  );
  return options && subnets && stored.enableIpv6 === wanted.enableIpv6;
}

function freeName(taken: (name: string) => boolean): string {
  for (let number = 0; number < NAMES_TRIED; number++) if (!taken(`weft${number}`)) return `weft${number}`;
  throw exhausted(`the host has interfaces weft0 to weft${NAMES_TRIED - 1}: give setting bridge.interfaceName`);
}

function warn(context: Context, message: string | null): void {
  if (message === null) return void context.warnings.delete(DEFAULT_BRIDGE);
  context.warnings.set(DEFAULT_BRIDGE, message);
  context.log("warn", message);
}

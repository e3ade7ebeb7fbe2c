// Networks on an interface of the host: each sandbox is a station of the parent's network with MAC and addresses of its own.
// Routers, DHCP and whatever else there is are out there: the host has no address in it, translates nothing and publishes
// nothing, and is itself not reached by its sandboxes through the parent, as with the kernel's macvlan.
//
// `parent=eth0.100` is VLAN 100 of eth0: the engine writes and removes the tags, no interface is made for it. Without a parent
// the sandboxes of the network reach each other only.
//
// In passthru the parent should have no addresses of its own: its kernel sees the sandbox's frames too.

import type { Declaration } from "../../datapath/declarations.ts";
import { addressInUse, forbidden, invalidArgument } from "../../errors.ts";
import { randomMac } from "../../net/mac.ts";
import type { InterfaceConfig } from "../../ports/native.ts";
import type { EndpointRecord, NetworkRecord } from "../../records/records.ts";
import { checkMtu, MTU_KEY } from "../common-options.ts";
import type { Driver, DriverHost, DriverState, EndpointDraft, Join, NetworkDraft } from "../driver.ts";
import { MODE_KEY, type Mode, type Parent, readMacvlanOptions, readParent } from "./options.ts";
import { type MacvlanState, macvlanDomain, macvlanEndpoint, macvlanGateways, macvlanNetwork, macvlanState, parentText } from "./wants.ts";

/** Of a network without a parent: an Ethernet's. */
const MTU_DEFAULT = 1500;

export class MacvlanDriver implements Driver {
  readonly name = "macvlan";
  readonly scope = "local";
  readonly stack = "interfaces";
  readonly addressSpace = "local";
  readonly avoidsHostRoutes = false;
  readonly hasPeers = false;

  async createNetwork(draft: NetworkDraft, host: DriverHost): Promise<DriverState> {
    const options = readMacvlanOptions(draft.options);
    const links = await host.links();
    const parent =
      options.parent === ""
        ? null
        : readParent(
            options.parent,
            links.map(({ name }) => name),
          );
    const { mode } = options;
    if (parent === null && mode === "passthru") {
      throw invalidArgument(`macvlan mode passthru gives a sandbox its parent interface: give -o parent=, or another ${MODE_KEY}`);
    }
    if (parent !== null) refuseShared(parent, mode, host.networks);
    const link = links.find(({ name }) => name === parent?.interfaceName);
    const mtuBytes = options.mtuBytes ?? link?.mtuBytes ?? MTU_DEFAULT;
    if (link !== undefined && mtuBytes > link.mtuBytes) {
      throw invalidArgument(
        `MTU ${mtuBytes} is too large: parent interface ${link.name} has ${link.mtuBytes}; lower ${MTU_KEY} or raise the parent's MTU`,
      );
    }
    checkMtu(mtuBytes, draft.enableIpv6);
    const state: MacvlanState = { parent, mode, mtuBytes, mac: mode === "passthru" ? (link?.mac ?? null) : null };
    return { ...state };
  }

  declareNetwork(network: NetworkRecord): Declaration {
    return macvlanNetwork(network);
  }

  hostInterfaces(): readonly InterfaceConfig[] {
    return [];
  }

  linkOf(network: NetworkRecord): string {
    return macvlanDomain(network);
  }

  createEndpoint(network: NetworkRecord, draft: EndpointDraft, host: DriverHost): { mac: string; driverState: DriverState } {
    const { mode, mac: parentMac } = macvlanState(network);
    if (mode === "passthru" && parentMac !== null) {
      if (draft.takenMacs.size > 0) {
        throw forbidden(`macvlan network ${network.name} is in mode passthru: one sandbox has its parent interface, and it has one`);
      }
      if (draft.mac !== null && draft.mac !== parentMac) {
        throw invalidArgument(`MAC address ${draft.mac} can't be had: in mode passthru the sandbox has the parent's, ${parentMac}`);
      }
      return { mac: parentMac, driverState: {} };
    }
    if (draft.mac !== null) {
      if (draft.hostMacs.has(draft.mac)) {
        throw addressInUse(`MAC address ${draft.mac} is that of an interface of this host, which would get its frames too: choose another`);
      }
      if (draft.takenMacs.has(draft.mac))
        throw addressInUse(`MAC address ${draft.mac} is already used on network ${network.name} or another on its parent: choose another`);
      return { mac: draft.mac, driverState: {} };
    }
    let mac = randomMac(host.randomBytes);
    while (draft.takenMacs.has(mac)) mac = randomMac(host.randomBytes);
    return { mac, driverState: {} };
  }

  join(network: NetworkRecord, endpoint: Pick<EndpointRecord, "ipv4" | "ipv6">): Join {
    const { interfacePrefix } = readMacvlanOptions(network.options);
    return { interfacePrefix, mtuBytes: macvlanState(network).mtuBytes, ...macvlanGateways(network, endpoint) };
  }

  declareEndpoint(network: NetworkRecord, endpoint: EndpointRecord, namespacePath: string): Declaration {
    return macvlanEndpoint(network, endpoint, namespacePath);
  }
}

/** A parent in passthru is one network's; otherwise any number of networks may be on it, on one VLAN or several. */
function refuseShared(parent: Parent, mode: Mode, networks: readonly NetworkRecord[]): void {
  const text = parentText(parent);
  for (const network of networks) {
    if (network.driver !== "macvlan" || network.configOnly) continue;
    const other = macvlanState(network);
    if (other.parent === null || parentText(other.parent) !== text) continue;
    if (mode === "passthru") {
      throw addressInUse(`cannot use mode passthru, macvlan network ${network.name} is already using parent interface ${text}`);
    }
    if (other.mode === "passthru") {
      throw addressInUse(`macvlan network ${network.name} is already using parent interface ${text} in mode passthru`);
    }
  }
}

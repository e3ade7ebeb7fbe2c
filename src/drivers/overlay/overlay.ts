// Networks that span hosts: Ethernet frames in VXLAN (RFC 7348) between VTEPs that the operator names (`weft peer add`).
//
// Hosts must agree on a network's VNI. With no cluster to settle it, the user gives it on each host; a network that is left
// to choose takes the lowest that is free here, which agrees with another host only if the same networks were created there.
// An encrypted one's frames cross the underlay inside ESP only; who has keys is not the driver's business: peers without are
// not among those that it is given. Not here: a gateway (an overlay leads nowhere else: controller/endpoints/egress.ts has the way out).

import type { Declaration } from "../../datapath/declarations.ts";
import { addressInUse, exhausted, invalidArgument, unavailable } from "../../errors.ts";
import { subnetPairs } from "../../ipam/pairs.ts";
import { addressBytes, parseAddress } from "../../net/address.ts";
import { macFromIpv4, randomMac } from "../../net/mac.ts";
import { parseInterfaceAddress } from "../../net/prefix.ts";
import type { InterfaceConfig } from "../../ports/native.ts";
import type { EndpointRecord, NetworkRecord, PeerRecord } from "../../records/records.ts";
import { checkMtu, MTU_KEY } from "../common-options.ts";
import type { Driver, DriverHost, DriverState, EndpointDraft, Join, NetworkDraft, Underlay } from "../driver.ts";
import { readOverlayOptions, VNI_AUTOMATIC_MIN, VNI_KEY, VNI_MAX } from "./options.ts";
import { isEncryptedOverlay, type OverlayState, overlayEndpoint, overlayNetwork, overlayState } from "./wants.ts";

/** Outer IPv4 or IPv6 header, UDP, VXLAN, inner Ethernet header. */
const OVERHEAD_IPV4_BYTES = 20 + 8 + 8 + 14;
const OVERHEAD_IPV6_BYTES = 40 + 8 + 8 + 14;

/**
 * What ESP adds in UDP (RFC 3948, 4303, 4106): UDP, SPI and sequence number, IV; the ICV behind. What is sealed between is a
 * multiple of four bytes and ends with two of ESP's own; it begins with the UDP and VXLAN headers and the inner Ethernet header.
 */
const ESP_IN_UDP_BYTES = 8 + 8 + 8 + 16;
const SEALED_BYTES = 8 + 8 + 14 + 2;

/**
 * The largest inner packet whose datagram the underlay carries whole. A host with addresses of both families counts with the
 * longer header, and one with peers that want ESP without UDP with UDP: a network has one MTU.
 */
export function overlayMtu(underlay: Underlay, encrypted = false): number {
  const ipv6 = underlay.addresses.some((address) => parseAddress(address).family === 6);
  if (encrypted) return ((underlay.mtuBytes - (ipv6 ? 40 : 20) - ESP_IN_UDP_BYTES) & ~3) - SEALED_BYTES;
  return underlay.mtuBytes - (ipv6 ? OVERHEAD_IPV6_BYTES : OVERHEAD_IPV4_BYTES);
}

export class OverlayDriver implements Driver {
  readonly name = "overlay";
  readonly scope = "global";
  readonly stack = "interfaces";
  readonly addressSpace = "global";
  readonly withoutAddresses = true;
  readonly avoidsHostRoutes = false;
  readonly hasPeers = true;
  readonly leadsNowhere = true;

  async createNetwork(draft: NetworkDraft, host: DriverHost): Promise<DriverState> {
    const options = readOverlayOptions(draft.options);
    if (host.underlay.addresses.length === 0) {
      throw unavailable("overlay networks need an address of this host that other hosts reach: start the daemon with --underlay-address");
    }
    if (options.encrypted) requireCipher(draft.name, host);
    const fitting = overlayMtu(host.underlay, options.encrypted);
    const mtuBytes = options.mtuBytes ?? fitting;
    if (mtuBytes > fitting) {
      throw invalidArgument(
        `MTU ${mtuBytes} is too large: the underlay's is ${host.underlay.mtuBytes}, which leaves ${fitting} inside ${options.encrypted ? "VXLAN in ESP" : "VXLAN"}; lower ${MTU_KEY} or raise the MTU of the underlay`,
      );
    }
    checkMtu(mtuBytes, draft.enableIpv6);
    const taken = new Map<number, string>();
    for (const network of host.networks) {
      if (network.driver === this.name) for (const vni of overlayState(network).vnis) taken.set(vni, network.name);
    }
    const count = subnetPairs(draft.ipam).length;
    const vnis = options.vnis.length > 0 ? given(options.vnis, count, taken) : automatic(count, taken);
    const state: OverlayState = { vnis, mtuBytes, ...(options.encrypted ? { encrypted: true } : {}) };
    return { ...state };
  }

  declareNetwork(network: NetworkRecord, peers: readonly PeerRecord[]): Declaration {
    return overlayNetwork(network, peers);
  }

  encrypts(network: NetworkRecord): boolean {
    return isEncryptedOverlay(network);
  }

  /** What must be the same on all hosts: the VNIs, as Docker shows them, and of an encrypted network the MTU. */
  chosenOptions(network: NetworkRecord): Readonly<Record<string, string>> {
    const { vnis, mtuBytes } = overlayState(network);
    return { [VNI_KEY]: vnis.join(","), ...(isEncryptedOverlay(network) && { [MTU_KEY]: String(mtuBytes) }) };
  }

  hostInterfaces(): readonly InterfaceConfig[] {
    return [];
  }

  createEndpoint(network: NetworkRecord, draft: EndpointDraft, host: DriverHost): { mac: string; driverState: DriverState } {
    if (draft.mac !== null) {
      if (draft.takenMacs.has(draft.mac))
        throw addressInUse(`MAC address ${draft.mac} is already used on network ${network.name}: choose another`);
      return { mac: draft.mac, driverState: {} };
    }
    let mac = macOf(draft) ?? randomMac(host.randomBytes);
    while (draft.takenMacs.has(mac)) mac = randomMac(host.randomBytes);
    return { mac, driverState: {} };
  }

  join(network: NetworkRecord): Join {
    const { interfacePrefix } = readOverlayOptions(network.options);
    return { interfacePrefix, mtuBytes: overlayState(network).mtuBytes, gatewayIpv4: null, gatewayIpv6: null };
  }

  declareEndpoint(network: NetworkRecord, endpoint: EndpointRecord, namespacePath: string): Declaration {
    return overlayEndpoint(network, endpoint, namespacePath);
  }
}

function requireCipher(name: string, host: DriverHost): void {
  const { by, reason } = host.cipher();
  if (by !== "none") return;
  throw unavailable(
    `network ${name} can't be encrypted: this host has no cipher that passes its test (${reason}); change datapath.crypto or build again, or leave out --opt encrypted`,
  );
}

/** From the address, so that an address that moves to another host keeps its MAC and nobody's ARP entry goes stale. */
function macOf(draft: EndpointDraft): string | null {
  if (draft.ipv4 !== null) return macFromIpv4(parseInterfaceAddress(draft.ipv4).address);
  if (draft.ipv6 === null) return null;
  const bytes = addressBytes(parseInterfaceAddress(draft.ipv6).address);
  return macFromIpv4({ family: 4, value: bytes.slice(12).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n) });
}

function given(vnis: readonly number[], count: number, taken: ReadonlyMap<number, string>): readonly number[] {
  if (vnis.length !== count) {
    throw invalidArgument(
      `${VNI_KEY} names ${vnis.length} VXLAN network identifiers, but the network has ${count} subnets: give one for each`,
    );
  }
  for (const vni of vnis) {
    const user = taken.get(vni);
    if (user !== undefined)
      throw addressInUse(`VXLAN network identifier ${vni} is already used by network ${user}: choose another in ${VNI_KEY}`);
  }
  return vnis;
}

function automatic(count: number, taken: ReadonlyMap<number, string>): number[] {
  const vnis: number[] = [];
  for (let vni = VNI_AUTOMATIC_MIN; vnis.length < count; vni++) {
    if (vni > VNI_MAX) throw exhausted(`all VXLAN network identifiers from ${VNI_AUTOMATIC_MIN} to ${VNI_MAX} are used: remove networks`);
    if (!taken.has(vni)) vnis.push(vni);
  }
  return vnis;
}

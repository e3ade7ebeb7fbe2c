// `weft trace SANDBOX DST`: which of the sandbox's ports, and which echo request. The destination is an address or a sandbox;
// the network is the one whose subnet has the address, else the one with a default gateway, as the sandbox's own kernel would
// choose. What the kernel would learn by ARP comes from what is known: endpoints, the neighbour table, the MAC that overlays
// make of an IPv4 address (02:42 and its four bytes).
import type { Controller, SandboxView } from "../controller/types.ts";
import type { DatapathService, EchoProbe } from "../datapath/datapath-api.ts";
import { invalidArgument, notFound } from "../errors.ts";
import { type Address, formatAddress, parseAddress, tryParseAddress } from "../net/address.ts";
import { macFromIpv4, parseMac } from "../net/mac.ts";
import { containsAddress, tryParseInterfaceAddress } from "../net/prefix.ts";

type SandboxEndpoint = SandboxView["endpoints"][number];

export interface ProbeRequest {
  readonly sandbox: string;
  readonly destination: string;
  /** Empty: found out. */
  readonly destinationMac: string;
  /** Empty: chosen. */
  readonly network: string;
}

export interface Probe {
  /** The port that the request seems to come from. */
  readonly port: string;
  readonly probe: EchoProbe;
}

const hostOf = (cidr: string): string => cidr.split("/")[0]!;
const isIpv6 = (address: string): boolean => address.includes(":");
const ownAddress = (one: SandboxEndpoint, ipv6: boolean): string | null => (ipv6 ? one.endpoint.ipv6 : one.endpoint.ipv4);

/** `cidr`: an address with its prefix length, "10.0.0.2/24"; null: none. */
function isOnLink(cidr: string | null, address: Address): boolean {
  const own = cidr === null ? null : tryParseInterfaceAddress(cidr);
  return own !== null && containsAddress(own.prefix, address);
}

/** The sandbox whose interfaces `reference` means: itself, or whose stack it shares. */
export function stackOf(controller: Controller, reference: string): SandboxView {
  const view = controller.inspectSandbox(reference);
  const { joinedTo } = view.sandbox;
  if (joinedTo === null) return view;
  return controller.listSandboxes().find(({ sandbox }) => sandbox.id === joinedTo) ?? view;
}

/** The sandbox's endpoints, or the one on `network`. */
function candidates(view: SandboxView, controller: Controller, network: string): readonly SandboxEndpoint[] {
  if (network === "") return view.endpoints;
  const { id, name } = controller.inspectNetwork(network).network;
  const found = view.endpoints.filter((one) => one.network.id === id);
  if (found.length === 0) throw notFound(`sandbox ${view.sandbox.name} is not on network ${name}`);
  return found;
}

/** An address that `destination` means: itself, or that of a sandbox on one of the same networks. */
function resolveAddress(destination: string, from: readonly SandboxEndpoint[], controller: Controller): string {
  const given = tryParseAddress(destination);
  if (given !== null) return formatAddress(given);
  const target = stackOf(controller, destination);
  for (const one of target.endpoints) {
    if (!from.some(({ network }) => network.id === one.network.id)) continue;
    const address = one.endpoint.ipv4 ?? one.endpoint.ipv6;
    if (address !== null) return hostOf(address);
  }
  throw notFound(`sandbox ${target.sandbox.name} is on none of the same networks: give an address instead`);
}

function route(view: SandboxView, from: readonly SandboxEndpoint[], address: string): { one: SandboxEndpoint; nextHop: string } {
  const ipv6 = isIpv6(address);
  const parsed = parseAddress(address);
  const direct = from.find((one) => isOnLink(ownAddress(one, ipv6), parsed));
  if (direct !== undefined) return { one: direct, nextHop: address };
  for (const one of from) {
    const gateway = ipv6 ? one.gatewayIpv6 : one.gatewayIpv4;
    if (gateway !== null && ownAddress(one, ipv6) !== null) return { one, nextHop: hostOf(gateway) };
  }
  throw notFound(`sandbox ${view.sandbox.name} has no route to ${address}: none of its subnets has it and it has no gateway`);
}

async function macOf(address: string, one: SandboxEndpoint, controller: Controller, datapath: DatapathService): Promise<string> {
  const { id, driver, name } = one.network;
  const { endpoints, domains } = controller.inspectNetwork(id);
  const endpoint = endpoints.find((other) =>
    [other.endpoint.ipv4, other.endpoint.ipv6].some((own) => own !== null && hostOf(own) === address),
  );
  if (endpoint?.endpoint.mac != null) return endpoint.endpoint.mac;
  const neighbor = (await datapath.dumpNeighbors()).find((entry) => domains.includes(entry.domain) && entry.address === address);
  if (neighbor !== undefined) return neighbor.mac;
  if (driver === "overlay" && !isIpv6(address)) return macFromIpv4(parseAddress(address));
  throw notFound(`the MAC of ${address} on network ${name} is not known here: give --mac`);
}

export async function planProbe(request: ProbeRequest, controller: Controller, datapath: DatapathService): Promise<Probe> {
  const view = stackOf(controller, request.sandbox);
  const from = candidates(view, controller, request.network).filter(({ endpoint }) => endpoint.interfaceName !== null);
  if (from.length === 0) throw invalidArgument(`sandbox ${view.sandbox.name} is on no network: there is nothing to trace`);
  const destination = resolveAddress(request.destination, from, controller);
  const { one, nextHop } = route(view, from, destination);
  const sourceMac = one.endpoint.mac;
  if (sourceMac === null) throw invalidArgument(`sandbox ${view.sandbox.name} has no interface on network ${one.network.name}`);
  const given = request.destinationMac;
  const destinationMac = given !== "" ? parseMac(given) : await macOf(nextHop, one, controller, datapath);
  return {
    port: one.endpoint.id,
    probe: {
      kind: "echo",
      sourceMac,
      destinationMac,
      source: hostOf(ownAddress(one, isIpv6(destination))!),
      destination,
    },
  };
}

// Ports between the API's messages and the controller's records. Messages may come from any client, so they are held to what
// the text forms of `-p` allow.
import { invalidArgument } from "../errors.ts";
import { parseAddress } from "../net/address.ts";
import {
  type Exposed,
  formatRange,
  hostAddressText,
  PORT_MAX,
  type PortRange,
  type PortSpec,
  parseProtocol,
  rangeSize,
} from "../net/port-spec.ts";
import type { PortSpec__Output } from "./generated/weft/v1/PortSpec.ts";

function range(first: number, last: number, what: string): PortRange {
  if (first < 1 || last < first || last > PORT_MAX) {
    throw invalidArgument(`invalid ${what}: ${first}-${last}: give ports from 1 to ${PORT_MAX}, the lower one first`);
  }
  return { first, last };
}

export function exposedPorts(message: PortSpec__Output): Exposed {
  return { protocol: parseProtocol(message.protocol || "tcp"), ports: range(message.portFirst, message.portLast, "containerPort") };
}

export function portSpec(message: PortSpec__Output): PortSpec {
  const { protocol, ports } = exposedPorts(message);
  const { hostAddress, hostPortFirst, hostPortLast } = message;
  const hostPorts = hostPortFirst === 0 && hostPortLast === 0 ? null : range(hostPortFirst, hostPortLast, "hostPort");
  if (hostPorts !== null && rangeSize(ports) > 1 && rangeSize(ports) !== rangeSize(hostPorts)) {
    const both = `${formatRange(ports)} and ${formatRange(hostPorts)}`;
    throw invalidArgument(`invalid ranges specified for container and host Ports: ${both}: give ranges of the same length`);
  }
  const own = hostAddress === "" ? null : hostAddressText(parseAddress(hostAddress, "host address"), hostAddress);
  return { protocol, hostAddress: own, hostPorts, ports };
}

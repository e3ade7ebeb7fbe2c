// Ports as users write them, in Docker's forms, and as values.
//
//   [ip:|[v6]:][hostPort|hostRange:]port|range[/tcp|udp|sctp]
//
//   80                     port 80 at a free port of the host
//   8080:80                at port 8080 of any address
//   127.0.0.1:8080:80      at port 8080 of one address; 127.0.0.1::80 at a free port of it
//   8000-8010:80           at the first free port of eleven
//   8000-8010:80-90        each at its own
//   [::1]:8080:80          IPv6 addresses in brackets
import { invalidArgument } from "../errors.ts";
import { type Address, addressRange, formatAddress, tryParseAddress, unmapped } from "./address.ts";

export const PROTOCOLS = ["tcp", "udp", "sctp"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface PortSpec {
  readonly protocol: Protocol;
  /** Canonical; null: any address of the host, of both families. */
  readonly hostAddress: string | null;
  /** Null: whichever is free. As many as `ports`, or any number of which one is wanted. */
  readonly hostPorts: PortRange | null;
  readonly ports: PortRange;
}

export interface Exposed {
  readonly protocol: Protocol;
  readonly ports: PortRange;
}

export const PORT_MAX = 65535;
/** As many ports of one -p are also reached by IPv6 where the sandbox has IPv4 only: each is held and relayed by the daemon. */
export const RELAYED_PORTS_MAX = 256;
export const rangeSize = ({ first, last }: PortRange): number => last - first + 1;
export const formatRange = ({ first, last }: PortRange): string => (first === last ? `${first}` : `${first}-${last}`);

/** Of `-p`. Throws INVALID_ARGUMENT in Docker's words. */
export function parsePortSpec(text: string): PortSpec {
  const { rest, protocol } = splitProtocol(text);
  const at = rest.lastIndexOf(":");
  const portText = rest.slice(at + 1);
  const hostText = at < 0 ? "" : rest.slice(0, at);
  if (portText === "") throw invalidArgument(`no port specified: ${text}<empty>: give the sandbox's port behind the last colon`);
  const ports = parseRange(portText, "containerPort", text);
  const split = hostText.lastIndexOf(":");
  // "[::1]:8080", "127.0.0.1:8080", "[::1]:" (any port), "8080"; a bare IPv6 address would be ambiguous.
  const hostPortText = hostText.slice(split + 1);
  const addressText = split < 0 ? "" : hostText.slice(0, split);
  const hostAddress = addressText === "" ? null : parseHostAddress(addressText);
  const hostPorts = hostPortText === "" || hostPortText === "0" ? null : parseRange(hostPortText, "hostPort", text);
  if (hostPorts !== null && rangeSize(ports) > 1 && rangeSize(ports) !== rangeSize(hostPorts)) {
    throw invalidArgument(
      `invalid ranges specified for container and host Ports: ${portText} and ${hostPortText}: give ranges of the same length`,
    );
  }
  return { protocol, hostAddress, hostPorts, ports };
}

/** Of `--expose`: "80", "80-90/udp". */
export function parseExposed(text: string): Exposed {
  const { rest, protocol } = splitProtocol(text);
  if (rest.includes(":")) throw invalidArgument(`invalid port format for --expose: ${text}: a port of the sandbox only, as in 80/tcp`);
  return { protocol, ports: parseRange(rest, "containerPort", text) };
}

export function parseProtocol(text: string): Protocol {
  const protocol = PROTOCOLS.find((one) => one === text.toLowerCase());
  if (protocol === undefined) throw invalidArgument(`invalid proto: ${text}: give tcp, udp or sctp`);
  return protocol;
}

function splitProtocol(text: string): { rest: string; protocol: Protocol } {
  const slash = text.lastIndexOf("/");
  if (slash < 0) return { rest: text, protocol: "tcp" };
  return { rest: text.slice(0, slash), protocol: parseProtocol(text.slice(slash + 1)) };
}

function parseRange(text: string, what: string, whole: string): PortRange {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const range = { first: Number(first), last: Number(last ?? first) };
  if (first === undefined || range.first < 1 || range.last > PORT_MAX || range.last < range.first) {
    throw invalidArgument(`invalid ${what}: ${text} (in ${whole}): give a port from 1 to ${PORT_MAX}, or a range as 8000-8010`);
  }
  return range;
}

function parseHostAddress(text: string): string {
  const [, bracketed] = /^\[(.*)\]$/.exec(text) ?? [];
  const address = tryParseAddress(bracketed ?? text);
  if (address === null || (bracketed === undefined && address.family === 6)) {
    throw invalidArgument(`invalid IP address: ${text}: give an address of this host, an IPv6 one in brackets: [::1]:8080:80`);
  }
  return hostAddressText(address, text);
}

/** Canonical. Throws INVALID_ARGUMENT where nobody could be reached at it; `text`: as the user wrote it. */
export function hostAddressText(address: Address, text: string): string {
  const own = unmapped(address);
  const range = addressRange(own);
  if (range === "multicast" || range === "broadcast") {
    throw invalidArgument(`invalid IP address: ${text}: nobody is reached at a ${range} address: give an address of this host`);
  }
  if (own.family === 6 && range === "linkLocal") {
    throw invalidArgument(
      `invalid IP address: ${text}: a link-local address is another on each interface: publish at [::], or give a wider one`,
    );
  }
  return formatAddress(own);
}

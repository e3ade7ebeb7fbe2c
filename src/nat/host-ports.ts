// Published ports as the host's other programs see them. Whether a port is free is found out by taking it; a single port is
// then held by a socket of the daemon for as long as it is published, so that no program takes it and wonders why it hears
// nothing. A range is not held, at a descriptor a port that would cost more than it is worth: it is looked up in the kernel's
// lists of sockets when it is published, and rules come first afterwards.
// A held socket gets no traffic: rules lead it past, for the loopback addresses too. Only where no rule can (an IPv6 port of a
// sandbox that has IPv4 alone) it is a relay, and then each port of a range has one. The sockets are the addon's
// (native/src/relay), whose thread carries what is relayed.
import { readFileSync } from "node:fs";
import { descriptorLimit } from "../config/descriptors.ts";
import { addressInUse, exhausted, unavailable, WeftError } from "../errors.ts";
import { addressBytes, parseAddress } from "../net/address.ts";
import type { PortRange, Protocol } from "../net/port-spec.ts";
import type { Native } from "../ports/native.ts";
import type { HostPort, Publication, RelayedPorts } from "./types.ts";

export type PortHolder = Pick<Native, "holdPort" | "leadPort" | "releasePort" | "limitRelays">;

interface Held {
  readonly port: HostPort;
  /** What the addon calls it. */
  readonly handle: number;
}

/** A published port that somebody else has, as a rule. */
export interface Lost extends HostPort {
  readonly reason: string;
}

/** IPv4. */
interface Place {
  readonly address: string;
  readonly port: number;
}

/** A port that shall be held. */
interface Wanted {
  readonly port: HostPort;
  readonly place: Place | null;
}

const SCTP_TRACKING = "/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established";
const DEFAULT_EPHEMERAL: PortRange = { first: 32768, last: 60999 };
/** TCP connections and UDP clients that are relayed at the same time, where the daemon's limit of descriptors allows. */
const RELAYED_MAX = 1024;
/** What Docker's proxy waits. */
const UDP_IDLE_MS = 90_000;
const ANYWHERE = ["0.0.0.0", "::"];
const LISTENING = "0A";
const NO_PORT = "0000";

const isIpv6 = (address: string): boolean => address.includes(":");
const keyOf = ({ protocol, hostAddress, hostPort }: HostPort): string => `${protocol} ${hostAddress} ${hostPort}`;
const shown = ({ protocol, hostAddress, hostPort }: HostPort): string =>
  `${isIpv6(hostAddress) ? `[${hostAddress}]` : hostAddress}:${hostPort}/${protocol}`;

export class HostPorts {
  readonly #native: PortHolder;
  readonly #held = new Map<string, Held>();
  /** Keys of what is held, by port. */
  readonly #byNumber = new Map<number, Set<string>>();
  readonly #mostHeld: number;

  /** `files`: that the daemon may have open. Half of them may be held ports, a quarter what is relayed. */
  constructor(native: PortHolder, files = descriptorLimit()) {
    this.#native = native;
    this.#mostHeld = Math.floor(files / 2);
    native.limitRelays(Math.min(RELAYED_MAX, Math.floor(files / 8)), UDP_IDLE_MS);
  }

  /** Throws ADDRESS_IN_USE if a program of the host has one of the ports. A single port is held from here on. */
  reserve(wish: HostPort): void {
    if (wish.protocol === "sctp") requireSctp();
    else this.#take(wish);
  }

  #take(wish: HostPort): void {
    this.#giveUp(wish);
    if (wish.count > 1) refuseUsed(wish, (hostPort) => this.#held.has(keyOf({ ...wish, hostAddress: "::", hostPort })));
    if (wish.count > 1 || this.#held.has(keyOf(wish))) return;
    try {
      this.#hold(wish);
    } catch (error) {
      if (error instanceof WeftError) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      // A host without IPv6 has no such port that anybody could take.
      if (wish.hostAddress === "::" && code === "EAFNOSUPPORT") return;
      const what = `failed to bind host port ${shown(wish)}`;
      if (code === "EADDRINUSE") throw addressInUse(`${what}: address already in use`);
      if (code === "EADDRNOTAVAIL") throw addressInUse(`${what}: cannot assign requested address: give an address of this host`);
      throw unavailable(`${what}: ${message}`);
    }
  }

  /** Holds the ports of these and no others, and leads relays where they shall; answers those that can't be, and why. */
  follow(publications: readonly Publication[], relays: readonly RelayedPorts[]): Lost[] {
    const wanted = new Map<string, Wanted>();
    for (const port of publications) {
      if (port.count === 1 && port.protocol !== "sctp") wanted.set(keyOf(port), { port, place: null });
    }
    for (const one of relays.flatMap(singly)) wanted.set(keyOf(one.port), one);
    for (const [key, held] of this.#held) {
      if (!wanted.has(key)) this.#release(key, held);
    }
    const lost: Lost[] = [];
    for (const [key, { port, place }] of wanted) {
      try {
        if (!this.#held.has(key)) this.#hold(port);
        this.#native.leadPort(this.#held.get(key)!.handle, place?.address ?? null, place?.port ?? 0);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (port.hostAddress !== "::" || code !== "EAFNOSUPPORT") lost.push({ ...port, reason: message });
      }
    }
    return lost;
  }

  close(): void {
    for (const [key, held] of this.#held) this.#release(key, held);
  }

  /** What is held for ports that nobody publishes as they were: who asks for them has looked. */
  #giveUp(wish: HostPort): void {
    const held =
      wish.count > 1 ? [...this.#held] : [...(this.#byNumber.get(wish.hostPort) ?? [])].map((key) => [key, this.#held.get(key)!] as const);
    for (const [key, one] of held) {
      const { protocol, hostAddress, hostPort } = one.port;
      const overlaps = [hostAddress, wish.hostAddress].some((address) => ANYWHERE.includes(address)) || hostAddress === wish.hostAddress;
      const inRange = wish.hostPort <= hostPort && hostPort < wish.hostPort + wish.count;
      if (key === keyOf(wish) && wish.count === 1) continue;
      if (protocol !== wish.protocol || !inRange || !overlaps || isIpv6(hostAddress) !== isIpv6(wish.hostAddress)) continue;
      this.#release(key, one);
    }
  }

  #hold(wish: HostPort): void {
    const { protocol, hostAddress, hostPort } = wish;
    if (protocol === "sctp") return;
    if (this.#held.size >= this.#mostHeld) {
      throw exhausted(
        `failed to bind host port ${shown(wish)}: the daemon holds ${this.#held.size} ports, half of the files that it may open: ` +
          "publish a range at a range of the host (10000-19999:10000-19999), of which none is held, or raise its limit (LimitNOFILE)",
      );
    }
    const handle = this.#native.holdPort(protocol, hostAddress, hostPort);
    const key = keyOf(wish);
    this.#held.set(key, { port: wish, handle });
    const others = this.#byNumber.get(hostPort);
    if (others === undefined) this.#byNumber.set(hostPort, new Set([key]));
    else others.add(key);
  }

  #release(key: string, { handle, port: { hostPort } }: Held): void {
    this.#native.releasePort(handle);
    this.#held.delete(key);
    const others = this.#byNumber.get(hostPort);
    others?.delete(key);
    if (others?.size === 0) this.#byNumber.delete(hostPort);
  }
}

const singly = ({ protocol, hostAddress, hostPort, count, target, targetPort }: RelayedPorts): Wanted[] =>
  Array.from({ length: count }, (_, n) => ({
    port: { protocol, hostAddress, hostPort: hostPort + n, count: 1 },
    place: { address: target, port: targetPort + n },
  }));

function requireSctp(): void {
  try {
    readFileSync(SCTP_TRACKING);
  } catch {
    throw unavailable("SCTP ports can't be published: this kernel does not track SCTP connections (CONFIG_NF_CT_PROTO_SCTP)");
  }
}

/** By the lists of /proc/net, which cost one reading however long the range. `ours`: whether a port of [::] is held by us. */
function refuseUsed(wish: HostPort, ours: (hostPort: number) => boolean): void {
  const { protocol, hostAddress, hostPort, count } = wish;
  const wantsIpv6 = isIpv6(hostAddress);
  const any = (hex: string): boolean => /^0+$/.test(hex);
  const mine = hexOf(hostAddress);
  for (const file of wantsIpv6 ? [`${protocol}6`] : [protocol, `${protocol}6`]) {
    for (const { address, port } of sockets(file, protocol)) {
      if (port < hostPort || port >= hostPort + count) continue;
      // A socket at [::] commonly takes IPv4 too; the lists don't say whether this one does. Ours don't.
      if (!wantsIpv6 && address.length > mine.length && ours(port)) continue;
      const overlaps = any(address) || (address.length === mine.length && (any(mine) || address === mine));
      if (overlaps) throw addressInUse(`failed to bind host port ${shown({ ...wish, hostPort: port })}: address already in use`);
    }
  }
}

function sockets(file: string, protocol: Protocol): { address: string; port: number }[] {
  let text: string;
  try {
    text = readFileSync(`/proc/self/net/${file}`, "utf8");
  } catch {
    return []; // a kernel without IPv6
  }
  return text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local, remote, state] = line.trim().split(/\s+/);
      const waits = protocol === "tcp" ? state === LISTENING : remote?.endsWith(`:${NO_PORT}`);
      const [address, port] = local?.split(":") ?? [];
      return waits && address !== undefined && port !== undefined ? [{ address: reversed(address), port: Number.parseInt(port, 16) }] : [];
    });
}

/** The lists print addresses as little-endian words of four bytes. */
const reversed = (hex: string): string => hex.replace(/(..)(..)(..)(..)/g, "$4$3$2$1").toLowerCase();
const hexOf = (address: string): string => Buffer.from(addressBytes(parseAddress(address))).toString("hex");

/** The ports that the kernel gives to programs that ask for any: net.ipv4.ip_local_port_range. */
export function ephemeralPorts(): PortRange {
  const [first, last] = readText("/proc/sys/net/ipv4/ip_local_port_range").split(/\s+/).map(Number);
  return first && last && first <= last ? { first, last } : DEFAULT_EPHEMERAL;
}

/** net.ipv4.ip_local_reserved_ports: "8080,9000-9100". */
export function reservedPorts(): PortRange[] {
  return readText("/proc/sys/net/ipv4/ip_local_reserved_ports")
    .split(",")
    .filter((part) => part !== "")
    .map((part) => part.split("-").map(Number))
    .map(([first = 0, last = first]) => ({ first, last }));
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

// Parents of macvlan networks: which frames their packet sockets let in follows from what is declared, the MACs of the stations
// in the domains that their uplinks are in. (They are interfaces of somebody else, who may delete them and make them again at
// any time: repair.ts looks after that.)
//
//   ports that stand + sockets that are open ─> what each socket lets in now, and what it shall
import { DEAF, hasInterface, type Listening, listenPacketPort } from "../ports/packet.ts";
import type { DatapathLog } from "./datapath-api.ts";
import type { OpenPortDeclaration, PortDeclaration } from "./declarations.ts";
import { LOST, type OpenTap } from "./taps.ts";

/** "eth0" of a TAP or parent, "eth0.100" of an uplink. */
export function interfaceOf(port: PortDeclaration | undefined): string {
  if (port === undefined) return "";
  return port.kind === "uplink" ? port.id.slice(port.id.indexOf("/") + 1) : port.interfaceName;
}

/** The interface of a port without one, for people. */
export function missingText(port: OpenPortDeclaration): string {
  if (port.kind === "packet") return `parent interface ${port.interfaceName}`;
  return `interface ${port.interfaceName} in ${port.namespacePath ?? "the host's namespace"}`;
}

/** Whether it is a packet socket without an interface. */
export const isAbandoned = ({ port, fd }: OpenTap): boolean => port.kind === "packet" && (fd === LOST || !hasInterface(fd));

/** What the sockets of these ports shall let in, by the packet port's id. */
function listeningOf(ports: Iterable<PortDeclaration>): Map<string, Listening> {
  const all = [...ports];
  const parentOf = new Map<string, string>();
  const wanted = new Map<string, { macs: Set<string>; promiscuous: boolean }>();
  for (const port of all) if (port.kind === "packet") wanted.set(port.id, { macs: new Set(), promiscuous: false });
  for (const port of all) {
    if (port.kind !== "uplink") continue;
    parentOf.set(port.domain, port.parent);
    const listening = wanted.get(port.parent);
    if (listening !== undefined && port.passthru) listening.promiscuous = true;
  }
  for (const port of all) if (port.kind === "tap") wanted.get(parentOf.get(port.domain) ?? "")?.macs.add(port.mac);
  return wanted;
}

export class Parents {
  /** What each socket lets in, by the number of its opening. */
  readonly #now = new Map<number, Listening>();

  /** Makes all open sockets let in what they shall. A socket whose interface is gone is left to repair.ts. */
  agree(ports: Iterable<PortDeclaration>, open: readonly OpenTap[], log: DatapathLog): void {
    const sockets = open.filter(({ port, fd }) => port.kind === "packet" && fd !== LOST);
    if (sockets.length === 0 && this.#now.size === 0) return;
    const openings = new Set(sockets.map(({ opening }) => opening));
    for (const opening of this.#now.keys()) if (!openings.has(opening)) this.#now.delete(opening);
    const wanted = listeningOf(ports);
    for (const { port, fd, opening } of sockets) {
      const now = this.#now.get(opening) ?? DEAF;
      const shall = wanted.get(port.id) ?? DEAF;
      if (isSame(now, shall)) continue;
      try {
        listenPacketPort(fd, now, shall);
        this.#now.set(opening, shall);
      } catch (error) {
        if (hasInterface(fd)) log("error", `cannot set what ${port.interfaceName} listens to: ${(error as Error).message}`);
      }
    }
  }
}

function isSame(a: Listening, b: Listening): boolean {
  return a.promiscuous === b.promiscuous && a.macs.size === b.macs.size && [...a.macs].every((mac) => b.macs.has(mac));
}

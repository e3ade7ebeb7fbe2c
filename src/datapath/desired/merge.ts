// From what each owner declared to what shall be true on the host: one set of domains, ports, entries, neighbours and VTEPs.
//
// Pure, and of the whole each time: the result depends on the declarations alone, not on the order in which they came to be,
// so that a restart computes the same tables. An owner whose declaration can't stand beside the others' is left out with the
// reason; the others stand. Who came first (the map's order) keeps what two of them want.
//
// Two owners may declare the same thing in the same words (two endpoints, one domain): it is there once.
//
// This is the law, and what start-up uses. A daemon that has hundreds of owners doesn't look at all of them for a change of
// one: standing.ts computes what such a change means, and is tested against this file.
import { addressInUse, invalidArgument, notFound, WeftError } from "../../errors.ts";
import {
  type AssociationDeclaration,
  type Declaration,
  type DomainDeclaration,
  domainOf,
  type FdbDeclaration,
  type NeighborDeclaration,
  type PermitDeclaration,
  type PortDeclaration,
  type UplinkPortDeclaration,
  type VtepDeclaration,
} from "../declarations.ts";
import type { Desired, Host } from "./desired.ts";
import { currentPeer, fdbKey, inboundSpi, interfaceKey, neighborKey, permitKey, same, vtepKey } from "./identity.ts";
import { checkAssociation, checkDomain, checkPort, checkVtep } from "./rules.ts";

export interface Merged {
  readonly desired: Desired;
  /** Why an owner is left out. */
  readonly failures: ReadonlyMap<string, WeftError>;
}

type Owners = ReadonlyMap<string, Declaration>;

/** Merges the declarations of all owners that can stand together. */
export function merge(owners: Owners): Merged {
  const failures = new Map<string, WeftError>();
  for (;;) {
    const round = new Round(failures);
    const standing = [...owners].filter(([owner]) => !failures.has(owner));
    for (const [owner, declaration] of standing) round.attempt(owner, () => round.addDomains(declaration));
    for (const [owner, declaration] of standing) round.attempt(owner, () => round.addPorts(declaration));
    for (const [owner, declaration] of standing) round.attempt(owner, () => round.addVteps(declaration));
    for (const [owner, declaration] of standing) round.attempt(owner, () => round.addAssociations(declaration));
    for (const [owner, declaration] of standing) round.attempt(owner, () => round.addEntries(declaration));
    // An owner that falls takes along what others may stand on: look again without it.
    if (!round.failed) return { desired: round, failures };
  }
}

class Round implements Desired {
  readonly domains = new Map<string, DomainDeclaration>();
  readonly ports = new Map<string, PortDeclaration>();
  readonly fdb = new Map<string, FdbDeclaration>();
  readonly neighbors = new Map<string, NeighborDeclaration>();
  readonly permits = new Map<string, PermitDeclaration>();
  readonly vteps = new Map<string, VtepDeclaration>();
  readonly hosts = new Map<string, Host>();
  readonly associations = new Map<string, AssociationDeclaration>();
  failed = false;
  readonly #failures: Map<string, WeftError>;
  readonly #domainOfVni = new Map<number, string>();
  readonly #portOfInterface = new Map<string, string>();
  readonly #firstVtepOfHost = new Map<string, VtepDeclaration>();
  readonly #associationOfSpi = new Map<number, string>();
  readonly #currentOfPeer = new Map<string, string>();

  constructor(failures: Map<string, WeftError>) {
    this.#failures = failures;
  }

  attempt(owner: string, add: () => void): void {
    if (this.#failures.has(owner)) return;
    try {
      add();
    } catch (error) {
      if (!(error instanceof WeftError)) throw error;
      this.#failures.set(owner, error);
      this.failed = true;
    }
  }

  addDomains(declaration: Declaration): void {
    for (const domain of declaration.domains ?? []) {
      checkDomain(domain);
      if (!isNew(this.domains, domain.id, domain, "bridge domain")) continue;
      if (domain.vni !== null) {
        const other = this.#domainOfVni.get(domain.vni);
        if (other !== undefined) {
          throw addressInUse(`VNI ${domain.vni} is taken by bridge domain ${other}; choose another for ${domain.id}`);
        }
        this.#domainOfVni.set(domain.vni, domain.id);
      }
      this.domains.set(domain.id, domain);
    }
  }

  addPorts(declaration: Declaration): void {
    for (const port of declaration.ports ?? []) {
      checkPort(port);
      const domain = domainOf(port);
      if (domain !== null) this.#domain(domain, `port ${port.id}`);
      if (!isNew(this.ports, port.id, port, "port")) continue;
      if (port.kind === "uplink") this.#checkUplink(port);
      const place = interfaceKey(port);
      const other = this.#portOfInterface.get(place);
      if (other !== undefined) throw addressInUse(`${placeText(port)} is port ${other}'s; give ${port.id} another`);
      this.#portOfInterface.set(place, port.id);
      this.ports.set(port.id, port);
    }
  }

  #checkUplink({ id, domain, parent }: UplinkPortDeclaration): void {
    if (this.ports.get(parent)?.kind !== "packet") throw notFound(`uplink ${id} is of packet port ${parent}, which nobody has declared`);
    for (const other of this.ports.values()) {
      if (other.kind === "uplink" && other.domain === domain) {
        throw addressInUse(`bridge domain ${domain} has uplink ${other.id}; it can't have ${id} as well`);
      }
    }
  }

  addVteps(declaration: Declaration): void {
    for (const vtep of declaration.vteps ?? []) {
      checkVtep(vtep);
      const domain = this.#domain(vtep.domain, `VTEP ${vtep.address}`);
      if (domain.vni === null) throw invalidArgument(`bridge domain ${domain.id} has no VNI, so it can't have VTEP ${vtep.address}`);
      const other = this.#firstVtepOfHost.get(vtep.address);
      if (other !== undefined && other.port !== vtep.port) {
        throw invalidArgument(
          `VTEP ${vtep.address} has UDP port ${other.port} in bridge domain ${other.domain}, it can't have ${vtep.port} in ${vtep.domain}: a host has one`,
        );
      }
      if (other === undefined) this.#firstVtepOfHost.set(vtep.address, vtep);
      this.hosts.set(vtep.address, { address: vtep.address, port: vtep.port });
      this.vteps.set(vtepKey(vtep.domain, vtep.address), vtep);
    }
  }

  addAssociations(declaration: Declaration): void {
    for (const association of declaration.associations ?? []) {
      checkAssociation(association);
      const { id, peer, vxlanPort } = association;
      if (!isNew(this.associations, id, association, "security association")) continue;
      const host = this.hosts.get(peer);
      if (host !== undefined && host.port !== vxlanPort) {
        throw invalidArgument(`security association ${id} says that VTEP ${peer} has UDP port ${vxlanPort}, but it is ${host.port}`);
      }
      takeOnce(this.#associationOfSpi, inboundSpi(association), id, "SPI");
      takeOnce(this.#currentOfPeer, currentPeer(association), id, "the place of the current security association of");
      this.hosts.set(peer, { address: peer, port: vxlanPort });
      this.associations.set(id, association);
    }
  }

  addEntries(declaration: Declaration): void {
    for (const entry of declaration.fdb ?? []) {
      const key = fdbKey(entry);
      this.#domain(entry.domain, entry.mac);
      if ("port" in entry.to) {
        const port = this.ports.get(entry.to.port);
        if (port === undefined) throw notFound(`FDB entry ${entry.mac} points to port ${entry.to.port}, which nobody has declared`);
        const domain = domainOf(port);
        if (domain !== entry.domain) {
          throw invalidArgument(`FDB entry ${entry.mac} of bridge domain ${entry.domain} points to port ${port.id} of ${domain}`);
        }
      } else if (!this.vteps.has(vtepKey(entry.domain, entry.to.vtep))) {
        throw notFound(
          `FDB entry ${entry.mac} points to VTEP ${entry.to.vtep}, which nobody has declared for bridge domain ${entry.domain}`,
        );
      }
      if (isNew(this.fdb, key, entry, "MAC")) this.fdb.set(key, entry);
    }
    for (const neighbor of declaration.neighbors ?? []) {
      const key = neighborKey(neighbor);
      this.#domain(neighbor.domain, neighbor.address);
      if (isNew(this.neighbors, key, neighbor, "address")) this.neighbors.set(key, neighbor);
    }
    for (const permit of declaration.permits ?? []) {
      const key = permitKey(permit);
      const [client, server] = [permit.client, permit.server].map((id) => {
        const port = this.ports.get(id);
        if (port === undefined) throw notFound(`the permit ${key} is for port ${id}, which nobody has declared`);
        return port;
      });
      if (domainOf(client!) === null || domainOf(client!) !== domainOf(server!)) {
        throw invalidArgument(`the permit ${key} is for ports of two bridge domains: give it ports of one`);
      }
      this.permits.set(key, permit);
    }
  }

  #domain(id: string, who: string): DomainDeclaration {
    const domain = this.domains.get(id);
    if (domain === undefined) throw notFound(`${who} is in bridge domain ${id}, which nobody has declared`);
    return domain;
  }
}

/** False if it is there in the same words; throws if it is there in others. */
function isNew<T extends object>(map: ReadonlyMap<string, T>, key: string, value: T, what: string): boolean {
  const known = map.get(key);
  if (known === undefined) return true;
  if (same(known, value)) return false;
  throw addressInUse(`${what} ${key} is declared already, and differently: ${JSON.stringify(known)}`);
}

/** Gives `value` to one association, or throws: null takes nothing. */
function takeOnce<V>(taken: Map<V, string>, value: V | null, id: string, what: string): void {
  if (value === null) return;
  const other = taken.get(value);
  if (other !== undefined) throw addressInUse(`${what} ${value} is taken by security association ${other}; ${id} needs another`);
  taken.set(value, id);
}

function placeText(port: PortDeclaration): string {
  switch (port.kind) {
    case "tap":
      return `interface ${port.interfaceName} in ${port.namespacePath ?? "the host's namespace"}`;
    case "packet":
      return `the packet socket on ${port.interfaceName}`;
    case "uplink":
      return `VLAN ${port.vid} of ${port.parent}`;
  }
}

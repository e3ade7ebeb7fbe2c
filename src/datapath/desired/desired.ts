// What shall be true on the host, whoever declared it: one set of domains, ports, entries, neighbours and VTEPs, by key
// (identity.ts). merge.ts computes it from all declarations, standing.ts keeps it from change to change.
import type {
  AssociationDeclaration,
  DomainDeclaration,
  FdbDeclaration,
  NeighborDeclaration,
  PermitDeclaration,
  PortDeclaration,
  VtepDeclaration,
} from "../declarations.ts";

export interface Desired {
  readonly domains: ReadonlyMap<string, DomainDeclaration>;
  readonly ports: ReadonlyMap<string, PortDeclaration>;
  /** By MAC and domain. */
  readonly fdb: ReadonlyMap<string, FdbDeclaration>;
  /** By address and domain. */
  readonly neighbors: ReadonlyMap<string, NeighborDeclaration>;
  /** By all that they say. */
  readonly permits: ReadonlyMap<string, PermitDeclaration>;
  /** By domain and address. */
  readonly vteps: ReadonlyMap<string, VtepDeclaration>;
  /** The hosts that those are, and the peers of associations, by address. */
  readonly hosts: ReadonlyMap<string, Host>;
  /** Security associations, by id. */
  readonly associations: ReadonlyMap<string, AssociationDeclaration>;
}

/** A VTEP whatever the domain: one address has one UDP port. */
export interface Host {
  readonly address: string;
  readonly port: number;
}

// What makes two entries the same one, and what no two can share. An entry's key says which it is: two owners that declare the
// same key mean one entry, and must say the same of it. Beside it, some have what the host or the wire has only once: an
// interface, an SPI, a peer's current association.

import { invalidArgument } from "../../errors.ts";
import type { AssociationDeclaration, FdbDeclaration, NeighborDeclaration, PermitDeclaration, PortDeclaration } from "../declarations.ts";
import { addressBytes } from "../words.ts";
import { checkRange, checkUnicast } from "./rules.ts";

export const vtepKey = (domain: string, address: string): string => `${domain} ${address}`;

/** Keys of entries that have been checked: there can be tens of thousands of them, and each is looked at several times. */
const checkedKeys = new WeakMap<object, string>();

export function fdbKey(entry: FdbDeclaration): string {
  let key = checkedKeys.get(entry);
  if (key === undefined) {
    checkUnicast(entry.mac);
    key = `${entry.mac} of bridge domain ${entry.domain}`;
    checkedKeys.set(entry, key);
  }
  return key;
}

export function neighborKey(neighbor: NeighborDeclaration): string {
  let key = checkedKeys.get(neighbor);
  if (key === undefined) {
    checkUnicast(neighbor.mac);
    addressBytes(neighbor.address);
    key = `${neighbor.address} of bridge domain ${neighbor.domain}`;
    checkedKeys.set(neighbor, key);
  }
  return key;
}

export function permitKey(permit: PermitDeclaration): string {
  const { client, server, protocol, first, last } = permit;
  checkRange(first, 1, 65535, "port");
  checkRange(last, first, 65535, "last port");
  if (client === server) throw invalidArgument(`a permit from port ${client} to itself: give it two`);
  return `${client} ${server} ${protocol} ${first}-${last}`;
}

/** Whether two declarations say the same; they are plain data, one level deep but for `to`. */
export function same(a: object, b: object): boolean {
  if (a === b) return true;
  const keys = Object.keys(a) as (keyof typeof a)[];
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => {
    const x: unknown = a[key];
    const y: unknown = b[key];
    if (typeof x === "object" && x !== null && typeof y === "object" && y !== null) return same(x, y);
    return x === y;
  });
}

/** What two associations that come in can't have in common. */
export const inboundSpi = ({ direction, spi }: AssociationDeclaration): number | null => (direction === "in" ? spi : null);

/** What two associations that go out can't both be. */
export const currentPeer = ({ direction, current, peer }: AssociationDeclaration): string | null =>
  direction === "out" && current ? peer : null;

/** What two ports can't have in common: an interface is one TAP, a parent one socket, a VLAN of it one uplink. */
export function interfaceKey(port: PortDeclaration): string {
  switch (port.kind) {
    case "tap":
      return `${port.interfaceName} ${port.namespacePath ?? ""}`;
    case "packet":
      return `packet ${port.interfaceName}`;
    case "uplink":
      return `vlan ${port.vid} ${port.parent}`;
  }
}

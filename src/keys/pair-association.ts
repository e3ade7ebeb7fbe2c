// A slot of a pair (direction, epoch, index) as the association that the datapath is asked for. What comes in has no limits of its
// own: the sender counts.
import type { AssociationDeclaration } from "../datapath/declarations.ts";
import { KeyMaterial } from "../datapath/key-material.ts";
import { keyOf, type PairIdentity, type Slot } from "./pair.ts";

/** What the association is to be, beside its keys. */
export interface Terms {
  readonly peer: string;
  readonly vxlanPort: number;
  /** Null: by IP protocol 50. */
  readonly udpPort: number | null;
  readonly packetLimit: number;
  readonly byteLimit: number;
}

export const idOf = (peer: string, { direction, epoch, index, tag }: Slot): string => `${peer}/${direction}/${epoch}.${tag}/${index}`;

export function associationOf(identity: PairIdentity, slot: Slot, terms: Terms): AssociationDeclaration {
  const { peer, vxlanPort, udpPort, packetLimit, byteLimit } = terms;
  const isIn = slot.direction === "in";
  return {
    id: idOf(peer, slot),
    direction: slot.direction,
    peer,
    vxlanPort,
    spi: slot.spi,
    algorithm: identity.algorithm,
    icvBytes: 16,
    esn: true,
    udpPort,
    innerChecksum: false,
    packetLimit: isIn ? Number.MAX_SAFE_INTEGER : packetLimit,
    byteLimit: isIn ? Number.MAX_SAFE_INTEGER : byteLimit,
    firstSequence: 0,
    notify: isIn,
    current: !isIn,
    key: new KeyMaterial(keyOf(identity, slot)),
  };
}

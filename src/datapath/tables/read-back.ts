// The engine's tables as it has them, read back from its memory into an image that can be compared with what should be. What
// the path writes by itself (learned entries, counts, counters) is left out.
import {
  DOMAIN_FDB_AGE_S,
  DOMAIN_FDB_LIMIT,
  DOMAIN_FLAGS,
  DOMAIN_LENGTH,
  DOMAIN_MTU,
  DOMAIN_USED,
  DOMAIN_VNI,
  FDB_AGE_S,
  FDB_ENTRY_LENGTH,
  FDB_FLAG_STATIC,
  FDB_FLAGS,
  FDB_KEY,
  FDB_PORT,
  FDB_VTEP,
  MEMBER_DOMAIN,
  MEMBER_ENTRY_LENGTH,
  MEMBER_VTEP,
  NEIGHBOR_ADDRESS,
  NEIGHBOR_ENTRY_LENGTH,
  NEIGHBOR_KEY,
  PERMIT_CLIENT,
  PERMIT_ENTRY_LENGTH,
  PERMIT_FIRST,
  PERMIT_LAST,
  PERMIT_PROTOCOL,
  PERMIT_SERVER,
  PORT_DOMAIN,
  PORT_ESP,
  PORT_FLAGS,
  PORT_KIND,
  PORT_LENGTH,
  PORT_MTU,
  PORT_NONE,
  PORT_PARENT,
  PORT_SOCKETS,
  PORT_UDP_PORT,
  PORT_UNDERLAY,
  PORT_UPLINK,
  PORT_VID,
  SA_BYTE_LIMIT,
  SA_BYTES,
  SA_FIRST,
  SA_FLAG_OUTBOUND,
  SA_FLAGS,
  SA_FORGED,
  SA_ICV_BYTES,
  SA_LATE,
  SA_LENGTH,
  SA_MALFORMED,
  SA_PACKET_LIMIT,
  SA_PACKETS,
  SA_PSEUDO,
  SA_REMOTE,
  SA_REPLAYED,
  SA_SEQUENCE,
  SA_SPI,
  SA_UDP_PORT,
  SA_USED,
  SA_VTEP,
  SPD_ENTRY_LENGTH,
  SPD_SA,
  VTEP_ADDRESS,
  VTEP_LENGTH,
  VTEP_PATH_MTU,
  VTEP_PORT,
  VTEP_UDP_PORT,
  VTEP_USED,
} from "../../../wasm/shared/abi.ts";
import type { AssociationFigures } from "../datapath-api.ts";
import type { EntriesReply } from "../messages.ts";
import type { AddressWords } from "../words.ts";
import { type Image, put } from "./diff.ts";
import {
  addressRow,
  DOMAIN_SET,
  FDB_SET,
  MEMBER_SET,
  NEIGHBOR_SET,
  PERMIT_SET,
  PORT_SET,
  SA_SET,
  SPD_SET,
  UNDERLAY_SET,
  UPLINK_SET,
  VTEP_SET,
} from "./ops.ts";

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** 16 bytes in network order. */
export function readAddress(view: DataView, at: number): AddressWords {
  return [view.getUint32(at), view.getUint32(at + 4), view.getUint32(at + 8), view.getUint32(at + 12)];
}

/** domain << 48 | MAC. */
function readKey(view: DataView, at: number): { domain: number; high: number; low: number } {
  return { low: view.getUint32(at, true), high: view.getUint16(at + 4, true), domain: view.getUint16(at + 6, true) };
}

/** Domains, ports, VTEPs, security associations and policies. */
export function readEntries(image: Image, entries: EntriesReply): void {
  const domains = viewOf(entries.domains);
  for (let at = 0, domain = 0; at < domains.byteLength; at += DOMAIN_LENGTH, domain++) {
    if (domains.getUint32(at + DOMAIN_USED, true) === 0) continue;
    const word = (field: number): number => domains.getUint32(at + field, true);
    put(image, [
      DOMAIN_SET,
      domain,
      word(DOMAIN_VNI),
      word(DOMAIN_FLAGS),
      word(DOMAIN_MTU),
      word(DOMAIN_FDB_LIMIT),
      word(DOMAIN_FDB_AGE_S),
    ]);
  }
  const ports = viewOf(entries.ports);
  for (let at = 0, port = 0; at < ports.byteLength; at += PORT_LENGTH, port++) {
    const kind = ports.getUint8(at + PORT_KIND);
    if (kind === PORT_NONE) continue;
    const domain = ports.getUint16(at + PORT_DOMAIN, true);
    put(image, [PORT_SET, port, kind, domain, ports.getUint8(at + PORT_FLAGS), ports.getUint32(at + PORT_MTU, true)]);
    if (kind === PORT_UNDERLAY || kind === PORT_ESP) {
      put(image, [UNDERLAY_SET, port, ports.getUint16(at + PORT_UDP_PORT, true), ports.getUint16(at + PORT_SOCKETS, true)]);
    }
  }
  for (let at = 0, port = 0; at < ports.byteLength; at += PORT_LENGTH, port++) {
    if (ports.getUint8(at + PORT_KIND) !== PORT_UPLINK) continue;
    put(image, [UPLINK_SET, port, ports.getUint16(at + PORT_PARENT, true), ports.getUint16(at + PORT_VID, true)]);
  }
  const vteps = viewOf(entries.vteps);
  for (let at = 0, vtep = 0; at < vteps.byteLength; at += VTEP_LENGTH, vtep++) {
    if (vteps.getUint32(at + VTEP_USED, true) === 0) continue;
    const scalars = [vtep, vteps.getUint16(at + VTEP_UDP_PORT, true), vteps.getUint16(at + VTEP_PORT, true)];
    put(image, addressRow(VTEP_SET, scalars, readAddress(vteps, at + VTEP_ADDRESS)));
  }
  const associations = viewOf(entries.associations);
  readAssociations(image, associations);
  const policies = viewOf(entries.policies);
  for (let at = 0, vtep = 0; at < policies.byteLength; at += SPD_ENTRY_LENGTH, vtep++) {
    const association = policies.getUint16(at + SPD_SA, true);
    if (association === 0) continue;
    put(image, addressRow(SPD_SET, [vtep, association], readAddress(associations, association * SA_LENGTH + SA_REMOTE)));
  }
}

/** What was declared of them; how far they are used is read by `associationRecords`. */
function readAssociations(image: Image, view: DataView): void {
  for (let at = 0, index = 0; at < view.byteLength; at += SA_LENGTH, index++) {
    if (view.getUint32(at + SA_USED, true) === 0) continue;
    const numbers = [
      index,
      view.getUint32(at + SA_SPI, true),
      view.getUint32(at + SA_FLAGS, true) | (view.getUint8(at + SA_ICV_BYTES) << 16),
      view.getUint32(at + SA_VTEP, true), // SA_PORT is its upper half
      (view.getUint16(at + SA_UDP_PORT, true) | (view.getUint32(at + SA_PSEUDO, true) << 16)) >>> 0,
      view.getUint32(at + SA_FIRST, true),
    ];
    const limit = (field: number): number[] => [view.getUint32(at + field + 4, true), view.getUint32(at + field, true)];
    const seventh = view.getUint32(at + SA_FIRST + 4, true);
    put(image, addressRow(SA_SET, numbers, [...limit(SA_PACKET_LIMIT), ...limit(SA_BYTE_LIMIT), seventh]));
  }
}

export interface AssociationRecord extends AssociationFigures {
  readonly index: number;
}

export function* associationRecords(entries: Pick<EntriesReply, "associations" | "vteps">): Generator<AssociationRecord> {
  const view = viewOf(entries.associations);
  const vteps = viewOf(entries.vteps);
  for (let at = 0, index = 0; at < view.byteLength; at += SA_LENGTH, index++) {
    if (view.getUint32(at + SA_USED, true) === 0) continue;
    const word = (field: number): bigint => view.getBigUint64(at + field, true);
    const isOutbound = (view.getUint32(at + SA_FLAGS, true) & SA_FLAG_OUTBOUND) !== 0;
    const path = isOutbound ? vteps.getUint32(view.getUint16(at + SA_VTEP, true) * VTEP_LENGTH + VTEP_PATH_MTU, true) : 0;
    yield {
      index,
      pathMtuBytes: path === 0 ? null : path,
      sequence: word(SA_SEQUENCE),
      packets: word(SA_PACKETS),
      bytes: word(SA_BYTES),
      replayed: word(SA_REPLAYED),
      late: word(SA_LATE),
      forged: word(SA_FORGED),
      malformed: word(SA_MALFORMED),
    };
  }
}

export interface FdbRecord {
  readonly domain: number;
  readonly high: number;
  readonly low: number;
  readonly port: number;
  readonly vtep: number;
  readonly static: boolean;
  readonly ageS: number;
}

export function* fdbRecords(entries: Uint8Array): Generator<FdbRecord> {
  const view = viewOf(entries);
  for (let at = 0; at < view.byteLength; at += FDB_ENTRY_LENGTH) {
    const isStatic = (view.getUint16(at + FDB_FLAGS, true) & FDB_FLAG_STATIC) !== 0;
    yield {
      ...readKey(view, at + FDB_KEY),
      port: view.getUint16(at + FDB_PORT, true),
      vtep: view.getUint16(at + FDB_VTEP, true),
      static: isStatic,
      ageS: isStatic ? 0 : view.getUint16(at + FDB_AGE_S, true),
    };
  }
}

export interface NeighborRecord {
  readonly domain: number;
  readonly high: number;
  readonly low: number;
  readonly address: AddressWords;
}

export function* neighborRecords(entries: Uint8Array): Generator<NeighborRecord> {
  const view = viewOf(entries);
  for (let at = 0; at < view.byteLength; at += NEIGHBOR_ENTRY_LENGTH) {
    yield { ...readKey(view, at + NEIGHBOR_KEY), address: readAddress(view, at + NEIGHBOR_ADDRESS) };
  }
}

function* memberRecords(entries: Uint8Array): Generator<{ domain: number; vtep: number }> {
  const view = viewOf(entries);
  for (let at = 0; at < view.byteLength; at += MEMBER_ENTRY_LENGTH) {
    yield { vtep: view.getUint16(at + MEMBER_VTEP, true), domain: view.getUint16(at + MEMBER_DOMAIN, true) };
  }
}

/** Static FDB entries only: what was learned is nobody's declaration. */
export function readFdb(image: Image, entries: Uint8Array): void {
  for (const entry of fdbRecords(entries)) {
    if (entry.static) put(image, [FDB_SET, entry.domain, entry.high, entry.low, entry.vtep === 0 ? entry.port : 0, entry.vtep]);
  }
}

export function readNeighbors(image: Image, entries: Uint8Array): void {
  for (const { domain, high, low, address } of neighborRecords(entries)) {
    put(image, addressRow(NEIGHBOR_SET, [domain, high, low], address));
  }
}

export function readMembers(image: Image, entries: Uint8Array): void {
  for (const { domain, vtep } of memberRecords(entries)) put(image, [MEMBER_SET, domain, vtep]);
}

export function readPermits(image: Image, entries: Uint8Array): void {
  const view = viewOf(entries);
  for (let at = 0; at < view.byteLength; at += PERMIT_ENTRY_LENGTH) {
    const fields = [PERMIT_CLIENT, PERMIT_SERVER, PERMIT_PROTOCOL, PERMIT_FIRST, PERMIT_LAST];
    put(image, [PERMIT_SET, ...fields.map((field) => view.getUint16(at + field, true))]);
  }
}

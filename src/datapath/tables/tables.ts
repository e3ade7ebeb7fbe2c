// The only writer of engine tables. It turns what shall be true, or what of it changes, into rows by giving every name an
// index, and keeps the image of what the engine has, so that the difference of the two is what the worker is sent.
//
// Not here: sending (sync.ts), merging owners (desired/), TAPs (taps.ts).
import { release } from "node:os";
import {
  DOMAIN_FLAG_CAPTURE,
  DOMAIN_FLAG_CLAMP_MSS,
  DOMAIN_FLAG_ENCRYPTED,
  DOMAIN_FLAG_HAS_VNI,
  DOMAIN_FLAG_LEARNING,
  DOMAIN_FLAG_PROXY_NEIGHBORS,
  PORT_ESP,
  PORT_FLAG_CAPTURE,
  PORT_FLAG_IPV4_HEADER,
  PORT_FLAG_ISOLATED,
  PORT_FLAG_NO_FLOOD,
  PORT_FLAG_NO_UDP_GSO,
  PORT_FLAG_PASSTHRU,
  PORT_FLAG_PRIVATE,
  PORT_FLAG_VEPA,
  PORT_PACKET,
  PORT_PATH_MTU,
  PORT_TAP,
  PORT_UNDERLAY,
  PORT_UPLINK,
  SA_FLAG_CHECKSUM,
  SA_FLAG_ESN,
  SA_FLAG_NOTIFY,
  SA_FLAG_OUTBOUND,
  VNI_NONE,
} from "../../../wasm/shared/abi.ts";
import { DOMAIN_MAX, MTU_MAX, PORT_MAX, SA_MAX, VTEP_MAX } from "../../../wasm/shared/limits.ts";
import { IP_PROTOCOL_SCTP, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../../../wasm/shared/protocol.ts";
import type {
  AssociationDeclaration,
  DomainDeclaration,
  FdbDeclaration,
  MacvlanMode,
  NeighborDeclaration,
  PermitDeclaration,
  PortDeclaration,
  VtepDeclaration,
} from "../declarations.ts";
import type { Change, Delta } from "../desired/delta.ts";
import type { Desired, Host } from "../desired/desired.ts";
import { addressBytes, addressWords, isIpv6, macWords } from "../words.ts";
import { emptyImage, emptyPatch, type Image, type KeyedRow, keyed, type Patch, put, putKeyed } from "./diff.ts";
import { Indexes } from "./indexes.ts";
import {
  addressRow,
  DOMAIN_SET,
  FDB_SET,
  MEMBER_SET,
  NEIGHBOR_SET,
  PERMIT_SET,
  PORT_SET,
  type Row,
  SA_SET,
  SPD_SET,
  UNDERLAY_SET,
  UPLINK_SET,
  VTEP_SET,
} from "./ops.ts";

/** Before Linux 6.2 a TAP refuses UDP super-frames (EINVAL), so the engine must not make any. */
export function takesUdpGso(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part, 10));
  return major > 6 || (major === 6 && minor >= 2);
}

const TAPS_TAKE_UDP_GSO = takesUdpGso(release());

/** All MACs of a macvlan's stations are pinned, but in passthru, whose one station has all that nobody else has. */
const MACVLAN_FLAGS: Readonly<Record<MacvlanMode, number>> = {
  bridge: PORT_FLAG_NO_FLOOD,
  vepa: PORT_FLAG_NO_FLOOD | PORT_FLAG_VEPA,
  private: PORT_FLAG_NO_FLOOD | PORT_FLAG_PRIVATE,
  passthru: 0,
};

const PROTOCOLS = { tcp: IP_PROTOCOL_TCP, udp: IP_PROTOCOL_UDP, sctp: IP_PROTOCOL_SCTP } as const;

/** The engine gives VTEP 0 the meaning "none"; the same is done for domains and ports, so that a zeroed field names nobody. */
const FIRST_INDEX = 1;

/** A port of the host's own, not declared by anybody. */
export interface UnderlayPort {
  /** "underlay/10.9.0.1" */
  readonly name: string;
  readonly address: string;
  readonly udpPort: number;
  readonly socketCount: number;
}

/** A port of the host's own for ESP: `kind` is how it crosses the underlay, "icmp" where errors about it arrive. */
export interface EspPort {
  /** "esp/10.9.0.1", "esp-raw/10.9.0.1", "esp-errors/10.9.0.1" */
  readonly name: string;
  readonly kind: "udp" | "raw" | "icmp";
  readonly address: string;
  /** Where the tunnel inside listens. */
  readonly vxlanPort: number;
}

/** Whose frames are captured. */
export interface CaptureMarks {
  readonly ports: ReadonlySet<string>;
  readonly domains: ReadonlySet<string>;
  readonly underlay: boolean;
}

export const NO_MARKS: CaptureMarks = { ports: new Set(), domains: new Set(), underlay: false };

export class Tables {
  readonly domains = new Indexes("bridge domains", FIRST_INDEX, DOMAIN_MAX);
  readonly ports = new Indexes("ports", FIRST_INDEX, PORT_MAX);
  readonly vteps = new Indexes("VTEPs", FIRST_INDEX, VTEP_MAX);
  readonly associations = new Indexes("security associations", FIRST_INDEX, SA_MAX);
  /** What the engine has, as far as we know. */
  image: Image = emptyImage();
  /** Rows of entries that were asked for before: most of an image is as it was. */
  readonly #rows = new WeakMap<object, KeyedRow>();
  #underlays: readonly UnderlayPort[] = [];
  #espPorts: readonly EspPort[] = [];

  /** The host's own ports; before anything is declared. */
  setUnderlays(underlays: readonly UnderlayPort[]): void {
    this.#underlays = underlays;
    for (const { name } of underlays) this.ports.ensure(name);
  }

  /** The ESP ports that are open; before an association is declared that needs one. */
  setEspPorts(ports: readonly EspPort[]): void {
    this.#espPorts = ports;
    for (const { name } of ports) this.ports.ensure(name);
  }

  /** As new: the engine is gone. */
  clear(): void {
    this.#underlays = [];
    this.#espPorts = [];
    this.image = emptyImage();
    for (const indexes of [this.domains, this.ports, this.vteps, this.associations]) indexes.clear();
  }

  get espPorts(): readonly EspPort[] {
    return this.#espPorts;
  }

  get underlays(): readonly UnderlayPort[] {
    return this.#underlays;
  }

  /** The engine's tables when `desired` is true. Names that are new get indexes; throws RESOURCE_EXHAUSTED if there are none left. */
  imageOf(desired: Desired, marks: CaptureMarks): Image {
    const image = emptyImage();
    for (const row of this.#markedRows(desired, marks)) put(image, row);
    for (const host of desired.hosts.values()) put(image, this.#hostRow(host));
    for (const association of desired.associations.values()) {
      put(image, this.#associationRow(association));
      if (association.current) put(image, this.#policyRow(association));
    }
    for (const vtep of desired.vteps.values()) put(image, this.#memberRow(vtep));
    for (const entry of desired.fdb.values()) putKeyed(image, this.#fdbRow(entry));
    for (const neighbor of desired.neighbors.values()) putKeyed(image, this.#neighborRow(neighbor));
    for (const permit of desired.permits.values()) put(image, this.#permitRow(permit));
    return image;
  }

  /** What of the image becomes another by a change, of a state whose names have their indexes. New ones get theirs. */
  patchOf(delta: Delta, marks: CaptureMarks): Patch {
    const patch = emptyPatch();
    const add = <T>(changes: ReadonlyMap<string, Change<T>>, rowOf: (entry: T) => KeyedRow): void => {
      for (const { before, after } of changes.values()) {
        const { table, key, row } = rowOf((after ?? before)!);
        patch[table].set(key, after === undefined ? null : row);
      }
    };
    add(delta.domains, (domain) => keyed(this.#domainRow(domain, marks)));
    add(delta.ports, (port) => keyed(this.#portRow(port, marks)));
    for (const { before, after } of delta.ports.values()) {
      const bound = [after, before].find((port) => port?.kind === "uplink");
      if (bound === undefined) continue;
      const row = this.#uplinkRow(bound);
      if (row !== null) patch.uplinks.set(row[1]!, bound === after ? row : null);
    }
    add(delta.hosts, (host) => keyed(this.#hostRow(host)));
    add(delta.associations, (association) => keyed(this.#associationRow(association)));
    this.#addPolicies(patch, delta);
    add(delta.vteps, (vtep) => keyed(this.#memberRow(vtep)));
    add(delta.fdb, (entry) => this.#fdbRow(entry));
    add(delta.neighbors, (neighbor) => this.#neighborRow(neighbor));
    add(delta.permits, (permit) => keyed(this.#permitRow(permit)));
    return patch;
  }

  /** What becomes another when the marks of captures do. */
  markPatch(desired: Desired, marks: CaptureMarks): Patch {
    const patch = emptyPatch();
    for (const made of this.#markedRows(desired, marks)) {
      const { table, key, row } = keyed(made);
      patch[table].set(key, row);
    }
    return patch;
  }

  /** Rows of what bears a capture's marks: domains and ports, the underlay's included. */
  *#markedRows(desired: Desired, marks: CaptureMarks): Generator<Row> {
    for (const domain of desired.domains.values()) yield this.#domainRow(domain, marks);
    for (const underlay of this.#underlays) {
      const port = this.ports.ensure(underlay.name);
      const captured = marks.underlay || marks.ports.has(underlay.name);
      yield [PORT_SET, port, PORT_UNDERLAY, 0, captured ? PORT_FLAG_CAPTURE : 0, MTU_MAX];
      yield [UNDERLAY_SET, port, underlay.udpPort, underlay.socketCount];
    }
    for (const esp of this.#espPorts) yield* this.#espRows(esp, marks);
    for (const port of desired.ports.values()) {
      yield this.#portRow(port, marks);
      const uplink = this.#uplinkRow(port);
      if (uplink !== null) yield uplink;
    }
  }

  *#espRows({ name, kind, address, vxlanPort }: EspPort, marks: CaptureMarks): Generator<Row> {
    const port = this.ports.ensure(name);
    const captured = marks.underlay || marks.ports.has(name) ? PORT_FLAG_CAPTURE : 0;
    const header = kind !== "udp" && !isIpv6(address) ? PORT_FLAG_IPV4_HEADER : 0;
    if (kind === "icmp") {
      yield [PORT_SET, port, PORT_PATH_MTU, 0, header, MTU_MAX];
      return;
    }
    yield [PORT_SET, port, PORT_ESP, 0, captured | header, MTU_MAX];
    yield [UNDERLAY_SET, port, vxlanPort, 1];
  }

  #hostRow({ address, port }: Host): Row {
    return addressRow(VTEP_SET, [this.vteps.ensure(address), port, this.#underlayFor(address)], addressWords(address));
  }

  #memberRow({ domain, address }: VtepDeclaration): Row {
    return [MEMBER_SET, this.domains.ensure(domain), this.vteps.ensure(address)];
  }

  #associationRow(association: AssociationDeclaration): Row {
    const { id, direction, peer, spi, esn, icvBytes, udpPort, innerChecksum, notify, packetLimit, byteLimit } = association;
    const flags =
      (direction === "out" ? SA_FLAG_OUTBOUND : 0) |
      (esn ? SA_FLAG_ESN : 0) |
      (innerChecksum ? SA_FLAG_CHECKSUM : 0) |
      (notify ? SA_FLAG_NOTIFY : 0);
    const port = this.#espPortFor(peer, udpPort === null ? "raw" : "udp");
    const pseudo = innerChecksum && port !== undefined ? addressSum(port.address, peer) : 0;
    const portIndex = port === undefined ? 0 : this.ports.ensure(port.name);
    const [firstHigh, firstLow] = words64(association.firstSequence);
    const numbers = [
      this.associations.ensure(id),
      spi,
      flags | (icvBytes << 16),
      (this.vteps.ensure(peer) | (portIndex << 16)) >>> 0,
      ((udpPort ?? 0) | (pseudo << 16)) >>> 0,
      firstLow,
    ];
    return addressRow(SA_SET, numbers, [...words64(packetLimit), ...words64(byteLimit), firstHigh]);
  }

  #policyRow({ id, peer, remote = peer }: AssociationDeclaration): Row {
    return addressRow(SPD_SET, [this.vteps.ensure(peer), this.associations.ensure(id)], addressWords(remote));
  }

  /** Peers that get another association, and those that are left with none. */
  #addPolicies(patch: Patch, delta: Delta): void {
    for (const { before } of delta.associations.values()) {
      if (before?.current) patch.policies.set(this.vteps.ensure(before.peer), null);
    }
    for (const { after } of delta.associations.values()) {
      if (after?.current) patch.policies.set(this.vteps.ensure(after.peer), this.#policyRow(after));
    }
  }

  /** The open ESP port of the peer's address family. */
  #espPortFor(address: string, kind: "udp" | "raw"): EspPort | undefined {
    return this.#espPorts.find((one) => one.kind === kind && isIpv6(one.address) === isIpv6(address));
  }

  #fdbRow(entry: FdbDeclaration): KeyedRow {
    const { mac, to } = entry;
    const domain = this.domains.ensure(entry.domain);
    const port = "port" in to ? this.ports.ensure(to.port) : 0;
    const vtep = "vtep" in to ? this.vteps.ensure(to.vtep) : 0;
    let made = this.#rows.get(entry);
    if (made === undefined || made.row[1] !== domain || made.row[4] !== port || made.row[5] !== vtep) {
      made = keyed([FDB_SET, domain, ...macWords(mac), port, vtep]);
      this.#rows.set(entry, made);
    }
    return made;
  }

  #neighborRow(neighbor: NeighborDeclaration): KeyedRow {
    const domain = this.domains.ensure(neighbor.domain);
    let made = this.#rows.get(neighbor);
    if (made === undefined || made.row[1] !== domain) {
      made = keyed(addressRow(NEIGHBOR_SET, [domain, ...macWords(neighbor.mac)], addressWords(neighbor.address)));
      this.#rows.set(neighbor, made);
    }
    return made;
  }

  #permitRow({ client, server, protocol, first, last }: PermitDeclaration): Row {
    return [PERMIT_SET, this.ports.ensure(client), this.ports.ensure(server), PROTOCOLS[protocol], first, last];
  }

  #domainRow(domain: DomainDeclaration, marks: CaptureMarks): Row {
    const flags =
      (domain.learning ? DOMAIN_FLAG_LEARNING : 0) |
      (domain.proxyNeighbors ? DOMAIN_FLAG_PROXY_NEIGHBORS : 0) |
      (domain.vni === null ? 0 : DOMAIN_FLAG_HAS_VNI) |
      (domain.clampMss ? DOMAIN_FLAG_CLAMP_MSS : 0) |
      (domain.encrypted === true ? DOMAIN_FLAG_ENCRYPTED : 0) |
      (marks.domains.has(domain.id) ? DOMAIN_FLAG_CAPTURE : 0);
    return [DOMAIN_SET, this.domains.ensure(domain.id), domain.vni ?? VNI_NONE, flags, domain.mtuBytes, domain.fdbLimit, domain.fdbAgeS];
  }

  #portRow(port: PortDeclaration, marks: CaptureMarks): Row {
    const index = this.ports.ensure(port.id);
    const captured = marks.ports.has(port.id) ? PORT_FLAG_CAPTURE : 0;
    if (port.kind === "packet") return [PORT_SET, index, PORT_PACKET, 0, captured, MTU_MAX];
    const domain = this.domains.ensure(port.domain);
    if (port.kind === "uplink") {
      return [PORT_SET, index, PORT_UPLINK, domain, captured | (port.passthru ? PORT_FLAG_PASSTHRU : 0), MTU_MAX];
    }
    const flags =
      (port.isolated ? PORT_FLAG_ISOLATED : 0) |
      captured |
      (port.macvlan === undefined ? 0 : MACVLAN_FLAGS[port.macvlan]) |
      (TAPS_TAKE_UDP_GSO ? 0 : PORT_FLAG_NO_UDP_GSO);
    return [PORT_SET, index, PORT_TAP, domain, flags, port.mtuBytes];
  }

  #uplinkRow(port: PortDeclaration): Row | null {
    if (port.kind !== "uplink") return null;
    return [UPLINK_SET, this.ports.ensure(port.id), this.ports.ensure(port.parent), port.vid];
  }

  /** The underlay port of the VTEP's address family; what has none was left out (reachable.ts). */
  #underlayFor(address: string): number {
    const underlay = this.#underlays.find((one) => isIpv6(one.address) === isIpv6(address));
    return underlay === undefined ? 0 : this.ports.ensure(underlay.name);
  }

  /** Gives back the indexes of all that a change has done away with, once the engine has forgotten them ... */
  release(delta: Delta): void {
    forget(this.domains, delta.domains, "after");
    forget(this.ports, delta.ports, "after");
    forget(this.vteps, delta.hosts, "after");
    forget(this.associations, delta.associations, "after");
  }

  /** ... or those of all that it would have brought, when it did not come true. */
  revoke(delta: Delta): void {
    forget(this.domains, delta.domains, "before");
    forget(this.ports, delta.ports, "before");
    forget(this.vteps, delta.hosts, "before");
    forget(this.associations, delta.associations, "before");
  }
}

/** Forgets the names of entries that are not there on one side of the change. */
function forget(indexes: Indexes, changes: ReadonlyMap<string, Change<unknown>>, side: "before" | "after"): void {
  for (const [name, change] of changes) if (change[side] === undefined) indexes.release(name);
}

/** A number below 2^53 as two words, the upper one first. */
function words64(value: number): [number, number] {
  return [Math.floor(value / 2 ** 32), value >>> 0];
}

/** The sum of both addresses as a checksum's pseudo-header has it: folded, in memory order. */
function addressSum(a: string, b: string): number {
  let sum = 0;
  for (const address of [a, b]) {
    const bytes = addressBytes(address);
    // An IPv4 address stands as ::ffff:a.b.c.d; its own four bytes are what is summed.
    const from = isIpv6(address) ? 0 : 12;
    for (let i = from; i < 16; i += 2) sum += bytes[i]! | (bytes[i + 1]! << 8);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

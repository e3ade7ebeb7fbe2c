// One entry as rows of the engine's tables: names become indexes, addresses words, choices flags. A name that is new gets its
// index here, and an index is all that the engine ever knows of a name.
import {
  PORT_ESP,
  PORT_FLAG_IPV4_HEADER,
  PORT_PACKET,
  PORT_PATH_MTU,
  PORT_TAP,
  PORT_UNDERLAY,
  PORT_UPLINK,
  VNI_NONE,
} from "../../../wasm/shared/abi.ts";
import { MTU_MAX } from "../../../wasm/shared/limits.ts";
import { IP_PROTOCOL_SCTP, IP_PROTOCOL_TCP, IP_PROTOCOL_UDP } from "../../../wasm/shared/protocol.ts";
import type {
  AssociationDeclaration,
  DomainDeclaration,
  FdbDeclaration,
  NeighborDeclaration,
  PermitDeclaration,
  PortDeclaration,
  VtepDeclaration,
} from "../declarations.ts";
import type { Host } from "../desired/desired.ts";
import { addressBytes, addressWords, isIpv6, macWords } from "../words.ts";
import { type KeyedRow, keyed } from "./diff.ts";
import { associationFlags, domainFlags, hostPortFlags, portFlags } from "./flags.ts";
import type { EspPort, HostPorts, UnderlayPort } from "./host-ports.ts";
import type { CaptureMarks } from "./marks.ts";
import type { Names } from "./names.ts";
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

const PROTOCOLS = { tcp: IP_PROTOCOL_TCP, udp: IP_PROTOCOL_UDP, sctp: IP_PROTOCOL_SCTP } as const;

export class Rows {
  readonly #names: Names;
  readonly #hostPorts: HostPorts;
  /** Rows of entries that were asked for before: most of an image is as it was. */
  readonly #made = new WeakMap<object, KeyedRow>();

  constructor(names: Names, hostPorts: HostPorts) {
    this.#names = names;
    this.#hostPorts = hostPorts;
  }

  *underlay({ name, address, udpPort, socketCount, errors }: UnderlayPort, marks: CaptureMarks): Generator<Row> {
    const port = this.#names.ports.ensure(name);
    yield [PORT_SET, port, PORT_UNDERLAY, 0, hostPortFlags(name, marks), MTU_MAX];
    yield [UNDERLAY_SET, port, udpPort, socketCount];
    if (errors === null) return;
    const header = isIpv6(address) ? 0 : PORT_FLAG_IPV4_HEADER;
    yield [PORT_SET, this.#names.ports.ensure(errors), PORT_PATH_MTU, 0, header, MTU_MAX];
  }

  *esp({ name, kind, address, vxlanPort }: EspPort, marks: CaptureMarks): Generator<Row> {
    const port = this.#names.ports.ensure(name);
    const header = kind === "raw" && !isIpv6(address) ? PORT_FLAG_IPV4_HEADER : 0;
    yield [PORT_SET, port, PORT_ESP, 0, hostPortFlags(name, marks) | header, MTU_MAX];
    yield [UNDERLAY_SET, port, vxlanPort, 1];
  }

  host({ address, port }: Host): Row {
    return addressRow(VTEP_SET, [this.#names.vteps.ensure(address), port, this.#underlayFor(address)], addressWords(address));
  }

  member({ domain, address }: VtepDeclaration): Row {
    return [MEMBER_SET, this.#names.domains.ensure(domain), this.#names.vteps.ensure(address)];
  }

  association(association: AssociationDeclaration): Row {
    const { id, peer, spi, icvBytes, udpPort, innerChecksum, packetLimit, byteLimit } = association;
    const port = this.#hostPorts.espPortFor(peer, udpPort === null ? "raw" : "udp");
    const pseudo = innerChecksum && port !== undefined ? addressSum(port.address, peer) : 0;
    const portIndex = port === undefined ? 0 : this.#names.ports.ensure(port.name);
    const [firstHigh, firstLow] = words64(association.firstSequence);
    const numbers = [
      this.#names.associations.ensure(id),
      spi,
      associationFlags(association) | (icvBytes << 16),
      (this.#names.vteps.ensure(peer) | (portIndex << 16)) >>> 0,
      ((udpPort ?? 0) | (pseudo << 16)) >>> 0,
      firstLow,
    ];
    return addressRow(SA_SET, numbers, [...words64(packetLimit), ...words64(byteLimit), firstHigh]);
  }

  policy({ id, peer, remote = peer }: AssociationDeclaration): Row {
    return addressRow(SPD_SET, [this.#names.vteps.ensure(peer), this.#names.associations.ensure(id)], addressWords(remote));
  }

  fdb(entry: FdbDeclaration): KeyedRow {
    const { mac, to } = entry;
    const domain = this.#names.domains.ensure(entry.domain);
    const port = "port" in to ? this.#names.ports.ensure(to.port) : 0;
    const vtep = "vtep" in to ? this.#names.vteps.ensure(to.vtep) : 0;
    let made = this.#made.get(entry);
    if (made === undefined || made.row[1] !== domain || made.row[4] !== port || made.row[5] !== vtep) {
      made = keyed([FDB_SET, domain, ...macWords(mac), port, vtep]);
      this.#made.set(entry, made);
    }
    return made;
  }

  neighbor(neighbor: NeighborDeclaration): KeyedRow {
    const domain = this.#names.domains.ensure(neighbor.domain);
    let made = this.#made.get(neighbor);
    if (made === undefined || made.row[1] !== domain) {
      made = keyed(addressRow(NEIGHBOR_SET, [domain, ...macWords(neighbor.mac)], addressWords(neighbor.address)));
      this.#made.set(neighbor, made);
    }
    return made;
  }

  permit({ client, server, protocol, first, last }: PermitDeclaration): Row {
    return [PERMIT_SET, this.#names.ports.ensure(client), this.#names.ports.ensure(server), PROTOCOLS[protocol], first, last];
  }

  domain(domain: DomainDeclaration, marks: CaptureMarks): Row {
    const { id, vni, mtuBytes, fdbLimit, fdbAgeS } = domain;
    return [DOMAIN_SET, this.#names.domains.ensure(id), vni ?? VNI_NONE, domainFlags(domain, marks), mtuBytes, fdbLimit, fdbAgeS];
  }

  port(port: PortDeclaration, marks: CaptureMarks): Row {
    const index = this.#names.ports.ensure(port.id);
    const flags = portFlags(port, marks);
    if (port.kind === "packet") return [PORT_SET, index, PORT_PACKET, 0, flags, MTU_MAX];
    const domain = this.#names.domains.ensure(port.domain);
    return port.kind === "uplink"
      ? [PORT_SET, index, PORT_UPLINK, domain, flags, MTU_MAX]
      : [PORT_SET, index, PORT_TAP, domain, flags, port.mtuBytes];
  }

  uplink(port: PortDeclaration): Row | null {
    if (port.kind !== "uplink") return null;
    return [UPLINK_SET, this.#names.ports.ensure(port.id), this.#names.ports.ensure(port.parent), port.vid];
  }

  /** 0 if there is none: what has none was left out (reachable.ts). */
  #underlayFor(address: string): number {
    const underlay = this.#hostPorts.underlayFor(address);
    return underlay === undefined ? 0 : this.#names.ports.ensure(underlay.name);
  }
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

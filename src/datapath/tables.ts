// The only writer of engine tables. It turns what shall be true into rows by giving every name an index, and keeps the image
// of what the engine has, so that the difference of the two is what the worker is sent.
//
// Not here: sending (datapath.ts), merging owners (desired.ts), TAPs.
import { release } from "node:os";
import {
  DOMAIN_FLAG_CAPTURE,
  DOMAIN_FLAG_CLAMP_MSS,
  DOMAIN_FLAG_HAS_VNI,
  DOMAIN_FLAG_LEARNING,
  DOMAIN_FLAG_PROXY_NEIGHBORS,
  PORT_FLAG_CAPTURE,
  PORT_FLAG_ISOLATED,
  PORT_FLAG_NO_UDP_GSO,
  PORT_TAP,
  PORT_UNDERLAY,
  VNI_NONE,
} from "../../wasm/shared/abi.ts";
import { DOMAIN_MAX, MTU_MAX, PORT_MAX, VTEP_MAX } from "../../wasm/shared/limits.ts";
import type { DomainDeclaration, FdbDeclaration, NeighborDeclaration, PortDeclaration } from "./declarations.ts";
import type { Desired } from "./desired.ts";
import { emptyImage, type Image, type KeyedRow, keyed, put } from "./diff.ts";
import { Indexes } from "./indexes.ts";
import { addressRow, DOMAIN_SET, FDB_SET, MEMBER_SET, NEIGHBOR_SET, PORT_SET, type Row, UNDERLAY_SET, VTEP_SET } from "./ops.ts";
import { addressWords, isIpv6, macWords } from "./words.ts";

/** Before Linux 6.2 a TAP refuses UDP super-frames (EINVAL), so the engine must not make any. */
export function takesUdpGso(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part, 10));
  return major > 6 || (major === 6 && minor >= 2);
}

const TAPS_TAKE_UDP_GSO = takesUdpGso(release());

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
  /** What the engine has, as far as we know. */
  image: Image = emptyImage();
  /** Rows of entries that were asked for before: most of an image is as it was. */
  readonly #rows = new WeakMap<object, KeyedRow>();
  #underlays: readonly UnderlayPort[] = [];

  /** The host's own ports; before anything is declared. */
  setUnderlays(underlays: readonly UnderlayPort[]): void {
    this.#underlays = underlays;
    for (const { name } of underlays) this.ports.ensure(name);
  }

  /** As new: the engine is gone. */
  clear(): void {
    this.#underlays = [];
    this.image = emptyImage();
    this.domains.retain(() => false);
    this.ports.retain(() => false);
    this.vteps.retain(() => false);
  }

  get underlays(): readonly UnderlayPort[] {
    return this.#underlays;
  }

  /** The engine's tables when `desired` is true. Names that are new get indexes; throws RESOURCE_EXHAUSTED if there are none left. */
  imageOf(desired: Desired, marks: CaptureMarks): Image {
    const image = emptyImage();
    for (const domain of desired.domains.values()) put(image, this.#domainRow(domain, marks));
    for (const underlay of this.#underlays) {
      const port = this.ports.ensure(underlay.name);
      const captured = marks.underlay || marks.ports.has(underlay.name);
      put(image, [PORT_SET, port, PORT_UNDERLAY, 0, captured ? PORT_FLAG_CAPTURE : 0, MTU_MAX]);
      put(image, [UNDERLAY_SET, port, underlay.udpPort, underlay.socketCount]);
    }
    for (const port of desired.ports.values()) put(image, this.#portRow(port, marks));
    for (const { domain, address, port } of desired.vteps.values()) {
      const vtep = this.vteps.ensure(address);
      put(image, addressRow(VTEP_SET, [vtep, port, this.#underlayFor(address)], addressWords(address)));
      put(image, [MEMBER_SET, this.#known(this.domains, domain), vtep]);
    }
    for (const entry of desired.fdb.values()) this.#putFdb(image, entry);
    for (const neighbor of desired.neighbors.values()) this.#putNeighbor(image, neighbor);
    return image;
  }

  #putFdb(image: Image, entry: FdbDeclaration): void {
    const { mac, to } = entry;
    const domain = this.#known(this.domains, entry.domain);
    const port = "port" in to ? this.#known(this.ports, to.port) : 0;
    const vtep = "vtep" in to ? this.#known(this.vteps, to.vtep) : 0;
    let made = this.#rows.get(entry);
    if (made === undefined || made.row[1] !== domain || made.row[4] !== port || made.row[5] !== vtep) {
      made = keyed([FDB_SET, domain, ...macWords(mac), port, vtep]);
      this.#rows.set(entry, made);
    }
    image.fdb.set(made.key, made.row);
  }

  #putNeighbor(image: Image, neighbor: NeighborDeclaration): void {
    const domain = this.#known(this.domains, neighbor.domain);
    let made = this.#rows.get(neighbor);
    if (made === undefined || made.row[1] !== domain) {
      made = keyed(addressRow(NEIGHBOR_SET, [domain, ...macWords(neighbor.mac)], addressWords(neighbor.address)));
      this.#rows.set(neighbor, made);
    }
    image.neighbors.set(made.key, made.row);
  }

  #domainRow(domain: DomainDeclaration, marks: CaptureMarks): Row {
    const flags =
      (domain.learning ? DOMAIN_FLAG_LEARNING : 0) |
      (domain.proxyNeighbors ? DOMAIN_FLAG_PROXY_NEIGHBORS : 0) |
      (domain.vni === null ? 0 : DOMAIN_FLAG_HAS_VNI) |
      (domain.clampMss ? DOMAIN_FLAG_CLAMP_MSS : 0) |
      (marks.domains.has(domain.id) ? DOMAIN_FLAG_CAPTURE : 0);
    return [DOMAIN_SET, this.domains.ensure(domain.id), domain.vni ?? VNI_NONE, flags, domain.mtuBytes, domain.fdbLimit, domain.fdbAgeS];
  }

  #portRow(port: PortDeclaration, marks: CaptureMarks): Row {
    const flags =
      (port.isolated ? PORT_FLAG_ISOLATED : 0) |
      (marks.ports.has(port.id) ? PORT_FLAG_CAPTURE : 0) |
      (TAPS_TAKE_UDP_GSO ? 0 : PORT_FLAG_NO_UDP_GSO);
    return [PORT_SET, this.ports.ensure(port.id), PORT_TAP, this.#known(this.domains, port.domain), flags, port.mtuBytes];
  }

  /** The underlay port of the VTEP's address family; merging has seen to it that there is one. */
  #underlayFor(address: string): number {
    const underlay = this.#underlays.find((one) => isIpv6(one.address) === isIpv6(address));
    return underlay === undefined ? 0 : this.#known(this.ports, underlay.name);
  }

  #known(indexes: Indexes, name: string): number {
    return indexes.indexOf(name) ?? indexes.ensure(name);
  }

  /** Gives back the indexes of all that `desired` doesn't have; after the engine has forgotten them. */
  retain(desired: Desired): void {
    const addresses = new Set<string>();
    for (const { address } of desired.vteps.values()) addresses.add(address);
    const underlays = new Set(this.#underlays.map(({ name }) => name));
    this.domains.retain((name) => desired.domains.has(name));
    this.ports.retain((name) => desired.ports.has(name) || underlays.has(name));
    this.vteps.retain((name) => addresses.has(name));
  }
}

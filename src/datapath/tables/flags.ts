// What declarations say yes or no to, as the bits of the engine's tables.
import { release } from "node:os";
import {
  DOMAIN_FLAG_CAPTURE,
  DOMAIN_FLAG_CLAMP_MSS,
  DOMAIN_FLAG_ENCRYPTED,
  DOMAIN_FLAG_HAS_VNI,
  DOMAIN_FLAG_LEARNING,
  DOMAIN_FLAG_PROXY_NEIGHBORS,
  PORT_FLAG_CAPTURE,
  PORT_FLAG_ISOLATED,
  PORT_FLAG_NO_FLOOD,
  PORT_FLAG_NO_UDP_GSO,
  PORT_FLAG_PASSTHRU,
  PORT_FLAG_PRIVATE,
  PORT_FLAG_VEPA,
  SA_FLAG_CHECKSUM,
  SA_FLAG_ESN,
  SA_FLAG_NOTIFY,
  SA_FLAG_OUTBOUND,
} from "../../../wasm/shared/abi.ts";
import type { AssociationDeclaration, DomainDeclaration, MacvlanMode, PortDeclaration } from "../declarations.ts";
import type { CaptureMarks } from "./marks.ts";

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

export function domainFlags(domain: DomainDeclaration, marks: CaptureMarks): number {
  return (
    (domain.learning ? DOMAIN_FLAG_LEARNING : 0) |
    (domain.proxyNeighbors ? DOMAIN_FLAG_PROXY_NEIGHBORS : 0) |
    (domain.vni === null ? 0 : DOMAIN_FLAG_HAS_VNI) |
    (domain.clampMss ? DOMAIN_FLAG_CLAMP_MSS : 0) |
    (domain.encrypted === true ? DOMAIN_FLAG_ENCRYPTED : 0) |
    (marks.domains.has(domain.id) ? DOMAIN_FLAG_CAPTURE : 0)
  );
}

export function portFlags(port: PortDeclaration, marks: CaptureMarks): number {
  const captured = marks.ports.has(port.id) ? PORT_FLAG_CAPTURE : 0;
  if (port.kind === "packet") return captured;
  if (port.kind === "uplink") return captured | (port.passthru ? PORT_FLAG_PASSTHRU : 0);
  return (
    captured |
    (port.isolated ? PORT_FLAG_ISOLATED : 0) |
    (port.macvlan === undefined ? 0 : MACVLAN_FLAGS[port.macvlan]) |
    (TAPS_TAKE_UDP_GSO ? 0 : PORT_FLAG_NO_UDP_GSO)
  );
}

/** Of a port of the host's own. */
export function hostPortFlags(name: string, marks: CaptureMarks): number {
  return marks.underlay || marks.ports.has(name) ? PORT_FLAG_CAPTURE : 0;
}

export function associationFlags({ direction, esn, innerChecksum, notify }: AssociationDeclaration): number {
  return (
    (direction === "out" ? SA_FLAG_OUTBOUND : 0) |
    (esn ? SA_FLAG_ESN : 0) |
    (innerChecksum ? SA_FLAG_CHECKSUM : 0) |
    (notify ? SA_FLAG_NOTIFY : 0)
  );
}

// What one declaration must be, whatever else is declared: values within what the engine, the kernel and the wire can hold. Each
// check throws in words. How declarations stand to each other is merge.ts's.
import { FDB_SLOTS_MAX, MTU_MAX, MTU_MIN } from "../../../wasm/shared/limits.ts";
import { SPI_MIN, VID_MAX, VNI_MAX } from "../../../wasm/shared/protocol.ts";
import { invalidArgument } from "../../errors.ts";
import type { AssociationDeclaration, DomainDeclaration, PortDeclaration, VtepDeclaration } from "../declarations.ts";
import { keyBytes, SALT_BYTES } from "../esp-algorithms.ts";
import { addressBytes, isIpv6, macWords } from "../words.ts";

const INTERFACE_NAME_BYTES_MAX = 15;
/** The engine keeps ages modulo 2^16 seconds, and its sweep needs some of them. */
const FDB_AGE_S_MAX = 65000;

/** Throws unless it is a whole number within both bounds. */
export function checkRange(value: number, min: number, max: number, what: string): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw invalidArgument(`${what} ${value} is not a whole number from ${min} to ${max}`);
}

function checkId(id: string, what: string): void {
  if (id === "" || id.includes(" ")) throw invalidArgument(`"${id}" can't name a ${what}: names are not empty and have no spaces`);
}

export function checkDomain(domain: DomainDeclaration): void {
  checkId(domain.id, "bridge domain");
  if (domain.vni !== null) checkRange(domain.vni, 0, VNI_MAX, "VNI");
  checkRange(domain.mtuBytes, MTU_MIN, MTU_MAX, "MTU");
  checkRange(domain.fdbLimit, 0, FDB_SLOTS_MAX, "FDB limit");
  checkRange(domain.fdbAgeS, 0, FDB_AGE_S_MAX, "FDB age in seconds");
}

export function checkPort(port: PortDeclaration): void {
  checkId(port.id, "port");
  if (port.kind === "uplink") {
    checkRange(port.vid, 0, VID_MAX, "VLAN id");
    return;
  }
  const { interfaceName } = port;
  const bytes = Buffer.byteLength(interfaceName);
  if (bytes > INTERFACE_NAME_BYTES_MAX) {
    throw invalidArgument(`interface name "${interfaceName}" has ${bytes} bytes; the kernel takes at most ${INTERFACE_NAME_BYTES_MAX}`);
  }
  if (bytes === 0 || interfaceName === "." || interfaceName === ".." || /[\s/:%\0]/.test(interfaceName)) {
    throw invalidArgument(`"${interfaceName}" can't name an interface: no spaces, "/", ":" or "%", and not "." or ".."`);
  }
  if (port.kind === "packet") return;
  checkUnicast(port.mac);
  checkRange(port.mtuBytes, MTU_MIN, MTU_MAX, "MTU");
}

export function checkUnicast(mac: string): void {
  const [high, low] = macWords(mac);
  if ((high & 0x0100) !== 0 || (high === 0 && low === 0)) throw invalidArgument(`MAC ${mac} is no unicast address`);
}

export function checkVtep(vtep: VtepDeclaration): void {
  addressBytes(vtep.address);
  checkRange(vtep.port, 1, 65535, "UDP port");
}

const SPI_MAX = 2 ** 32 - 1;

export function checkAssociation(association: AssociationDeclaration): void {
  const { id, direction, algorithm, spi, esn, icvBytes, key } = association;
  checkId(id, "security association");
  addressBytes(association.peer);
  if (association.remote !== undefined && isIpv6(association.remote) !== isIpv6(association.peer))
    throw invalidArgument(`security association ${id} is sent to ${association.remote}, which is not of the family of ${association.peer}`);
  checkRange(association.vxlanPort, 1, 65535, "UDP port");
  checkRange(spi, SPI_MIN, SPI_MAX, "SPI");
  if (association.udpPort !== null) checkRange(association.udpPort, 1, 65535, "UDP port");
  checkRange(association.packetLimit, 1, esn ? Number.MAX_SAFE_INTEGER : SPI_MAX, "limit of packets");
  checkRange(association.firstSequence, 0, esn ? Number.MAX_SAFE_INTEGER : SPI_MAX, "first sequence number");
  checkRange(association.byteLimit, 1, Number.MAX_SAFE_INTEGER, "limit of bytes");
  if (icvBytes !== 16 && algorithm === "chacha20-poly1305")
    throw invalidArgument(`an ICV of ${icvBytes} bytes: ChaCha20-Poly1305 has 16 (RFC 7634)`);
  if (association.current && direction === "in")
    throw invalidArgument(`security association ${id} comes in: only one that goes out is current`);
  const wanted = keyBytes(algorithm) + SALT_BYTES;
  if (key.lengthBytes !== wanted)
    throw invalidArgument(`a key and salt of ${key.lengthBytes} bytes: ${algorithm} takes ${wanted}, ${SALT_BYTES} of salt among them`);
}

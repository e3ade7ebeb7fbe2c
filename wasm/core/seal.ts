// Sealing: what leaves in ESP is laid out here, whole and in place, and an AEAD operation says what to encrypt. The host has
// the operations run, by whichever cipher it has, between the engine's run and native's flush: what the transmit ring refers
// to is plaintext until then, so the host sends nothing of a run whose operations did not all succeed.
//
//   start           +16               +24                                            padded to 4
//   ┌─────┬─────┬────┬──────────────┬─────────────────────────────────────────────┬─────┬─────────┬─────┐
//   │ SPI │ seq │ IV │ UDP header   │ VXLAN header, frame or segment              │ pad │ trailer │ ICV │
//   └─────┴─────┴────┴──────────────┴─────────────────────────────────────────────┴─────┴─────────┴─────┘
//        AAD         └─────────────────────────── sealed ─────────────────────────────────────────┘
//
// Transport mode (RFC 4303 section 3.1.1): the UDP header inside is that of the VXLAN datagram, its source port the flow's
// entropy. Its checksum is zero, since the ICV covers more, unless the peer's kernel insists (SA_FLAG_CHECKSUM).
//
// The payload is copied here, even of a super-frame: ciphers want it contiguous, and a copy out of the first-level cache
// costs a tenth of what sealing it does. Whatever is SHARED stays as it is.
//
// in   an association that `allows` so many datagrams; the VXLAN bytes at `contentOf(start)`
// out  the datagram in its run, an operation in SEAL_OPS
//
import { EVENT_SEALED, SA_FLAG_CHECKSUM, SA_FLAG_ESN } from "../shared/abi";
import {
  AEAD_AAD, AEAD_AAD_BYTES, AEAD_BYTES, AEAD_ICV_BYTES, AEAD_IV, AEAD_KEY, AEAD_KIND, AEAD_OFFSET, AEAD_OPS, AEAD_OP_LENGTH,
  AEAD_PENDING, AEAD_SEAL, AEAD_STATUS,
} from "../shared/aead";
import { SEAL_OPS, SEAL_OPS_LENGTH } from "../shared/layout";
import { ENTROPY_PORT_MIN, IP_PROTOCOL_NONE, IP_PROTOCOL_UDP, UDP_HEADER_LENGTH } from "../shared/protocol";
import * as esp from "../wire/esp";
import * as udp from "../wire/udp";
import { complementNonZero, sum, swap16 } from "./checksum";
import { Packet } from "./packet";
import * as runs from "./runs";
import { SecurityAssociation } from "./sa";
import * as trace from "./trace";

if (AEAD_OPS * AEAD_OP_LENGTH > SEAL_OPS_LENGTH) ERROR("SEAL_OPS outgrows its region");

const FRONT: u32 = esp.LENGTH + esp.IV_LENGTH;
const FLOW_TO_PORT = 18; // the hash's upper 14 bits choose among the 2^14 ports from ENTROPY_PORT_MIN

let operations: u32 = 0;

/** Forgets the operations: they have run, and what they sealed was sent. */
// @ts-ignore: decorator
@inline export function rewind(): void {
  operations = 0;
}

/** Operations since `rewind`. */
// @ts-ignore: decorator
@inline export function filled(): u32 {
  return operations;
}

/** Operations that still fit. */
// @ts-ignore: decorator
@inline export function room(): u32 {
  return AEAD_OPS - operations;
}

// @ts-ignore: decorator
@inline function plaintextLength(content: u32): u32 {
  const length = UDP_HEADER_LENGTH + content;
  return length + esp.padding(length) + esp.TRAILER_LENGTH;
}

/** Bytes on the wire, behind the outer headers, of a datagram with `content` bytes from the VXLAN header on. */
// @ts-ignore: decorator
@inline export function sealedLength(sa: SecurityAssociation, content: u32): u32 {
  return FRONT + plaintextLength(content) + sa.icvBytes;
}

/** Where the VXLAN header goes in a datagram that begins at `start`. */
// @ts-ignore: decorator
@inline export function contentOf(start: usize): usize {
  return start + FRONT + UDP_HEADER_LENGTH;
}

/** Takes the next sequence number, writes the header, and asks for `length` bytes behind it to be sealed. */
function ask(index: u32, sa: SecurityAssociation, start: usize, length: u32): void {
  const sequence = ++sa.sequence;
  esp.write(start, sa.spi, sequence);
  const op = <usize>SEAL_OPS + <usize>(operations++ * AEAD_OP_LENGTH);
  describe(op, index, sa, start, sequence);
  store<u8>(op, <u8>AEAD_SEAL, AEAD_KIND);
  store<u32>(op, length, AEAD_BYTES);
}

/** What operations of both directions have in common; `start` is where the ESP header stands. */
export function describe(op: usize, index: u32, sa: SecurityAssociation, start: usize, sequence: u64): void {
  store<u8>(op, sa.icvBytes, AEAD_ICV_BYTES);
  store<u16>(op, <u16>index, AEAD_KEY);
  store<u32>(op, <u32>start + FRONT, AEAD_OFFSET);
  store<u32>(op, AEAD_PENDING, AEAD_STATUS);
  store<u32>(op, load<u32>(start), AEAD_AAD);
  if (sa.flags & SA_FLAG_ESN) {
    store<u32>(op, bswap<u32>(<u32>(sequence >> 32)), AEAD_AAD + 4);
    store<u32>(op, load<u32>(start, 4), AEAD_AAD + 8);
    store<u8>(op, 12, AEAD_AAD_BYTES);
  } else {
    store<u32>(op, load<u32>(start, 4), AEAD_AAD + 4);
    store<u8>(op, 8, AEAD_AAD_BYTES);
  }
  store<u64>(op, esp.iv(start), AEAD_IV);
}

/**
 * Completes the datagram whose VXLAN header and frame stand, `content` bytes long, at `contentOf(start)`, and adds it to the
 * run. `packets` as of runs.add. `udpPort`: where the peer's tunnel listens. Answers the datagram's length.
 */
export function datagram(
  index: u32, sa: SecurityAssociation, run: runs.Run, packets: u32, start: usize, content: u32, flow: u32, udpPort: u32,
): u32 {
  const header = start + FRONT;
  const length = UDP_HEADER_LENGTH + content;
  const source = ENTROPY_PORT_MIN + (flow >> FLOW_TO_PORT);
  store<u32>(header, bswap<u32>((source << 16) | udpPort));
  udp.setDatagramLength(header, length);
  udp.setChecksumRaw(header, 0);
  const padding = esp.padding(length);
  esp.writeTrailer(header + length, padding, IP_PROTOCOL_UDP);
  if (sa.flags & SA_FLAG_CHECKSUM) {
    const pseudo = <u64>sa.pseudo + <u64>swap16(length) + <u64>swap16(IP_PROTOCOL_UDP);
    udp.setChecksumRaw(header, complementNonZero(pseudo + sum(header, length)));
  }
  const plaintext = plaintextLength(content);
  ask(index, sa, start, plaintext);
  const total = FRONT + plaintext + sa.icvBytes;
  runs.add(run, packets, <u32>start, total, 0, 0);
  return total;
}

/** A dummy packet: nothing but padding, next header 59. Answers its length; `start` has room for FRONT + 4 + ICV. */
export function dummy(index: u32, sa: SecurityAssociation, start: usize): u32 {
  const padding = esp.padding(0);
  esp.writeTrailer(start + FRONT, padding, IP_PROTOCOL_NONE);
  const plaintext = padding + esp.TRAILER_LENGTH;
  ask(index, sa, start, plaintext);
  return FRONT + plaintext + sa.icvBytes;
}

/** The packet's `count` datagrams were sealed. */
// @ts-ignore: decorator
@inline export function account(packet: Packet, index: u32, sa: SecurityAssociation, count: u32): void {
  sa.packets += count;
  sa.bytes += packet.length;
  trace.mark(packet, EVENT_SEALED, index, count, sa.sequence);
}

export function reset(): void {
  operations = 0;
}

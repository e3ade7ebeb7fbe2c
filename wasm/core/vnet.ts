// The virtio-net header in front of a frame that a kernel handed over: its offload fields, checked against the frame before
// anybody computes with them.
//
//   take    in   the receive descriptor that stands next: header and frame
//           out  a packet of the frame
//   check   in   that packet, and where its header stands
//           out  its NEEDS_CHECKSUM or CHECKSUM_GOOD, checksumStart, checksumOffset, gso and segment; or why it must be dropped
// not  here: whether the offload agrees with the headers (ethernet-input, once it has parsed them)
//
import {
  RX_FLAG_TRUNCATED, VNET_CHECKSUM_OFFSET, VNET_CHECKSUM_START, VNET_FLAGS, VNET_FLAG_DATA_VALID, VNET_FLAG_NEEDS_CHECKSUM, VNET_GSO_ECN, VNET_GSO_NONE,
  VNET_GSO_SIZE, VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_TYPE, VNET_GSO_UDP_L4, VNET_HEADER_BYTES, VNET_HEADER_LENGTH,
} from "../shared/abi";
import { DROP_BAD_GSO, DROP_GIANT, DROP_RUNT, DROP_TRUNCATED, DROP_VNET_HEADER } from "../shared/counters";
import { HEADERS_LENGTH, HEADER_SLOT_LENGTH } from "../shared/layout";
import { FRAME_LENGTH_MAX } from "../shared/limits";
import * as ethernet from "../wire/ethernet";
import * as cursor from "./cursor";
import { CHECKSUM_GOOD, NEEDS_CHECKSUM, Packet, take as takePacket } from "./packet";

/** A super-frame of more segments than this would empty the header arena by itself: its segment size is a lie. */
const SEGMENTS_MAX: u32 = HEADERS_LENGTH / HEADER_SLOT_LENGTH / 2;

const FLAGS_KNOWN: u32 = VNET_FLAG_NEEDS_CHECKSUM | VNET_FLAG_DATA_VALID;
export const NO_REASON: u32 = 0xffffffff;

/** Header slots that the frame's segments will want if it leaves by a tunnel: the chunk must have room for them. `length`: with the header. */
// @ts-ignore: decorator
@inline function slots(header: usize, length: u32): u32 {
  if (length <= <u32>VNET_HEADER_LENGTH || load<u8>(header, VNET_GSO_TYPE) == VNET_GSO_NONE) return 1;
  return 1 + min(length / max<u32>(load<u16>(header, VNET_GSO_SIZE), 1), SEGMENTS_MAX);
}

/**
 * The descriptor that stands next, whose bytes are a header and a frame, as a packet of the frame; null if the chunk has no room for
 * it. `length`: with the header, and perhaps less than one.
 */
// @ts-ignore: decorator
@inline export function take(port: u32, header: usize, length: u32): Packet | null {
  const wanted = slots(header, length);
  if (!cursor.fits(wanted)) return null;
  cursor.spend(wanted);
  cursor.next();
  const packet = takePacket();
  packet.offset = <u32>header + VNET_HEADER_LENGTH;
  packet.length = length >= <u32>VNET_HEADER_LENGTH ? length - VNET_HEADER_LENGTH : 0;
  packet.port = <u16>port;
  return packet;
}

/** Takes the offload fields over into the packet, or says what is wrong with them. */
// @ts-ignore: decorator
@inline export function check(packet: Packet, header: usize, descriptorFlags: u32): u32 {
  const length = packet.length;
  if (descriptorFlags & RX_FLAG_TRUNCATED) return DROP_TRUNCATED;
  if (length < ethernet.LENGTH) return DROP_RUNT;
  if (length > <u32>FRAME_LENGTH_MAX) return DROP_GIANT;
  // Flags, type, header length and segment size are all zero on most small frames.
  if (load<u32>(header) == 0 && load<u16>(header, VNET_GSO_SIZE) == 0) return NO_REASON;
  const flags: u32 = load<u8>(header, VNET_FLAGS);
  if (flags & ~FLAGS_KNOWN) return DROP_VNET_HEADER;
  if (flags & VNET_FLAG_NEEDS_CHECKSUM) {
    const start: u32 = load<u16>(header, VNET_CHECKSUM_START);
    const offset: u32 = load<u16>(header, VNET_CHECKSUM_OFFSET);
    if (start < ethernet.LENGTH || start + offset + 2 > length) return DROP_VNET_HEADER;
    packet.flags |= NEEDS_CHECKSUM;
    packet.checksumStart = <u16>start;
    packet.checksumOffset = <u16>offset;
  } else if (flags & VNET_FLAG_DATA_VALID) {
    packet.flags |= CHECKSUM_GOOD;
  }
  const type: u32 = load<u8>(header, VNET_GSO_TYPE);
  if (type == VNET_GSO_NONE) return NO_REASON;
  const gso = type & ~VNET_GSO_ECN;
  const isTcp = gso == VNET_GSO_TCPV4 || gso == VNET_GSO_TCPV6;
  if (!isTcp && type != VNET_GSO_UDP_L4) return DROP_BAD_GSO;
  // Segmentation makes new checksums, so the frame can't bring a finished one.
  if ((flags & VNET_FLAG_NEEDS_CHECKSUM) == 0) return DROP_BAD_GSO;
  const segment: u32 = load<u16>(header, VNET_GSO_SIZE);
  if (segment == 0 || length / segment >= SEGMENTS_MAX) return DROP_BAD_GSO;
  if (<u32>load<u16>(header, VNET_HEADER_BYTES) > length) return DROP_VNET_HEADER;
  packet.gso = <u8>gso;
  packet.segment = <u16>segment;
  return NO_REASON;
}

// tap-input: frames that a sandbox's kernel handed over through a TAP, each behind its virtio-net header.
//
//   descriptor's offset ─> ┌ vnet_hdr 10 ┬ Ethernet frame ...
//
// in   receive descriptors of TAPs (and of ports that the engine doesn't know, to drop them by name)
// out  ethernet-input; drops PORT_UNKNOWN, TRUNCATED, RUNT, GIANT, VNET_HEADER, BAD_GSO
// not  here: whether the offload agrees with the headers (ethernet-input, once it has parsed them)
//
// The header comes from the sandbox's kernel, but whoever has CAP_NET_RAW in there may write it through a packet socket: every
// number in it is checked against the frame before anybody computes with it.
//
import {
  NODE_ETHERNET_INPUT, RX_FLAGS, RX_FLAG_INJECTED, RX_FLAG_TRUNCATED, RX_LENGTH, RX_OFFSET, RX_PORT,
  VNET_CHECKSUM_OFFSET, VNET_CHECKSUM_START, VNET_FLAGS, VNET_FLAG_DATA_VALID, VNET_FLAG_NEEDS_CHECKSUM, VNET_GSO_ECN, VNET_GSO_NONE,
  VNET_GSO_SIZE, VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_TYPE, VNET_GSO_UDP_L4, VNET_HEADER_BYTES, VNET_HEADER_LENGTH,
} from "../shared/abi";
import {
  COUNTER_RX, DROP_BAD_GSO, DROP_GIANT, DROP_PORT_UNKNOWN, DROP_RUNT, DROP_TRUNCATED, DROP_VNET_HEADER,
} from "../shared/counters";
import { HEADERS_LENGTH, HEADER_SLOT_LENGTH } from "../shared/layout";
import { FRAME_LENGTH_MAX } from "../shared/limits";
import { add, drop, rx } from "../core/counters";
import * as cursor from "../core/cursor";
import { CHECKSUM_GOOD, NEEDS_CHECKSUM, Packet, take } from "../core/packet";
import * as trace from "../core/trace";
import { send } from "../core/vector";
import * as ethernet from "../wire/ethernet";
import * as ports from "../tables/port";

/** A super-frame of more segments than this would empty the header arena by itself: its segment size is a lie. */
export const SEGMENTS_MAX: u32 = HEADERS_LENGTH / HEADER_SLOT_LENGTH / 2;

const FLAGS_KNOWN: u32 = VNET_FLAG_NEEDS_CHECKSUM | VNET_FLAG_DATA_VALID;
const NO_REASON: u32 = 0xffffffff;

export function tapInput(): void {
  while (cursor.more()) {
    const descriptor = cursor.descriptor();
    const port: u32 = load<u16>(descriptor, RX_PORT);
    const known = ports.isSet(port);
    if (known && ports.isUnderlay(ports.at(port).kind)) return;
    const header: usize = load<u32>(descriptor, RX_OFFSET);
    const length = load<u32>(descriptor, RX_LENGTH);
    const flags = load<u32>(descriptor, RX_FLAGS);

    // Its segments will each want a header slot if it leaves by a tunnel: the chunk must have room for them.
    let slots: u32 = 1;
    if (length > <u32>VNET_HEADER_LENGTH && load<u8>(header, VNET_GSO_TYPE) != VNET_GSO_NONE) {
      slots += min(length / max<u32>(load<u16>(header, VNET_GSO_SIZE), 1), SEGMENTS_MAX);
    }
    if (!cursor.fits(slots)) return;
    cursor.spend(slots);
    cursor.next();

    const packet = take();
    packet.offset = <u32>header + VNET_HEADER_LENGTH;
    packet.length = length >= <u32>VNET_HEADER_LENGTH ? length - VNET_HEADER_LENGTH : 0;
    packet.port = <u16>port;
    if (!known) {
      add(COUNTER_RX, 1);
      drop(packet, DROP_PORT_UNKNOWN);
      continue;
    }
    packet.domain = ports.at(port).domain;
    rx(packet);
    if (flags & RX_FLAG_INJECTED) trace.begin(packet);
    else if (trace.armed()) trace.considerPort(packet);
    const reason = check(packet, header, flags);
    if (reason != NO_REASON) drop(packet, reason);
    else send(NODE_ETHERNET_INPUT, packet);
  }
}

/** Takes the offload fields over into the packet, or says what is wrong with them. */
// @ts-ignore: decorator
@inline function check(packet: Packet, header: usize, descriptorFlags: u32): u32 {
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

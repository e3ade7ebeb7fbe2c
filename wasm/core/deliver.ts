// Hands one frame to a local port: a TAP takes a virtio-net header and the frame in one write.
//
//   from a TAP, not shared   │ vnet │ frame │               the ten bytes before the frame are its own vnet_hdr: one iovec
//                                                           (a shared frame's may hold a tunnel header by now)
//   small, whoever made it   │ vnet │ copy  │               side by side in a slot or in scratch: one iovec
//   anything else            │ vnet │ + │ frame │           two iovecs; most need an all-zero vnet_hdr, of which one is enough
//
// The vnet_hdr is written anew from what the packet says, so that nothing that a sandbox put there reaches another one but
// what tap-input has checked: a super-frame's type and size, and where an unfinished checksum goes.
//
// A TAP ignores DATA_VALID when written to: frames whose checksum we verified go in without flags, like all others.
//
// not here: super-frames that the engine made of several packets (core/aggregates)
//
import {
  EVENT_SENT, VNET_CHECKSUM_START, VNET_FLAG_NEEDS_CHECKSUM, VNET_GSO_SIZE, VNET_HEADER_LENGTH,
} from "../shared/abi";
import { DROP_ENGINE_FULL, DROP_TX_RING_FULL } from "../shared/counters";
import { CONSTANTS, HEADER_SLOT_LENGTH } from "../shared/layout";
import * as arena from "./arena";
import { copy8 } from "./bytes";
import { drop, tx } from "./counters";
import { FROM_UNDERLAY, NEEDS_CHECKSUM, ORIGINATED, Packet, SHARED } from "./packet";
import * as trace from "./trace";
import * as transmit from "./transmit";

/** Frames up to this size are copied behind their vnet_hdr rather than sent as two iovecs. */
const COPY_MAX: u32 = 192;
/** The vnet_hdr of a plain frame: zeros that nobody writes to. */
const ZEROS: u32 = CONSTANTS + 0x100;

/** Writes all ten bytes. */
// @ts-ignore: decorator
@inline export function writeVnetHeader(
  at: usize, flags: u32, gso: u32, headers: u32, size: u32, checksumStart: u32, checksumOffset: u32,
): void {
  store<u32>(at, flags | (gso << 8) | (headers << 16));
  store<u32>(at, size | (checksumStart << 16), VNET_GSO_SIZE);
  store<u16>(at, <u16>checksumOffset, VNET_CHECKSUM_START + 2);
}

/** The vnet_hdr of the packet. `shift`: bytes by which a tag moves the headers of its frame. */
// @ts-ignore: decorator
@inline export function describe(packet: Packet, at: usize, shift: u32): void {
  if (packet.flags & NEEDS_CHECKSUM) {
    // hdr_len tells the kernel how much to keep linear; only a super-frame needs it.
    const headers: u32 = packet.gso == 0 ? 0 : packet.payload + shift;
    writeVnetHeader(
      at, VNET_FLAG_NEEDS_CHECKSUM, packet.gso, headers, packet.segment, packet.checksumStart + shift, packet.checksumOffset,
    );
  } else {
    writeVnetHeader(at, 0, 0, 0, 0, 0, 0); // a super-frame always needs its checksum: tap-input has seen to that
  }
}

/** Sends the packet to `packet.toPort`, or drops it. */
export function deliver(packet: Packet): void {
  if (!transmit.fits(2)) {
    drop(packet, DROP_TX_RING_FULL);
    return;
  }
  const length = packet.length;
  const flags = packet.flags;
  if ((flags & (SHARED | FROM_UNDERLAY | ORIGINATED)) == 0) {
    const start = packet.offset - VNET_HEADER_LENGTH;
    describe(packet, start, 0);
    transmit.piece(transmit.begin(packet.toPort, 0, 1), start, length + VNET_HEADER_LENGTH);
  } else if (length <= COPY_MAX) {
    // copy8 may write up to 7 bytes too many: they have room in the slot, and in scratch's tail.
    const inSlot = length + VNET_HEADER_LENGTH + 7 <= <u32>HEADER_SLOT_LENGTH;
    const start = inSlot ? arena.headerSlot() : arena.scratch(length + VNET_HEADER_LENGTH);
    if (start == 0) {
      drop(packet, DROP_ENGINE_FULL);
      return;
    }
    describe(packet, start, 0);
    copy8(start + VNET_HEADER_LENGTH, packet.offset, length);
    transmit.piece(transmit.begin(packet.toPort, 0, 1), <u32>start, length + VNET_HEADER_LENGTH);
  } else {
    let header = ZEROS;
    if (flags & NEEDS_CHECKSUM) {
      header = <u32>arena.headerSlot();
      if (header == 0) {
        drop(packet, DROP_ENGINE_FULL);
        return;
      }
      describe(packet, header, 0);
    }
    const descriptor = transmit.begin(packet.toPort, 0, 1);
    transmit.piece(descriptor, header, VNET_HEADER_LENGTH);
    transmit.piece(descriptor, packet.offset, length);
  }
  tx(packet);
  trace.mark(packet, EVENT_SENT, packet.toPort, 1, 0);
}

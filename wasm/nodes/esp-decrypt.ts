// esp-decrypt: ESP datagrams become VXLAN datagrams, if they are authentic and new.
//
//   espPrepare   before the run: each ESP datagram of the batch gets an operation in OPEN_OPS: what to open by which key,
//                or, where its header says enough, why not. The host has them all opened as one batch, in place
//   espDecrypt   in the run: takes the datagrams with their operations' outcomes, in the same order
//
// in   receive descriptors of ESP ports: datagrams as UDP port 4500 or a raw socket delivers them
// out  vxlan-decap: `offset` at the VXLAN header, `vtep` the association's peer, OPENED
//      drops ESP_SHORT, ESP_UNKNOWN_SPI, ESP_REPLAYED, ESP_LATE, ESP_FORGED, ESP_MALFORMED, ESP_SELECTOR, ESP_KEEPALIVE,
//      ESP_NOT_ESP, ESP_DUMMY, TRUNCATED, ENGINE_FULL
//      events: an SPI nobody knows, an association's first use, where a peer is
//
// Who sent it is the association's to say and not the outer address: that may be a NAT's. Captures of the port get their copy
// in espPrepare, while the bytes are still those of the wire.
//
// not  here: fragments of the outer packet, which the kernel has put together
//
import {
  ESP_EVENT_FIRST_USE, ESP_EVENT_MOVED, ESP_EVENT_UNKNOWN_SPI, EVENT_OPENED, NODE_VXLAN_DECAP, PORT_ESP, PORT_FLAG_IPV4_HEADER,
  RX_DESCRIPTOR_LENGTH, RX_LENGTH, RX_OFFSET, RX_PORT, RX_SENDER_ADDRESS, RX_SENDER_PORT, SA_FLAG_ESN, SA_FLAG_NOTIFY,
} from "../shared/abi";
import {
  AEAD_BYTES, AEAD_DONE, AEAD_KEY, AEAD_KIND, AEAD_NONE, AEAD_OFFSET, AEAD_OPEN, AEAD_OPS, AEAD_OP_LENGTH, AEAD_OWN, AEAD_STATUS,
} from "../shared/aead";
import {
  DROP_ENGINE_FULL, DROP_ESP_DUMMY, DROP_ESP_FORGED, DROP_ESP_KEEPALIVE, DROP_ESP_LATE, DROP_ESP_MALFORMED, DROP_ESP_NOT_ESP,
  DROP_ESP_REPLAYED, DROP_ESP_SELECTOR, DROP_ESP_SHORT, DROP_ESP_UNKNOWN_SPI, DROP_TRUNCATED,
} from "../shared/counters";
import { OPEN_OPS, OPEN_OPS_LENGTH, RX_RING } from "../shared/layout";
import { IP_PROTOCOL_NONE, IP_PROTOCOL_UDP } from "../shared/protocol";
import * as capture from "../core/capture";
import { drop } from "../core/counters";
import * as cursor from "../core/cursor";
import * as datagrams from "../core/datagrams";
import * as espEvent from "../core/esp-event";
import { OPENED, Packet } from "../core/packet";
import * as replay from "../core/replay";
import { SecurityAssociation } from "../core/sa";
import { describe } from "../core/seal";
import * as trace from "../core/trace";
import { send } from "../core/vector";
import * as ports from "../tables/port";
import * as sad from "../tables/sad";
import * as esp from "../wire/esp";
import * as ipv4 from "../wire/ipv4";
import * as udp from "../wire/udp";

if (AEAD_OPS * AEAD_OP_LENGTH > OPEN_OPS_LENGTH) ERROR("OPEN_OPS outgrows its region");

const FRONT: u32 = esp.LENGTH + esp.IV_LENGTH;
/** In a skipped operation's status, added to the reason for which its datagram will be dropped. */
const VERDICT: u32 = 0x100;

let prepared: u32 = 0; // operations of this batch
let next: u32 = 0; // the one whose datagram is taken next

// @ts-ignore: decorator
@inline function operation(i: u32): usize {
  return <usize>OPEN_OPS + <usize>(i * AEAD_OP_LENGTH);
}

// ── before the run ──

/** Makes the operations for `count` receive descriptors; answers how many there are, 0 if nothing came by an ESP port. */
export function espPrepare(count: u32): u32 {
  prepared = 0;
  next = 0;
  for (let i: u32 = 0; i < count; i++) {
    const descriptor = <usize>RX_RING + <usize>(i * RX_DESCRIPTOR_LENGTH);
    const port: u32 = load<u16>(descriptor, RX_PORT);
    if (!ports.isSet(port) || ports.at(port).kind != PORT_ESP) continue;
    const buffer = load<u32>(descriptor, RX_OFFSET);
    const length = load<u32>(descriptor, RX_LENGTH);
    const truncated = datagrams.truncated(descriptor);
    const segment = datagrams.segment(descriptor);
    const captured = capture.armed() && capture.wantsDatagrams(port);
    let taken: u32 = 0;
    do {
      if (prepared == AEAD_OPS) return prepared; // what is left will be dropped as ENGINE_FULL
      const size = min(segment, length - taken);
      const op = operation(prepared++);
      if (captured) capture.received(port, buffer, buffer + taken, size);
      const verdict = truncated ? <u32>DROP_TRUNCATED : prepare(op, port, buffer, buffer + taken, size);
      if (verdict != 0) {
        store<u8>(op, AEAD_NONE, AEAD_KIND);
        store<u32>(op, VERDICT + verdict, AEAD_STATUS);
      }
      taken += size;
    } while (taken < length);
  }
  return prepared;
}

/** Fills in the operation, or answers why the datagram is to be dropped unopened: a reason, none of which is 0. */
function prepare(op: usize, port: u32, buffer: u32, offset: u32, length: u32): u32 {
  store<u16>(op, 0, AEAD_KEY);
  if (ports.at(port).flags & PORT_FLAG_IPV4_HEADER) {
    if (length < ipv4.LENGTH) return DROP_ESP_SHORT;
    const header = ipv4.headerLength(offset);
    if (header < ipv4.LENGTH || header >= length) return DROP_ESP_SHORT;
    offset += header;
    length -= header;
  }
  if (esp.isKeepalive(offset, length)) return DROP_ESP_KEEPALIVE;
  if (length < esp.LENGTH) return DROP_ESP_SHORT;
  const spi = esp.spi(offset);
  if (spi == 0) return DROP_ESP_NOT_ESP;
  const index = sad.bySpi(spi);
  if (index == 0) {
    espEvent.add(ESP_EVENT_UNKNOWN_SPI, 0, spi, buffer, offset, length);
    return DROP_ESP_UNKNOWN_SPI;
  }
  store<u16>(op, <u16>index, AEAD_KEY);
  const sa = sad.at(index);
  if (!esp.fits(length, sa.icvBytes)) return DROP_ESP_SHORT;
  const low = esp.sequence(offset);
  const sequence = sa.flags & SA_FLAG_ESN ? replay.extend(sa.sequence, low) : <u64>low;
  const news = replay.check(index, sa.sequence, sequence);
  if (news != replay.FRESH) return refused(sa, news);
  describe(op, index, sa, offset, sequence);
  store<u8>(op, <u8>AEAD_OPEN, AEAD_KIND);
  store<u32>(op, length - FRONT - sa.icvBytes, AEAD_BYTES);
  store<u64>(op, sequence, AEAD_OWN);
  return 0;
}

function refused(sa: SecurityAssociation, news: u32): u32 {
  if (news == replay.LATE) {
    sa.late++;
    return DROP_ESP_LATE;
  }
  sa.replayed++;
  return DROP_ESP_REPLAYED;
}

// ── in the run ──

/** Takes descriptors of ESP ports until another kind stands next or the chunk is full. */
export function espDecrypt(): void {
  const tracing = trace.armed();
  while (cursor.more()) {
    const descriptor = cursor.descriptor();
    const port: u32 = load<u16>(descriptor, RX_PORT);
    if (!ports.isSet(port) || ports.at(port).kind != PORT_ESP) return;
    const buffer = load<u32>(descriptor, RX_OFFSET);
    const length = load<u32>(descriptor, RX_LENGTH);
    const segment = datagrams.segment(descriptor);
    let left = length - cursor.taken();
    do {
      if (!cursor.fits(1)) return;
      const packet = datagrams.takeNext(port, buffer, segment, left);
      left -= packet.length;
      if (tracing) trace.considerPort(packet);
      const reason = next < prepared ? open(packet, operation(next++), buffer) : <u32>DROP_ENGINE_FULL;
      if (reason != 0) drop(packet, reason);
      else send(NODE_VXLAN_DECAP, packet);
    } while (left != 0 && cursor.more());
    if (left == 0) cursor.next();
  }
}

/** Makes of the packet what was sealed in it, or answers why not. */
function open(packet: Packet, op: usize, buffer: u32): u32 {
  const status = load<u32>(op, AEAD_STATUS);
  if (load<u8>(op, AEAD_KIND) == AEAD_NONE) return status - VERDICT;
  const index: u32 = load<u16>(op, AEAD_KEY);
  const sa = sad.at(index);
  if (status != AEAD_DONE) {
    sa.forged++;
    return DROP_ESP_FORGED;
  }
  const sequence = load<u64>(op, AEAD_OWN);
  const news = replay.check(index, sa.sequence, sequence);
  if (news != replay.FRESH) return refused(sa, news);
  const newest = sequence > sa.sequence;
  sa.sequence = replay.accept(index, sa.sequence, sequence);
  sa.packets++;
  tell(index, sa, buffer, newest);

  const plaintext = <usize>load<u32>(op, AEAD_OFFSET);
  const length = load<u32>(op, AEAD_BYTES);
  const payload = esp.payloadLength(plaintext, length);
  if (payload < 0) return malformed(sa);
  const nextHeader = esp.nextHeader(plaintext, length);
  if (nextHeader == IP_PROTOCOL_NONE) return DROP_ESP_DUMMY;
  if (nextHeader != IP_PROTOCOL_UDP) {
    sa.malformed++;
    return DROP_ESP_SELECTOR;
  }
  if (!udp.fits(plaintext, payload)) return malformed(sa);
  if (udp.destinationPort(plaintext) != <u32>ports.at(packet.port).udpPort) {
    sa.malformed++;
    return DROP_ESP_SELECTOR;
  }
  packet.offset = <u32>plaintext + udp.LENGTH;
  packet.length = udp.datagramLength(plaintext) - udp.LENGTH; // what is behind it is TFC padding
  packet.flags |= OPENED;
  packet.vtep = sa.vtep;
  sa.bytes += packet.length;
  trace.mark(packet, EVENT_OPENED, index, sa.vtep, sequence);
  return 0;
}

// @ts-ignore: decorator
@inline function malformed(sa: SecurityAssociation): u32 {
  sa.malformed++;
  return DROP_ESP_MALFORMED;
}

/**
 * An authentic datagram came: the host may want to hear of the first, and of where the peer is. Only the newest tells that: one
 * that was overtaken, or held back by somebody, would say where it was.
 */
function tell(index: u32, sa: SecurityAssociation, buffer: u32, newest: bool): void {
  const first: u32 = 1 << ESP_EVENT_FIRST_USE;
  if ((sa.flags & SA_FLAG_NOTIFY) != 0 && (<u32>sa.told & first) == 0) {
    if (espEvent.add(ESP_EVENT_FIRST_USE, index, sa.spi, buffer, 0, 0)) sa.told |= <u8>first;
  }
  if (!newest || sa.udpPort == 0) return;
  const port = load<u16>(<usize>buffer + RX_SENDER_PORT);
  const low = load<u64>(<usize>buffer + RX_SENDER_ADDRESS);
  const high = load<u64>(<usize>buffer + RX_SENDER_ADDRESS, 8);
  if (port == sa.seenPort && low == sa.remoteLow && high == sa.remoteHigh) return;
  if (!espEvent.add(ESP_EVENT_MOVED, index, sa.spi, buffer, 0, 0)) return;
  sa.seenPort = port;
  sa.remoteLow = low;
  sa.remoteHigh = high;
}

/** The batch is over: no operation is left to be mistaken for the next one's. */
export function forget(): void {
  prepared = 0;
  next = 0;
}

// esp-encrypt: what an encrypted network sends to another host goes into ESP, or nowhere.
//
// in   vxlan-encap: toVtep is set and its domain is encrypted; a plain frame has its VXLAN header, a super-frame is as it came
// out  runs to the peer's ESP port, and operations that will seal them (core/seal); a super-frame's segments are laid out one
//      behind the other, so that they are sealed as one batch and leave in one UDP_SEGMENT send
//      drops ESP_NO_SA, ESP_EXHAUSTED, ENGINE_FULL, BAD_GSO
//      an event when an association is nearly used up, or has less left than a packet wants
// not  here: which association a VTEP has (the control plane's choice), the cipher
//
import { ESP_EVENT_NEARLY_EXHAUSTED, EVENT_SENT, NODE_ESP_ENCRYPT, PORT_ESP, PROBE_KEEPALIVE } from "../shared/abi";
import { COUNTER_ORIGINATED, DROP_ENGINE_FULL, DROP_ESP_EXHAUSTED, DROP_ESP_NO_SA, DROP_NO_UNDERLAY } from "../shared/counters";
import { PORT_MAX } from "../shared/limits";
import * as arena from "../core/arena";
import { copy16 } from "../core/bytes";
import { add, drop, txUnderlay } from "../core/counters";
import * as espEvent from "../core/esp-event";
import { ORIGINATED, Packet, take } from "../core/packet";
import * as runs from "../core/runs";
import { allows, nearlyExhausted, remoteOf, SecurityAssociation } from "../core/sa";
import * as seal from "../core/seal";
import { segmentSealed } from "../core/segment";
import * as trace from "../core/trace";
import { clear, packetAt, waiting } from "../core/vector";
import * as domains from "../tables/bridge-domain";
import * as ports from "../tables/port";
import * as sad from "../tables/sad";
import * as spd from "../tables/spd";
import * as vteps from "../tables/vtep";
import * as esp from "../wire/esp";
import * as vxlan from "../wire/vxlan";

/** Above it memory.copy is faster than a loop of 16-byte moves. */
const COPY_LOOP_MAX: u32 = 512;
/** A dummy with the longest ICV. */
const PROBE_ROOM: u32 = 64;

export function espEncrypt(): void {
  const n = waiting(NODE_ESP_ENCRYPT);
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_ESP_ENCRYPT, i);
    const index = spd.outbound(packet.toVtep);
    if (!sad.isSet(index)) {
      drop(packet, DROP_ESP_NO_SA);
      continue;
    }
    const sa = sad.at(index);
    const port: u32 = sa.port;
    if (!ports.isSet(port) || ports.at(port).kind != PORT_ESP) {
      drop(packet, DROP_NO_UNDERLAY);
      continue;
    }
    const payload = packet.length - <u32>packet.payload;
    const count: u32 = packet.gso == 0 || packet.segment == 0 ? 1 : (payload + packet.segment - 1) / packet.segment;
    if (!allows(sa, count, packet.length)) {
      tell(index, sa); // a super-frame may want all that is left, and more
      drop(packet, DROP_ESP_EXHAUSTED);
      continue;
    }
    if (seal.room() < count) {
      drop(packet, DROP_ENGINE_FULL);
      continue;
    }
    const vtep = vteps.at(packet.toVtep);
    const run = runs.select(packet.toVtep, runs.SEALED, port, remoteOf(sa), sa.udpPort);
    if (packet.gso == 0) {
      if (!whole(packet, index, sa, run, vtep.udpPort)) continue;
    } else if (!segmentSealed(packet, run, vxlan.header(domains.at(packet.domain).vni), index, sa, vtep.udpPort)) {
      continue;
    }
    seal.account(packet, index, sa, count);
    txUnderlay(packet, port);
    trace.mark(packet, EVENT_SENT, port, count, 0);
    if (nearlyExhausted(sa)) tell(index, sa);
  }
  clear(NODE_ESP_ENCRYPT);
}

/** A frame with its VXLAN header is copied to where it can be sealed. False: dropped. */
function whole(packet: Packet, index: u32, sa: SecurityAssociation, run: runs.Run, udpPort: u32): bool {
  const length = packet.length;
  const start = runs.place(run, seal.sealedLength(sa, length));
  if (start == 0) {
    drop(packet, DROP_ENGINE_FULL);
    return false;
  }
  const content = seal.contentOf(start);
  // What copy16 writes too many lies in the trailer and ICV, which come after.
  if (length <= COPY_LOOP_MAX) copy16(content, packet.offset, length);
  else memory.copy(content, packet.offset, length);
  seal.datagram(index, sa, run, 1, start, length, packet.flow, udpPort);
  return true;
}

/**
 * Sends a dummy or a keepalive to a VTEP: how a peer hears of our key before there is traffic, and how a NAT is kept open. With
 * no association, or one that is used up, nothing is sent: there was no packet that could be dropped.
 */
export function espProbe(to: u32, kind: u32): void {
  const index = spd.outbound(to);
  if (!sad.isSet(index)) return;
  const sa = sad.at(index);
  const port: u32 = sa.port;
  const isKeepalive = kind == PROBE_KEEPALIVE;
  if (!ports.isSet(port) || ports.at(port).kind != PORT_ESP || (isKeepalive && sa.udpPort == 0)) return;
  const start = arena.scratch(PROBE_ROOM);
  if (start == 0 || (!isKeepalive && !allows(sa, 1, 0))) return;
  const packet = take();
  packet.flags = ORIGINATED;
  packet.port = <u16>PORT_MAX; // none
  packet.toVtep = <u16>to;
  if (isKeepalive) esp.writeKeepalive(start);
  packet.length = isKeepalive ? 1 : seal.dummy(index, sa, start);
  const run = runs.select(to, runs.SEALED, port, remoteOf(sa), sa.udpPort);
  runs.add(run, 1, <u32>start, packet.length, 0, 0);
  add(COUNTER_ORIGINATED, 1);
  txUnderlay(packet, port);
}

function tell(index: u32, sa: SecurityAssociation): void {
  const bit: u32 = 1 << ESP_EVENT_NEARLY_EXHAUSTED;
  if (<u32>sa.told & bit) return;
  if (espEvent.add(ESP_EVENT_NEARLY_EXHAUSTED, index, sa.spi, 0, 0, 0)) sa.told |= <u8>bit;
}

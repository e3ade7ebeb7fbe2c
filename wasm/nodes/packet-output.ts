// packet-output: frames bound for an uplink leave by its parent, with the tag of its VLAN.
//
//   alone          │ vnet │ MACs │ tag │ frame from its type on ...      MACs and vnet_hdr written into the room before the frame
//   shared         │ vnet │ MACs │ tag │  +  │ frame from its type on    a header slot and a piece of the bytes of all
//
// in   l2-forward, l2-flood: toPort is an uplink
// out  transmit descriptors of the parent; drops PORT_DOWN, VLAN_FORBIDDEN, TX_RING_FULL, ENGINE_FULL
//      super-frames go out whole: the parent's kernel segments them if its card can't
//
// The tag stands in the frame: a packet socket has no other place for it. A tag of the station's own stays behind ours
// (802.1ad). Behind none it would itself be the VLAN, and lead to another network: such frames end here, but for priority tags
// with no other behind them (who takes one off finds the next outermost) and passthru, to whose station the whole parent belongs.
//
import { DIRECTION_TX, EVENT_SENT, NODE_PACKET_OUTPUT, PORT_FLAG_PASSTHRU, PORT_PACKET, TX_SOCKET, VNET_HEADER_LENGTH } from "../shared/abi";
import { DROP_ENGINE_FULL, DROP_PORT_DOWN, DROP_TX_RING_FULL, DROP_VLAN_FORBIDDEN } from "../shared/counters";
import { ETHERTYPE_VLAN } from "../shared/protocol";
import * as arena from "../core/arena";
import * as capture from "../core/capture";
import { drop, tx } from "../core/counters";
import { describe } from "../core/deliver";
import { FROM_UNDERLAY, Packet, SHARED } from "../core/packet";
import * as trace from "../core/trace";
import * as transmit from "../core/transmit";
import { clear, packetAt, waiting } from "../core/vector";
import * as ports from "../tables/port";
import * as ethernet from "../wire/ethernet";
import * as vlan from "../wire/vlan";

/** What of a frame stands before its type. */
const MACS: u32 = 12;
const TYPE_LENGTH: u32 = 2;

export function packetOutput(): void {
  const n = waiting(NODE_PACKET_OUTPUT);
  const capturing = capture.armed();
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_PACKET_OUTPUT, i);
    const uplink = ports.at(packet.toPort);
    const parent: u32 = uplink.parent;
    if (!ports.isSet(parent) || ports.at(parent).kind != PORT_PACKET) {
      drop(packet, DROP_PORT_DOWN);
    } else if (uplink.vid == 0 && (uplink.flags & PORT_FLAG_PASSTHRU) == 0 && leads(packet)) {
      drop(packet, DROP_VLAN_FORBIDDEN);
    } else if (!transmit.fits(2)) {
      drop(packet, DROP_TX_RING_FULL);
    } else {
      if (capturing && ports.captured(packet.toPort, packet.domain)) capture.copy(packet, packet.toPort, DIRECTION_TX);
      write(packet, parent, uplink.vid);
    }
  }
  clear(NODE_PACKET_OUTPUT);
}

/** Whether the frame has a tag that names a VLAN, be it behind priority tags. One that is cut short in a tag is nobody's. */
// @ts-ignore: decorator
@inline function leads(packet: Packet): bool {
  return vlan.isTag(ethernet.type(packet.offset)) && namesVlan(packet);
}

/** The same of a frame that has a tag. */
function namesVlan(packet: Packet): bool {
  for (let at = MACS; at + vlan.LENGTH + TYPE_LENGTH <= packet.length; at += vlan.LENGTH) {
    const tag = <usize>packet.offset + at;
    if (vlan.vid(tag) != 0) return true;
    if (!vlan.isTag(vlan.typeBehind(tag))) return false;
  }
  return true;
}

function write(packet: Packet, parent: u32, vid: u32): void {
  const tag: u32 = vid != 0 ? vlan.LENGTH : 0;
  let descriptor: usize;
  if ((packet.flags & (SHARED | FROM_UNDERLAY)) == 0) {
    const frame = packet.offset - tag;
    if (tag != 0) {
      vlan.moveMacs(packet.offset, frame);
      vlan.write(<usize>frame + MACS, ETHERTYPE_VLAN, vid);
    }
    describe(packet, <usize>frame - VNET_HEADER_LENGTH, tag);
    descriptor = transmit.begin(parent, 0, 1);
    transmit.piece(descriptor, frame - VNET_HEADER_LENGTH, packet.length + tag + VNET_HEADER_LENGTH);
  } else {
    const slot = arena.headerSlot();
    if (slot == 0) {
      drop(packet, DROP_ENGINE_FULL);
      return;
    }
    const frame = slot + VNET_HEADER_LENGTH;
    vlan.moveMacs(packet.offset, frame);
    if (tag != 0) vlan.write(frame + MACS, ETHERTYPE_VLAN, vid);
    describe(packet, slot, tag);
    descriptor = transmit.begin(parent, 0, 1);
    transmit.piece(descriptor, <u32>slot, VNET_HEADER_LENGTH + MACS + tag);
    transmit.piece(descriptor, packet.offset + MACS, packet.length - MACS);
  }
  store<u16>(descriptor, packet.toPort, TX_SOCKET);
  tx(packet);
  trace.mark(packet, EVENT_SENT, packet.toPort, 1, 0);
}

// l2-flood: broadcast, multicast and unknown unicast go to everybody else in the bridge domain.
//
//            ┌─> each local port, but the one it came from, isolated ones if that is isolated (unless the frame is ARP or
//            │   neighbour discovery and the two have a permit), and for unknown unicast those whose MACs are all
//   frame ───┤   pinned; a macvlan's stations as their modes want it
//            └─> each VTEP on the domain's list, if it came from a local port (split horizon: every host floods its own
//                frames to all hosts itself, so a frame that came from one must not go back to any)
//
// in   what l2-forward has no entry for
// out  port-output, packet-output (uplinks), vxlan-encap; drops NO_MEMBERS
// not  here: snooping of IGMP and MLD
//
// Copies are descriptors over the same bytes (SHARED), and the last one is the packet itself: a flood to one port is no copy
// at all. The target found last is held until the next one is found, which is what tells.
//
// A chunk of broadcasts in a large network makes more copies than all rings hold. So the node stops when the next copy might
// not fit, leaves the rest in its vector, and goes on exactly there when the outputs have run, or native has flushed.
//
import {
  DOMAIN_FLAG_ENCRYPTED, DOMAIN_FLAG_HAS_VNI, EVENT_CLONED, NODE_L2_FLOOD, NODE_PACKET_OUTPUT, NODE_PORT_OUTPUT, NODE_VXLAN_ENCAP, PORT_FLAG_ISOLATED,
  PORT_FLAG_NO_FLOOD, PORT_FLAG_PRIVATE, PORT_FLAG_VEPA, PORT_UPLINK,
} from "../shared/abi";
import { COUNTER_CLONED, COUNTER_FLOODED, DROP_NO_MEMBERS } from "../shared/counters";
import { IOVEC_MAX, RUN_SEGMENTS_MAX, RUN_SLOTS, TX_RING_MAX } from "../shared/limits";
import * as arena from "../core/arena";
import { completeChecksum } from "../core/checksum";
import { add, drop } from "../core/counters";
import { CHECKSUM_GOOD, clone, free, FROM_UNDERLAY, NEEDS_CHECKSUM, Packet, REFLECTED } from "../core/packet";
import * as seal from "../core/seal";
import { copiesSegments } from "../core/segment";
import * as trace from "../core/trace";
import * as transmit from "../core/transmit";
import { packetAt, room, send, shift, waiting } from "../core/vector";
import * as ethernet from "../wire/ethernet";
import * as domains from "../tables/bridge-domain";
import * as fdb from "../tables/fdb";
import * as members from "../tables/member";
import * as permits from "../tables/permit";
import * as ports from "../tables/port";

// What open runs and aggregates may still take of the transmit ring.
const DESCRIPTORS_KEPT: u32 = 2 * RUN_SLOTS;
const IOVECS_KEPT: u32 = 2 * RUN_SLOTS * RUN_SEGMENTS_MAX + IOVEC_MAX / 16;
// Composing a header slot or a copy around a frame takes this much scratch besides the frame.
const SCRATCH_KEPT: u32 = 256;
// What a tunnel, and ESP, put around each segment besides its own headers.
const AROUND: u32 = 80;
// Of what open runs take ahead for sealed datagrams, and may not use.
const AHEAD_KEPT: u32 = RUN_SLOTS * 4096;

const STAGE_NEW = 0;
const STAGE_PORTS = 1;
const STAGE_VTEPS = 2;

// Kinds of targets, as bits. A port that is no station of a macvlan is a BRIDGE: it reaches and is reached.
const BRIDGE: u32 = 1;
const VEPA: u32 = 2; // PORT_FLAG_VEPA >> 5 is this kind's bit number, PRIVATE's likewise
const PRIVATE: u32 = 4;
const UPLINK: u32 = 8;
const MODES: u32 = PORT_FLAG_VEPA | PORT_FLAG_PRIVATE;
if (PORT_FLAG_VEPA >> 5 != 1 || PORT_FLAG_PRIVATE >> 5 != 2) ERROR("kindOf() computes with the modes' flags");

// The flood at hand: the first packet of the vector.
let stage = STAGE_NEW;
let cursor: u32 = 0; // next port + 1, or next member; 0: the list is at its end
let reach: u32 = 0; // kinds that may have it
let except: u32 = 0; // a port that may not, besides the one that it came from
let holding = false;
let heldPort: u32 = 0;
let heldVtep: u32 = 0;

// What the copies of this call will take at the outputs, which have not run yet.
let descriptors: u32 = 0;
let iovecs: u32 = 0;
let slots: u32 = 0;
let bytes: u32 = 0;
let operations: u32 = 0;

/** Floods as far as there is room. False if there was none even for one copy. */
export function l2Flood(): bool {
  descriptors = 0;
  iovecs = 0;
  slots = 0;
  bytes = 0;
  operations = 0;
  const n = waiting(NODE_L2_FLOOD);
  let some = false;
  let i: u32 = 0;
  for (; i < n; i++) {
    const packet = packetAt(NODE_L2_FLOOD, i);
    if (stage == STAGE_NEW) open(packet);
    while (find(packet)) {
      if (holding) {
        if (!fits(packet)) break;
        emit(clone(packet));
        add(COUNTER_CLONED, 1);
        some = true;
      }
      hold(packet);
    }
    if (stage != STAGE_NEW) break; // a target was found, but there is no room for the one before it
    if (!holding) {
      drop(packet, DROP_NO_MEMBERS);
    } else {
      if (!fits(packet)) {
        stage = STAGE_VTEPS; // come back for the last one: the lists stay at their end
        break;
      }
      emit(packet);
      holding = false;
    }
    some = true;
  }
  shift(NODE_L2_FLOOD, i);
  return some;
}

/** Starts with the first packet of the vector. */
function open(packet: Packet): void {
  const domain = domains.at(packet.domain);
  add(COUNTER_FLOODED, 1);
  stage = STAGE_PORTS;
  cursor = domain.firstPort;
  holding = false;
  except = packet.port;
  const from = ports.at(packet.port);
  if (packet.flags & REFLECTED) reach = returnsTo(packet);
  else if (from.kind == PORT_UPLINK) reach = BRIDGE | VEPA | PRIVATE;
  else reach = (from.flags & MODES) != 0 ? UPLINK : BRIDGE | UPLINK;
  // The wire wants a finished checksum, local ports don't care: once, before there are two who share the bytes.
  if ((packet.flags & NEEDS_CHECKSUM) != 0 && packet.gso == 0 && domain.members != 0) {
    completeChecksum(packet);
    packet.flags = (packet.flags & ~NEEDS_CHECKSUM) | CHECKSUM_GOOD;
  }
}

/** Who may have a frame of one of our stations that came back from outside: whoever the station itself did not reach. */
function returnsTo(packet: Packet): u32 {
  const source = fdb.find(fdb.keyOf(packet.domain, ethernet.source(packet.offset)));
  if (source === null) return 0;
  except = source.port;
  const modes = ports.at(source.port).flags & MODES;
  if (modes & PORT_FLAG_PRIVATE) return 0;
  return modes & PORT_FLAG_VEPA ? VEPA | BRIDGE : VEPA;
}

// @ts-ignore: decorator
@inline function kindOf(port: ports.Port): u32 {
  return port.kind == PORT_UPLINK ? UPLINK : BRIDGE << ((<u32>port.flags & MODES) >> 5);
}

/** Moves the cursor to the next target, passing who must not get a copy. False at the end of both lists: stage is NEW then. */
function find(packet: Packet): bool {
  if (stage == STAGE_PORTS) {
    const from = ports.at(packet.port);
    // An underlay port is never isolated, so what a VTEP sent reaches isolated ports.
    const isolated = (from.flags & PORT_FLAG_ISOLATED) != 0;
    const unknown = !ethernet.isMulticast(packet.offset);
    const permitted = isolated && from.permits != 0 && permits.isNeighborTalk(packet);
    while (cursor != 0) {
      const port = cursor - 1;
      const target = ports.at(port);
      const skip =
        port == <u32>packet.port || port == except || (reach & kindOf(target)) == 0 ||
        (isolated && (target.flags & PORT_FLAG_ISOLATED) != 0 && !(permitted && permits.between(packet.port, port))) ||
        (unknown && (target.flags & PORT_FLAG_NO_FLOOD) != 0);
      if (!skip) return true;
      cursor = target.next;
    }
    const domain = domains.at(packet.domain);
    const tunnels = (packet.flags & FROM_UNDERLAY) == 0 && (domain.flags & DOMAIN_FLAG_HAS_VNI) != 0;
    stage = STAGE_VTEPS;
    cursor = tunnels ? members.first(packet.domain) : 0;
  }
  if (cursor != 0) return true;
  stage = STAGE_NEW;
  return false;
}

/** Holds the target at the cursor and steps past it. */
// @ts-ignore: decorator
@inline function hold(packet: Packet): void {
  holding = true;
  if (stage == STAGE_PORTS) {
    heldPort = cursor - 1;
    heldVtep = 0;
    cursor = ports.at(heldPort).next;
  } else {
    heldPort = 0;
    heldVtep = members.vtepOf(cursor);
    cursor = members.next(cursor);
  }
}

/** Whether a copy to the held target fits all that it may want downstream, and counts it if so. */
function fits(packet: Packet): bool {
  const sealing = heldVtep != 0 && (domains.at(packet.domain).flags & DOMAIN_FLAG_ENCRYPTED) != 0;
  const cuts = packet.gso != 0 && heldVtep != 0;
  const segments: u32 = cuts ? packet.length / packet.segment + 1 : 1;
  // What is sealed is laid out whole, small segments too; by protocol 50 each datagram leaves by itself.
  const copies = sealing || (cuts && copiesSegments(packet));
  const scratch: u32 = copies
    ? packet.length + segments * (<u32>packet.payload + AROUND) + SCRATCH_KEPT
    : packet.gso == 0 ? packet.length + SCRATCH_KEPT : 0;
  const sends: u32 = sealing ? segments : segments / RUN_SEGMENTS_MAX + 1;
  // With everything empty it fits if it ever will: then it goes, and what can't be sent is dropped by name.
  const idle = descriptors == 0 && transmit.filled() == 0 && arena.untouched();
  if (!idle) {
    if (room(NODE_PORT_OUTPUT) == 0 || room(NODE_PACKET_OUTPUT) == 0 || room(NODE_VXLAN_ENCAP) == 0 || free() == 0) return false;
    if (!copies && slots + segments > arena.headerSlotsLeft()) return false;
    if (bytes + max(scratch, packet.length + SCRATCH_KEPT) + (sealing ? AHEAD_KEPT : 0) > arena.scratchLeft()) return false;
    if (sealing && operations + segments > seal.room()) return false;
    if (transmit.filled() + descriptors + sends + DESCRIPTORS_KEPT > <u32>TX_RING_MAX) return false;
    if (!transmit.fits(iovecs + 3 * segments + IOVECS_KEPT)) return false;
  }
  descriptors += sends;
  iovecs += 3 * segments;
  bytes += scratch;
  if (sealing) operations += segments;
  if (!copies) slots += segments;
  return true;
}

/** Sends a copy to the held target. */
function emit(copy: Packet): void {
  trace.mark(copy, EVENT_CLONED, heldPort, heldVtep, 0);
  copy.toPort = <u16>heldPort;
  copy.toVtep = <u16>heldVtep;
  if (heldVtep != 0) send(NODE_VXLAN_ENCAP, copy);
  else send(ports.at(heldPort).kind == PORT_UPLINK ? NODE_PACKET_OUTPUT : NODE_PORT_OUTPUT, copy);
}

export function reset(): void {
  stage = STAGE_NEW;
  holding = false;
  cursor = 0;
}

// l2-forward: a known unicast frame goes to the one port or VTEP that the FDB names; everything else floods, or goes to the
// uplink where there is one (macvlan: all local stations are pinned, so who is not known is out there).
//
// in   every frame of the chunk, after l2-learn has seen them all
// out  gro (local ports), vxlan-encap (VTEPs), packet-output (the uplink), l2-flood
//      drops HAIRPIN, ISOLATED, MACVLAN_MODE, SPLIT_HORIZON, PORT_DOWN, VTEP_UNKNOWN
// not  here: learning, MTU (policy's)
//
import {
  EVENT_FDB_HIT, EVENT_FDB_MISS, EVENT_TO_PORT, EVENT_TO_VTEP, NODE_GRO, NODE_L2_FLOOD, NODE_L2_FORWARD, NODE_PACKET_OUTPUT, NODE_VXLAN_ENCAP,
  PORT_FLAG_ISOLATED, PORT_FLAG_PRIVATE, PORT_FLAG_VEPA, PORT_NONE, PORT_UPLINK,
} from "../shared/abi";
import { DROP_HAIRPIN, DROP_ISOLATED, DROP_MACVLAN_MODE, DROP_PORT_DOWN, DROP_SPLIT_HORIZON, DROP_VTEP_UNKNOWN } from "../shared/counters";
import { drop } from "../core/counters";
import { FROM_UNDERLAY, Packet, REFLECTED, TRACED } from "../core/packet";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as ethernet from "../wire/ethernet";
import * as domains from "../tables/bridge-domain";
import * as fdb from "../tables/fdb";
import * as permits from "../tables/permit";
import * as ports from "../tables/port";
import * as vteps from "../tables/vtep";

const MODES: u32 = PORT_FLAG_VEPA | PORT_FLAG_PRIVATE;

export function l2Forward(): void {
  const n = waiting(NODE_L2_FORWARD);
  // Frames come in bursts to one receiver: its entry is at hand.
  let lastKey: u64 = 0;
  let entry: fdb.FdbEntry | null = null;
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_L2_FORWARD, i);
    const frame: usize = packet.offset;
    if (ethernet.isMulticast(frame)) {
      send(NODE_L2_FLOOD, packet);
      continue;
    }
    const key = fdb.keyOf(packet.domain, ethernet.destination(frame));
    if (key != lastKey) {
      entry = fdb.find(key);
      lastKey = key;
    }
    if (entry === null) {
      trace.mark(packet, EVENT_FDB_MISS, 0, 0, key & ethernet.BROADCAST);
      const uplink = domains.at(packet.domain).uplink;
      if (uplink != 0 && uplink - 1 != <u32>packet.port) toUplink(packet, uplink - 1);
      else send(NODE_L2_FLOOD, packet);
      continue;
    }
    if (packet.flags & TRACED) trace.mark(packet, EVENT_FDB_HIT, entry.port, entry.vtep, key & ethernet.BROADCAST);
    if (entry.vtep != 0) toVtep(packet, entry.vtep);
    else toPort(packet, entry.port);
  }
  clear(NODE_L2_FORWARD);
}

// @ts-ignore: decorator
@inline function toVtep(packet: Packet, vtep: u32): void {
  if (packet.flags & FROM_UNDERLAY) {
    drop(packet, DROP_SPLIT_HORIZON);
  } else if (vteps.at(vtep).used == 0) {
    drop(packet, DROP_VTEP_UNKNOWN);
  } else {
    packet.toVtep = <u16>vtep;
    trace.mark(packet, EVENT_TO_VTEP, vtep, domains.at(packet.domain).vni, 0);
    send(NODE_VXLAN_ENCAP, packet);
  }
}

// @ts-ignore: decorator
@inline function toPort(packet: Packet, port: u32): void {
  const target = ports.at(port);
  if (packet.port == <u16>port) {
    drop(packet, DROP_HAIRPIN);
  } else if (target.kind == PORT_NONE || target.domain != packet.domain) {
    // A pinned entry whose port is gone, or serves another network by now, must not become a hole between networks.
    drop(packet, DROP_PORT_DOWN);
  } else if ((target.flags & ports.at(packet.port).flags & PORT_FLAG_ISOLATED) != 0 && !permits.passes(packet, port)) {
    drop(packet, DROP_ISOLATED);
  } else if (((target.flags | ports.at(packet.port).flags) & MODES) != 0 && ports.at(packet.port).kind != PORT_UPLINK) {
    const uplink = domains.at(packet.domain).uplink;
    if (uplink != 0) toUplink(packet, uplink - 1);
    else drop(packet, DROP_MACVLAN_MODE);
  } else if ((packet.flags & REFLECTED) != 0 && !mayReturn(packet, port)) {
    drop(packet, DROP_MACVLAN_MODE);
  } else {
    packet.toPort = <u16>port;
    trace.mark(packet, EVENT_TO_PORT, port, 0, 0);
    send(NODE_GRO, packet);
  }
}

// @ts-ignore: decorator
@inline function toUplink(packet: Packet, uplink: u32): void {
  packet.toPort = <u16>uplink;
  trace.mark(packet, EVENT_TO_PORT, uplink, 0, 0);
  send(NODE_PACKET_OUTPUT, packet);
}

/** Whether a frame of one of our stations that came back from outside may reach `port`. */
function mayReturn(packet: Packet, port: u32): bool {
  const source = fdb.find(fdb.keyOf(packet.domain, ethernet.source(packet.offset)));
  if (source === null || <u32>source.port == port) return false;
  return ((ports.at(source.port).flags | ports.at(port).flags) & PORT_FLAG_PRIVATE) == 0;
}

// l2-learn: the sender of each frame lives where the frame came from.
//
// in   frames that policy let pass, from ports and VTEPs
// out  neighbor-proxy (ARP and ICMPv6 of domains that answer for their neighbours), l2-forward; drops STATIC_MOVED
// not  here: ageing (tables/fdb sweeps by the clock)
//
// All of a chunk is learned before any of it is forwarded (l2-forward comes later in the graph): so the answer to the first
// frame of a conversation, if it is in the same chunk, already finds its way, and a flow isn't half flooded, half not.
//
// A local frame whose source is pinned elsewhere is spoofed, or comes from an endpoint that moved without the control plane:
// it is dropped. From a VTEP it passes unlearned: during a migration the remote end knows before we do. From an uplink it is a
// frame of our own that a switch sent back, and marked so: the modes of macvlan say who may have it (l2-forward, l2-flood).
//
import {
  DOMAIN_FLAG_LEARNING, DOMAIN_FLAG_PROXY_NEIGHBORS, EVENT_LEARNED, EVENT_NEXT, NODE_L2_FORWARD, NODE_L2_LEARN, NODE_NEIGHBOR_PROXY,
  PORT_FLAG_NO_FLOOD, PORT_UPLINK,
} from "../shared/abi";
import { DROP_STATIC_MOVED } from "../shared/counters";
import { ETHERTYPE_ARP, IP_PROTOCOL_ICMPV6 } from "../shared/protocol";
import { drop } from "../core/counters";
import { FROM_UNDERLAY, Packet, REFLECTED } from "../core/packet";
import * as trace from "../core/trace";
import { clear, packetAt, send, waiting } from "../core/vector";
import * as ethernet from "../wire/ethernet";
import * as domains from "../tables/bridge-domain";
import * as fdb from "../tables/fdb";
import * as ports from "../tables/port";

export function l2Learn(): void {
  const n = waiting(NODE_L2_LEARN);
  if (fdb.isLarge() && n > 1) warm(n);
  // Frames come in bursts of one sender: what was true of the frame before mostly is of this one.
  let lastKey: u64 = 0;
  let lastPlace: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_L2_LEARN, i);
    const key = fdb.keyOf(packet.domain, ethernet.source(packet.offset));
    const place = (<u32>packet.vtep << 16) | <u32>packet.port;
    if (key != lastKey || place != lastPlace) {
      const result = learn(packet, key);
      if (result == fdb.PINNED && (packet.flags & FROM_UNDERLAY) == 0) {
        if (ports.at(packet.port).kind != PORT_UPLINK) {
          drop(packet, DROP_STATIC_MOVED);
          continue;
        }
        packet.flags |= REFLECTED;
      }
      if (result == fdb.LEARNED) trace.mark(packet, EVENT_LEARNED, packet.port, packet.vtep, key & ethernet.BROADCAST);
      // A refused one is asked again: the counter counts frames.
      lastKey = result == fdb.KNOWN || result == fdb.LEARNED ? key : 0;
      lastPlace = place;
    }
    const next = asks(packet) ? NODE_NEIGHBOR_PROXY : NODE_L2_FORWARD;
    trace.mark(packet, EVENT_NEXT, next, 0, 0);
    send(next, packet);
  }
  clear(NODE_L2_LEARN);
}

/** A million entries don't fit any cache: the lines that learning and forwarding will want are asked for all at once. */
function warm(n: u32): void {
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_L2_LEARN, i);
    fdb.warm(fdb.keyOf(packet.domain, ethernet.source(packet.offset)));
    fdb.warm(fdb.keyOf(packet.domain, ethernet.destination(packet.offset)));
  }
}

// @ts-ignore: decorator
@inline function learn(packet: Packet, key: u64): u32 {
  const learning = (domains.at(packet.domain).flags & DOMAIN_FLAG_LEARNING) != 0;
  const pinnedOnly = packet.vtep == 0 && (ports.at(packet.port).flags & PORT_FLAG_NO_FLOOD) != 0;
  return fdb.learn(key, packet.port, packet.vtep, learning && !pinnedOnly);
}

/** Whether it may be a question that neighbor-proxy can answer: only our own sandboxes are answered. */
// @ts-ignore: decorator
@inline function asks(packet: Packet): bool {
  if (<u32>packet.ethertype != <u32>ETHERTYPE_ARP && <u32>packet.protocol != <u32>IP_PROTOCOL_ICMPV6) return false;
  return (packet.flags & FROM_UNDERLAY) == 0 && (domains.at(packet.domain).flags & DOMAIN_FLAG_PROXY_NEIGHBORS) != 0;
}

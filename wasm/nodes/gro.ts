// gro: unicast for a local port, merged into super-frames where that is possible.
//
// in   l2-forward: toPort is set and up
// out  transmit descriptors, directly (core/aggregates, core/deliver): an aggregate closes at any moment of the batch, and
//      a flow keeps its order only if all its packets take the same door. port-output is the door of floods and of what the
//      engine composes, which never were part of a flow
// not  here: merging towards VTEPs (core/runs does that with whole datagrams)
//
import { DIRECTION_TX, NODE_GRO, PORT_FLAG_NO_UDP_GSO } from "../shared/abi";
import { offer } from "../core/aggregates";
import * as capture from "../core/capture";
import { clear, packetAt, waiting } from "../core/vector";
import * as ports from "../tables/port";

export function gro(): void {
  const n = waiting(NODE_GRO);
  const capturing = capture.armed();
  for (let i: u32 = 0; i < n; i++) {
    const packet = packetAt(NODE_GRO, i);
    // Before it is merged: who looks wants the frames, not what we make of them.
    if (capturing && ports.captured(packet.toPort, packet.domain)) capture.copy(packet, packet.toPort, DIRECTION_TX);
    offer(packet, (ports.at(packet.toPort).flags & PORT_FLAG_NO_UDP_GSO) == 0);
  }
  clear(NODE_GRO);
}
